//! Queries that are answered again whenever what they read has changed.

use std::sync::Arc;

use factum::{
    Runtime, StoreId,
    query::{AskOptions, LIVE_INTERVAL_DEFAULT, Live, LiveAnswer, Moment},
    read::{CheckpointMove, MemoryReadStore},
    runtime::ManualClock,
};

use super::*;

/// A shop whose prices change by messages on a topic, one partition, on a clock that a test moves.
struct Market {
    read_store: Arc<MemoryReadStore>,
    watermarks: Arc<Watermarks>,
    queries: QueryDispatcher,
    clock: ManualClock,
    last: Option<Checkpoint>,
}

const TOPIC: &str = "market.prices";

impl Market {
    fn new() -> Self {
        let (read_store, watermarks) = (Arc::new(shop()), Arc::new(Watermarks::default()));
        watermarks.track(KEY, Feed::Topics(vec![TOPIC.to_owned()]), Vec::new());
        let (runtime, clock) = Runtime::manual(1);
        let queries = QueryDispatcher::builder(Arc::clone(&read_store) as _, Arc::clone(&watermarks));
        let queries = queries.answers::<Price>().runtime(runtime).build().unwrap();
        Self { read_store, watermarks, queries, clock, last: None }
    }

    /// A message of `source` is applied: something costs something else now.
    fn costs(&mut self, source: Source, thing: &str, price: u64) {
        let position = self.last.map_or(1, |last| last.position.get() + 1);
        let next = Checkpoint { position: Position::new(position), incarnation: source.incarnation, event_id: None };
        let lane = Lane::topic(&source, TOPIC, 0);
        let epoch = self.read_store.claim(KEY).unwrap();
        let moves = [CheckpointMove { lane: lane.clone(), previous: self.last, next }];
        self.read_store.write(KEY, epoch, &moves, &mut |tx| PRICES.put(tx, &thing.into(), &price)).unwrap();
        self.watermarks.moved(KEY, [(lane, next)]);
        self.last = Some(next);
    }

    async fn live(&self, thing: &str, not_before: Option<Moment>) -> Result<Live, AskError> {
        let options = AskOptions { not_before, ..AskOptions::default() };
        self.queries.live("price", &format!("thing={thing}"), options).await
    }

    /// Moves the clock until there is an answer.
    async fn next(&self, live: &mut Live) -> LiveAnswer {
        let mut next = Box::pin(live.next());
        within(async {
            loop {
                tokio::select! {
                    biased;
                    answer = &mut next => return answer.unwrap(),
                    () = tokio::task::yield_now() => self.clock.advance(LIVE_INTERVAL_DEFAULT / 10),
                }
            }
        })
        .await
    }

