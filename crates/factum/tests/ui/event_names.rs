//! Names on the wire: missing, badly written, twice the same.

use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct FundsDeposited {}

#[derive(Clone, Serialize, Deserialize)]
struct FundsWithdrawn {}

#[derive(Clone, Event)]
enum AccountEvent {
    FundsDeposited(FundsDeposited),
    #[factum(schema = 2)]
    FundsWithdrawn(FundsWithdrawn),
}

#[derive(Clone, Event)]
enum RustNames {
    #[factum(name = "account.FundsDeposited")]
    FundsDeposited(FundsDeposited),
    #[factum(name = "account:funds-withdrawn")]
    FundsWithdrawn(FundsWithdrawn),
}

#[derive(Clone, Event)]
enum VersionInTheMiddle {
    #[factum(name = "account.v2.funds-deposited")]
    FundsDeposited(FundsDeposited),
    #[factum(name = "account.funds-withdrawn.v0")]
    FundsWithdrawn(FundsWithdrawn),
}

#[derive(Clone, Event)]
enum Twice {
    #[factum(name = "account.changed")]
    FundsDeposited(FundsDeposited),
    #[factum(name = "account.changed")]
    FundsWithdrawn(FundsWithdrawn),
}

#[derive(Clone, Event)]
enum Long {
    #[factum(name = "account.funds-deposited-funds-deposited-funds-deposited-funds-deposited-funds-deposited-funds-deposited-funds-deposited-funds-deposited")]
    FundsDeposited(FundsDeposited),
}

fn main() {}
