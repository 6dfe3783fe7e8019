//! Handles of files that are only read, opened when they are needed: many files, few handles.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use crate::disk::{Disk, DiskFile};
use crate::shared::lock;

/// Handles kept open for reading; those in use at the moment may exceed it.
pub(crate) const OPEN_FILES_MAX: usize = 128;

/// Opens files, and closes the least recently used when there are too many.
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    clock: AtomicU64,
    open: Mutex<Vec<Weak<ReadFile>>>,
}

impl Files {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Arc<Self> {
        Arc::new(Files { disk, clock: AtomicU64::new(0), open: Mutex::new(Vec::new()) })
    }

    /// The file of that name; it is opened when it is first read.
    pub(crate) fn file(self: &Arc<Self>, name: String) -> Arc<ReadFile> {
        Arc::new(ReadFile { name, files: self.clone(), handle: RwLock::new(None), used: AtomicU64::new(0) })
    }

    #[cfg(test)]
    fn open_count(&self) -> usize {
        let open = lock(&self.open);
        open.iter().filter_map(Weak::upgrade).filter(|file| file.is_open()).count()
    }

    fn opened(&self, file: &Arc<ReadFile>) {
        let mut open = lock(&self.open);
        open.retain(|other| other.upgrade().is_some_and(|other| other.is_open() && !Arc::ptr_eq(&other, file)));
        let oldest = (open.len() >= OPEN_FILES_MAX).then(|| {
            let files = open.iter().filter_map(Weak::upgrade);
            files.min_by_key(|other| other.used.load(Ordering::Relaxed))
        });
        open.push(Arc::downgrade(file));
        drop(open);
        if let Some(oldest) = oldest.flatten() {
            oldest.close();
        }
    }
}

/// A file by name, with a handle while it is used.
pub(crate) struct ReadFile {
    name: String,
    files: Arc<Files>,
    handle: RwLock<Option<Arc<dyn DiskFile>>>,
    used: AtomicU64,
}

impl ReadFile {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A handle, which stays open as long as the caller keeps it.
    pub(crate) fn handle(self: &Arc<Self>) -> io::Result<Arc<dyn DiskFile>> {
        self.used.store(self.files.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        if let Some(handle) = &*self.handle.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(handle.clone());
        }
        let handle = self.files.disk.open(&self.name)?;
        *self.handle.write().unwrap_or_else(PoisonError::into_inner) = Some(handle.clone());
        self.files.opened(self);
        Ok(handle)
    }

    fn is_open(&self) -> bool {
        self.handle.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn close(&self) {
        *self.handle.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDisk;

    #[test]
    fn many_files_are_read_with_few_handles() {
        let disk = SimDisk::new();
        let files = Files::new(Arc::new(disk.clone()));
        let all: Vec<_> = (0..OPEN_FILES_MAX * 2)
            .map(|number| {
                let name = format!("file-{number}");
                disk.tamper(&name, &[number as u8]);
                files.file(name)
            })
            .collect();
        for _ in 0..2 {
            for (number, file) in all.iter().enumerate() {
                let mut byte = [0];
                file.handle().expect("opens").read_at(&mut byte, 0).expect("reads");
                assert_eq!(byte, [number as u8]);
                assert!(files.open_count() <= OPEN_FILES_MAX);
            }
        }
        // The one used all the time stays open.
        for file in &all {
            all[0].handle().expect("opens");
            file.handle().expect("opens");
            assert!(all[0].is_open());
        }
    }
}
