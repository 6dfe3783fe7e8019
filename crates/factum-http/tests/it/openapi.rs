//! `GET /openapi.json`: what is registered is described, as it is taken.

use factum_http::{About, Code};
use http::StatusCode;
use serde_json::{Value, json};

use crate::toy::{Toy, get, post, send};

async fn documents() -> [Value; 2] {
    let mut toy = Toy::new();
    toy.options.about = About { title: "toys counters".to_owned(), version: "1.2.3".to_owned() };
    let mut documents = [Value::Null, Value::Null];
    for (document, app) in documents.iter_mut().zip([toy.write_app(), toy.read_app()]) {
        let answer = send(&app, get("/openapi.json")).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
        *document = answer.json();
    }
    documents
}

fn codes(document: &Value, operation: &Value, status: &str) -> Vec<String> {
    let response = resolved(document, &operation["responses"][status]);
    let own = &response["content"]["application/problem+json"]["schema"]["allOf"][1];
    assert_eq!(own["properties"]["status"]["const"].to_string(), status);
    let codes = own["properties"]["code"]["enum"].as_array().expect("the codes are listed");
    codes.iter().map(|code| code.as_str().expect("is a text").to_owned()).collect()
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} leads nowhere")),
        None => value,
    }
}

fn each(value: &Value, visit: &mut dyn FnMut(&Value)) {
    visit(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|part| each(part, visit)),
        Value::Array(items) => items.iter().for_each(|part| each(part, visit)),
        _ => {}
    }
}

#[tokio::test]
async fn both_surfaces_describe_what_is_registered_and_the_routes_of_every_surface() {
    let [write, read] = documents().await;
    let paths = |document: &Value| -> Vec<String> {
        document["paths"].as_object().expect("there are paths").keys().cloned().collect()
    };
    let every = ["/healthz", "/metrics", "/openapi.json", "/readyz"];
    let all = |own: &[&str]| {
        let mut all: Vec<String> = own.iter().chain(&every).map(|path| (*path).to_owned()).collect();
        all.sort_unstable();
        all
    };
    let parked = ["", "/discard", "/messages", "/retry", "/retry-all"].map(|path| format!("/admin/quarantine{path}"));
    let letters = ["/admin/dead-letters", "/admin/dead-letters/acknowledge"];
    let own = ["/admin/events", "/admin/forks", "/admin/forks/accept", "/commands/raise", "/commands/raise-again"];
    let traffic = ["/admin/consumers", "/admin/relays", "/admin/relays/rewind", "/admin/topics"];
    let own: Vec<_> = parked.iter().map(String::as_str).chain(letters).chain(traffic).chain(own).collect();
    assert_eq!(paths(&write), all(&own));
    assert_eq!(
        paths(&read),
        all(&[
            "/admin/consumers",
            "/admin/forks",
            "/admin/forks/accept",
            "/admin/quarantine",
            "/admin/quarantine/discard",
            "/admin/quarantine/messages",
            "/admin/quarantine/retry",
            "/admin/quarantine/retry-all",
            "/admin/read-models",
            "/admin/read-models/{operation}",
            "/admin/relays",
            "/admin/relays/rewind",
            "/admin/topics",
            "/queries/total",
            "/queries/total/live",
        ])
    );
    assert_eq!((&write["openapi"], &write["info"]["version"]), (&json!("3.1.0"), &json!("1.2.3")));
    assert_eq!(
        (&write["info"]["title"], &read["info"]["title"]),
        (&json!("toys counters: commands"), &json!("toys counters: queries"))
    );
}

#[tokio::test]
async fn every_reference_leads_somewhere_and_everything_shared_is_referred_to() {
    for document in documents().await {
        let mut referred = std::collections::BTreeSet::new();
        each(&document, &mut |value| {
            if let Some(reference) = value["$ref"].as_str() {
                resolved(&document, value);
                referred.insert(reference.to_owned());
            }
        });
        for kind in ["schemas", "responses"] {
            for name in document["components"][kind].as_object().expect("there are some").keys() {
                assert!(referred.contains(&format!("#/components/{kind}/{name}")), "{kind} {name} is not used");
            }
        }
        assert!(!document.to_string().contains("$defs"));
    }
}

