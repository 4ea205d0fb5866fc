//! One federation as the local gateway shows it: the wire's texts turned into types.
//!
//! It promises that a view which was read has usable addresses and a port. It refuses to judge
//! whether Flower may start: that is `preflight.rs` and the companions.
//! Specification: `FederationView` in crates/api/proto/local.proto.

use std::net::{AddrParseError, IpAddr};

use zonemesh_api::v1;

use crate::flower::Transport;

/// Why a view cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// An address is none.
    #[error("the gateway's view has the address {text:?}")]
    Address {
        /// What was sent.
        text: String,
        /// Why it is no address.
        #[source]
        source: AddrParseError,
    },
    /// The port is none.
    #[error("the gateway's view has the port {0}")]
    Port(u32),
    /// A field that is never left unset is unset.
    #[error("the gateway's view has no {0}")]
    Missing(&'static str),
}

/// Whether SuperNodes may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Registered, not serving yet.
    Starting,
    /// Serving.
    Ready,
    /// Stopped on purpose.
    Stopped,
}

impl Readiness {
    /// For people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopped => "stopped",
        }
    }

    pub(crate) const fn wire(self) -> v1::Readiness {
        match self {
            Self::Starting => v1::Readiness::Starting,
            Self::Ready => v1::Readiness::Ready,
            Self::Stopped => v1::Readiness::Stopped,
        }
    }
}

/// What a SuperNode's Flower is bound to: if this changes, Flower must be started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The SuperLink's addresses, best first; at least one.
    pub addresses: Vec<IpAddr>,
    /// Port for SuperNodes.
    pub fleet_port: u16,
    /// CA certificates to trust, PEM.
    pub ca_pems: Vec<String>,
    /// The SuperLink's Flower.
    pub flower_version: String,
    /// How SuperNodes talk to it.
    pub transport: Transport,
}

/// A registered SuperLink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its zone.
    pub zone: String,
    /// What a SuperNode's Flower is bound to.
    pub target: Target,
    /// Whether SuperNodes may connect.
    pub readiness: Readiness,
    /// The SuperLink's clock minus the gateway's, in milliseconds.
    pub superlink_clock_offset_ms: Option<i64>,
    /// Whether the gateway reaches that zone now.
    pub zone_reachable: bool,
    /// More than one zone claims this federation.
    pub conflict: bool,
}

impl View {
    /// Reads a view; `None` if no SuperLink is registered.
    ///
    /// # Errors
    /// The first field that cannot be used.
    pub fn read(view: v1::FederationView) -> Result<Option<Self>, ViewError> {
        if !view.found {
            return Ok(None);
        }
        let readiness = match view.readiness() {
            v1::Readiness::Unspecified => return Err(ViewError::Missing("readiness")),
            v1::Readiness::Starting => Readiness::Starting,
            v1::Readiness::Ready => Readiness::Ready,
            v1::Readiness::Stopped => Readiness::Stopped,
        };
        let transport = match view.transport() {
            v1::FlowerTransport::Unspecified => return Err(ViewError::Missing("transport")),
            v1::FlowerTransport::Grpc => Transport::Grpc,
            v1::FlowerTransport::Http => Transport::Http,
        };
        let target = Target {
            addresses: addresses(&view.addresses)?,
            fleet_port: port(view.fleet_port)?,
            ca_pems: view.ca_pems,
            flower_version: view.flower_version,
            transport,
        };
        Ok(Some(Self {
            zone: view.zone,
            target,
            readiness,
            superlink_clock_offset_ms: view.superlink_clock_offset_ms,
            zone_reachable: view.zone_reachable,
            conflict: view.conflict,
        }))
    }
}

fn addresses(texts: &[String]) -> Result<Vec<IpAddr>, ViewError> {
    if texts.is_empty() {
        return Err(ViewError::Missing("address"));
    }
    let parse = |text: &String| {
        text.parse().map_err(|source| ViewError::Address { text: text.clone(), source })
    };
    texts.iter().map(parse).collect()
}

fn port(number: u32) -> Result<u16, ViewError> {
    match u16::try_from(number) {
        Ok(0) | Err(_) => Err(ViewError::Port(number)),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> v1::FederationView {
        v1::FederationView {
            federation: "health-eu".into(),
            found: true,
            zone: "berlin".into(),
            addresses: vec!["10.10.10.5".into(), "fd00::5".into()],
            fleet_port: 9092,
            control_port: 9093,
            flower_version: "1.25.0".into(),
            transport: v1::FlowerTransport::Grpc.into(),
            readiness: v1::Readiness::Ready.into(),
            zone_reachable: true,
            ..Default::default()
        }
    }

    #[test]
    fn a_view_is_read() {
        let view = View::read(wire()).unwrap().unwrap();
        assert_eq!(view.target.addresses.len(), 2);
        assert_eq!(view.readiness, Readiness::Ready);
        assert_eq!(view.superlink_clock_offset_ms, None);
        let unknown = v1::FederationView { found: false, ..Default::default() };
        assert_eq!(View::read(unknown).unwrap(), None);
    }

    #[test]
    fn a_view_that_cannot_be_used_is_refused_with_its_field() {
        let refused = |change: &dyn Fn(&mut v1::FederationView)| {
            let mut view = wire();
            change(&mut view);
            View::read(view).unwrap_err().to_string()
        };
        assert_eq!(refused(&|v| v.addresses.clear()), "the gateway's view has no address");
        assert_eq!(
            refused(&|v| v.addresses[0] = "x".into()),
            "the gateway's view has the address \"x\""
        );
        assert_eq!(refused(&|v| v.fleet_port = 0), "the gateway's view has the port 0");
        assert_eq!(refused(&|v| v.fleet_port = 70_000), "the gateway's view has the port 70000");
        assert_eq!(refused(&|v| v.readiness = 0), "the gateway's view has no readiness");
        assert_eq!(refused(&|v| v.transport = 99), "the gateway's view has no transport");
    }
}
