//! What other services publish, read as data: their golden samples, decoded with this service's own types. Nothing else
//! of another service is touched, here or anywhere.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
};

use factum::{Decoded, Event, RawEvent};
use serde_json::{Value, json};

/// The contract of another service.
pub struct Contract {
    folder: PathBuf,
}

impl Contract {
    pub fn of(service: &str) -> Self {
        Self { folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(service).join("contract") }
    }

    /// The samples of every message, by the message's name.
    pub fn samples(&self) -> BTreeMap<String, Vec<(String, Value)>> {
        let named = entries(&self.folder.join("samples")).into_iter().map(|folder| {
            let samples = entries(&folder).into_iter().map(|path| (stem(&path), document(&path)));
            (folder.file_name().expect("it has a name").to_string_lossy().into_owned(), samples.collect())
        });
        named.collect()
    }

    /// Every sample that `E` knows, and each comes through whole.
    pub fn understood<E: Event>(&self) -> Vec<E> {
        let mut understood = Vec::new();
        for (name, samples) in self.samples() {
            for (label, sample) in samples {
                let Decoded::Known(message) = decode::<E>(&name, &sample) else { continue };
                let known = as_sent(&message);
                assert_eq!(known, only_fields_of(&known, &sample), "{name}/{label} comes through whole");
                understood.push(message);
            }
        }
        understood
    }

    /// A message or a field that is added later is tolerated.
    pub fn assert_may_grow<E: Event + Debug>(&self) {
        for (name, samples) in self.samples() {
            for (_, mut sample) in samples {
                assert!(matches!(decode::<E>(&format!("{name}2"), &sample), Decoded::Unknown));
                let before = decode::<E>(&name, &sample);
                sample["added_later"] = json!({ "by": ["the sender"] });
                assert_eq!(format!("{:?}", decode::<E>(&name, &sample)), format!("{before:?}"));
            }
        }
    }

    /// The names of all messages of `E` are on this topic.
    pub fn assert_on_topic<E: Event>(&self, name: &str) {
        let index = document(&self.folder.join("index.json"));
        let topics = index["topics"].as_array().expect("a list of topics");
        let topic = topics.iter().find(|topic| topic["name"] == name).expect("the topic is published");
        let published = topic["messages"].as_array().expect("a list of messages");
        for message in E::names() {
            assert!(published.iter().any(|published| published == message), "{message} is not on {name}");
        }
    }
}

impl Contract {
    /// The names of the commands it takes on this topic, and of whom.
    pub fn commands_on(&self, topic: &str) -> (String, Vec<String>) {
        let index = document(&self.folder.join("index.json"));
        let taken = index["commands"].as_array().expect("a list of command topics");
        let taken = taken.iter().find(|taken| taken["name"] == topic).expect("commands are taken on the topic");
        let names = taken["commands"].as_array().expect("a list of commands").iter();
        let text = |value: &Value| value.as_str().expect("a name").to_owned();
        (text(&taken["sender"]), names.map(text).collect())
    }

    /// Whether the schema of a message or a command allows a document, and what is wrong with it otherwise.
    pub fn allows(&self, name: &str, document_sent: &Value) -> Result<(), String> {
        let schema = document(&self.folder.join("schemas").join(format!("{name}.json")));
        let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema);
        let validator = validator.unwrap_or_else(|error| panic!("the schema of {name}: {error}"));
        let errors: Vec<String> = validator.iter_errors(document_sent).map(|error| error.to_string()).collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
    }
}

pub fn decode<E: Event>(name: &str, document: &Value) -> Decoded<E> {
    let data = serde_json::to_vec(document).expect("is JSON");
    E::decode(RawEvent { name, schema: 1, data: &data })
        .unwrap_or_else(|error| panic!("{name} is not understood: {error}\n{document:#}"))
}

fn document(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.expect("the folder can be read").path()).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("it has a name").to_string_lossy().into_owned()
}

/// A message as this service would write it.
fn as_sent(message: &impl Event) -> Value {
    let mut data = Vec::new();
    message.encode(&mut data);
    serde_json::from_slice(&data).expect("is JSON")
}

/// The fields of a sample that the known message has, too.
fn only_fields_of(known: &Value, sample: &Value) -> Value {
    let fields = sample.as_object().expect("a message is an object").clone();
    fields.into_iter().filter(|(name, _)| known.get(name).is_some()).collect()
}
