//! Keys that are unknown, written twice, or hold what they cannot.

use factum::Event;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct FundsDeposited {}

#[derive(Clone, Serialize, Deserialize)]
struct FundsWithdrawn {}

#[derive(Clone, Event)]
enum Unknown {
    #[factum(name = "account.funds-deposited", version = 2)]
    FundsDeposited(FundsDeposited),
}

#[derive(Clone, Event)]
enum Repeated {
    #[factum(name = "account.funds-deposited", name = "account.funds-withdrawn")]
    FundsDeposited(FundsDeposited),
}

#[derive(Clone, Event)]
enum SchemaZero {
    #[factum(name = "account.funds-deposited", schema = 0)]
    FundsDeposited(FundsDeposited),
    #[factum(name = "account.funds-withdrawn", schema = "2")]
    FundsWithdrawn(FundsWithdrawn),
}

#[derive(Clone, Event)]
enum QuotedPath {
    #[factum(name = "account.funds-deposited", tags = "deposit_tags")]
    FundsDeposited(FundsDeposited),
}

#[derive(Clone, Event)]
enum UnquotedName {
    #[factum(name = account.funds_deposited)]
    FundsDeposited(FundsDeposited),
}

fn main() {}
