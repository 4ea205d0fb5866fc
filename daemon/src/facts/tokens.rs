//! The tokens of VMs that this gateway keeps beside those of its configuration.
//!
//! They came with its invitation or founding bundle. Promises that who reads them sees each change at
//! once. Who changes them, and when they are on disk, is the administration's.

use std::sync::{Arc, PoisonError, RwLock};

use zonemesh_core::token::{KeptTokens, KnownToken};

/// The tokens that are kept; all clones see each change.
#[derive(Clone, Default)]
pub(crate) struct TokenBoard(Arc<RwLock<KeptTokens>>);

impl TokenBoard {
    pub(crate) fn new(kept: KeptTokens) -> Self {
        Self(Arc::new(RwLock::new(kept)))
    }

    /// All of them.
    pub(crate) fn kept(&self) -> KeptTokens {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The one that a VM has shown.
    pub(crate) fn of(&self, shown: &str) -> Option<KnownToken> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        kept.tokens.iter().find(|token| token.hash.is_of(shown)).cloned()
    }

    /// From now on these count.
    pub(crate) fn set(&self, kept: KeptTokens) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = kept;
    }
}
