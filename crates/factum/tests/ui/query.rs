//! What is no query.

use factum::Query;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(reads(Accounts))]
struct AccountSummary {
    account_id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "no-reads")]
struct NoReads {
    account_id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "reads-nothing", reads())]
struct ReadsNothing {
    account_id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "reads-as-a-value", reads = Accounts)]
struct ReadsAsAValue {
    account_id: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "reads-twice", reads(Accounts), reads(Lines))]
struct ReadsTwice {
    account_id: String,
}

fn main() {}
