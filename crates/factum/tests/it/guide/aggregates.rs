//! `docs/guide/aggregates.md`.

use std::{error::Error, sync::Arc};

use factum::{
    CommandDispatcher, CommandId, DispatchError, EventStore, ExpectedVersion, Personal, Version,
    dispatch::{At, CommandOptions, load},
    store::MemoryStore,
};
use uuid::Uuid;

use super::{
    page_shows,
    shows::{AnnounceShow, ReleaseSeat, ReserveSeat, Show, ShowRejection},
};

#[test]
fn the_page_shows_what_is_compiled() {
    page_shows(
        include_str!("../../../../../docs/guide/aggregates.md"),
        &[include_str!("aggregates.rs"), include_str!("shows.rs")],
    );
}

#[tokio::test]
async fn commands_are_sent_refused_repeated_and_expected() -> Result<(), Box<dyn Error>> {
    let (store, show_id, id) = (Arc::new(MemoryStore::new()), Uuid::from_u128(1), CommandId::from_uuid(Uuid::max()));
    let reserve = |seat| ReserveSeat { show_id, seat, guest: Personal::known("Ada".to_owned()) };

    let shows = CommandDispatcher::builder(store)
        .service("shows")
        .handles::<AnnounceShow>()
        .handles::<ReserveSeat>()
        .handles::<ReleaseSeat>()
        .build()?;
    shows.dispatch(AnnounceShow { show_id, title: "Figaro".to_owned(), seats: 300 }).await?;
    let receipt = shows.dispatch(reserve(7)).await?;
    assert_eq!((receipt.stream.as_str(), receipt.version), (format!("show-{show_id}").as_str(), Version::new(2)));

    let refused = shows.dispatch(reserve(7)).await;
    assert!(matches!(refused, Err(DispatchError::Rejected(ShowRejection::SeatTaken(7)))));

    let first = shows.dispatch(reserve(8)).command_id(id).await?;
    let again = shows.dispatch(reserve(8)).command_id(id).await?;
    assert_eq!((first.version, first.position), (again.version, again.position));
    let other = shows.dispatch(reserve(9)).command_id(id).await;
    assert!(matches!(other, Err(DispatchError::CommandIdReused)));

    let stale = shows.dispatch(reserve(10)).expecting(ExpectedVersion::Exact(Version::new(1))).await;
    assert!(matches!(stale, Err(DispatchError::NotExpected { .. })));

    let body = format!(r#"{{"show_id": "{show_id}", "seat": 11, "guest": "Ada"}}"#);
    shows.dispatch_named("reserve-seat", body.as_bytes(), CommandOptions::default()).await?;
    Ok(())
}

#[tokio::test]
async fn an_aggregate_is_shown_as_it_was() -> Result<(), Box<dyn Error>> {
    let (store, show_id): (Arc<dyn EventStore>, _) = (Arc::new(MemoryStore::new()), Uuid::from_u128(1));
    let shows = CommandDispatcher::builder(Arc::clone(&store)).handles::<AnnounceShow>().handles::<ReserveSeat>();
    let shows = shows.build()?;
    shows.dispatch(AnnounceShow { show_id, title: "Figaro".to_owned(), seats: 300 }).await?;
    shows.dispatch(ReserveSeat { show_id, seat: 7, guest: Personal::known("Ada".to_owned()) }).await?;

    let now = load::<Show>(store.as_ref(), &show_id, At::Latest).await?;
    let announced = load::<Show>(store.as_ref(), &show_id, At::Version(Version::new(1))).await?;
    assert_eq!((now.version, now.state.reserved.len()), (Version::new(2), 1));
    assert!(announced.state.reserved.is_empty() && announced.recorded_at.is_some());
    Ok(())
}
