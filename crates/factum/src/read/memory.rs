//! The read store of tests and examples.

mod generations;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Checkpoint, CheckpointMove, Epoch, Generation, Generations, Key, KeyRange, Lane, ReadError, ReadSnapshot,
    ReadStore, ReadTransaction, Role, TableName, WriteBuffer,
};
use crate::model::ProjectionKey;

/// A read store in memory, gone with its last clone. Clones share it.
///
/// A reader takes the published state as it is, and never waits for a transaction: a commit changes the state in
/// place when nobody reads it, else it copies the tables it touches beforehand.
///
/// ```
/// use factum::read::{Key, MemoryReadStore, ReadStore};
/// let store = MemoryReadStore::default();
/// # let projection = factum::ProjectionKey { name: "totals", version: 1 };
/// let epoch = store.claim(projection)?;
/// # let totals = factum::read::TableName { projection, table: "totals" };
/// store.write(projection, epoch, &[], &mut |tx| tx.put(totals, &Key::from("a"), b"1".to_vec()))?;
/// # Ok::<(), factum::read::ReadError>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryReadStore {
    shared: Arc<Shared>,
    view: View,
}

/// Which generation of which projection is meant instead of the live one.
#[derive(Clone, Copy, Default)]
struct View(Option<Place>);

/// A generation of a projection.
type Place = (ProjectionKey, Generation);

#[derive(Default)]
struct Shared {
    /// Held for a whole transaction, so that there is one at a time.
    writing: Mutex<()>,
    /// Held only to take the state, or to put the next one in its place.
    published: Mutex<Arc<State>>,
}

type Rows = BTreeMap<Key, Arc<[u8]>>;

#[derive(Clone, Default)]
struct State {
    tables: HashMap<(TableName, Generation), Arc<Rows>>,
    projections: HashMap<Place, Progress>,
}

#[derive(Clone, Default)]
struct Progress {
    epoch: Epoch,
    checkpoints: BTreeMap<Lane, Checkpoint>,
    /// `None`: discarded, with its epoch still in force, or not begun.
    role: Option<Role>,
}

impl MemoryReadStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn snapshot(&self) -> Arc<State> {
        Arc::clone(&self.published())
    }

    fn published(&self) -> MutexGuard<'_, Arc<State>> {
        self.shared.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One writer at a time. A panic under the lock leaves nothing behind: the state is changed in the end only.
    fn writing(&self) -> MutexGuard<'_, ()> {
        self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the next state in the place of the published one. Only under the writing lock.
    fn publish(&self, mut change: impl FnMut(&mut State)) {
        let mut published = self.published();
        if let Some(state) = Arc::get_mut(&mut published) {
            return change(state);
        }
        let seen = Arc::clone(&published);
        // Readers go on taking the published state while the copy is made.
        drop(published);
        let mut next = State::clone(&seen);
        drop(seen);
        change(&mut next);
        *self.published() = Arc::new(next);
    }
}

impl ReadStore for MemoryReadStore {
    fn claim(&self, projection: ProjectionKey) -> Result<Epoch, ReadError> {
        let _writing = self.writing();
        let place = self.snapshot().place(self.view, projection);
        let epoch = Epoch(self.snapshot().epoch(place).0 + 1);
        self.publish(|state| {
            let is_live =
                |(key, progress): (&Place, &Progress)| key.0 == projection && progress.role == Some(Role::Live);
            let begins = place.1 == Generation::FIRST && !state.projections.iter().any(is_live);
            let progress = state.projections.entry(place).or_default();
            progress.epoch = epoch;
            if begins {
                progress.role.get_or_insert(Role::Live);
            }
        });
        Ok(epoch)
    }

    fn checkpoints(&self, projection: ProjectionKey) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
        let state = self.snapshot();
        let lanes = state.projections.get(&state.place(self.view, projection)).map(|progress| &progress.checkpoints);
        Ok(lanes.into_iter().flatten().map(|(lane, checkpoint)| (lane.clone(), *checkpoint)).collect())
    }

    fn write(
        &self,
        projection: ProjectionKey,
        epoch: Epoch,
        moves: &[CheckpointMove],
        work: &mut dyn FnMut(&mut dyn ReadTransaction) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let _writing = self.writing();
        let base = self.snapshot();
        let place = base.place(self.view, projection);
        let current = base.epoch(place);
        if current != epoch {
            return Err(ReadError::Fenced { projection: projection.to_string(), epoch: epoch.0, current: current.0 });
        }
        let checkpoints = base.moved(place, moves)?;
        let mut transaction = Transaction { base, view: View(Some(place)), buffer: WriteBuffer::new(projection) };
        work(&mut transaction)?;
        let Transaction { base, mut buffer, .. } = transaction;
        // Let go first: a state that nobody else holds is changed in place.
        drop(base);
        let mut written: Vec<_> = buffer.take().collect();
        self.publish(|state| {
            for (table, rows) in written.drain(..) {
                state.apply((table, place.1), rows);
            }
            if !moves.is_empty() {
                state.projections.entry(place).or_default().checkpoints.clone_from(&checkpoints);
            }
        });
        Ok(())
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn ReadSnapshot) -> Result<(), ReadError>) -> Result<(), ReadError> {
        work(&mut Snapshot(self.snapshot(), self.view))
    }

    fn generations(&self) -> Option<&dyn Generations> {
        Some(self)
    }
}

