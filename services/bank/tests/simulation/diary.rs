//! A read model of the simulation's own: what happened to each account, in order. In some worlds it fails for good on
//! one event of an account, until that is mended.

use std::cell::Cell;

use factum::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statements::messages::AccountMessage;
use uuid::Uuid;

thread_local! {
    /// The account and the version of it that it fails on. A world has a thread for itself.
    static FAILS_ON: Cell<Option<(Uuid, u64)>> = const { Cell::new(None) };
}

/// From now on it fails on this version of an account, or on nothing.
pub(crate) fn fails_on(event: Option<(Uuid, u64)>) {
    FAILS_ON.set(event);
}

/// The versions of an account that it was told of, in the order in which it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Page {
    versions: Vec<u64>,
}

const PAGES: Table<Page> = Table::of::<Diary>("diary");

#[derive(Default)]
pub(crate) struct Diary;

impl Projection for Diary {
    const NAME: &'static str = "diary";
    const VERSION: u32 = 1;
    type Event = AccountMessage;

    fn project(&self, _: &AccountMessage, delivery: &Delivery, tx: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        let (id, version) = (delivery.aggregate_id(), delivery.version.get());
        if FAILS_ON.get().is_some_and(|(account, at)| at == version && account.to_string() == id) {
            return Err(ReadError::Broken("nobody can write down such a thing".to_owned()));
        }
        let mut page = PAGES.get(tx, &Key::from(id))?.unwrap_or_default();
        page.versions.push(version);
        PAGES.put(tx, &Key::from(id), &page)
    }
}

/// What happened to an account?
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "diary", reads(Diary))]
pub(crate) struct ReadDiary {
    account_id: Uuid,
}

impl Answers for ReadDiary {
    type Answer = Page;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<Page, QueryError> {
        let account_id = self.account_id.to_string();
        Ok(PAGES.get(read, &Key::from(account_id.as_str()))?.unwrap_or_default())
    }
}
