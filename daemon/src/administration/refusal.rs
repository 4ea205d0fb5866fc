//! Why something about the mesh was not done, and what to do next.

use std::io;

use ipnet::IpNet;
use zonemesh_core::exit::error_line;
use zonemesh_core::finding;
use zonemesh_core::membership::{self, DraftError};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::ZoneName;

use crate::facts::ledger::NotPublished;

/// Why a change of the mesh was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the members of this mesh are written by hand; to manage it: zonemesh mesh init")]
    Unmanaged,
    #[error("this gateway belongs to the managed mesh {0} already")]
    Managed(MeshId),
    #[error("that is this gateway's own zone")]
    OwnZone,
    #[error("name at least one prefix that the zone will be granted")]
    NoPrefix,
    #[error("no tunnel address is free beside this gateway's: name one")]
    NoTunnelIp,
    #[error(
        "this gateway has no tunnel address to found a mesh with: set tunnel.addresses and restart"
    )]
    NoOwnTunnelIp,
    #[error(
        "this gateway has no gateway.endpoints, so that nobody could call it: set them and restart"
    )]
    NoEndpoint,
    #[error("zone {zone} cannot be granted {net}: it overlaps zone {owner}'s {theirs}")]
    Overlap { zone: ZoneName, net: IpNet, owner: ZoneName, theirs: IpNet },
    #[error("there are too many open invitations: wait until some have expired")]
    BookFull,
    #[error("zone {0} is not known in this mesh; see: zonemesh zone list")]
    UnknownZone(ZoneName),
    #[error(
        "zone {0} is granted with another key: revoke that first, or invite the zone, which changes it"
    )]
    OtherKey(ZoneName),
    #[error("zone {0} does not wait for approval; see: zonemesh zone list")]
    NotPending(ZoneName),
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error("the trust item was refused")]
    Rejected(#[from] membership::TrustRejected),
    #[error("the items are of no mesh that has granted this zone's key")]
    NotGranted,
    #[error("this would put out {}: their grants are not signed by the new authorities; draft the change anew: zonemesh authority", names(.0))]
    PutsOut(Vec<ZoneName>),
    #[error("item {0} is no trust item")]
    Item(usize, #[source] membership::ItemError),
    #[error("cannot write to the state folder")]
    Disk(#[from] io::Error),
    #[error("a key file cannot be used")]
    KeyFile(#[source] anyhow::Error),
    #[error(transparent)]
    Unpublished(#[from] NotPublished),
    #[error("the WireGuard key cannot be changed: {0}")]
    Key(String),
    #[error("no randomness from the kernel")]
    Randomness(#[from] getrandom::Error),
    #[error("{0}")]
    Join(String),
    #[error("{0}")]
    Invitation(String),
    #[error("{1}")]
    Unreached(finding::Code, String),
    #[error("the join service cannot listen: {0}")]
    Listen(String),
}

impl Refusal {
    /// What is the matter, where it names a trouble that has a page.
    pub(crate) fn finding(&self) -> finding::Code {
        use finding::Code;

        match self {
            Self::Overlap { .. } | Self::Draft(DraftError::Overlap(..)) => Code::GrantOverlaps,
            Self::Draft(DraftError::Reserved(..)) => Code::GrantReserved,
            Self::Item(..) | Self::Rejected(_) | Self::NotGranted | Self::Invitation(_) => {
                Code::Unusable
            }
            Self::Unreached(code, _) => *code,
            Self::Disk(_) | Self::KeyFile(_) | Self::Unpublished(NotPublished::Disk(_)) => {
                Code::FileUnusable
            }
            Self::Unpublished(NotPublished::Refused(_)) => Code::AnnouncementRefused,
            Self::Listen(_) => Code::JoinNotListening,
            _ => Code::ChangeRefused,
        }
    }

    /// The refusal and its causes in one line.
    pub(crate) fn to_line(&self) -> String {
        error_line(self)
    }
}

fn names(zones: &[ZoneName]) -> String {
    zones.iter().map(ZoneName::as_str).collect::<Vec<_>>().join(", ")
}
