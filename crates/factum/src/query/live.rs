//! A query that is answered again whenever what it reads has changed.

use std::{sync::Arc, time::Duration};

use super::{AskError, AskOptions, Moment, QueryDispatcher, dispatcher::Core, moment::Reached};
use crate::{
    model::{ProjectionKey, Timestamp},
    projections::{Moves, Progress},
};

/// How often a live query is asked at most, unless told otherwise: ten times a second.
pub const LIVE_INTERVAL_DEFAULT: Duration = Duration::from_millis(100);

/// One answer of a live query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveAnswer {
    /// The answer, a JSON document of one line.
    pub document: Vec<u8>,
    /// A moment that includes everything the answer was made of.
    pub moment: Moment,
}

/// A query that is asked again whenever one of the projections it reads has moved, from [`QueryDispatcher::live`].
///
/// However much they move, it is asked at most once an interval, and only answers that differ from the one before are
/// given out. It holds no read snapshot and no answer but the last one while nobody asks for the next.
pub struct Live {
    dispatcher: QueryDispatcher,
    name: String,
    query_string: String,
    options: AskOptions,
    /// Of the form of it that answered.
    reads: &'static [ProjectionKey],
    /// Of what any form of it reads.
    moves: Moves,
    /// Something moved since it was asked last.
    due: bool,
    asked_at: Timestamp,
    first: Option<LiveAnswer>,
    last: Vec<u8>,
}

impl QueryDispatcher {
    /// Asks a query by name, as [`QueryDispatcher::ask_named`] does, and goes on asking. The options' token and moment
    /// are waited for once, before the first answer.
    ///
    /// # Errors
    /// The query cannot be answered now: see [`AskError`]. What does not exist yet is an error, too.
    pub async fn live(&self, name: &str, query_string: &str, options: AskOptions) -> Result<Live, AskError> {
        let query = self.query(name)?;
        let core = self.core();
        query.check(core, query_string, &options)?;
        // Before it is asked, so that nothing moves unnoticed in between.
        let moves = core.watermarks().moves(&self.all_reads(name)).ok_or(AskError::Rebuilding(Progress::default()))?;
        let mut live = Live {
            dispatcher: self.clone(),
            name: name.to_owned(),
            query_string: query_string.to_owned(),
            options,
            reads: query.reads(),
            moves,
            due: false,
            asked_at: core.runtime().now(),
            first: None,
            last: Vec::new(),
        };
        let document = live.ask().await?;
        live.first = Some(live.told(document).await?);
        let principal = live.options.principal.clone();
        live.options = AskOptions { principal, ..AskOptions::default() };
        Ok(live)
    }
}

impl Live {
    /// The first answer at once; then waits for one that differs from the one before. May be dropped while it waits, and
    /// called again. While the read models are being restored it waits for that.
    ///
    /// # Errors
    /// The query cannot be answered any more: see [`AskError`].
    pub async fn next(&mut self) -> Result<LiveAnswer, AskError> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        loop {
            if !self.due {
                self.moves.changed().await;
                self.due = true;
            }
            self.rest().await;
            self.moves.mark_seen();
            let asked = self.ask().await;
            let told = match asked {
                Ok(document) if document == self.last => None,
                Ok(document) => Some(self.told(document).await?),
                Err(AskError::Rebuilding(_)) => None,
                Err(error) => return Err(error),
            };
            self.due = false;
            if let Some(answer) = told {
                return Ok(answer);
            }
        }
    }

    /// Waits until it may be asked again.
    async fn rest(&self) {
        let runtime = self.dispatcher.core().runtime();
        let left = self.dispatcher.core().live_interval().saturating_sub(runtime.now().since(self.asked_at));
        if !left.is_zero() {
            runtime.sleep(left).await;
        }
    }

    async fn ask(&mut self) -> Result<Vec<u8>, AskError> {
        self.asked_at = self.dispatcher.core().runtime().now();
        let query = self.dispatcher.query(&self.name)?;
        // A newer form of it may have taken over.
        self.reads = query.reads();
        query.ask(self.dispatcher.core(), &self.query_string, &self.options).await
    }

    async fn told(&mut self, document: Vec<u8>) -> Result<LiveAnswer, AskError> {
        let moment = self.dispatcher.core().moment(self.reads).await?;
        self.last.clone_from(&document);
        Ok(LiveAnswer { document, moment })
    }
}

impl Core {
    /// Where the projections are by now. Looked at after a query was answered, it includes what the query saw: what is
    /// known of them without the read store may be behind that.
    async fn moment(&self, reads: &'static [ProjectionKey]) -> Result<Moment, AskError> {
        let read_store = Arc::clone(self.read_store());
        let look = move || {
            let reached = reads.iter().map(|key| Ok(Reached::of(key.name, read_store.checkpoints(*key)?)));
            reached.collect::<Result<_, AskError>>()
        };
        let looked = self.runtime().blocking(look).await;
        let projections = looked.unwrap_or_else(|failure| Err(AskError::Panicked(failure.to_string())))?;
        Ok(Moment { projections })
    }
}
