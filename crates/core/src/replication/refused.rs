//! Why a stream between two gateways is closed.

use crate::name::ZoneName;
use crate::record::ProtocolRange;
use crate::registry::RecordRejected;

use super::MeshId;

/// Why a stream must be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamRefused {
    /// The neighbour belongs to another mesh.
    #[error("the neighbour belongs to mesh {theirs}, this gateway to mesh {ours}")]
    Mesh {
        /// This gateway's mesh.
        ours: MeshId,
        /// The neighbour's.
        theirs: MeshId,
    },
    /// The neighbour says that it is another zone than its certificate does.
    #[error("the neighbour says that it is zone {said}, its certificate is of zone {certified}")]
    Zone {
        /// The zone of its certificate.
        certified: ZoneName,
        /// The zone that it says.
        said: ZoneName,
    },
    /// No protocol version that both speak.
    #[error(
        "the neighbour speaks protocol {}-{}, this gateway {}-{}: update the older one",
        theirs.min, theirs.max, ours.min, ours.max
    )]
    Protocol {
        /// What this gateway speaks.
        ours: ProtocolRange,
        /// What the neighbour speaks.
        theirs: ProtocolRange,
    },
    /// Something else came before Hello.
    #[error("the neighbour did not say hello first")]
    NoHello,
    /// Hello came again.
    #[error("the neighbour said hello twice")]
    SecondHello,
}

impl StreamRefused {
    /// The name under which it is counted.
    #[must_use]
    pub fn reason(&self) -> RecordRejected {
        match self {
            Self::Mesh { .. } => RecordRejected::OtherMesh,
            Self::Zone { .. } => RecordRejected::OtherZone,
            Self::Protocol { .. } => RecordRejected::NoCommonProtocol,
            Self::NoHello | Self::SecondHello => RecordRejected::OutOfTurn,
        }
    }
}
