//! What an invitation or a founding bundle says about the zone of this gateway.
//!
//! It promises that what was given in the place of another thing is told apart, and that no error
//! repeats a part of the value. It refuses to know whether what it says still holds: the daemon
//! does.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use zeroize::Zeroizing;
use zonemesh_core::founding::{FoundingBundle, FoundingBundleError, PlannedZone};
use zonemesh_core::invitation::{Invitation, InvitationError};
use zonemesh_core::membership::FederationRight;
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::offered::OfferedText;
use zonemesh_core::time::UnixMillis;

/// The zone as it was planned by whoever gave this VM the value.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct GivenZone {
    pub(crate) zone: ZoneName,
    pub(crate) prefixes: Vec<IpNet>,
    /// The addresses of its gateway inside the mesh.
    pub(crate) tunnel_ips: Vec<IpAddr>,
    /// The federations whose SuperLink it may have.
    pub(crate) hosts: Vec<FederationName>,
    pub(crate) way: WayIn,
}

/// How the zone becomes a member of the mesh.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum WayIn {
    /// Its gateway founds the mesh.
    Founding {
        bundle: Zeroizing<String>,
        /// When the last of the invitations expires that were made with it.
        invitations_until: Option<UnixMillis>,
    },
    /// Its gateway is let in.
    Joining { invitation: Zeroizing<String>, mesh: MeshId, inviter: ZoneName },
}

impl fmt::Debug for GivenZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GivenZone").field("zone", &self.zone).finish_non_exhaustive()
    }
}

/// Why a value gives no zone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GivenError {
    /// Cut off, damaged or of a newer form.
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    /// The same of a bundle.
    #[error(transparent)]
    Founding(#[from] FoundingBundleError),
    /// Something else.
    #[error("it is {}, and neither an invitation nor a founding bundle{}", .0.words(), elsewhere(*.0))]
    Other(OfferedText),
}

fn elsewhere(other: OfferedText) -> &'static str {
    match other {
        OfferedText::Token => ": a token belongs to ONEAPP_ZONEMESH_TOKEN of a Flower VM",
        OfferedText::Configuration => ": give it as ONEAPP_ZONEMESH_CONFIG",
        OfferedText::Context => ": take only what stands between the quotes",
        _ => "",
    }
}

impl GivenZone {
    /// Reads the value.
    pub(crate) fn parse(text: &str) -> Result<Self, GivenError> {
        match OfferedText::of(text) {
            OfferedText::Invitation => Ok(Self::invited(Invitation::from_text(text)?, text)),
            OfferedText::FoundingBundle => {
                Ok(Self::founding(FoundingBundle::from_text(text)?, text))
            }
            other => Err(GivenError::Other(other)),
        }
    }

    /// The command that invites this zone once more: with the grants and the tokens of VMs that it
    /// came with, without which its VMs would find a gateway that does not know them.
    pub(crate) fn invited_anew(&self) -> String {
        let prefixes: String = self.prefixes.iter().map(|net| format!(" --prefix {net}")).collect();
        let invitation = match &self.way {
            // It was read before.
            WayIn::Joining { invitation, .. } => Invitation::from_text(invitation).ok(),
            WayIn::Founding { .. } => None,
        };
        let granted = invitation.as_ref().map(granted_again).unwrap_or_default();
        format!("zonemesh zone invite {}{prefixes}{granted} --out FILE", self.zone)
    }

    fn invited(invitation: Invitation, text: &str) -> Self {
        Self {
            zone: invitation.zone,
            prefixes: invitation.prefixes,
            tunnel_ips: invitation.tunnel_ips,
            hosts: hosts(&invitation.federations),
            way: WayIn::Joining {
                invitation: Zeroizing::new(text.to_owned()),
                mesh: invitation.mesh,
                inviter: invitation.inviter.zone,
            },
        }
    }

    fn founding(bundle: FoundingBundle, text: &str) -> Self {
        let until = bundle.invitations.iter().map(|issued| issued.expires_at).max();
        let PlannedZone { zone, prefixes, tunnel_ips, federations, .. } = bundle.founder;
        let bundle = Zeroizing::new(text.to_owned());
        let way = WayIn::Founding { bundle, invitations_until: until };
        Self { zone, prefixes, tunnel_ips, hosts: hosts(&federations), way }
    }
}

