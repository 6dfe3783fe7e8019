//! What a projection has written, and where it differs.

use std::collections::BTreeMap;

use crate::{
    model::ProjectionKey,
    quarantine::{ParkedKey, parked_keys},
    read::{Key, ReadStore, Role, SCAN_ROWS_MAX},
};

/// Every document of a read model, by table and key.
pub(super) type Documents = BTreeMap<(String, Key), String>;

/// The documents of the generation that answers.
///
/// # Errors
/// A message is parked: the projection failed over it for good.
pub(super) fn documents(store: &dyn ReadStore, projection: ProjectionKey) -> Result<Documents, String> {
    let mut parked = Vec::new();
    let read = store.read(&mut |read| {
        parked = parked_keys(read, projection, None, 1)?;
        Ok(())
    });
    read.expect("a read store in memory is there");
    if let Some(ParkedKey { key, name, reason, .. }) = parked.first() {
        return Err(format!("it failed for good over {name} of {key}: {reason}"));
    }
    let generations = store.generations().expect("a read store in memory has generations");
    let models = generations.models().expect("a read store in memory is there");
    let live = models.iter().find(|model| model.is_of(projection) && model.role == Role::Live);
    let mut documents = Documents::new();
    let Some(live) = live else { return Ok(documents) };
    let mut all = |inspection: &mut dyn crate::read::Inspection| {
        documents.clear();
        for table in inspection.tables(projection, live.generation)? {
            let mut after: Option<Key> = None;
            loop {
                let rows = inspection.rows(projection, live.generation, &table, after.as_ref(), SCAN_ROWS_MAX)?;
                let Some((last, _)) = rows.last() else { break };
                after = Some(last.clone());
                let texts = rows
                    .into_iter()
                    .map(|(key, row)| ((table.clone(), key), String::from_utf8_lossy(&row).into_owned()));
                documents.extend(texts);
            }
        }
        Ok(())
    };
    generations.inspect(&mut all).expect("a read store in memory is there");
    Ok(documents)
}

/// The first document that is another one than expected, in words.
pub(super) fn first_difference(expected: &Documents, found: &Documents) -> Option<String> {
    let places: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let place = places.into_iter().find(|place| expected.get(place) != found.get(place))?;
    let (table, key) = place;
    let shown = |documents: &Documents| documents.get(place).cloned().unwrap_or_else(|| "(no document)".to_owned());
    Some(format!("table {table}, key {key:?}\n  undisturbed: {}\n  disturbed:   {}", shown(expected), shown(found)))
}
