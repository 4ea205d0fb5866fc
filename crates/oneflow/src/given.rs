//! The zone that an invitation, a founding bundle or a token is of: by which it is seen that values of
//! two zones, or of two roles, were mixed up.
//!
//! Promises that no error repeats a part of a value. Refuses to know whether what it says still holds.

use std::net::IpAddr;

use ipnet::IpNet;
use zonemesh_core::founding::{FoundingBundle, FoundingBundleError, mesh_of};
use zonemesh_core::invitation::{Invitation, InvitationError};
use zonemesh_core::membership::FederationRight;
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::offered::OfferedText;
use zonemesh_core::prefix;
use zonemesh_core::token::{KnownToken, VmRole, VmToken, ZonePin};

/// A zone of a mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ZoneOfMesh {
    pub(crate) zone: ZoneName,
    mesh: MeshId,
}

/// What a zone's gateway is given.
pub(crate) struct ZoneGiven {
    pub(crate) of: ZoneOfMesh,
    prefixes: Vec<IpNet>,
    tunnel_ips: Vec<IpAddr>,
    federations: Vec<FederationRight>,
    tokens: Vec<KnownToken>,
}

/// Why a value gives no zone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotGivenError {
    #[error("it is {}, and neither an invitation nor a founding bundle", .0.words())]
    Other(OfferedText),
    #[error(transparent)]
    Invitation(#[from] InvitationError),
    #[error(transparent)]
    Bundle(#[from] FoundingBundleError),
}

impl ZoneOfMesh {
    /// The zone of a token, if that says its name: in a mesh that is written by hand it has a key.
    pub(crate) fn of_token(text: &str) -> Option<Self> {
        match text.parse::<VmToken>().ok()?.pin() {
            ZonePin::Mesh(pin) => Some(Self { zone: pin.zone.clone(), mesh: pin.mesh.clone() }),
            ZonePin::Key(_key) => None,
        }
    }

    /// The same of an invitation or a bundle.
    pub(crate) fn of_gateway(text: &str) -> Option<Self> {
        ZoneGiven::parse(text).ok().map(|given| given.of)
    }

    /// As it is told beside another one.
    pub(crate) fn beside(&self, other: &Self) -> String {
        match self.zone == other.zone {
            true => format!("zone {} of another mesh", self.zone),
            false => format!("zone {}", self.zone),
        }
    }
}

impl ZoneGiven {
    /// Reads what a gateway is given.
    pub(crate) fn parse(text: &str) -> Result<Self, NotGivenError> {
        match OfferedText::of(text) {
            OfferedText::Invitation => {
                let Invitation { zone, mesh, prefixes, tunnel_ips, federations, tokens, .. } =
                    Invitation::from_text(text)?;
                let of = ZoneOfMesh { zone, mesh };
                Ok(Self { of, prefixes, tunnel_ips, federations, tokens })
            }
            OfferedText::FoundingBundle => {
                let bundle = FoundingBundle::from_text(text)?;
                let mesh =
                    mesh_of(&bundle.first).map_err(|_no_set| FoundingBundleError::Damaged)?;
                let founder = bundle.founder;
                Ok(Self {
                    of: ZoneOfMesh { zone: founder.zone, mesh },
                    prefixes: founder.prefixes,
                    tunnel_ips: founder.tunnel_ips,
                    federations: founder.federations,
                    tokens: founder.tokens,
                })
            }
            other => Err(NotGivenError::Other(other)),
        }
    }

    /// Why an address is none of a machine in the zone.
    pub(crate) fn refuses(&self, address: &IpAddr) -> Option<String> {
        let zone = &self.of.zone;
        match self.prefixes.iter().find(|net| net.contains(address)) {
            None => Some(format!("in no prefix of zone {zone}, which has {}", self.networks())),
            Some(net) => {
                let what = prefix::of_nobody(net, address)?;
                Some(format!("{what} of {net}, and no machine's"))
            }
        }
    }

    /// All addresses that are the zone's.
    pub(crate) fn own(&self) -> Vec<IpNet> {
        let addresses = self.tunnel_ips.iter().map(|ip| IpNet::from(*ip));
        self.prefixes.iter().copied().chain(addresses).collect()
    }

    /// Its prefixes, for people.
    pub(crate) fn networks(&self) -> String {
        self.prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Why a token is none of these VMs.
    pub(crate) fn refuses_token(
        &self,
        token: &str,
        role: VmRole,
        federation: &str,
    ) -> Option<String> {
        let of = ZoneOfMesh::of_token(token);
        if let Some(other) = of.filter(|of| *of != self.of) {
            return Some(format!("holds a token of {}", other.beside(&self.of)));
        }
        let hash = token.parse::<VmToken>().ok()?.hash();
        let known = self.tokens.iter().find(|known| known.hash == hash)?;
        let is_of = known.federation.as_ref().is_none_or(|name| name.as_str() == federation);
        (known.role != role || !is_of).then(|| format!("holds the token of {}", known.name()))
    }

    /// What the zone is not granted that VMs of a role need.
    pub(crate) fn lacks_right(&self, role: VmRole, federation: &FederationName) -> Option<String> {
        let may = |right: &FederationRight| match role {
            VmRole::SuperLink => right.host,
            VmRole::SuperNode => right.train,
        };
        let has = |right: &FederationRight| right.federation == *federation && may(right);
        if self.federations.is_empty() || self.federations.iter().any(has) {
            return None;
        }
        let word = match role {
            VmRole::SuperLink => "host",
            VmRole::SuperNode => "train",
        };
        Some(format!(
            "zone {} is not granted to {word} in {federation}, so that its gateway refuses each {} until `zonemesh zone grant` says --federation {federation}={word} beside what the zone has",
            self.of.zone,
            role.as_str()
        ))
    }
}
