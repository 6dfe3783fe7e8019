//! Everything the engine asks of a disk, so that faults can be put in its place.

mod real;

use std::io;
use std::sync::Arc;

pub use real::StdDisk;

/// One directory of files. Names are plain: no separators.
///
/// What is written may be lost by a crash until it is synced: a file's bytes and length by
/// [`DiskFile::sync`], its name by [`Disk::sync_dir`].
pub trait Disk: Send + Sync + 'static {
    /// Makes an empty file, opened for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` when there is one of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file for reading and writing; each call gives a handle of its own.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in place of the file that had it.
    ///
    /// # Errors
    /// `NotFound` when there is no file `from`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Names of all files, in any order.
    ///
    /// # Errors
    /// Those of the medium.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes creations, renames and removals so far durable.
    ///
    /// # Errors
    /// Those of the medium.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the lock of that name, until what is returned is dropped or the process ends.
    ///
    /// # Errors
    /// `WouldBlock` when another has it.
    fn lock(&self, name: &str) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Reads at an offset; may read less than asked, and nothing at or beyond the end.
    ///
    /// # Errors
    /// Those of the medium.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes at an offset and extends the file as needed; may write less than asked.
    ///
    /// # Errors
    /// `StorageFull` when there is no space, else those of the medium.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Makes all bytes written so far, and the length, durable.
    ///
    /// # Errors
    /// Those of the medium; after one, nothing is known of what was written since the sync before.
    fn sync(&self) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// Those of the medium.
    fn len(&self) -> io::Result<u64>;

    /// Whether the length is zero.
    ///
    /// # Errors
    /// Those of the medium.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A write that failed after some of its bytes were written.
pub(crate) struct PartialWrite {
    pub(crate) written: usize,
    pub(crate) error: io::Error,
}

impl From<PartialWrite> for io::Error {
    fn from(partial: PartialWrite) -> Self {
        partial.error
    }
}

/// Writes all of `bytes`, over short writes and interruptions.
pub(crate) fn write_all(file: &dyn DiskFile, bytes: &[u8], offset: u64) -> Result<(), PartialWrite> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write_at(&bytes[written..], offset + written as u64) {
            Ok(0) => {
                let error = io::Error::from(io::ErrorKind::WriteZero);
                return Err(PartialWrite { written, error });
            }
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(PartialWrite { written, error }),
        }
    }
    Ok(())
}

/// Fills `buffer` as far as the file reaches, over short reads and interruptions; returns how far that is.
pub(crate) fn read_up_to(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// All bytes of a small file; `None` when there is none of that name.
pub(crate) fn read_file(disk: &dyn Disk, name: &str) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    let read = read_up_to(&*file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// Removes a file, if there is one of that name.
pub(crate) fn remove_if_there(disk: &dyn Disk, name: &str) -> io::Result<bool> {
    match disk.remove(name) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Ends the name of a file that is not in its place yet.
pub(crate) const TEMPORARY_SUFFIX: &str = ".new";

/// Puts a small file in place durably: after a crash it is there whole, or what was there before.
pub(crate) fn put_file(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}{TEMPORARY_SUFFIX}");
    remove_if_there(disk, &temporary)?;
    let file = disk.create(&temporary)?;
    write_all(&*file, bytes, 0)?;
    // Its bytes before its name: a renamed file must never be found empty.
    file.sync()?;
    disk.rename(&temporary, name)?;
    disk.sync_dir()
}
