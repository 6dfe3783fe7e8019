//! What is no command.

use factum::Command;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(aggregate = Account, id = account_id)]
struct NoName {
    account_id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "no-aggregate", id = account_id)]
struct NoAggregate {
    account_id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "no-id", aggregate = Account)]
struct NoId {
    account_id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "misspelled-id", aggregate = Account, id = acount_id)]
struct MisspelledId {
    account_id: String,
    amount: u64,
}

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "no-fields", aggregate = Account, id = account_id)]
struct NoFields {}

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "quoted", aggregate = "Account", id = account_id)]
struct Quoted {
    account_id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Command)]
#[factum(name = "unknown-key", aggregate = Account, id = account_id, reads(Accounts))]
struct UnknownKey {
    account_id: String,
}

fn main() {}
