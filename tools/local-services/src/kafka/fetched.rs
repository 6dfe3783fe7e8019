//! What is fetched and made once for all brokers: Kafka's own files, an archive of its classes, and the folder of a broker that was
//! never started.

use std::{
    env,
    ffi::OsString,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    properties::{self, Listener},
    wire,
};
use crate::{
    Error, PortBase,
    files::{copy_folder, last_lines, remove_folder},
    home,
    owned::Owned,
};

const POM: &str = include_str!("../../../kafka/pom.xml");
const LOG4J: &str = include_str!("../../../kafka/log4j2.properties");
/// Written last: a folder without it, or with that of another pom, is made anew.
const MARK: &str = "complete";
/// The id of every cluster made from the same files: nobody ever joins two.
const CLUSTER_ID: &str = "ZmFjdHVtLWxvY2FsLWthZg";
/// How long the broker whose classes are archived may take to answer, and to end.
const TRIAL_MAX: Duration = Duration::from_secs(120);
/// How often it is asked whether it answers.
const POLL: Duration = Duration::from_millis(50);

/// The folder of what was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    folder: PathBuf,
}

impl Fetched {
    /// Fetches and makes what is not there yet. Others that do the same meanwhile wait.
    pub fn get() -> Result<Self, Error> {
        let home = home()?;
        fs::create_dir_all(&home).map_err(Error::file(&home))?;
        let fetched = Self { folder: home.join("kafka") };
        let lock = home.join("kafka.lock");
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(Error::file(&lock))?;
        if !fetched.is_complete() {
            fetched.make()?;
        }
        drop(lock);
        Ok(fetched)
    }

    fn is_complete(&self) -> bool {
        fs::read_to_string(self.folder.join(MARK)).is_ok_and(|mark| mark == [POM, LOG4J].concat())
    }

    fn make(&self) -> Result<(), Error> {
        remove_folder(&self.folder)?;
        fs::create_dir_all(&self.folder).map_err(Error::file(&self.folder))?;
        self.write("pom.xml", POM)?;
        self.write("log4j2.properties", LOG4J)?;
        self.run(&mut Command::new("java"), &["-version"], "java", "Kafka")?;
        // `-ntp`: progress of transfers is for terminals.
        let copy = ["-q", "-B", "-ntp", "dependency:copy-dependencies", "-DoutputDirectory=jars"];
        self.run(&mut Command::new("mvn"), &copy, "mvn", "fetching Kafka")?;
        self.format()?;
        self.archive_classes()?;
        self.write(MARK, &[POM, LOG4J].concat())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.folder.join(name);
        fs::write(&path, text).map_err(Error::file(path))
    }

    fn run(
        &self,
        command: &mut Command,
        arguments: &[&str],
        program: &'static str,
        what: &'static str,
    ) -> Result<(), Error> {
        let ended = command.args(arguments).current_dir(&self.folder).output();
        let ended = ended.map_err(|why| Error::Missing { program, what, why })?;
        if ended.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
        Err(Error::Failed { what, said: format!("{}: {}", ended.status, last_lines(&said)) })
    }

    /// The folder of a broker that was never started.
    pub fn formatted(&self) -> PathBuf {
        self.folder.join("formatted")
    }

    /// The folder is the same for every broker: ports are told at each start.
    fn format(&self) -> Result<(), Error> {
        let properties = properties::of(&[Listener::plain(1)], 2, &self.formatted(), &[]);
        self.write("format.properties", &properties)?;
        let mut java = self.java()?;
        java.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]);
        self.run(&mut java, &["format.properties"], "java", "formatting the folder of a broker")
    }

    fn archive(&self) -> PathBuf {
        self.folder.join("classes.jsa")
    }

    /// Lets a broker start and end, and keeps its classes as the virtual machine has them then: later ones start sooner.
    fn archive_classes(&self) -> Result<(), Error> {
        let (trial, log) = (self.folder.join("trial"), self.folder.join("trial.log"));
        let ports = PortBase::take()?;
        let listener = Listener::plain(ports.get() + 1);
        let bootstrap = listener.address();
        copy_folder(&self.formatted(), &trial)?;
        self.write("trial.properties", &properties::of(&[listener], ports.get() + 2, &trial, &[]))?;
        let mut java = self.java()?;
        java.arg("-XX:ArchiveClassesAtExit=".to_owned() + &self.archive().to_string_lossy());
        java.arg("kafka.Kafka").arg(self.folder.join("trial.properties"));
        let mut broker = Owned::start(&java, &log).map_err(Error::file(&log))?;
        let begun = Instant::now();
        while !wire::answers(&bootstrap) {
            let ended = !broker.is_running();
            if ended || begun.elapsed() > TRIAL_MAX {
                let said = last_lines(&fs::read_to_string(&log).unwrap_or_default());
                return Err(Error::NotUp { name: "Kafka", within: (!ended).then_some(TRIAL_MAX), said });
            }
            std::thread::sleep(POLL);
        }
        broker.signal(Signal::TERM)?;
        // Without an archive it starts a second later, and that is all.
        broker.ends_within(TRIAL_MAX);
        remove_folder(&trial)
    }

    /// A virtual machine with Kafka's files, without the name of what it is to run.
    fn java(&self) -> Result<Command, Error> {
        let jars = self.folder.join("jars");
        let mut all: Vec<PathBuf> = fs::read_dir(&jars)
            .map_err(Error::file(&jars))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect();
        // The archive of classes holds for one order only.
        all.sort();
        let path = env::join_paths(all).unwrap_or_else(|_| OsString::from(jars.join("*")));
        let mut log4j = OsString::from("-Dlog4j2.configurationFile=");
        log4j.push(self.folder.join("log4j2.properties"));
        let mut java = Command::new("java");
        java.args(["-Xms64m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
        java.arg(log4j).arg("-cp").arg(path);
        Ok(java)
    }

    /// A broker with this configuration.
    pub fn broker(&self, properties: &Path) -> Result<Command, Error> {
        let mut java = self.java()?;
        if self.archive().is_file() {
            java.arg("-XX:SharedArchiveFile=".to_owned() + &self.archive().to_string_lossy());
        }
        java.arg("kafka.Kafka").arg(properties);
        Ok(java)
    }
}