#[tokio::test]
async fn a_command_is_described_with_its_headers_its_answer_and_every_code() {
    let [write, _] = documents().await;
    let raise = &write["paths"]["/commands/raise"]["post"];
    assert_eq!(raise["operationId"], "raise");
    assert!(raise["description"].as_str().is_some_and(|text| text.starts_with("Raises a counter")));
    let parameters = raise["parameters"].as_array().expect("there are headers");
    let names: Vec<&Value> = parameters.iter().map(|parameter| &resolved(&write, parameter)["name"]).collect();
    assert_eq!(names, ["Idempotency-Key", "If-Match", "Factum-Correlation-Id"]);
    let body = resolved(&write, &raise["requestBody"]["content"]["application/json"]["schema"]);
    assert_eq!((&body["additionalProperties"], &body["required"]), (&json!(false), &json!(["by"])));
    for header in ["ETag", "Factum-Token"] {
        assert!(raise["responses"]["200"]["headers"][header].is_object(), "{header}");
    }
    let codes = |status: &str| codes(&write, raise, status);
    assert_eq!(codes("404"), ["counter-not-found"]);
    assert_eq!(codes("422"), ["too-high", "command-id-reused"]);
    assert_eq!(codes("400"), ["invalid", "malformed", "unknown-field"]);
    assert_eq!((codes("412"), codes("503")), (vec!["not-expected".to_owned()], vec!["unavailable".to_owned()]));
    let unavailable = resolved(&write, &raise["responses"]["503"]);
    assert!(unavailable["headers"]["Retry-After"].is_object());
}

#[tokio::test]
async fn a_querys_fields_are_parameters_that_are_never_null() {
    let [_, read] = documents().await;
    let total = &read["paths"]["/queries/total"]["get"];
    let parameters = total["parameters"].as_array().expect("there are some");
    let named = |name: &str| parameters.iter().find(|parameter| parameter["name"] == name).expect("it is there");
    assert_eq!((&named("counter")["in"], &named("counter")["required"]), (&json!("query"), &json!(true)));
    assert_eq!(named("panic")["required"], false);
    assert_eq!(named("note")["schema"]["type"], "string");
    assert_eq!(codes(&read, total, "404"), ["counter-not-found"]);
    assert_eq!(codes(&read, total, "503"), ["unavailable", "quarantined", "not-yet", "rebuilding"]);
}

#[tokio::test]
async fn a_live_query_takes_and_refuses_what_the_query_does_and_answers_events() {
    let [_, read] = documents().await;
    let [once, live] = ["/queries/total", "/queries/total/live"].map(|path| &read["paths"][path]["get"]);
    assert_eq!(live["operationId"], "total-live");
    let names = |operation: &Value| -> Vec<Value> {
        let parameters = operation["parameters"].as_array().expect("there are some");
        parameters.iter().map(|parameter| resolved(&read, parameter)["name"].clone()).collect()
    };
    let more: Vec<Value> = names(live).into_iter().filter(|name| !names(once).contains(name)).collect();
    assert_eq!(more, ["Last-Event-ID"]);
    assert!(live["responses"]["200"]["content"]["text/event-stream"].is_object());
    for status in ["400", "404", "429", "503"] {
        assert_eq!(codes(&read, live, status), codes(&read, once, status));
    }
}

#[tokio::test]
async fn the_example_of_a_command_is_taken() {
    let [write, _] = documents().await;
    let app = Toy::new().write_app();
    for (path, operations) in write["paths"].as_object().expect("there are paths") {
        let example = &operations["post"]["requestBody"]["content"]["application/json"]["example"];
        if path.starts_with("/commands/") {
            let answer = send(&app, post(path, example.to_string())).await;
            assert_ne!(answer.status, StatusCode::BAD_REQUEST, "{path} {example}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn each_answer_of_a_problem_is_documented_for_its_command() {
    let [write, _] = documents().await;
    let raise = &write["paths"]["/commands/raise"]["post"];
    let app = Toy::new().write_app();
    let bodies =
        ["{}", "[", r#"{"by":"x"}"#, r#"{"by":2000000}"#, r#"{"by":1,"to":2}"#, r#"{"by":2000}"#, r#"{"by":13}"#];
    for body in bodies {
        let (status, code) = send(&app, post("/commands/raise", body)).await.refusal();
        assert!(codes(&write, raise, &status.to_string()).contains(&code), "{body} is answered {status} {code}");
    }
}

#[tokio::test]
async fn every_code_is_documented_but_those_of_paths_that_are_not_there() {
    let text: String = documents().await.iter().map(ToString::to_string).collect();
    let elsewhere = [Code::NotFound, Code::UnknownCommand, Code::UnknownQuery, Code::MethodNotAllowed];
    for code in Code::ALL.into_iter().filter(|code| !elsewhere.contains(code)) {
        assert!(text.contains(&format!(r#""code":"{}""#, code.as_str())), "no answer has an example of {code:?}");
    }
}
