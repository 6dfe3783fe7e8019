//! What is no enum of newtype variants.

use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct FundsDeposited {}

#[derive(Clone, Event)]
#[factum(name = "account.funds-withdrawn")]
struct FundsWithdrawn {
    amount: u64,
}

#[derive(Clone, Event)]
enum AccountEvent {
    #[factum(name = "account.closed")]
    AccountClosed,
    #[factum(name = "account.renamed")]
    AccountRenamed { to: String },
    #[factum(name = "account.moved")]
    AccountMoved(String, String),
}

#[derive(Clone, Event)]
enum Generic<T> {
    #[factum(name = "account.opened")]
    Opened(T),
}

#[derive(Clone, Event)]
enum SameDocument {
    #[factum(name = "account.funds-deposited")]
    Deposited(FundsDeposited),
    #[factum(name = "account.funds-credited")]
    Credited(FundsDeposited),
}

#[derive(Clone, Event)]
#[factum(name = "account")]
enum AttributeOnTheEnum {
    #[factum(name = "account.funds-deposited")]
    Deposited(FundsDeposited),
}

#[derive(Clone, Event)]
enum AttributeOnTheDocument {
    Deposited(#[factum(name = "account.funds-deposited")] FundsDeposited),
}

fn main() {}
