//! What is fuzzed.

use crate::run::MEMORY_BASE_BYTES_MAX;

type Mend = Box<dyn Fn(&mut Vec<u8>) + Send + Sync>;
type Decode = Box<dyn Fn(&[u8]) -> String + Send + Sync>;

/// One decoder.
pub struct Target {
    pub(crate) name: &'static str,
    pub(crate) seeds: Vec<Vec<u8>>,
    pub(crate) words: &'static [&'static str],
    pub(crate) mend: Option<Mend>,
    pub(crate) decode: Decode,
    pub(crate) costly: bool,
    pub(crate) memory_bytes_max: u64,
}

impl Target {
    /// A decoder under a name, which is that of its folder in the corpus; valid inputs; and the call that decodes one,
    /// checks what came out, panics if it is wrong, and says in a few words how it ended.
    pub fn new(
        name: &'static str,
        seeds: impl IntoIterator<Item = Vec<u8>>,
        decode: impl Fn(&[u8]) -> String + Send + Sync + 'static,
    ) -> Self {
        let seeds: Vec<_> = seeds.into_iter().collect();
        assert!(!seeds.is_empty(), "{name} needs a valid input to begin with");
        Target {
            name,
            seeds,
            words: &[],
            mend: None,
            decode: Box::new(decode),
            costly: false,
            memory_bytes_max: MEMORY_BASE_BYTES_MAX,
        }
    }

    /// Pieces of its language, to be put in.
    #[must_use]
    pub fn words(mut self, words: &'static [&'static str]) -> Self {
        self.words = words;
        self
    }

    /// Makes the checksums of an input fit again, so that what stands behind them is reached. Done to half of the inputs.
    #[must_use]
    pub fn mend(mut self, mend: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) -> Self {
        self.mend = Some(Box::new(mend));
        self
    }

    /// It may hold so many bytes whatever its input, in place of [`MEMORY_BASE_BYTES_MAX`]: there is more to it than the
    /// input.
    #[must_use]
    pub fn holding(mut self, bytes: u64) -> Self {
        self.memory_bytes_max = bytes;
        self
    }

    /// An execution costs much more than those of other targets: it gets a hundredth of theirs, beside them.
    #[must_use]
    pub fn costly(mut self) -> Self {
        self.costly = true;
        self
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("name", &self.name).finish_non_exhaustive()
    }
}
