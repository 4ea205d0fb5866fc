//! Why something about the mesh was not done, and what to do next.

use std::net::IpAddr;
use std::{fmt, io};

use ipnet::IpNet;
use zonemesh_core::exit::error_line;
use zonemesh_core::finding;
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::membership::{self, DraftError, MAX_CLAIMS};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::ZoneName;
use zonemesh_core::token::MAX_KNOWN;

use crate::facts::ledger::NotPublished;

/// Why a change of the mesh was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the members of this mesh are written by hand; to manage it: zonemesh mesh init")]
    Unmanaged,
    #[error("this gateway belongs to the managed mesh {0} already")]
    Managed(MeshId),
    #[error("this zone's key was revoked: the others take nothing from it any more")]
    Revoked,
    #[error("no other zone belongs to this mesh: nobody could let this one in again")]
    LastMember,
    #[error("that is this gateway's own zone")]
    OwnZone,
    #[error(
        "this gateway is zone {own}'s, and can take no other zone ({asked}) out of the mesh: see zonemesh zone revoke"
    )]
    OtherZone { asked: ZoneName, own: ZoneName },
    #[error("name at least one prefix that the zone will be granted")]
    NoPrefix,
    #[error("no tunnel address is free beside this gateway's: name one")]
    NoTunnelIp,
    #[error(
        "this gateway has no tunnel address to found a mesh with: set tunnel.addresses and `zonemesh reload`"
    )]
    NoOwnTunnelIp,
    #[error(
        "this gateway has no gateway.endpoints, so that nobody could call it: set them and `zonemesh reload`"
    )]
    NoEndpoint,
    #[error("zone {zone} cannot be granted {net}: it overlaps zone {owner}'s {theirs}, which {by}")]
    Overlap { zone: ZoneName, net: IpNet, owner: ZoneName, theirs: IpNet, by: PromisedBy },
    #[error(
        "zone {zone} cannot be granted {net}: it holds {address}, at which this gateway is called from outside, and would not be routed here"
    )]
    HoldsOuter { zone: ZoneName, net: IpNet, address: IpAddr },
    #[error("there are too many open invitations: wait until some have expired")]
    BookFull,
    #[error("a zone is invited with at most {MAX_CLAIMS} federations and {MAX_KNOWN} tokens")]
    TooMuch,
    #[error("zone {0} is not known in this mesh; see: zonemesh zone list")]
    UnknownZone(ZoneName),
    #[error(
        "zone {0} is granted with another key: revoke that first, or invite the zone, which changes it"
    )]
    OtherKey(ZoneName),
    #[error("zone {0} does not wait for approval; see: zonemesh zone list")]
    NotPending(ZoneName),
    #[error(
        "zone {zone} is granted with {granted}, and {joiner} has used an invitation of it: approving that revokes {granted} for ever"
    )]
    HeldByOther { zone: ZoneName, joiner: ZonePublicKey, granted: ZonePublicKey },
    #[error("{1} was granted or revoked as zone {0} before, and is no member: it does not wait")]
    PutOut(ZoneName, ZonePublicKey),
    #[error(transparent)]
    Draft(#[from] DraftError),
    #[error("the trust item was refused")]
    Rejected(#[from] membership::TrustRejected),
    #[error("the items are of no mesh that has granted this zone's key")]
    NotGranted,
    #[error("this authority set cannot be followed")]
    Pin(#[from] membership::PinError),
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
    /// What was given is not what was asked for; with what to do about that.
    #[error("{0}")]
    Given(String, &'static str),
    #[error("{1}")]
    Unreached(finding::Code, String),
    #[error("the join service cannot listen: {0}")]
    Listen(String),
}

/// What promises addresses to a zone that are not granted to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PromisedBy {
    /// The configuration.
    Section,
    /// An open invitation.
    Invitation,
}

impl fmt::Display for PromisedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Section => "its [[peer]] section in the configuration here names",
            Self::Invitation => "an invitation of it that is open still promises",
        })
    }
}

impl Refusal {
    /// What is the matter, where it names a trouble that has a page.
    pub(crate) fn finding(&self) -> finding::Code {
        use finding::Code;

        match self {
            Self::Overlap { .. } | Self::Draft(DraftError::Overlap(..)) => Code::GrantOverlaps,
            Self::HoldsOuter { .. } => Code::OuterAddressCovered,
            Self::Draft(DraftError::Reserved(..)) => Code::GrantReserved,
            Self::Item(..)
            | Self::Rejected(_)
            | Self::NotGranted
            | Self::Invitation(_)
            | Self::Given(..) => Code::Unusable,
            Self::Unreached(code, _) => *code,
            Self::Disk(_) | Self::KeyFile(_) | Self::Unpublished(NotPublished::Disk(_)) => {
                Code::FileUnusable
            }
            Self::Unpublished(NotPublished::Refused(_)) => Code::AnnouncementRefused,
            Self::Listen(_) => Code::JoinNotListening,
            _ => Code::ChangeRefused,
        }
    }

