//! Several generations of a read model in memory.

use std::{ops::Bound, sync::Arc};

use super::{MemoryReadStore, Place, Rows, State, View};
use crate::{
    model::ProjectionKey,
    read::{
        Checkpoint, Claimed, Generation, Generations, Inspection, Key, Lane, RESERVED_TABLES, ReadError, ReadStore,
        Role, SCAN_ROWS_MAX, StoredModel,
    },
};

impl Generations for MemoryReadStore {
    fn models(&self) -> Result<Vec<StoredModel>, ReadError> {
        let state = self.snapshot();
        let mut models: Vec<_> = state
            .projections
            .iter()
            .filter_map(|((key, generation), progress)| {
                let (name, version) = (key.name.to_owned(), key.version);
                Some(StoredModel { name, version, generation: *generation, role: progress.role? })
            })
            .collect();
        models.sort_by(|a, b| (&a.name, a.version, a.generation).cmp(&(&b.name, b.version, b.generation)));
        Ok(models)
    }

    fn begin(&self, projection: ProjectionKey, role: Role) -> Result<Generation, ReadError> {
        if role == Role::Live {
            return Err(ReadError::Broken("a generation becomes live by a switch".to_owned()));
        }
        let _writing = self.writing();
        let numbers = self.snapshot();
        let last = numbers.projections.keys().filter(|(key, _)| *key == projection).map(|(_, number)| *number).max();
        let generation = Generation(last.unwrap_or(Generation::FIRST).0 + 1);
        drop(numbers);
        self.publish(|state| state.projections.entry((projection, generation)).or_default().role = Some(role));
        Ok(generation)
    }

    fn set_role(&self, projection: ProjectionKey, generation: Generation, role: Role) -> Result<(), ReadError> {
        let _writing = self.writing();
        let current = self.snapshot().projections.get(&(projection, generation)).and_then(|progress| progress.role);
        if role == Role::Live || current.is_none_or(|current| current == Role::Live) {
            let role = role.as_str();
            return Err(ReadError::Broken(format!("generation {generation} of {projection} cannot become {role}")));
        }
        self.publish(|state| state.projections.entry((projection, generation)).or_default().role = Some(role));
        Ok(())
    }

    fn switch(&self, projection: ProjectionKey, from: Claimed, to: Claimed) -> Result<(), ReadError> {
        let _writing = self.writing();
        let state = self.snapshot();
        for Claimed { generation, epoch } in [from, to] {
            let current = state.epoch((projection, generation));
            if current != epoch {
                let projection = projection.to_string();
                return Err(ReadError::Fenced { projection, epoch: epoch.0, current: current.0 });
            }
        }
        let role = |claimed: Claimed| state.projections.get(&(projection, claimed.generation))?.role;
        if role(from) != Some(Role::Live) || role(to).is_none_or(|role| role == Role::Live) {
            return Err(ReadError::Broken(format!(
                "{projection} cannot be switched from generation {} to {}",
                from.generation, to.generation
            )));
        }
        drop(state);
        self.publish(|state| {
            let of_it = state.projections.iter_mut().filter(|((key, _), _)| *key == projection);
            for (_, kept) in of_it.filter(|(_, progress)| progress.role == Some(Role::Kept)) {
                kept.role = Some(Role::Retired);
            }
            state.projections.entry((projection, from.generation)).or_default().role = Some(Role::Kept);
            state.projections.entry((projection, to.generation)).or_default().role = Some(Role::Live);
        });
        Ok(())
    }

    fn discard(&self, model: &StoredModel) -> Result<(), ReadError> {
        let _writing = self.writing();
        let is_it = |(key, generation): &Place| model.is_of(*key) && model.generation == *generation;
        self.publish(|state| {
            state.tables.retain(|(table, generation), _| !is_it(&(table.projection, *generation)));
            for (_, progress) in state.projections.iter_mut().filter(|(place, _)| is_it(place)) {
                progress.role = None;
                progress.checkpoints.clear();
                // Who still feeds it is fenced.
                progress.epoch.0 += 1;
            }
        });
        Ok(())
    }

    fn view(&self, projection: ProjectionKey, generation: Generation) -> Arc<dyn ReadStore> {
        Arc::new(Self { view: View(Some((projection, generation))), ..self.clone() })
    }

    fn inspect(&self, work: &mut dyn FnMut(&mut dyn Inspection) -> Result<(), ReadError>) -> Result<(), ReadError> {
        work(&mut Inspected(self.snapshot()))
    }
}

struct Inspected(Arc<State>);

impl Inspected {
    fn table(&self, place: Place, table: &str) -> Option<&Arc<Rows>> {
        let is_it = |name: &super::TableName, generation| (name.projection, generation) == place && name.table == table;
        self.0.tables.iter().find(|((name, generation), _)| is_it(name, *generation)).map(|(_, rows)| rows)
    }
}

impl Inspection for Inspected {
    fn checkpoints(
        &mut self,
        projection: ProjectionKey,
        generation: Generation,
    ) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
        let lanes = self.0.projections.get(&(projection, generation)).map(|progress| &progress.checkpoints);
        Ok(lanes.into_iter().flatten().map(|(lane, checkpoint)| (lane.clone(), *checkpoint)).collect())
    }

    fn tables(&mut self, projection: ProjectionKey, generation: Generation) -> Result<Vec<String>, ReadError> {
        let own =
            self.0.tables.keys().filter(|(table, number)| (table.projection, *number) == (projection, generation));
        let own = own.filter(|(table, _)| !table.table.starts_with(RESERVED_TABLES));
        let mut tables: Vec<_> = own.map(|(table, _)| table.table.to_owned()).collect();
        tables.sort();
        Ok(tables)
    }

    fn rows(
        &mut self,
        projection: ProjectionKey,
        generation: Generation,
        table: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, Vec<u8>)>, ReadError> {
        let Some(rows) = self.table((projection, generation), table) else { return Ok(Vec::new()) };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = rows.range::<Key, _>((start, Bound::Unbounded)).take(limit.min(SCAN_ROWS_MAX));
        Ok(rows.map(|(key, document)| (key.clone(), document.to_vec())).collect())
    }
}
