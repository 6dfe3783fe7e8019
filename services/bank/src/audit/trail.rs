//! A digest over an account's movements. The fold keeps it instead of the events, and a statement must lead to the
//! same one: so every line is compared while memory holds one state per account.

use uuid::Uuid;

/// What moved, in the auditor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movement {
    /// The account was opened.
    Opened,
    /// Money came in.
    Deposited,
    /// Money went out.
    Withdrawn,
    /// Money was set aside for a transfer.
    Held,
    /// A transfer brought money.
    Credited,
    /// A transfer took what was set aside for it.
    Captured,
    /// A transfer gave back what was set aside for it.
    Released,
    /// The account was closed.
    Closed,
}

/// One step of an account's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step<'a> {
    /// The version after it.
    pub version: u64,
    /// When it was recorded.
    pub at: &'a str,
    /// What moved.
    pub movement: Movement,
    /// The balance after it, in minor units.
    pub balance: i128,
    /// The transfer that did it.
    pub transfer: Option<Uuid>,
}

/// Everything up to a version, in 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trail([u8; blake3::OUT_LEN]);

impl Movement {
    const ALL: [Self; 8] = [
        Self::Opened,
        Self::Deposited,
        Self::Withdrawn,
        Self::Held,
        Self::Credited,
        Self::Captured,
        Self::Released,
        Self::Closed,
    ];

    /// How an amount changes the balance: 1, −1, or 0 where it moves nothing.
    pub fn sign(self) -> i128 {
        match self {
            Self::Deposited | Self::Credited => 1,
            Self::Withdrawn | Self::Captured => -1,
            Self::Opened | Self::Held | Self::Released | Self::Closed => 0,
        }
    }

    /// Whether it is a step of a transfer.
    pub fn is_of_a_transfer(self) -> bool {
        matches!(self, Self::Held | Self::Credited | Self::Captured | Self::Released)
    }

    /// The word a statement uses.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Deposited => "deposited",
            Self::Withdrawn => "withdrawn",
            Self::Held => "held",
            Self::Credited => "credited",
            Self::Captured => "captured",
            Self::Released => "released",
            Self::Closed => "closed",
        }
    }

    /// Reads [`Movement::kind`].
    pub fn from_kind(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.kind() == kind)
    }
}

impl Trail {
    /// The trail with one more step.
    pub fn then(self, step: Step<'_>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(&step.version.to_le_bytes());
        hasher.update(step.movement.kind().as_bytes());
        hasher.update(&step.balance.to_le_bytes());
        hasher.update(&step.transfer.map_or([0; 16], Uuid::into_bytes));
        hasher.update(step.at.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }
}
