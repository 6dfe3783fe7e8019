//! Every key of a handler tried again, as after a build was fixed: some at a time.

use std::{collections::BTreeMap, pin::pin, time::Duration};

use futures_util::{
    FutureExt as _,
    future::{Either, select},
};
use serde::Serialize;

use super::{Handled, Quarantine, QuarantineError};
use crate::model::ActorId;

/// How many keys are tried again at one time at most.
pub const RETRY_KEYS_MAX: usize = 100;
/// How long they may take together. What is under way then goes on by itself.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);

/// What became of keys that were tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetriedKeys {
    /// Each key, in order.
    pub keys: Vec<RetriedKey>,
    /// Where the rest begins: after this key. None: these were the last ones.
    pub next: Option<String>,
}

/// What became of one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetriedKey {
    /// The key.
    pub key: String,
    /// What became of its messages. Where nothing is known of that yet, `failed` says so, and `left` is how many were parked.
    #[serde(flatten)]
    pub handled: Handled,
}

impl Quarantine {
    /// Tries the keys of a handler again, one after the other, those after `after` where that is said: at most `limit`,
    /// which is at most [`RETRY_KEYS_MAX`], for at most 5 seconds; the rest is for the next time. Each is a decision of its
    /// own, and one that fails again keeps none of the others from being tried.
    ///
    /// # Errors
    /// See [`QuarantineError`]. Keys may have been tried before that: asked again, nothing happens twice.
    pub async fn retry_all(
        &self,
        handler: &str,
        after: Option<&str>,
        limit: usize,
        actor: ActorId,
    ) -> Result<RetriedKeys, QuarantineError> {
        let limit = limit.clamp(1, RETRY_KEYS_MAX);
        let (mut retried, mut time) = (RetriedKeys::default(), self.runtime.sleep(RETRY_WAIT_MAX));
        let mut keys = BTreeMap::<_, u64>::new();
        for ward in self.wards_of(handler).await? {
            // One more tells whether that is all.
            for about in ward.keys(after, limit + 1).await? {
                *keys.entry(about.key).or_default() += about.messages;
            }
        }
        let mut last = None;
        for (index, (key, parked)) in keys.into_iter().enumerate() {
            if index == limit || (last.is_some() && (&mut time).now_or_never().is_some()) {
                retried.next = last;
                return Ok(retried);
            }
            let tried = match select(pin!(self.retry(handler, &key, actor.clone())), &mut time).await {
                Either::Left((tried, _)) => Some(tried),
                Either::Right(_) => None,
            };
            let Some(tried) = tried else {
                let handled = unknown(parked, "it takes its time and goes on by itself: look again");
                retried.next = Some(key.clone());
                retried.keys.push(RetriedKey { key, handled });
                return Ok(retried);
            };
            let handled = match tried {
                Ok(handled) => Some(handled),
                // It became free meanwhile.
                Err(QuarantineError::NotParked { .. }) => None,
                Err(QuarantineError::NoAnswer(why)) => Some(unknown(parked, &why)),
                Err(error) => return Err(error),
            };
            retried.keys.extend(handled.map(|handled| RetriedKey { key: key.clone(), handled }));
            last = Some(key);
        }
        Ok(retried)
    }
}

fn unknown(left: u64, why: &str) -> Handled {
    Handled { done: 0, left, failed: Some(why.to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::{super::shelf, *};
    use crate::{
        model::{EventId, ProjectionKey, Timestamp},
        quarantine::ParkedKey,
        read::{MemoryReadStore, ReadStore, ReadTransaction},
        runtime::Runtime,
        store::MemoryStore,
    };

    const TOTALS: ProjectionKey = ProjectionKey { name: "totals", version: 1 };

    fn parked(keys: [&str; 3]) -> Arc<dyn ReadStore> {
        let store = MemoryReadStore::new();
        let epoch = store.claim(TOTALS).expect("it is in memory");
        let put = &mut |tx: &mut dyn ReadTransaction| {
            for key in keys {
                let about = ParkedKey {
                    key: key.to_owned(),
                    topic: None,
                    partition: None,
                    reason: "no".to_owned(),
                    since: Timestamp::from_micros(0),
                    tried_at: Timestamp::from_micros(0),
                    attempts: 1,
                    messages: 4,
                    event_id: EventId::from_uuid(Uuid::nil()),
                    name: "told".to_owned(),
                    position: 1,
                };
                shelf::keys(TOTALS).put(tx, &key.into(), &about)?;
            }
            Ok(())
        };
        store.write(TOTALS, epoch, &[], put).expect("it is in memory");
        Arc::new(store)
    }

    /// One key whose loop hangs would keep whoever asks, and every key behind it, for good.
    #[tokio::test(start_paused = true)]
    async fn a_key_that_takes_its_time_is_left_to_itself_and_the_rest_begins_behind_it() {
        let quarantine = Arc::new(Quarantine::new(Some(Arc::new(MemoryStore::seeded(9))), Runtime::tokio()));
        let desk = quarantine.open(TOTALS, "totals", parked(["a", "b", "c"]));
        let loops = async {
            let mut held = Vec::new();
            loop {
                let request = desk.request().await;
                match request.key.as_str() {
                    "b" => held.push(request),
                    _ => drop(request.reply.send(Ok(Handled { done: 4, ..Handled::default() }))),
                }
            }
        };
        let actor = ActorId::anonymous();
        let asked = async {
            let first = quarantine.retry_all("totals", None, 9, actor.clone()).await.expect("they are tried");
            let rest = quarantine.retry_all("totals", first.next.as_deref(), 9, actor.clone()).await;
            (first, rest.expect("they are tried"))
        };
        let (first, rest) = tokio::select! { asked = asked => asked, () = loops => unreachable!("it never ends") };
        let told =
            |key: &RetriedKey| (key.key.clone(), key.handled.done, key.handled.left, key.handled.failed.is_some());
        let shown: Vec<_> = first.keys.iter().map(told).collect();
        assert_eq!(shown, [("a".to_owned(), 4, 0, false), ("b".to_owned(), 0, 4, true)]);
        assert_eq!(first.next.as_deref(), Some("b"));
        assert_eq!(rest.keys.iter().map(told).collect::<Vec<_>>(), [("c".to_owned(), 4, 0, false)]);
        assert_eq!(rest.next, None);
    }
}
