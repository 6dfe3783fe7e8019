//! What operators decide about what is parked, and what becomes of it.

use super::*;

#[tokio::test]
async fn a_retry_stops_at_the_next_message_that_fails_and_keeps_what_came_before_it() {
    for fed in EVERY {
        let ward = Ward::open(fed);
        ward.raise(1, 1).await;
        for by in [POISON, 10, 20, POISON, 40] {
            ward.raise(1, by).await;
        }
        ward.parks(1, 5).await;
        // The first one is discarded: what was behind it is tried when somebody says so.
        assert_eq!(ward.discard("counter-1").await.unwrap(), handled(1, 4, None));
        ward.world.shows(&[1]).await;
        let again = ward.retry("counter-1").await.unwrap();
        assert_eq!((again.done, again.left), (2, 2), "{again:?}");
        ward.world.shows(&[31]).await;
        ward.parks(1, 2).await;
        assert_eq!(ward.discard("counter-1").await.unwrap(), handled(1, 1, None));
        assert_eq!(ward.retry("counter-1").await.unwrap(), handled(1, 0, None));
        ward.world.shows(&[71]).await;
        ward.world.folded_once_and_in_order();
    }
}

#[tokio::test]
async fn what_is_parked_and_what_was_decided_survive_a_restart() {
    for fed in EVERY {
        let mut ward = Ward::open(fed);
        for by in [1, POISON, 10] {
            ward.raise(1, by).await;
        }
        ward.parks(1, 2).await;
        ward.stop().await;
        ward.raise(1, 20).await;
        ward.raise(2, 7).await;
        ward.start();
        ward.parks(1, 3).await;
        ward.world.shows(&[1, 7]).await;
        assert_eq!(ward.discard("counter-1").await.unwrap(), handled(1, 2, None));
        ward.stop().await;
        ward.start();
        ward.parks(1, 2).await;
        assert_eq!(ward.retry("counter-1").await.unwrap(), handled(2, 0, None));
        ward.world.shows(&[31, 7]).await;
    }
}

#[tokio::test]
async fn a_discard_holds_in_a_refill_and_everything_else_is_tried_anew() {
    for fed in EVERY {
        let mut ward = Ward::open(fed);
        for by in [1, POISON, 10] {
            ward.raise(1, by).await;
        }
        for by in [POISON, 3] {
            ward.raise(2, by).await;
        }
        ward.parks(2, 4).await;
        ward.discard("counter-1").await.unwrap();
        // The build is mended.
        ward.cured.store(true, Ordering::SeqCst);
        ward.begin_anew().await;
        ward.world.shows(&[11, 4]).await;
        ward.parks(0, 0).await;
    }
}

#[tokio::test]
async fn who_decides_is_told_what_is_wrong_with_it() {
    let ward = Ward::open(Fed::ByTopic);
    ward.raise(1, POISON).await;
    ward.raise(1, 2).await;
    ward.parks(1, 2).await;
    let told = ward.retry("counter-2").await.unwrap_err().to_string();
    assert_eq!(told, "`counter-2` is not parked in totals: list what is");
    let told = ward.quarantine.retry("sums", "counter-1", operator()).await.unwrap_err().to_string();
    assert_eq!(told, "no handler `sums` parks here: totals does");
    let shown = ward.quarantine.show("totals", "counter-1", None, 10).await.unwrap().remove(0).1.messages;
    let second = shown[1].event_id;
    let behind = ward.quarantine.show("totals", "counter-1", Some(second), 10).await.unwrap().remove(0).1;
    assert_eq!((behind.messages.len(), behind.next), (0, None));
    let gone = factum::EventId::from_uuid(uuid::Uuid::from_u128(9));
    let told = ward.quarantine.show("totals", "counter-1", Some(gone), 10).await.unwrap_err().to_string();
    assert!(told.contains("is not parked under `counter-1` any more"), "{told}");
    let told =
        ward.quarantine.discard("totals", "counter-1", second, because("why not"), operator()).await.unwrap_err();
    assert!(told.to_string().contains("decide about its first message"), "{told}");
    // Whoever asks for a handler that is not there makes none.
    for _ in 0..2 {
        let told = ward.quarantine.discard("sums", "counter-1", second, because("why not"), operator()).await;
        assert_eq!(told.unwrap_err().to_string(), "no handler `sums` parks here: totals does");
    }
    ward.parks(1, 2).await;
    assert_eq!(ward.decisions.heads().await.unwrap().synced.get(), 0, "nothing was decided");
}

#[tokio::test]
async fn decisions_are_recorded_with_who_and_why() {
    let ward = Ward::open(Fed::ByTopic);
    ward.raise(1, POISON).await;
    ward.parks(1, 1).await;
    ward.retry("counter-1").await.unwrap();
    ward.discard("counter-1").await.unwrap();
    let everything = factum::Selection::everything();
    let read = ward.decisions.read(&everything, factum::Position::ZERO, factum::store::Direction::Forward, 10);
    let events = read.await.unwrap().events;
    let names: Vec<_> = events.iter().map(|event| (&*event.name, event.stream.as_str())).collect();
    let stream = "quarantine-totals.counter-1";
    assert_eq!(names, [("quarantine.retried", stream), ("quarantine.discarded", stream)]);
    let discarded: serde_json::Value = serde_json::from_slice(&events[1].data).unwrap();
    assert_eq!((&discarded["reason"], &discarded["position"]), (&"sent by a robot".into(), &1.into()));
    assert_eq!(events[1].metadata.actor, operator());
}
