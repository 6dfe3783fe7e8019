//! What a query waits for before it is asked: something whole, and what the caller has seen already.

use factum_engine::Position;

use super::{
    AskError, AskOptions, Moment,
    dispatcher::Core,
    moment::{Heard, Reached},
};
use crate::{
    model::{ProjectionKey, Query},
    projections::{Awaited, Feed, Unseen},
    read::Lane,
    store::History,
    token::{Token, TopicMark},
};

/// What a projection must have reached for a token.
enum Mark {
    OwnStore(Position),
    Message(Awaited),
}

impl Core {
    /// Whether there is anything whole to answer from. A token says that the caller would rather wait, bounded, for
    /// that and for what it stands for than be told to ask again.
    pub(super) async fn visible<Q: Query>(&self, options: &AskOptions) -> Result<(), AskError> {
        let mut marks = Vec::new();
        if let Some(token) = &options.at_least {
            for projection in Q::READS {
                marks.extend(self.marks(*projection, token)?);
            }
            if marks.is_empty() {
                return Err(AskError::TokenNotApplicable);
            }
        } else if options.not_before.is_none() {
            return self.whole(Q::READS);
        }
        let all = async {
            // First, because what can never come needs no whole read model to be told.
            for (projection, mark) in &marks {
                match mark {
                    Mark::OwnStore(position) => {
                        let lane = Lane::own_store();
                        self.watermarks.reached(*projection, &lane, *position).await;
                        if self.watermarks.is_parked(*projection, &lane, *position) {
                            return Err(Unseen::Parked);
                        }
                    }
                    Mark::Message(message) => self.watermarks.applied(*projection, message).await?,
                }
            }
            if let Some(moment) = &options.not_before {
                self.come_to(moment, Q::READS).await;
            }
            for projection in Q::READS {
                self.watermarks.whole(*projection).await;
            }
            Ok(())
        };
        match self.runtime.within(self.token_wait, all).await {
            Some(seen) => seen.map_err(|unseen| match unseen {
                Unseen::Lost { fork } => AskError::TokenLost { fork },
                Unseen::Parked => AskError::Quarantined,
            }),
            None => self.whole(Q::READS).and(Err(AskError::NotYet)),
        }
    }

    /// Waits until the projections have come to a moment. What was lost in a restore since, or belongs to a store that
    /// is not there any more, is not waited for: whoever saw it sees what there is now.
    async fn come_to(&self, moment: &Moment, reads: &[ProjectionKey]) {
        for projection in reads {
            for Reached { own, topics, .. } in moment.projections.iter().filter(|at| at.name == projection.name) {
                if let (Some((incarnation, position)), Some((_, known))) = (own, &self.own) {
                    let history = History { incarnation: *incarnation, lineage: Vec::new() };
                    let position = Position::new(*position);
                    if known.common_with(&history).is_some_and(|common| position <= common) {
                        self.watermarks.reached(*projection, &Lane::own_store(), position).await;
                    }
                }
                for heard in topics {
                    self.hear(*projection, heard).await;
                }
            }
        }
    }

    async fn hear(&self, projection: ProjectionKey, heard: &Heard) {
        let Some(Feed::Topics(topics)) = self.watermarks.feed(projection) else { return };
        let Heard { topic, store, incarnation, .. } = heard;
        if !topics.contains(topic) || self.watermarks.hears_others(projection, topic, *store) {
            return;
        }
        for (partition, position) in heard.marks() {
            let history = History { incarnation: *incarnation, lineage: Vec::new() };
            let message = Awaited { store: *store, history, topic: topic.clone(), partition, position };
            // Lost: see above. Parked: whoever saw it before it was, or what came after it, sees what there is.
            let _ = self.watermarks.applied(projection, &message).await;
        }
    }

    fn whole(&self, reads: &[ProjectionKey]) -> Result<(), AskError> {
        for projection in reads {
            if let Some(progress) = self.watermarks.progress(*projection) {
                return Err(AskError::Rebuilding(progress));
            }
        }
        Ok(())
    }

    /// What one projection must have reached; empty when it sees nothing of the token's source.
    fn marks(&self, projection: ProjectionKey, token: &Token) -> Result<Vec<(ProjectionKey, Mark)>, AskError> {
        let history = token.history();
        let marks: Vec<Mark> = match (self.watermarks.feed(projection), &self.own) {
            (Some(Feed::OwnStore), Some((store, own))) if *store == token.source.store => {
                match own.common_with(&history) {
                    Some(fork) if token.position > fork => return Err(AskError::TokenLost { fork }),
                    Some(_) => vec![Mark::OwnStore(token.position)],
                    None => Vec::new(),
                }
            }
            (Some(Feed::Topics(topics)), _) => {
                let fed = token.topics.iter().filter(|mark| topics.contains(&mark.topic));
                let message = |TopicMark { topic, partition, position }: &TopicMark| Awaited {
                    store: token.source.store,
                    history: history.clone(),
                    topic: topic.clone(),
                    partition: *partition,
                    position: Position::new(*position),
                };
                fed.map(|mark| Mark::Message(message(mark))).collect()
            }
            _ => Vec::new(),
        };
        Ok(marks.into_iter().map(|mark| (projection, mark)).collect())
    }
}
