//! What only the compiler can see: tags of another shape, a document that is none.

use factum::{Event, store::Tag};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct FundsDeposited {}

fn one_tag(_: &FundsDeposited) -> Option<Tag> {
    None
}

#[derive(Clone, Event)]
enum AccountEvent {
    #[factum(name = "account.funds-deposited", tags = one_tag)]
    FundsDeposited(FundsDeposited),
}

fn main() {}
