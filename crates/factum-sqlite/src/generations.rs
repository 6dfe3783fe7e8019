//! Several generations of a read model in one file, and which of them answers.

use std::{sync::Arc, thread, time::Instant};

use factum::{
    ProjectionKey,
    read::{Claimed, Generation, Generations, Inspection, ReadError, ReadStore, Role, StoredModel, TableName},
};
use rusqlite::{Connection, OptionalExtension, Row, types::Type};

use crate::{SqliteReadStore, checkpoints, error::read_error, tables, transaction::Begun};

const EPOCHS: &str = "factum_epochs";

/// How many documents of a generation that is discarded are deleted in one transaction.
const DISCARD_ROWS: usize = 250;
/// How long it pauses after each, in times of what that took: whoever else writes comes first.
const DISCARD_PAUSE: u32 = 3;

/// A generation of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) projection: ProjectionKey,
    pub(crate) generation: Generation,
}

impl Place {
    /// As they are stored.
    pub(crate) const fn parameters(&self) -> (&'static str, u32, u32) {
        (self.projection.name, self.projection.version, self.generation.0)
    }
}

/// Which generation each projection's tables are of, within one transaction.
pub(crate) struct Resolved(Vec<Place>);

impl Resolved {
    /// Nothing is known yet but what is given.
    pub(crate) fn pinned(place: Option<Place>) -> Self {
        Self(place.into_iter().collect())
    }

    /// The live generation of a projection, unless another one is meant.
    pub(crate) fn generation(
        &mut self,
        connection: &Connection,
        projection: ProjectionKey,
    ) -> Result<Generation, ReadError> {
        if let Some(known) = self.0.iter().find(|place| place.projection == projection) {
            return Ok(known.generation);
        }
        let generation = live(connection, projection)?;
        self.0.push(Place { projection, generation });
        Ok(generation)
    }

    pub(crate) fn table(
        &mut self,
        connection: &Connection,
        table: TableName,
    ) -> Result<(TableName, Generation), ReadError> {
        Ok((table, self.generation(connection, table.projection)?))
    }
}

fn live(connection: &Connection, projection: ProjectionKey) -> Result<Generation, ReadError> {
    let sql = "SELECT generation FROM factum_epochs WHERE projection = ?1 AND version = ?2 AND role = 'live'";
    let found = connection.prepare_cached(sql).and_then(|mut statement| {
        statement.query_row((projection.name, projection.version), |row| row.get(0)).optional()
    });
    Ok(found.map_err(failed)?.map_or(Generation::FIRST, Generation))
}

fn failed(error: rusqlite::Error) -> ReadError {
    read_error(EPOCHS, error)
}

/// The generation that a version of a projection begins with is live from its first claim on.
pub(crate) fn begin_first(connection: &Connection, place: Place) -> Result<(), ReadError> {
    if place.generation != Generation::FIRST {
        return Ok(());
    }
    let sql = "UPDATE factum_epochs SET role = 'live' \
               WHERE projection = ?1 AND version = ?2 AND generation = ?3 AND role IS NULL AND NOT EXISTS \
               (SELECT 1 FROM factum_epochs WHERE projection = ?1 AND version = ?2 AND role = 'live')";
    connection.execute(sql, place.parameters()).map(|_| ()).map_err(failed)
}

fn stored_role(connection: &Connection, place: Place) -> Result<Option<Role>, ReadError> {
    let sql = "SELECT role FROM factum_epochs WHERE projection = ?1 AND version = ?2 AND generation = ?3";
    let found: Option<Option<String>> =
        connection.query_row(sql, place.parameters(), |row| row.get(0)).optional().map_err(failed)?;
    found.flatten().map(|text| role_of(0, &text)).transpose().map_err(failed)
}

fn set_role(connection: &Connection, place: Place, role: Role) -> Result<(), ReadError> {
    let sql = "INSERT INTO factum_epochs (projection, version, generation, epoch, role) VALUES (?1, ?2, ?3, 0, ?4) \
               ON CONFLICT (projection, version, generation) DO UPDATE SET role = excluded.role";
    let (name, version, generation) = place.parameters();
    connection.execute(sql, (name, version, generation, role.as_str())).map(|_| ()).map_err(failed)
}

/// What was kept until now makes room for what is kept next.
fn retire_kept(connection: &Connection, projection: ProjectionKey) -> Result<(), ReadError> {
    let sql = "UPDATE factum_epochs SET role = ?3 WHERE projection = ?1 AND version = ?2 AND role = ?4";
    let parameters = (projection.name, projection.version, Role::Retired.as_str(), Role::Kept.as_str());
    connection.execute(sql, parameters).map(|_| ()).map_err(failed)
}

fn role_of(column: usize, text: &str) -> rusqlite::Result<Role> {
    Role::from_text(text)
        .ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, "no known role".into()))
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredModel> {
    let role = role_of(3, &row.get::<_, String>(3)?)?;
    Ok(StoredModel { name: row.get(0)?, version: row.get(1)?, generation: Generation(row.get(2)?), role })
}

