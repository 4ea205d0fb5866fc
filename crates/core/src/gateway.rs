//! Which gateway: its zone, and its name in that zone.
//!
//! A zone may have several gateways. Whatever is known of one of them (its tunnel, its path, its
//! registry stream, its clock) is kept under its [`GatewayId`]; what is granted belongs to the zone
//! alone. Refuses to know keys and addresses: both change while a gateway stays the same.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{NameError, ZoneName, check_label};

/// What a peer that runs plain WireGuard has in the place of a gateway's name: no gateway can be
/// called so.
pub const WIREGUARD_PEER: &str = "wireguard_peer";

/// A gateway of the mesh. Its text is `zone/gateway`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GatewayId {
    /// Its zone.
    pub zone: ZoneName,
    /// Its name, unique in its zone.
    pub gateway: String,
}

/// Why a text names no gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayIdError {
    /// No slash between the two names.
    #[error("{0:?} names no gateway: expected zone/gateway")]
    Form(String),
    /// One of the two names is not valid.
    #[error("{0:?} names no gateway")]
    Name(String, #[source] NameError),
}

impl GatewayId {
    /// The gateway that a zone's record names `gateway`.
    #[must_use]
    pub fn new(zone: ZoneName, gateway: impl Into<String>) -> Self {
        Self { zone, gateway: gateway.into() }
    }

    /// A peer that runs plain WireGuard and is called `name` here. It is no zone's, and told from a
    /// zone of that name.
    #[must_use]
    pub fn wireguard_peer(name: ZoneName) -> Self {
        Self::new(name, WIREGUARD_PEER)
    }

    /// True of a peer that runs plain WireGuard.
    #[must_use]
    pub fn is_wireguard_peer(&self) -> bool {
        self.gateway == WIREGUARD_PEER
    }

    /// The gateway of a zone whose record is not known yet, under the name that a gateway has
    /// unless it was given another one.
    #[must_use]
    pub fn assumed(zone: ZoneName) -> Self {
        let gateway = default_name(&zone);
        Self { zone, gateway }
    }
}

/// The name of a zone's only gateway, unless it is given another one.
#[must_use]
pub fn default_name(zone: &ZoneName) -> String {
    format!("{zone}-gw1")
}

impl fmt::Display for GatewayId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.zone, self.gateway)
    }
}

impl FromStr for GatewayId {
    type Err = GatewayIdError;

    fn from_str(text: &str) -> Result<Self, GatewayIdError> {
        let (zone, gateway) =
            text.split_once('/').ok_or_else(|| GatewayIdError::Form(text.to_owned()))?;
        let wrong = |error| GatewayIdError::Name(text.to_owned(), error);
        // A gateway's name may be a whole DNS name.
        gateway.split('.').try_for_each(check_label).map_err(wrong)?;
        Ok(Self { zone: zone.parse().map_err(wrong)?, gateway: gateway.to_owned() })
    }
}

impl TryFrom<String> for GatewayId {
    type Error = GatewayIdError;

    fn try_from(text: String) -> Result<Self, GatewayIdError> {
        text.parse()
    }
}

impl From<GatewayId> for String {
    fn from(id: GatewayId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_written_as_zone_and_name() {
        for text in ["berlin/berlin-gw1", "berlin/gw2.berlin.example"] {
            let id: GatewayId = text.parse().unwrap();
            assert_eq!(id.zone.as_str(), "berlin");
            assert_eq!(id.to_string(), text);
        }
        for text in ["berlin", "berlin/", "/gw1", "berlin/GW1", "berlin/a/b", "berlin/a..b"] {
            assert!(text.parse::<GatewayId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_wireguard_peer_is_told_from_every_gateway_that_a_zone_can_have() {
        let peer = GatewayId::wireguard_peer("office".parse().unwrap());
        assert!(peer.is_wireguard_peer());
        assert!(peer.to_string().parse::<GatewayId>().is_err(), "no record can name it");
    }

    #[test]
    fn gateways_of_a_zone_stand_together() {
        let id = |zone: &str, gateway: &str| GatewayId::new(zone.parse().unwrap(), gateway);
        let mut ids = [id("b", "gw1"), id("a", "gw2"), id("b", "gw0"), id("a", "gw1")];
        ids.sort();
        let texts: Vec<_> = ids.iter().map(GatewayId::to_string).collect();
        assert_eq!(texts, ["a/gw1", "a/gw2", "b/gw0", "b/gw1"]);
        assert_eq!(GatewayId::assumed("a".parse().unwrap()).to_string(), "a/a-gw1");
    }
}