/// Hashes of tokens are no secrets: `zonemesh token list` shows them.
fn granted_again(invitation: &Invitation) -> String {
    let rights = invitation.federations.iter().map(|right| format!(" --federation {right}"));
    let tokens = invitation.tokens.iter().map(|token| format!(" --token-hash {token}"));
    rights.chain(tokens).collect()
}

fn hosts(rights: &[FederationRight]) -> Vec<FederationName> {
    rights.iter().filter(|right| right.host).map(|right| right.federation.clone()).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use zonemesh_core::founding::{FoundingPlan, InvitedZone, first_set};
    use zonemesh_core::invitation::{InvitationId, InvitationSecret};
    use zonemesh_core::membership::AuthorityIdentity;

    use super::*;

    const TOKEN: &str = "supernode:health-eu=\
         zmt1:a3b724399bf6bec1f14147bd0ba8be8b8888eb0113f956445a76237154dc246b";

    fn planned(zone: &str, prefixes: &[&str], ip: &str, federation: &str) -> PlannedZone {
        PlannedZone {
            zone: zone.parse().unwrap(),
            prefixes: prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect(),
            tunnel_ips: vec![ip.parse::<IpAddr>().unwrap()],
            federations: vec![federation.parse().unwrap()],
            tokens: Vec::new(),
        }
    }

    /// The bundle of berlin, and the invitation of madrid, with these prefixes.
    pub(crate) fn made(berlin: &[&str], madrid: &[&str]) -> [String; 2] {
        let key = AuthorityIdentity::from_seed(&[9; 32]);
        let owner = AuthorityIdentity::from_seed(&[8; 32]).public_key();
        let first = first_set([owner].into(), key.public_key(), UnixMillis(1)).unwrap();
        let plan = FoundingPlan {
            founder: planned("berlin", berlin, "10.255.0.1", "health-eu=host"),
            join_endpoints: vec!["203.0.113.1:51823".to_owned()],
            others: vec![InvitedZone {
                planned: PlannedZone {
                    tokens: vec![TOKEN.parse().unwrap()],
                    ..planned("madrid", madrid, "10.255.0.2", "health-eu=train")
                },
                id: InvitationId([1; 16]),
                secret: InvitationSecret::from_bytes([2; 16]),
            }],
            expires_at: UnixMillis(7),
        };
        let made = plan.found(first, key).unwrap();
        [made.bundle.to_text(), made.invitations[0].to_text()].map(|text| text.to_string())
    }

    #[test]
    fn both_kinds_give_the_zone_and_how_it_becomes_a_member() {
        let [bundle, invitation] = made(&["10.10.10.0/24"], &["10.10.11.0/24", "fd00:11::/64"]);
        let berlin = GivenZone::parse(&bundle).unwrap();
        assert_eq!(berlin.zone.as_str(), "berlin");
        assert_eq!(
            berlin.hosts.iter().map(FederationName::as_str).collect::<Vec<_>>(),
            ["health-eu"]
        );
        assert!(matches!(
            berlin.way,
            WayIn::Founding { invitations_until: Some(UnixMillis(7)), .. }
        ));
        let madrid = GivenZone::parse(&invitation).unwrap();
        assert_eq!(
            (madrid.zone.as_str(), madrid.hosts.len(), madrid.prefixes.len()),
            ("madrid", 0, 2)
        );
        assert!(
            matches!(&madrid.way, WayIn::Joining { inviter, .. } if inviter.as_str() == "berlin")
        );
    }

    #[test]
    fn something_else_and_what_was_cut_is_told_without_a_part_of_it() {
        let [bundle, invitation] = made(&["10.10.10.0/24"], &["10.10.11.0/24"]);
        let told = |text: &str| GivenZone::parse(text).unwrap_err().to_string();
        for text in [&bundle[..bundle.len() - 9], &invitation[..invitation.len() - 8]] {
            let told = told(text);
            assert!(told.contains("copied whole"), "{told}");
        }
        for (text, words) in [
            ("zmt1.key:hunter2.hunter2", "ONEAPP_ZONEMESH_TOKEN"),
            ("[zone]\nname = \"hunter2\"", "ONEAPP_ZONEMESH_CONFIG"),
            ("ONEAPP_ZONEMESH_INVITATION=\"hunter2\"", "between the quotes"),
            ("hunter2", "neither an invitation"),
        ] {
            let told = told(text);
            assert!(told.contains(words) && !told.contains("hunter2"), "{told}");
        }
    }
}
