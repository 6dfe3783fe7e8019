//! What is no message.

use factum::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema, Message)]
struct FundsDeposited {
    amount: u64,
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "Funds Withdrawn")]
struct FundsWithdrawn {
    amount: u64,
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "funds-moved")]
enum FundsMoved {
    In,
    Out,
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "amount")]
struct Amount(u64);

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "nothing")]
struct Nothing;

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "changed")]
struct Changed<T> {
    to: T,
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
#[factum(name = "funds-held", aggregate = Account)]
struct FundsHeld {
    amount: u64,
}

#[derive(Serialize, Deserialize, JsonSchema, Message)]
struct AttributeOnTheField {
    #[factum(name = "amount")]
    amount: u64,
}

fn main() {}
