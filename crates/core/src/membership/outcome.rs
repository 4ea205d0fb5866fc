//! What can become of a trust item that is offered: closed lists, each counted.
//!
//! Names are stable: they stand in metrics and in logs.

use std::collections::BTreeSet;

use super::item::{ContentId, ItemId};
use super::restore::StoredHead;
use super::signed::SignedTrustItem;

/// An item that is held from now on, or was held already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustAccepted {
    /// It is held from now on.
    Stored(ItemId),
    /// It was held already.
    Known,
}

/// What offering items would do, for the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustPreview {
    /// Items that would be held.
    pub kept: Vec<SignedTrustItem>,
    /// The set that would be followed, if it is another one.
    pub head: Option<StoredHead>,
    /// What would be held no more.
    pub dropped: BTreeSet<ContentId>,
}

/// Why a trust item is refused. In the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TrustRejected {
    /// This mesh has no authorities: its members are written by hand.
    #[error("this mesh has no authorities, its members are written by hand")]
    Unmanaged,
    /// More than 8 KiB, or more than 16 signatures.
    #[error("larger than 8192 bytes or more than 16 signatures")]
    TooLarge,
    /// Not a valid item; [`super::SignedTrustItem::decode`] says why.
    #[error("not a valid trust item")]
    Malformed,
    /// Of another mesh.
    #[error("of another mesh")]
    OtherMesh,
    /// An authority set whose predecessor is not held (yet).
    #[error("the authority set before it is not known")]
    UnknownPredecessor,
    /// It counts for nothing under the authority set that is followed: not signed by as many of its keys
    /// as it takes, naming a set that was left, or not listed.
    #[error("not signed by the mesh's authorities, or no more")]
    NotAuthorised,
    /// An authority set that nobody has signed: only whom an operator has told by a pin follows it.
    #[error("an authority set that nobody has signed: only a pin follows it")]
    Unsigned,
    /// Two changes of the authority set that it changes are known already.
    #[error("two changes of the same authority set are known already: pin one")]
    Contradicted,
    /// No room: a key never signs that many items, unless it was stolen.
    #[error("no room for more trust items")]
    Full,
}

impl TrustRejected {
    /// All reasons, in the order of the checks.
    pub const ALL: [Self; 9] = [
        Self::Unmanaged,
        Self::TooLarge,
        Self::Malformed,
        Self::OtherMesh,
        Self::UnknownPredecessor,
        Self::NotAuthorised,
        Self::Unsigned,
        Self::Contradicted,
        Self::Full,
    ];

    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unmanaged => "unmanaged",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::OtherMesh => "other_mesh",
            Self::UnknownPredecessor => "unknown_predecessor",
            Self::NotAuthorised => "not_authorised",
            Self::Unsigned => "unsigned",
            Self::Contradicted => "contradicted",
            Self::Full => "full",
        }
    }

    /// True if an honest neighbour never causes it: worth a warning.
    #[must_use]
    pub fn is_suspicious(self) -> bool {
        !matches!(self, Self::UnknownPredecessor | Self::Unsigned | Self::Contradicted)
    }

    /// True if signatures that are still missing may change that.
    #[must_use]
    pub fn awaits_signatures(self) -> bool {
        matches!(self, Self::NotAuthorised | Self::Unsigned)
    }

    /// The reason of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// How often each outcome has happened.
#[derive(Debug, Clone, Default)]
pub struct TrustCounters {
    stored: u64,
    known: u64,
    rejected: [u64; TrustRejected::ALL.len()],
}

impl TrustCounters {
    pub(super) fn count(&mut self, outcome: &Result<TrustAccepted, TrustRejected>) {
        match outcome {
            Ok(TrustAccepted::Stored(_)) => self.stored += 1,
            Ok(TrustAccepted::Known) => self.known += 1,
            Err(reason) => self.rejected[*reason as usize] += 1,
        }
    }

    /// Items taken, by outcome.
    pub fn accepted(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [("stored", self.stored), ("known", self.known)].into_iter()
    }

    /// Items refused, by reason.
    pub fn rejected(&self) -> impl Iterator<Item = (TrustRejected, u64)> {
        TrustRejected::ALL.into_iter().zip(self.rejected)
    }
}
