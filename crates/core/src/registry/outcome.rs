//! What can become of a record that is offered to the registry: closed lists, each counted.
//!
//! Names are stable: they stand in metrics, in `zonemesh registry list` and in logs.

use crate::gateway::GatewayId;
use crate::member::OutOfBounds;

/// A record that changed nothing bad, and what it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordAccepted {
    /// It is held from now on.
    Stored(GatewayId),
    /// It was held already.
    Known,
    /// It is this gateway's own, of a version that this gateway does not remember: ask
    /// [`super::Registry::poll_republish`].
    OwnSurpassed,
}

impl RecordAccepted {
    pub(super) const NAMES: [&'static str; 3] = ["stored", "known", "own_surpassed"];

    /// The stable name.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        Self::NAMES[self.index()]
    }

    pub(super) fn index(&self) -> usize {
        match self {
            Self::Stored(_) => 0,
            Self::Known => 1,
            Self::OwnSurpassed => 2,
        }
    }
}

/// Why a record, or a stream of records, is refused. In the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum RecordRejected {
    /// A stream of a neighbour that belongs to another mesh.
    #[error("a stream of another mesh")]
    OtherMesh,
    /// A stream of a neighbour that says it is another zone than its certificate does.
    #[error("a stream in another zone's name")]
    OtherZone,
    /// A stream of a neighbour that shares no version of the protocol, or a record of such a gateway.
    #[error("a stream or record without a common version of the protocol: update its gateway")]
    NoCommonProtocol,
    /// A stream that does not begin with a hello, or has two.
    #[error("a stream whose hello is out of turn")]
    OutOfTurn,
    /// More than 64 KiB, or more in a list than others follow.
    #[error("larger than 65536 bytes, or with more in a list than a record may have")]
    TooLarge,
    /// Not a valid record; [`crate::record::SignedRecord::decode`] says why.
    #[error("not a valid zone record")]
    Malformed,
    /// Of a zone that is no member.
    #[error("its zone is no member of this mesh")]
    UnknownZone,
    /// Of a zone whose key was revoked.
    #[error("its zone's key was revoked")]
    RevokedZone,
    /// Not signed by a gateway that its zone's key has certified.
    #[error("not signed by a gateway that its zone's key has certified")]
    BadSignature,
    /// Announces a prefix that its zone may not announce.
    #[error("announces a prefix outside its zone's")]
    ForeignPrefix,
    /// Uses a tunnel IP that its zone may not use.
    #[error("uses a tunnel IP outside its zone's")]
    ForeignTunnelIp,
    /// Names a SuperLink address that is not its zone's.
    #[error("names a SuperLink address outside its zone's")]
    ForeignSuperLinkAddress,
    /// Of one gateway more than a zone may have.
    #[error("its zone has newer records of as many other gateways as a zone may have")]
    TooManyGateways,
    /// Older than what is held.
    #[error("older than the record that is held")]
    Outdated,
    /// Same version as what is held, other bytes, higher hash: its writer was cloned.
    #[error("same version as the record that is held but other bytes: a cloned gateway")]
    CloneRefused,
}

impl RecordRejected {
    /// All reasons, in the order of the checks.
    pub const ALL: [Self; 15] = [
        Self::OtherMesh,
        Self::OtherZone,
        Self::NoCommonProtocol,
        Self::OutOfTurn,
        Self::TooLarge,
        Self::Malformed,
        Self::UnknownZone,
        Self::RevokedZone,
        Self::BadSignature,
        Self::ForeignPrefix,
        Self::ForeignTunnelIp,
        Self::ForeignSuperLinkAddress,
        Self::TooManyGateways,
        Self::Outdated,
        Self::CloneRefused,
    ];

    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherMesh => "other_mesh",
            Self::OtherZone => "other_zone",
            Self::NoCommonProtocol => "no_common_protocol",
            Self::OutOfTurn => "out_of_turn",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::UnknownZone => "unknown_zone",
            Self::RevokedZone => "revoked_zone",
            Self::BadSignature => "bad_signature",
            Self::ForeignPrefix => "foreign_prefix",
            Self::ForeignTunnelIp => "foreign_tunnel_ip",
            Self::ForeignSuperLinkAddress => "foreign_superlink_address",
            Self::TooManyGateways => "too_many_gateways",
            Self::Outdated => "outdated",
            Self::CloneRefused => "clone_refused",
        }
    }

    /// True if an honest zone and an honest neighbour never cause it: worth a warning.
    #[must_use]
    pub fn is_suspicious(self) -> bool {
        !matches!(self, Self::Outdated | Self::RevokedZone | Self::NoCommonProtocol)
    }
}

impl From<OutOfBounds> for RecordRejected {
    fn from(claim: OutOfBounds) -> Self {
        match claim {
            OutOfBounds::Prefix(_) => Self::ForeignPrefix,
            OutOfBounds::TunnelIp(_) => Self::ForeignTunnelIp,
            OutOfBounds::SuperLinkAddress(_) => Self::ForeignSuperLinkAddress,
        }
    }
}

/// How often each outcome has happened.
#[derive(Debug, Clone, Default)]
pub struct RecordCounters {
    accepted: [u64; RecordAccepted::NAMES.len()],
    rejected: [u64; RecordRejected::ALL.len()],
    clone_alarms: u64,
}

impl RecordCounters {
    pub(super) fn count(&mut self, outcome: &Result<RecordAccepted, RecordRejected>) {
        match outcome {
            Ok(accepted) => self.accepted[accepted.index()] += 1,
            Err(reason) => self.rejected[*reason as usize] += 1,
        }
    }

    pub(super) fn alarm_clone(&mut self) {
        self.clone_alarms += 1;
    }

    /// Records taken, by outcome.
    pub fn accepted(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RecordAccepted::NAMES.into_iter().zip(self.accepted)
    }

    /// Records and streams refused, by reason.
    pub fn rejected(&self) -> impl Iterator<Item = (RecordRejected, u64)> {
        RecordRejected::ALL.into_iter().zip(self.rejected)
    }

    /// How often two different records of one zone had the same version: a cloned gateway.
    #[must_use]
    pub fn clone_alarms(&self) -> u64 {
        self.clone_alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_under_its_own_name() {
        let mut counters = RecordCounters::default();
        for (index, reason) in RecordRejected::ALL.into_iter().enumerate() {
            for _ in 0..=index {
                counters.count(&Err(reason));
            }
        }
        for (index, (reason, count)) in counters.rejected().enumerate() {
            assert_eq!((reason, count), (RecordRejected::ALL[index], index as u64 + 1));
        }
        let names: std::collections::BTreeSet<_> =
            RecordRejected::ALL.map(RecordRejected::as_str).into();
        assert_eq!(names.len(), RecordRejected::ALL.len());
    }
}
