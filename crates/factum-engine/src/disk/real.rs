//! The operating system's files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile};

/// A directory of the operating system.
#[derive(Debug)]
pub struct StdDisk {
    directory: PathBuf,
    /// Files are opened for reading, nothing is changed.
    read_only: bool,
}

impl StdDisk {
    /// Opens a directory, and makes it durably when it is not there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(directory: &Path) -> io::Result<Self> {
        if !directory.is_dir() {
            fs::create_dir_all(directory)?;
            // The parents are synced too: a directory the crash forgot is a lost store.
            for parent in directory.ancestors().skip(1).filter(|parent| parent.is_dir()) {
                sync_directory(parent)?;
            }
        }
        Ok(StdDisk { directory: directory.to_owned(), read_only: false })
    }

    /// A directory of which files are only read: every change is refused with `PermissionDenied`. It need not be there
    /// yet, and may be on a medium that cannot be written.
    ///
    /// Its locks are taken without writing as well: where there is no file of that name, nobody has the lock, and none
    /// is taken.
    #[must_use]
    pub fn read_only(directory: &Path) -> Self {
        StdDisk { directory: directory.to_owned(), read_only: true }
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.read_only { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        assert!(!name.contains(['/', '\0']) && name != "..", "a plain file name: {name:?}");
        self.directory.join(name)
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    OpenOptions::new().read(true).open(directory)?.sync_all()
}

impl Disk for StdDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.check_writable()?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.path(name))?;
        Ok(Arc::new(StdFile { file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(!self.read_only).open(self.path(name))?;
        Ok(Arc::new(StdFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        fs::remove_file(self.path(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.check_writable()?;
        sync_directory(&self.directory)
    }

    fn lock(&self, name: &str) -> io::Result<Box<dyn Send + Sync>> {
        let mut options = OpenOptions::new();
        options.read(true).write(!self.read_only).create(!self.read_only).truncate(false);
        let file = match options.open(self.path(name)) {
            Err(error) if self.read_only && error.kind() == io::ErrorKind::NotFound => return Ok(Box::new(())),
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => Ok(Box::new(Held(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// A lock that is held.
struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // Closing the file would do, were it not for a child process that is being started: until it is, it has the
        // file open too, and the lock with it.
        let _closing_does_it_later = self.0.unlock();
    }
}

struct StdFile {
    file: File,
}

impl DiskFile for StdFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}
