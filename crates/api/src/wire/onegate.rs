//! What proves to OneGate which VM it is: read and written here only, and shown in no log.

use std::fmt;

use zeroize::Zeroizing;

use super::{WireError, WireProblem};
use crate::v1;

/// Longest number and token that are passed on; OneGate's have a few dozen characters.
const MAX: usize = 512;

/// A VM as OneGate knows it. Nothing is believed yet.
#[derive(Clone)]
pub struct OneGateIdentity {
    /// VMID.
    pub vm: String,
    /// TOKENTXT.
    pub token: Zeroizing<String>,
}

impl TryFrom<v1::OneGateProof> for OneGateIdentity {
    type Error = WireError;

    fn try_from(wire: v1::OneGateProof) -> Result<Self, WireError> {
        let token = Zeroizing::new(wire.token);
        for (field, text) in [("onegate.vm", &wire.vm), ("onegate.token", &*token)] {
            if text.is_empty() || text.len() > MAX {
                return Err(WireError::new(field, WireProblem::Missing));
            }
        }
        Ok(Self { vm: wire.vm, token })
    }
}

impl From<OneGateIdentity> for v1::OneGateProof {
    fn from(identity: OneGateIdentity) -> Self {
        Self { vm: identity.vm, token: identity.token.as_str().to_owned() }
    }
}

impl fmt::Debug for v1::OneGateProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneGateProof").field("vm", &self.vm).finish_non_exhaustive()
    }
}
