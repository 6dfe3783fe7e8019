//! `/openapi.json` of every surface: valid by a validator of other people's, and true: its examples are what the schemas
//! beside them say, and what the bank takes.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use system_tests::{Process, Side, Site, Surfaces, python};

/// How long it may take to judge.
const VALIDATION_MAX: Duration = Duration::from_secs(60);

async fn document(surfaces: &Surfaces, side: Side) -> anyhow::Result<Value> {
    let answer = surfaces.send(side, "GET", "/openapi.json", Vec::new(), &[]).await?.accepted()?;
    ensure!(answer.header("content-type") == "application/json", "{:?}", answer.headers);
    ensure!(answer.json["openapi"] == "3.1.0", "{}", answer.text);
    Ok(answer.json)
}

#[tokio::test]
async fn an_independent_validator_finds_every_document_valid() -> anyhow::Result<()> {
    let site = Site::new()?;
    let story = "an_independent_validator_finds_every_document_valid";
    let Some(python) = python(story, "openapi/validator.txt", site.folder()).await? else { return Ok(()) };
    let bank = site.start().await?;
    let mut validation = Command::new(python);
    validation.args(["-m", "openapi_spec_validator", "--errors", "all"]).current_dir(site.folder());
    for (side, file) in [(Side::Write, "write.json"), (Side::Transfers, "transfers.json"), (Side::Read, "read.json")] {
        let document = document(bank.surfaces(), side).await?;
        fs::write(site.folder().join(file), document.to_string())?;
        validation.arg(file);
    }
    // It is seen to find something: a parameter that is nowhere.
    let mut broken = document(bank.surfaces(), Side::Read).await?;
    broken["paths"]["/healthz"]["get"]["parameters"] = json!([{ "name": "surplus", "in": "nowhere" }]);
    fs::write(site.folder().join("broken.json"), broken.to_string())?;
    validation.arg("broken.json");
    let judged = Process::start(validation, site.folder(), "validator")?.end_within(VALIDATION_MAX).await?;
    let said = format!("{}{}", judged.stdout, judged.stderr);
    for file in ["write.json", "transfers.json", "read.json"] {
        ensure!(said.contains(&format!("{file}: OK")), "{said}");
    }
    ensure!(!said.contains("broken.json: OK") && !judged.status.success(), "the validator finds nothing: {said}");
    Ok(())
}

#[tokio::test]
async fn every_example_is_valid_by_the_schema_beside_it() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    for side in Side::ALL {
        let document = document(bank.surfaces(), side).await?;
        let mut checked = 0;
        each(&document, &mut |value| {
            let Some(schema) = value.get("schema") else { return Ok(()) };
            let several = value["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
            for example in value.get("example").into_iter().chain(several) {
                let whole = json!({ "allOf": [schema], "components": document["components"] });
                let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&whole)?;
                let errors: Vec<String> = validator.iter_errors(example).map(|error| error.to_string()).collect();
                ensure!(errors.is_empty(), "{example} is no {schema}: {errors:?}");
                checked += 1;
            }
            Ok(())
        })?;
        ensure!(checked >= 10, "only {checked} examples");
    }
    Ok(())
}

#[tokio::test]
async fn what_the_documents_show_as_examples_the_bank_takes() -> anyhow::Result<()> {
    let site = Site::new()?;
    let bank = site.start().await?;
    let surfaces = bank.surfaces();
    let write = document(surfaces, Side::Write).await?;
    // An account is opened before anything is done with it, and closed when it is empty.
    for name in ["open-account", "deposit-funds", "withdraw-funds", "close-account"] {
        let operation = &write["paths"][format!("/commands/{name}")]["post"];
        let example = &operation["requestBody"]["content"]["application/json"]["example"];
        let answer = surfaces.command(name, example, &[]).await?.accepted().context(name)?;
        ensure!(operation["responses"]["200"].is_object(), "{name}");
        for header in operation["responses"]["200"]["headers"].as_object().context("headers")?.keys() {
            ensure!(!answer.header(header).is_empty(), "{name} is answered without {header}");
        }
    }
    let commands = write["paths"].as_object().context("paths")?.keys().filter(|path| path.starts_with("/commands/"));
    ensure!(commands.count() == 4, "a command is not tried here");
    let transfers = document(surfaces, Side::Transfers).await?;
    let request = &transfers["paths"]["/commands/request-transfer"]["post"];
    let example = &request["requestBody"]["content"]["application/json"]["example"];
    surfaces.command("request-transfer", example, &[]).await?.accepted()?;
    let closing = surfaces.command("close-account", &json!({}), &[]).await?;
    ensure!((closing.status, closing.field("field")) == (400, "account_id"), "{}", closing.text);

    let read = document(surfaces, Side::Read).await?;
    for (path, operations) in read["paths"].as_object().context("paths")? {
        // What has no end is another story, and so is what changes something.
        let Some(get) = operations.get("get").filter(|_| !path.ends_with("/live")) else { continue };
        let parameters = get["parameters"].as_array().context("parameters")?;
        let shown = |parameter: &Value| parameter["required"] != true || !parameter["example"].is_null();
        if path.starts_with("/admin/") && !parameters.iter().all(shown) {
            // Which projection and key there are is each service's own: no example holds for all.
            continue;
        }
        let examples = parameters.iter().filter_map(|parameter| {
            let value = parameter["example"].as_str()?;
            Some(format!("{}={value}", parameter["name"].as_str()?))
        });
        let asked = format!("{path}?{}", examples.collect::<Vec<_>>().join("&"));
        let answer = surfaces.query(&asked, &[]).await?;
        let documented = get["responses"].get(answer.status.to_string()).is_some();
        ensure!(answer.status != 400 && documented, "{asked} is answered {}: {}", answer.status, answer.text);
    }
    Ok(())
}

fn each(value: &Value, visit: &mut dyn FnMut(&Value) -> anyhow::Result<()>) -> anyhow::Result<()> {
    visit(value)?;
    match value {
        Value::Object(fields) => fields.values().try_for_each(|part| each(part, visit)),
        Value::Array(items) => items.iter().try_for_each(|part| each(part, visit)),
        _ => Ok(()),
    }
}