impl State {
    fn epoch(&self, place: Place) -> Epoch {
        self.projections.get(&place).map_or(Epoch::default(), |progress| progress.epoch)
    }

    /// The generation of a projection that is meant: that of the view, or the live one.
    fn place(&self, view: View, projection: ProjectionKey) -> Place {
        if let Some(place) = view.0.filter(|(viewed, _)| *viewed == projection) {
            return place;
        }
        let is_live =
            |((key, _), progress): &(&Place, &Progress)| *key == projection && progress.role == Some(Role::Live);
        self.projections.iter().find(is_live).map_or((projection, Generation::FIRST), |(place, _)| *place)
    }

    /// The checkpoints after these moves, each of them compared with what the ones before it left.
    fn moved(&self, place: Place, moves: &[CheckpointMove]) -> Result<BTreeMap<Lane, Checkpoint>, ReadError> {
        let mut checkpoints =
            self.projections.get(&place).map(|progress| progress.checkpoints.clone()).unwrap_or_default();
        for step in moves {
            if checkpoints.get(&step.lane) != step.previous.as_ref() {
                let lane = step.lane.as_str().to_owned();
                return Err(ReadError::Moved { projection: place.0.to_string(), lane });
            }
            checkpoints.insert(step.lane.clone(), step.next);
        }
        Ok(checkpoints)
    }

    fn apply(&mut self, table: (TableName, Generation), written: BTreeMap<Key, super::Buffered>) {
        let rows = Arc::make_mut(self.tables.entry(table).or_default());
        for (key, document) in written {
            match document {
                Some(document) => rows.insert(key, document.into()),
                None => rows.remove(&key),
            };
        }
    }

    fn get(&self, view: View, table: TableName, key: &Key) -> Option<Vec<u8>> {
        self.tables.get(&(table, self.place(view, table.projection).1))?.get(key).map(|document| document.to_vec())
    }

    fn rows(
        &self,
        view: View,
        table: TableName,
        range: &KeyRange,
    ) -> impl Iterator<Item = Result<(Key, Vec<u8>), ReadError>> {
        let table = (table, self.place(view, table.projection).1);
        let rows = self.tables.get(&table).filter(|_| !range.is_empty()).map(|rows| rows.range(range.bounds()));
        rows.into_iter().flatten().map(|(key, document)| Ok((key.clone(), document.to_vec())))
    }
}

struct Snapshot(Arc<State>, View);

impl ReadSnapshot for Snapshot {
    fn get(&mut self, table: TableName, key: &Key) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(self.1, table, key))
    }

    fn scan(&mut self, table: TableName, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, ReadError> {
        self.0.rows(self.1, table, range).take(limit.min(super::SCAN_ROWS_MAX)).collect()
    }
}

struct Transaction {
    base: Arc<State>,
    view: View,
    buffer: WriteBuffer,
}

impl ReadSnapshot for Transaction {
    fn get(&mut self, table: TableName, key: &Key) -> Result<Option<Vec<u8>>, ReadError> {
        match self.buffer.get(table, key) {
            Some(buffered) => Ok(buffered.clone()),
            None => Ok(self.base.get(self.view, table, key)),
        }
    }

    fn scan(&mut self, table: TableName, range: &KeyRange, limit: usize) -> Result<Vec<(Key, Vec<u8>)>, ReadError> {
        self.buffer.scan(table, range, limit, self.base.rows(self.view, table, range))
    }
}

impl ReadTransaction for Transaction {
    fn put(&mut self, table: TableName, key: &Key, document: Vec<u8>) -> Result<(), ReadError> {
        self.buffer.put(table, key, document)
    }

    fn delete(&mut self, table: TableName, key: &Key) -> Result<(), ReadError> {
        self.buffer.delete(table, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOTALS: ProjectionKey = ProjectionKey { name: "totals", version: 1 };
    const LINES: TableName = TableName { projection: TOTALS, table: "lines" };

    fn lines(read: &mut dyn ReadSnapshot) -> Vec<(Key, Vec<u8>)> {
        read.scan(LINES, &KeyRange::all(), 100).unwrap()
    }

    #[test]
    fn a_reader_keeps_its_snapshot_while_a_writer_commits_beside_it() {
        let store = MemoryReadStore::new();
        let epoch = store.claim(TOTALS).unwrap();
        let put = |key: &str| store.write(TOTALS, epoch, &[], &mut |tx| tx.put(LINES, &key.into(), b"1".to_vec()));
        put("a").unwrap();
        store
            .read(&mut |read| {
                put("b").unwrap();
                assert_eq!(lines(read).len(), 1);
                Ok(())
            })
            .unwrap();
        let mut after = Vec::new();
        store
            .read(&mut |read| {
                after = lines(read);
                Ok(())
            })
            .unwrap();
        assert_eq!(after.len(), 2);
    }

    #[test]
    fn a_commit_that_nobody_watches_copies_nothing() {
        let store = MemoryReadStore::new();
        let epoch = store.claim(TOTALS).unwrap();
        let put = |key: &str| store.write(TOTALS, epoch, &[], &mut |tx| tx.put(LINES, &key.into(), b"1".to_vec()));
        put("a").unwrap();
        let before = Arc::as_ptr(&store.snapshot().tables[&(LINES, Generation::FIRST)]);
        put("b").unwrap();
        assert_eq!(Arc::as_ptr(&store.snapshot().tables[&(LINES, Generation::FIRST)]), before);
    }
}
