//! How far each projection is, and whose it is.

use factum::{
    ProjectionKey,
    read::{Checkpoint, CheckpointMove, Epoch, Lane, ReadError},
};
use rusqlite::{Connection, OptionalExtension};

use crate::{error::read_error, generations::Place};

const EPOCHS: &str = "factum_epochs";
const CHECKPOINTS: &str = "factum_checkpoints";

/// The epoch in force; the first claim makes it 1.
pub(crate) fn epoch(connection: &Connection, place: Place) -> Result<Epoch, ReadError> {
    owner(connection, place).map(|(epoch, _)| epoch)
}

/// The epoch in force, and whether this is a generation that does not answer.
pub(crate) fn owner(connection: &Connection, place: Place) -> Result<(Epoch, bool), ReadError> {
    let sql = "SELECT epoch, role IS NOT 'live' FROM factum_epochs \
               WHERE projection = ?1 AND version = ?2 AND generation = ?3";
    let parameters = place.parameters();
    let found: Option<(i64, bool)> = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(parameters, |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .map_err(|error| read_error(EPOCHS, error))?;
    let (number, beside) = found.unwrap_or_default();
    let number = u64::try_from(number);
    let epoch = number.map_err(|error| ReadError::Damaged { place: EPOCHS.to_owned(), source: error.into() })?;
    Ok((Epoch(epoch), beside))
}

/// Writes an epoch.
pub(crate) fn set_epoch(connection: &Connection, place: Place, epoch: Epoch) -> Result<(), ReadError> {
    let sql = "INSERT INTO factum_epochs (projection, version, generation, epoch) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (projection, version, generation) DO UPDATE SET epoch = excluded.epoch";
    let number = i64::try_from(epoch.0)
        .map_err(|error| ReadError::Damaged { place: EPOCHS.to_owned(), source: error.into() })?;
    let (name, version, generation) = place.parameters();
    connection.execute(sql, (name, version, generation, number)).map(|_| ()).map_err(|error| read_error(EPOCHS, error))
}

/// All checkpoints of a projection, in the order of their lanes.
pub(crate) fn all(connection: &Connection, place: Place) -> Result<Vec<(Lane, Checkpoint)>, ReadError> {
    let sql = "SELECT lane, checkpoint FROM factum_checkpoints \
               WHERE projection = ?1 AND version = ?2 AND generation = ?3 ORDER BY lane";
    let rows = connection.prepare_cached(sql).and_then(|mut statement| {
        let rows =
            statement.query_map(place.parameters(), |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    });
    let rows = rows.map_err(|error| read_error(CHECKPOINTS, error))?;
    rows.into_iter()
        .map(|(lane, text)| {
            let lane = Lane::from_text(&lane);
            let checkpoint = decode(place.projection, &lane, &text)?;
            Ok((lane, checkpoint))
        })
        .collect()
}

/// Moves one checkpoint by compare-and-set.
pub(crate) fn advance(connection: &Connection, place: Place, step: &CheckpointMove) -> Result<(), ReadError> {
    if get(connection, place, &step.lane)? != step.previous {
        let lane = step.lane.as_str().to_owned();
        return Err(ReadError::Moved { projection: place.projection.to_string(), lane });
    }
    let text = serde_json::to_string(&step.next)
        .map_err(|error| ReadError::Broken(format!("a checkpoint cannot be written: {error}")))?;
    let sql = "INSERT INTO factum_checkpoints (projection, version, generation, lane, checkpoint) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT (projection, version, generation, lane) DO UPDATE SET checkpoint = excluded.checkpoint";
    let (name, version, generation) = place.parameters();
    connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute((name, version, generation, step.lane.as_str(), text)))
        .map(|_| ())
        .map_err(|error| read_error(CHECKPOINTS, error))
}

fn get(connection: &Connection, place: Place, lane: &Lane) -> Result<Option<Checkpoint>, ReadError> {
    let sql = "SELECT checkpoint FROM factum_checkpoints \
               WHERE projection = ?1 AND version = ?2 AND generation = ?3 AND lane = ?4";
    let (name, version, generation) = place.parameters();
    let parameters = (name, version, generation, lane.as_str());
    let text: Option<String> = connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(parameters, |row| row.get(0)).optional())
        .map_err(|error| read_error(CHECKPOINTS, error))?;
    text.map(|text| decode(place.projection, lane, &text)).transpose()
}

fn decode(projection: ProjectionKey, lane: &Lane, text: &str) -> Result<Checkpoint, ReadError> {
    serde_json::from_str(text).map_err(|error| ReadError::Damaged {
        place: format!("the checkpoint of {projection} on lane {lane:?}"),
        source: error.into(),
    })
}
