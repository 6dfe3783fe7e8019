//! The suite of buses finds what is broken.

use std::{collections::HashMap, sync::Arc};

use factum::{
    bus::{
        Assignment, Bus, BusError, BusEvent, Consumer, ConsumerOptions, MemoryBus, NewRecord, Offset, Producer,
        Revocation, TopicPartition,
    },
    store::BoxFuture,
    testing,
};

use crate::verdict::complaint;

/// What is wrong with a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Lets go of what is revoked before its member has.
    ReleasesAtOnce,
    /// A member goes on reading what was revoked from it.
    ReadsOn,
    /// What comes back to a member goes on where that member was.
    RemembersPositions,
    /// A static assignment joins the group.
    JoinsStatic,
    /// A call that is refused has sent what came before the reason.
    SendsSomeOfIt,
    /// The records of a call are turned round.
    TurnsRound,
    /// A partition begins at its beginning, without being told to.
    BeginsByItself,
    /// Seeking goes to the beginning.
    SeeksTheBeginning,
    /// Pausing does nothing.
    NeverPauses,
}

struct Flawed {
    inner: MemoryBus,
    flaw: Flaw,
}

impl Bus for Flawed {
    bus_passes_on!([inner] ensure_topics partitions tail close);

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, BusError>> {
        Box::pin(async {
            let inner = self.inner.producer().await?;
            Ok(Box::new(FlawedProducer { inner, flaw: self.flaw }) as Box<dyn Producer>)
        })
    }

    fn consumer(&self, mut options: ConsumerOptions) -> BoxFuture<'_, Result<Box<dyn Consumer>, BusError>> {
        Box::pin(async move {
            if self.flaw == Flaw::JoinsStatic && matches!(options.assignment, Assignment::Static(_)) {
                options.assignment = Assignment::Group;
            }
            let inner = self.inner.consumer(options).await?;
            let (bus, flaw) = (self.inner.clone(), self.flaw);
            Ok(Box::new(FlawedConsumer { inner, bus, flaw, secret: None, left: HashMap::new() }) as Box<dyn Consumer>)
        })
    }
}

struct FlawedProducer {
    inner: Box<dyn Producer>,
    flaw: Flaw,
}

impl Producer for FlawedProducer {
    fn produce(
        &mut self,
        mut records: Vec<(TopicPartition, NewRecord)>,
    ) -> BoxFuture<'_, Result<Vec<Offset>, BusError>> {
        Box::pin(async move {
            match self.flaw {
                Flaw::SendsSomeOfIt => {
                    let mut offsets = Vec::new();
                    for record in records {
                        offsets.extend(self.inner.produce(vec![record]).await?);
                    }
                    Ok(offsets)
                }
                Flaw::TurnsRound => {
                    records.reverse();
                    self.inner.produce(records).await
                }
                _ => self.inner.produce(records).await,
            }
        })
    }
}

struct FlawedConsumer {
    inner: Box<dyn Consumer>,
    bus: MemoryBus,
    flaw: Flaw,
    /// Reads on what was revoked.
    secret: Option<Box<dyn Consumer>>,
    /// Where partitions were that were revoked.
    left: HashMap<TopicPartition, Offset>,
}

impl FlawedConsumer {
    async fn read_on(&mut self, partitions: &[TopicPartition]) -> Result<(), BusError> {
        let topics = vec![partitions[0].topic.clone()];
        let assignment = Assignment::Static(partitions.to_vec());
        let mut secret = self.bus.consumer(ConsumerOptions { group: "secret".to_owned(), topics, assignment }).await?;
        secret.next().await?;
        for partition in partitions {
            let next = self.bus.records(partition).last().map_or(Offset::new(0), |last| last.offset.next());
            secret.seek(partition, next).await?;
        }
        self.secret = Some(secret);
        Ok(())
    }