    /// Nothing is told, however late it gets.
    async fn is_silent(&self, live: &mut Live) {
        let mut next = Box::pin(live.next());
        for _ in 0..100 {
            self.clock.advance(LIVE_INTERVAL_DEFAULT / 10);
            tokio::select! {
                biased;
                answer = &mut next => panic!("{answer:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
    }
}

fn text(answer: &LiveAnswer) -> &str {
    std::str::from_utf8(&answer.document).unwrap()
}

#[tokio::test]
async fn it_is_answered_at_once_and_again_when_the_answer_has_changed() {
    let mut market = Market::new();
    let mut live = market.live("tea", None).await.unwrap();
    assert_eq!(text(&live.next().await.unwrap()), "3");
    market.costs(SOURCE, "tea", 4);
    assert_eq!(text(&market.next(&mut live).await), "4");
    market.costs(SOURCE, "coffee", 9);
    market.is_silent(&mut live).await;
    market.costs(SOURCE, "tea", 5);
    assert_eq!(text(&market.next(&mut live).await), "5");
}

#[tokio::test]
async fn however_much_moves_it_is_asked_once_an_interval_and_what_came_between_is_left_out() {
    let mut market = Market::new();
    let mut live = market.live("tea", None).await.unwrap();
    live.next().await.unwrap();
    {
        let mut next = Box::pin(live.next());
        for price in 100..200 {
            market.costs(SOURCE, "tea", price);
            let told =
                tokio::select! { biased; answer = &mut next => Some(answer), () = tokio::task::yield_now() => None };
            assert!(told.is_none(), "no time has passed: {told:?}");
        }
        // Dropped while it waits: what it knows of is not forgotten.
    }
    assert_eq!(text(&market.next(&mut live).await), "199");
}

#[tokio::test]
async fn while_read_models_are_restored_it_waits_and_what_is_gone_ends_it() {
    let mut market = Market::new();
    let mut live = market.live("tea", None).await.unwrap();
    live.next().await.unwrap();
    market.watermarks.set_phase(KEY, Phase::Refilling { done: 1, total: 2 });
    market.costs(SOURCE, "tea", 1);
    market.is_silent(&mut live).await;
    assert!(matches!(market.live("tea", None).await, Err(AskError::Rebuilding(Progress { done: 1, total: 2, .. }))));
    market.watermarks.set_phase(KEY, Phase::Live);
    assert_eq!(text(&market.next(&mut live).await), "1");

    market.costs(SOURCE, "mud", 1);
    let mut mud = market.live("mud", None).await.unwrap();
    mud.next().await.unwrap();
    let epoch = market.read_store.claim(KEY).unwrap();
    market.read_store.write(KEY, epoch, &[], &mut |tx| PRICES.delete(tx, &"mud".into())).unwrap();
    market.costs(SOURCE, "tea", 2);
    market.clock.advance(LIVE_INTERVAL_DEFAULT);
    assert!(matches!(within(mud.next()).await, Err(AskError::NotFound { code: "thing-not-found", .. })));
}

/// The next version of the projection.
#[derive(Default)]
struct BetterPrices;

const BETTER: ProjectionKey = ProjectionKey::of::<BetterPrices>();
const BETTER_PRICES: Table<u64> = Table::of::<BetterPrices>("prices");

impl Projection for BetterPrices {
    const NAME: &'static str = "prices";
    const VERSION: u32 = 2;
    type Event = NoEvent;

    fn project(&self, event: &NoEvent, _: &Delivery, _: &mut dyn ReadTransaction) -> Result<(), ReadError> {
        match *event {}
    }
}

/// The next form of the query.
#[derive(Debug, Serialize, Deserialize, JsonSchema, Query)]
#[factum(name = "price", reads(BetterPrices))]
struct BetterPrice {
    thing: String,
}

impl Answers for BetterPrice {
    type Answer = u64;

    fn answer(&self, read: &mut dyn ReadSnapshot) -> Result<u64, QueryError> {
        Ok(BETTER_PRICES.get(read, &Key::from(self.thing.as_str()))?.unwrap_or_default())
    }
}

/// A reader who was there before a deployment's new read model had become whole went on listening to the old one: what
/// the new one learned a moment after that was never told.
#[tokio::test]
async fn a_newer_form_that_takes_over_is_listened_to() {
    let mut market = Market::new();
    market.watermarks.track(BETTER, Feed::Topics(vec![TOPIC.to_owned()]), Vec::new());
    market.watermarks.set_phase(BETTER, Phase::Refilling { done: 1, total: 2 });
    let queries = QueryDispatcher::builder(Arc::clone(&market.read_store) as _, Arc::clone(&market.watermarks));
    let (runtime, clock) = Runtime::manual(1);
    let queries = queries.answers::<BetterPrice>().answers_until_whole::<Price>().runtime(runtime);
    (market.queries, market.clock) = (queries.build().unwrap(), clock);
    let mut live = market.live("tea", None).await.unwrap();
    assert_eq!(text(&live.next().await.unwrap()), "3", "of the old form");
    market.costs(SOURCE, "tea", 4);
    assert_eq!(text(&market.next(&mut live).await), "4");

    let lane = Lane::topic(&SOURCE, TOPIC, 0);
    let mut previous = None;
    for (position, price) in [(1, 4_000), (2, 5_000)] {
        let incarnation = SOURCE.incarnation;
        let next = Checkpoint { position: Position::new(position), incarnation, event_id: None };
        let epoch = market.read_store.claim(BETTER).unwrap();
        let moves = [CheckpointMove { lane: lane.clone(), previous, next }];
        market.read_store.write(BETTER, epoch, &moves, &mut |tx| BETTER_PRICES.put(tx, &"tea".into(), &price)).unwrap();
        market.watermarks.moved(BETTER, [(lane.clone(), next)]);
        previous = Some(next);
        market.watermarks.set_phase(BETTER, Phase::Live);
        assert_eq!(text(&market.next(&mut live).await), price.to_string(), "the old one moves no more");
    }
    market.costs(SOURCE, "tea", 6);
    market.is_silent(&mut live).await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_anything_is_told() {
    let market = Market::new();
    let refused = async |name: &str, query: &str| market.queries.live(name, query, AskOptions::default()).await.err();
    assert!(matches!(refused("prices", "").await, Some(AskError::UnknownQuery(_))));
    assert!(matches!(refused("price", "").await, Some(AskError::Invalid(_))));
    assert!(matches!(refused("price", "thing=gold").await, Some(AskError::NotFound { .. })));
    let nobody = QueryDispatcher::builder(Arc::new(shop()), Arc::new(Watermarks::default()));
    let nobody = nobody.answers::<Price>().build().unwrap();
    let early = nobody.live("price", "thing=tea", AskOptions::default()).await.err();
    assert!(matches!(early, Some(AskError::Rebuilding(_))), "nothing feeds it yet: {early:?}");
}

#[tokio::test]
async fn another_instance_answers_from_a_moment_on_once_it_has_come_to_it() {
    let (mut first, mut second) = (Market::new(), Market::new());
    first.costs(SOURCE, "tea", 4);
    first.costs(SOURCE, "tea", 5);
    let seen = first.live("tea", None).await.unwrap().next().await.unwrap();
    let moment: Moment = seen.moment.to_string().parse().unwrap();

    second.costs(SOURCE, "tea", 4);
    let clock = second.clock.clone();
    let waits = tokio::spawn({
        let (queries, not_before) = (second.queries.clone(), Some(moment.clone()));
        async move { queries.live("price", "thing=tea", AskOptions { not_before, ..AskOptions::default() }).await }
    });
    while !waits.is_finished() {
        clock.advance(factum::query::TOKEN_WAIT_DEFAULT / 10);
        tokio::task::yield_now().await;
    }
    assert!(matches!(waits.await.unwrap(), Err(AskError::NotYet)), "it has only seen the first price");

    second.costs(SOURCE, "tea", 5);
    let mut again = second.live("tea", Some(moment)).await.unwrap();
    assert_eq!(text(&again.next().await.unwrap()), "5");
    second.costs(SOURCE, "tea", 6);
    assert_eq!(text(&second.next(&mut again).await), "6");
}

/// After everything was deleted, somebody comes back with what they saw before: nobody will ever come to that.
#[tokio::test]
async fn a_moment_of_a_store_that_is_gone_is_not_waited_for() {
    let (mut before, mut after) = (Market::new(), Market::new());
    before.costs(SOURCE, "tea", 4);
    let moment = before.live("tea", None).await.unwrap().next().await.unwrap().moment;
    let other = Source {
        store: StoreId::from_uuid(uuid::Uuid::from_u128(77)),
        incarnation: Incarnation::from_uuid(uuid::Uuid::from_u128(78)),
    };
    after.costs(other, "tea", 9);
    let mut live = within(after.live("tea", Some(moment.clone()))).await.unwrap();
    assert_eq!(text(&live.next().await.unwrap()), "9");

    // Restored to before what was seen: what is there now is all there will be.
    let mut restored = Market::new();
    let next = Incarnation::from_uuid(uuid::Uuid::from_u128(79));
    let fork = Fork { parent: SOURCE.incarnation, position: Position::ZERO };
    let history = factum::store::History { incarnation: next, lineage: vec![fork] };
    restored.watermarks.learned(KEY, SOURCE.store, history);
    restored.costs(Source { incarnation: next, ..SOURCE }, "tea", 8);
    let mut live = within(restored.live("tea", Some(moment))).await.unwrap();
    assert_eq!(text(&live.next().await.unwrap()), "8");
}
