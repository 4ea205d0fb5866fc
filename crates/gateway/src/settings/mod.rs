//! What `zonemesh-gateway` is told: the keys of its VM's CONTEXT, as types.
//!
//! It promises that a settings value can be used as it is, or that every key which is wrong is
//! named, all of them at once, with what was expected; and that two sources of one configuration
//! are refused. It refuses to look at the network or at files.

mod given;
mod whole;
mod wireguard_peer;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use zonemesh_appliance::onegate::OneGate;
use zonemesh_appliance::settings::{self, log_wish};
use zonemesh_config::{Endpoint, EndpointError};
use zonemesh_context::judged::companion::LOCAL_API_PORT;
use zonemesh_context::judged::{UnfitValue, gateway as judged};
use zonemesh_context::key::KeyEffect;
use zonemesh_context::keys::{self, gateway, later};
use zonemesh_context::{Appliance, ContextKey, KeyReaders, SettingsErrors, Variables};
use zonemesh_core::prefix;

use crate::nics::VmNics;
use crate::places;

pub(crate) use given::{GivenZone, WayIn};
pub(crate) use wireguard_peer::ContextWireGuardPeer;

/// [`gateway::INVITATION`], where what it gives does not fit this VM.
const INVITATION_HERE: ContextKey = ContextKey {
    expected: "an invitation whose prefixes are those of this VM's networks, or a VM with a NIC in the zone's network",
    ..gateway::INVITATION
};
/// What is wrong where nothing gives a configuration.
pub(crate) const NOTHING_GIVEN: &str =
    "is not set, nor is ONEAPP_ZONEMESH_CONFIG, and there is no configuration file";

/// What this VM is told.
#[derive(Debug)]
pub(crate) struct GatewaySettings {
    /// Nothing: the configuration is somebody else's.
    pub(crate) wanted: Option<WantedGateway>,
    pub(crate) nics: VmNics,
    pub(crate) onegate: Option<OneGate>,
    /// Where the SuperLink's companion in this VM looks how it goes: that one tells READY then.
    pub(crate) status: Option<PathBuf>,
}

/// Of what the configuration is made.
#[derive(Debug)]
pub(crate) enum WantedGateway {
    Values(Box<ZoneValues>),
    /// It was given whole.
    Whole(String),
}

/// The two or three values, and what follows from CONTEXT.
#[derive(Debug)]
pub(crate) struct ZoneValues {
    pub(crate) given: GivenZone,
    /// Where other zones call: as it was said, else what CONTEXT knows.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) listen: SocketAddr,
    /// A peer that runs plain WireGuard.
    pub(crate) wireguard_peer: Option<ContextWireGuardPeer>,
}

impl GatewaySettings {
    /// How the zone becomes a member of its mesh, if CONTEXT says it.
    pub(crate) const fn given(&self) -> Option<&GivenZone> {
        match &self.wanted {
            Some(WantedGateway::Values(values)) => Some(&values.given),
            Some(WantedGateway::Whole(_)) | None => None,
        }
    }
}

/// Reads them.
///
/// # Errors
/// Every key that is wrong.
pub(crate) fn read(
    mut variables: Variables<'_>,
    nics: VmNics,
) -> Result<GatewaySettings, SettingsErrors> {
    let onegate = settings::onegate(&mut variables);
    let status = settings::gateway_status(&mut variables);
    later::check(&mut variables, Appliance::Gateway);
    log_wish::check(&mut variables);
    refuse_two_sources(&mut variables);
    let has_whole = variables.raw(gateway::CONFIG).is_some();
    let whole = variables.optional(gateway::CONFIG, whole::configuration);
    let given = variables.optional(gateway::INVITATION, GivenZone::parse);
    let endpoints = variables.optional(gateway::ENDPOINT, endpoints);
    let prefixes = given.as_ref().map_or(&[][..], |given| &given.prefixes);
    let listen = variables.optional(gateway::LISTEN, |text| listen(text, prefixes, &nics));
    let lan = given.as_ref().map(|given| places::lan_address(&given.prefixes, &nics, None));
    if let Some(Err(not_in_zone)) = &lan {
        variables.lacks(INVITATION_HERE, &not_in_zone.to_string());
    }
    // Beside a whole configuration its keys are refused already.
    let wireguard_peer = match has_whole {
        true => None,
        false => wireguard_peer::read(&mut variables, given.as_ref()),
    };
    let wanted = match (given, lan) {
        _ if has_whole => whole.map(WantedGateway::Whole),
        (Some(given), Some(Ok(lan))) => {
            let known = || places::public(&given.prefixes, &nics);
            let endpoints = endpoints.unwrap_or_else(known);
            let listen = listen.unwrap_or_else(|| SocketAddr::new(lan, LOCAL_API_PORT));
            let values = ZoneValues { given, endpoints, listen, wireguard_peer };
            Some(WantedGateway::Values(Box::new(values)))
        }
        _ => None,
    };
    variables.finish(Some(GatewaySettings { wanted, nics, onegate, status }))
}

/// A whole configuration says all that the other keys say.
fn refuse_two_sources(variables: &mut Variables<'_>) {
    let is_given = |key: &ContextKey| variables.raw(*key).is_some();
    let is_another = |key: &&ContextKey| {
        let says_it = key.readers == KeyReaders::Gateway && matches!(key.effect, KeyEffect::Full);
        says_it && key.name != gateway::CONFIG.name && is_given(key)
    };
    let others = keys::of(Appliance::Gateway).filter(is_another);
    let others: Vec<&str> = others.map(|key| key.name).collect();
    if !is_given(&gateway::CONFIG) || others.is_empty() {
        return;
    }
    let problem = format!(
        "is given beside {}: one of them is the source. Take ONEAPP_ZONEMESH_CONFIG out and keep the \
         others, from which the configuration follows; or take the others out, and join with \
         `zonemesh zone join` or found with `zonemesh mesh found`",
        others.join(", ")
    );
    variables.lacks(gateway::CONFIG, &problem);
}

fn endpoints(text: &str) -> Result<Vec<Endpoint>, EndpointError> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    words.map(places::endpoint).collect()
}

/// Why nothing can listen there.
#[derive(Debug, thiserror::Error)]
enum ListenError {
    #[error(transparent)]
    Form(#[from] UnfitValue),
    #[error("this VM does not have the address {0}; seen: {1}")]
    Elsewhere(IpAddr, String),
    #[error("{0} is not in the zone ({1}), whose VMs alone may use the local API")]
    Outside(IpAddr, String),
}

fn listen(text: &str, zone: &[IpNet], nics: &VmNics) -> Result<SocketAddr, ListenError> {
    let at = judged::listen(text)?;
    if at.ip().is_unspecified() {
        return Ok(at);
    }
    if nics.local().all(|nic| nic.net.addr() != at.ip()) {
        return Err(ListenError::Elsewhere(at.ip(), nics.seen()));
    }
    if zone.is_empty() || prefix::contains(zone, &at.ip()) {
        return Ok(at);
    }
    let zone: Vec<String> = zone.iter().map(ToString::to_string).collect();
    Err(ListenError::Outside(at.ip(), zone.join(", ")))
}

#[cfg(test)]
pub(crate) mod tests;