    async fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<(), BusError> {
        for partition in partitions {
            let at = match self.flaw {
                Flaw::BeginsByItself => Some(self.inner.earliest(partition).await?),
                _ => self.left.get(partition).copied(),
            };
            if let Some(at) = at {
                self.inner.seek(partition, at).await?;
            }
        }
        Ok(())
    }
}

impl Consumer for FlawedConsumer {
    fn next(&mut self) -> BoxFuture<'_, Result<BusEvent, BusError>> {
        Box::pin(async move {
            let event = match &mut self.secret {
                None => self.inner.next().await?,
                Some(secret) => tokio::select! {
                    biased;
                    event = self.inner.next() => event?,
                    event = secret.next() => event?,
                },
            };
            match (&event, self.flaw) {
                (BusEvent::Assigned(partitions), _) => self.assigned(partitions).await?,
                (BusEvent::Revoked(partitions, _), Flaw::ReleasesAtOnce) => {
                    return Ok(BusEvent::Revoked(partitions.clone(), Revocation::new(false, || {})));
                }
                (BusEvent::Revoked(partitions, _), Flaw::ReadsOn) => self.read_on(partitions).await?,
                (BusEvent::Revoked(partitions, _), Flaw::RemembersPositions) => {
                    for partition in partitions {
                        let next = self.bus.records(partition).last().map_or(Offset::new(0), |last| last.offset.next());
                        self.left.insert(partition.clone(), next);
                    }
                }
                _ => {}
            }
            Ok(event)
        })
    }

    fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.inner.position(partition)
    }

    fn seek<'a>(&'a mut self, partition: &'a TopicPartition, offset: Offset) -> BoxFuture<'a, Result<(), BusError>> {
        Box::pin(async move {
            let offset = if self.flaw == Flaw::SeeksTheBeginning { Offset::new(0) } else { offset };
            self.inner.seek(partition, offset).await
        })
    }

    fn earliest<'a>(&'a mut self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<Offset, BusError>> {
        self.inner.earliest(partition)
    }

    fn pause(&mut self, partition: &TopicPartition) {
        if self.flaw != Flaw::NeverPauses {
            self.inner.pause(partition);
        }
    }

    fn resume(&mut self, partition: &TopicPartition) {
        self.inner.resume(partition);
    }
}

/// The suite complains about a bus with this flaw, and says which cases failed.
async fn found(flaw: Flaw, cases: &[&str]) {
    let suite = async move {
        testing::bus_suite(&|| Arc::new(Flawed { inner: MemoryBus::new(), flaw })).await;
    };
    let complaint = complaint(suite).await;
    for case in cases {
        assert!(complaint.contains(&format!("\n  {case}: ")), "{case} did not fail with {flaw:?}: {complaint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_ignores_what_a_revocation_asks_for_is_found() {
    let cases = ["a_partition_moves_only_after_it_was_given_up", "work_under_way_holds_its_partitions"];
    found(Flaw::ReleasesAtOnce, &cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_does_not_fence_a_displaced_member_is_found() {
    found(Flaw::ReadsOn, &["a_displaced_member_reads_nothing_more"]).await;
    found(Flaw::RemembersPositions, &["a_partition_that_comes_back_begins_without_a_position"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_tears_a_call_or_turns_it_round_is_found() {
    found(Flaw::SendsSomeOfIt, &["a_record_that_is_too_large_stops_the_whole_call"]).await;
    found(Flaw::TurnsRound, &["records_come_in_order_from_the_position"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_does_not_mind_positions_is_found() {
    found(Flaw::BeginsByItself, &["nothing_is_delivered_before_a_position_is_set"]).await;
    found(Flaw::SeeksTheBeginning, &["records_come_in_order_from_the_position"]).await;
    found(Flaw::NeverPauses, &["a_paused_partition_keeps_its_position"]).await;
    found(Flaw::JoinsStatic, &["a_static_assignment_is_nobodys_member"]).await;
}
