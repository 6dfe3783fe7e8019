//! One event as one line for people.

use serde_json::Value;

use crate::client::LoggedEvent;

/// The most characters of an event's data that are shown.
const DATA_CHARACTERS_MAX: usize = 160;

/// Position, time, stream, version, type, and the data as `field=value`, shortened.
pub fn readable(event: &LoggedEvent) -> String {
    let at = event.metadata.recorded_at.as_deref().unwrap_or("-");
    let place = format!("{:>8}  {at}  {}  v{:<4}", event.position, event.stream, event.version);
    format!("{place}  {:<23}  {}", event.name, shortened(&data(&event.data))).trim_end().to_owned()
}

fn data(data: &Value) -> String {
    match data {
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields.join(" ")
        }
        other => other.to_string(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(DATA_CHARACTERS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
