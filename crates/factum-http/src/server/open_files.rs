//! How many files and connections the system lets this process have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many open files as a service with full surfaces has use for.
const OPEN_FILES_WANTED: u64 = 16_384;

/// The part of the open files that the connections of one surface may take: two surfaces and their stores share them.
const SHARE: u64 = 4;

/// Raises the number of files this process may have open to what a service has use for, as far as the system allows
/// it. For `main`: many systems start programs with room for few, and let them ask for more.
pub fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(OPEN_FILES_WANTED, |maximum| maximum.min(OPEN_FILES_WANTED));
    if current.is_some_and(|current| current < wanted) {
        // What the system refuses stays as it is: connections are bounded by what there is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

/// The most connections of one listener that leave files for everything else.
pub(super) fn connections_max(asked: usize) -> usize {
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let share = usize::try_from(current / SHARE).unwrap_or(usize::MAX).max(1);
    if share < asked {
        tracing::info!(share, asked, open_files = current, "fewer connections than asked for: few files may be open");
    }
    asked.min(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_everything_else() {
        raise_open_files();
        let open_files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert_eq!(connections_max(1), 1);
        assert!(connections_max(usize::MAX) as u64 <= open_files / SHARE);
    }
}
