//! Somebody outside, who is told of withdrawals: by accounts of its own, and by statements of what it hears of.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use accounts::domain::AccountEvent;
use factum::{
    Delivery, EventId, Outside, Reactions, Reactor,
    model::EffectId,
    reactor::{EffectError, Since},
    testing::Process,
};
use statements::messages::{ACCOUNT_TOPIC, AccountMessage};

use crate::world::{World, lock};

/// The longest time that it takes to tell somebody.
const TELL_MAX: Duration = Duration::from_secs(3);

/// What was told, by whom, about which event: how often under which id.
pub(crate) type Told = Arc<Mutex<BTreeMap<(&'static str, EventId), BTreeMap<EffectId, u64>>>>;

/// What happens to whoever tells in one process.
#[derive(Clone)]
pub(crate) struct Teller {
    pub(crate) world: World,
    pub(crate) process: Process,
}

impl Teller {
    async fn tell(&self, by: &'static str, event: EventId, outside: &Outside) -> Result<(), EffectError> {
        let told = || {
            let mut told = lock(self.world.told());
            *told.entry((by, event)).or_default().entry(outside.id()).or_default() += 1;
        };
        let away = || Err(EffectError::Later("the simulation took it away".to_owned()));
        let chance = if self.world.is_calm() { 99 } else { self.world.random_below(100) };
        match chance {
            0..10 => return away(),
            10..20 => {
                told();
                return away();
            }
            20..22 => {
                if chance == 21 {
                    told();
                }
                self.process.kill();
                std::future::pending::<()>().await;
            }
            22..50 => {
                let most = u64::try_from(TELL_MAX.as_micros()).expect("is short");
                let wait = Duration::from_micros(self.world.random_below(most));
                self.process.runtime().sleep(wait).await;
                told();
            }
            _ => told(),
        }
        Ok(())
    }
}

/// Tells what accounts recorded.
pub(crate) struct OfOwn(pub(crate) Teller);

impl Reactor for OfOwn {
    const NAME: &'static str = "of-own";
    const SINCE: Since = Since::Beginning;
    type Event = AccountEvent;
    type Effect = EventId;

    fn react(&self, event: &AccountEvent, delivery: &Delivery) -> Reactions<EventId> {
        match event {
            AccountEvent::FundsWithdrawn(_) => Reactions::one(delivery.event_id),
            _ => Reactions::none(),
        }
    }

    async fn perform(&self, event: &EventId, outside: &Outside) -> Result<(), EffectError> {
        self.0.tell(Self::NAME, *event, outside).await
    }
}

/// Tells what statements heard.
pub(crate) struct OfHeard(pub(crate) Teller);

impl Reactor for OfHeard {
    const NAME: &'static str = "of-heard";
    const SINCE: Since = Since::Beginning;
    const TOPICS: &'static [&'static str] = &[ACCOUNT_TOPIC];
    type Event = AccountMessage;
    type Effect = EventId;

    fn react(&self, event: &AccountMessage, delivery: &Delivery) -> Reactions<EventId> {
        match event {
            AccountMessage::Withdrawn(_) => Reactions::one(delivery.event_id),
            _ => Reactions::none(),
        }
    }

    async fn perform(&self, event: &EventId, outside: &Outside) -> Result<(), EffectError> {
        self.0.tell(Self::NAME, *event, outside).await
    }
}