    /// What to do about it: a command to type, or what to look at.
    pub(crate) fn next(&self) -> &'static str {
        match self {
            Self::Unmanaged => "zonemesh mesh init, or edit [[peer]] in the configuration",
            Self::Revoked => {
                "zonemesh status says by whom; zonemesh zone join with a new invitation"
            }
            Self::LastMember => {
                "nothing: it talks to nobody; another mesh takes an empty gateway.state_dir"
            }
            Self::OwnZone => "zonemesh zone leave, or the same at another gateway",
            Self::OtherZone { .. } => "zonemesh zone revoke, or zonemesh zone leave at its gateway",
            Self::NoPrefix => "zonemesh zone invite NAME --prefix PREFIX --out FILE",
            Self::TooMuch => "say the same with fewer --federation or --token-hash",
            Self::NoTunnelIp => "zonemesh zone invite NAME --tunnel-ip IP and the rest as before",
            Self::NoEndpoint => "set gateway.endpoints, then zonemesh reload",
            Self::Overlap { by: PromisedBy::Section, .. } => {
                "say the same with other --prefix or --tunnel-ip; or, if that zone is out, take its [[peer]] section out of the configuration here, then zonemesh reload"
            }
            Self::Overlap { by: PromisedBy::Invitation, .. } => {
                "say the same with other --prefix or --tunnel-ip; or invite that zone anew with others, or wait until its invitation has expired"
            }
            Self::HoldsOuter { .. } => {
                "say the same with the zone's own networks, and a tunnel address that no gateway has outside"
            }
            Self::Draft(error) => next_of_draft(error),
            Self::Item(..) | Self::Rejected(_) => "zonemesh trust show FILE",
            Self::NotGranted => {
                "zonemesh status shows this zone's key: ask an authority to grant it"
            }
            Self::Pin(_) => "zonemesh authority list; zonemesh authority pin SET --file FILE",
            Self::Disk(_) | Self::Unpublished(NotPublished::Disk(_)) => {
                "df -h; df -i; findmnt -T, for the gateway's state folder; then try again"
            }
            Self::KeyFile(_) => "check the file that is named: its owner, its mode and its content",
            Self::Unpublished(NotPublished::Left) => "zonemesh zone join FILE, a new invitation",
            Self::Unpublished(NotPublished::Refused(_)) => "zonemesh config check",
            Self::Key(_) => "zonemesh key rotate --show",
            Self::Randomness(_) => "try again",
            Self::Join(_) => "zonemesh status, then zonemesh zone join again",
            Self::NoOwnTunnelIp => "set tunnel.addresses, then zonemesh reload",
            Self::HeldByOther { .. } => {
                "zonemesh zone approve NAME --confirm NAME, if its gateway was made anew by you"
            }
            Self::PutOut(..) => {
                "zonemesh zone grant NAME --zone-key KEY --prefix PREFIX takes it back"
            }
            Self::OtherKey(_) => "zonemesh zone revoke NAME, or zonemesh zone invite NAME",
            Self::Invitation(_) => {
                "zonemesh zone invite, at a gateway of the mesh: a new invitation"
            }
            Self::Given(_, next) => next,
            Self::Unreached(..) => "zonemesh peers",
            Self::Listen(_) => "ss -ltnp shows who has the port; free it, or set join.listen",
            Self::Managed(_) | Self::BookFull | Self::UnknownZone(_) | Self::NotPending(_) => {
                "zonemesh zone list"
            }
        }
    }

    /// The refusal and its causes in one line.
    pub(crate) fn to_line(&self) -> String {
        error_line(self)
    }
}

fn next_of_draft(error: &DraftError) -> &'static str {
    match error {
        DraftError::UnknownAuthority(_)
        | DraftError::KnownAuthority(_)
        | DraftError::SameAuthorities
        | DraftError::LastAuthority
        | DraftError::TooFewLeft { .. }
        | DraftError::Authorities(..) => "zonemesh authority list",
        DraftError::RevokedKey(_) => "zonemesh key generate zone, at that zone's gateway",
        DraftError::HostBits(_) | DraftError::Reserved(..) => {
            "say the same with the zone's own subnets"
        }
        _ => "zonemesh zone list",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do_about_themselves_and_not_the_same_for_all() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let [one, other] = ["berlin", "madrid"].map(|zone| zone.parse::<ZoneName>().unwrap());
        let net: IpNet = "10.10.9.0/24".parse().unwrap();
        let overlap = |by| {
            let (zone, owner) = (one.clone(), other.clone());
            Refusal::Overlap { zone, net, owner, theirs: net, by }
        };
        let refusals = [
            Refusal::Unmanaged,
            Refusal::Revoked,
            Refusal::LastMember,
            Refusal::OwnZone,
            Refusal::OtherZone { asked: one.clone(), own: other.clone() },
            Refusal::NoPrefix,
            Refusal::NoTunnelIp,
            Refusal::NoEndpoint,
            overlap(PromisedBy::Section),
            overlap(PromisedBy::Invitation),
            Refusal::HoldsOuter { zone: one.clone(), net, address: net.addr() },
            Refusal::UnknownZone(one),
            Refusal::Draft(DraftError::LastAuthority),
            Refusal::NotGranted,
            Refusal::Disk(full()),
            Refusal::Unpublished(NotPublished::Left),
            Refusal::Key("no other one".to_owned()),
            Refusal::Listen("taken".to_owned()),
        ];
        let steps: std::collections::BTreeSet<_> = refusals.iter().map(Refusal::next).collect();
        assert_eq!(steps.len(), refusals.len(), "{steps:?}");
        assert!(steps.iter().all(|step| step.is_ascii() && !step.contains('\n')));
        assert_eq!(Refusal::Unpublished(full().into()).next(), Refusal::Disk(full()).next());
    }
}