impl Generations for SqliteReadStore {
    fn models(&self) -> Result<Vec<StoredModel>, ReadError> {
        let reader = self.shared.readers.lend()?;
        let sql = "SELECT projection, version, generation, role FROM factum_epochs WHERE role IS NOT NULL \
                   ORDER BY projection, version, generation";
        let models = reader
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_map((), stored)?.collect::<rusqlite::Result<_>>());
        models.map_err(failed)
    }

    fn begin(&self, projection: ProjectionKey, role: Role) -> Result<Generation, ReadError> {
        if role == Role::Live {
            return Err(ReadError::Broken("a generation becomes live by a switch".to_owned()));
        }
        let writer = self.lend_writer()?;
        let transaction = Begun::to_write(&writer)?;
        let sql = "SELECT max(generation) FROM factum_epochs WHERE projection = ?1 AND version = ?2";
        let parameters = (projection.name, projection.version);
        let last: Option<u32> = writer.query_row(sql, parameters, |row| row.get(0)).map_err(failed)?;
        let generation = Generation(last.unwrap_or(Generation::FIRST.0) + 1);
        set_role(&writer, Place { projection, generation }, role)?;
        transaction.commit()?;
        Ok(generation)
    }

    fn set_role(&self, projection: ProjectionKey, generation: Generation, role: Role) -> Result<(), ReadError> {
        let writer = self.lend_writer()?;
        let transaction = Begun::to_write(&writer)?;
        let place = Place { projection, generation };
        if role == Role::Live || stored_role(&writer, place)?.is_none_or(|current| current == Role::Live) {
            let role = role.as_str();
            return Err(ReadError::Broken(format!("generation {generation} of {projection} cannot become {role}")));
        }
        set_role(&writer, place, role)?;
        transaction.commit()
    }

    fn switch(&self, projection: ProjectionKey, from: Claimed, to: Claimed) -> Result<(), ReadError> {
        let writer = self.lend_writer()?;
        let transaction = Begun::to_write(&writer)?;
        let place = |claimed: Claimed| Place { projection, generation: claimed.generation };
        for claimed in [from, to] {
            let current = checkpoints::epoch(&writer, place(claimed))?;
            if current != claimed.epoch {
                let projection = projection.to_string();
                return Err(ReadError::Fenced { projection, epoch: claimed.epoch.0, current: current.0 });
            }
        }
        let (left, next) = (stored_role(&writer, place(from))?, stored_role(&writer, place(to))?);
        if left != Some(Role::Live) || next.is_none_or(|role| role == Role::Live) {
            let (from, to) = (from.generation, to.generation);
            return Err(ReadError::Broken(format!("{projection} cannot be switched from generation {from} to {to}")));
        }
        retire_kept(&writer, projection)?;
        set_role(&writer, place(from), Role::Kept)?;
        set_role(&writer, place(to), Role::Live)?;
        transaction.commit()
    }

    fn discard(&self, model: &StoredModel) -> Result<(), ReadError> {
        let StoredModel { name, version, generation, .. } = model;
        let parameters = (name, version, generation.0);
        {
            let writer = self.lend_writer()?;
            let transaction = Begun::to_write(&writer)?;
            for sql in [
                // Who still feeds it is fenced; what an end of the process leaves of it is dropped after that.
                "UPDATE factum_epochs SET role = 'retired', epoch = epoch + 1 \
                 WHERE projection = ?1 AND version = ?2 AND generation = ?3 AND role IS NOT NULL",
                "DELETE FROM factum_checkpoints WHERE projection = ?1 AND version = ?2 AND generation = ?3",
            ] {
                writer.execute(sql, parameters).map_err(failed)?;
            }
            transaction.commit()?;
        }
        self.empty(name, *version, *generation)?;
        let writer = self.lend_writer()?;
        let transaction = Begun::to_write(&writer)?;
        tables::discard(&writer, name, *version, *generation).map_err(failed)?;
        let sql = "UPDATE factum_epochs SET role = NULL WHERE projection = ?1 AND version = ?2 AND generation = ?3";
        writer.execute(sql, parameters).map_err(failed)?;
        transaction.commit()
    }

    fn view(&self, projection: ProjectionKey, generation: Generation) -> Arc<dyn ReadStore> {
        Arc::new(Self { view: Some(Place { projection, generation }), ..self.clone() })
    }

    fn inspect(&self, work: &mut dyn FnMut(&mut dyn Inspection) -> Result<(), ReadError>) -> Result<(), ReadError> {
        self.look_closely(work)
    }
}

impl SqliteReadStore {
    /// Deletes the documents of a generation, a few at a time: to drop a large table at once takes as long as to write it,
    /// and all that time nobody else could write.
    fn empty(&self, projection: &str, version: u32, generation: Generation) -> Result<(), ReadError> {
        let names = tables::names(&*self.lend_writer()?, projection, version, generation).map_err(failed)?;
        for table in names {
            loop {
                let begun = Instant::now();
                let writer = self.lend_writer()?;
                let place = (projection, version, generation);
                self.shared.log.commits_beside(true);
                let deleted = tables::delete_some(&writer, place, &table, DISCARD_ROWS).map_err(failed)?;
                self.bound_log(&writer);
                drop(writer);
                if deleted == 0 {
                    break;
                }
                thread::sleep(begun.elapsed() * DISCARD_PAUSE);
            }
        }
        Ok(())
    }
}
