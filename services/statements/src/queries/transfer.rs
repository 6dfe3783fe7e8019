//! How far is a transfer?

use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::read_models::{TRANSFERS, Transfer, Transfers};

/// How far is a transfer? One that was asked for is on its way until it is completed or rejected.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "transfer", reads(Transfers))]
pub struct GetTransfer {
    /// Which transfer.
    #[serde(deserialize_with = "factum::input::hyphenated")]
    #[schemars(extend("examples" = ["b8d0c9a4-0000-4000-8000-000000000001"]))]
    pub transfer_id: Uuid,
}

impl Answers for GetTransfer {
    type Answer = Transfer;
    const NOT_FOUND: &'static [&'static str] = &["transfer-not-found"];

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<Transfer, QueryError> {
        let transfer_id = self.transfer_id.to_string();
        TRANSFERS.get(read, &Key::from(transfer_id.as_str()))?.ok_or_else(|| QueryError::NotFound {
            code: "transfer-not-found",
            message: "there is no such transfer".to_owned(),
        })
    }
}
