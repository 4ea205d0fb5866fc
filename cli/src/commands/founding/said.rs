//! What was said of a mesh that is to be made, read and judged as a whole.
//!
//! Promises: all mistakes are told in one go, each once; what only follows from another is left out.
//! What is handed on can be configured: no address has two owners, no tunnel leads through another.
//! Refuses to know keys, files and what becomes of the mesh.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use zonemesh_config::Endpoint;
use zonemesh_core::membership::AuthorityPublicKey;
use zonemesh_core::name::{FederationName, ZoneName};
use zonemesh_core::offered::without_secrets;
use zonemesh_core::prefix::{self, ReservedPrefix};
use zonemesh_core::time::UnixMillis;

use crate::arguments::{FederationArgument, LanArgument, Offline, Written, ZoneArgument};

/// A mesh that can be made as it was said.
pub(in crate::commands) struct SaidMesh {
    /// The founder first.
    pub(super) zones: Vec<ZoneArgument>,
    pub(super) federations: Vec<FederationArgument>,
    pub(super) lan: Vec<LanArgument>,
    pub(super) tunnel_net: IpNet,
    pub(super) expires_at: UnixMillis,
}

/// What is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(in crate::commands) enum FoundingMistake {
    #[error("{option} {text:?}: {why}")]
    Argument { option: &'static str, text: String, why: Arc<dyn Error + Send + Sync> },
    #[error("--owner takes an authority's public key, as `zonemesh key public` prints it: {0}")]
    Owner(String),
    #[error("--owner names the same key twice: name each owner once")]
    OwnerTwice,
    #[error("the founder has no endpoint: --founder NAME=PREFIX@IP:PORT")]
    FounderWithoutEndpoint,
    #[error("zone {0} is named twice: name it once, with all its prefixes")]
    ZoneTwice(ZoneName),
    #[error("{net} of zone {zone} has bits set behind its length: write {}", .net.trunc())]
    HostBits { zone: ZoneName, net: IpNet },
    #[error("zone {zone}: {why}: name the subnets of its own")]
    Reserved { zone: ZoneName, why: ReservedPrefix },
    #[error(
        "{later} of zone {zone} overlaps {earlier} of zone {other}: renumber one of the two, or name only the subnets that are shared"
    )]
    Overlap { zone: ZoneName, later: IpNet, other: ZoneName, earlier: IpNet },
    #[error("{later} and {earlier} of zone {zone} overlap: keep the wider of the two")]
    OwnOverlap { zone: ZoneName, later: IpNet, earlier: IpNet },
    #[error(
        "endpoint {endpoint} of zone {zone} lies in {net} of zone {owner}, which others reach through its tunnel: give the gateway's outer address, or narrower prefixes"
    )]
    EndpointInZone { zone: ZoneName, endpoint: Endpoint, owner: ZoneName, net: IpNet },
    #[error(
        "endpoint {endpoint} of zone {zone} lies in {net}, where the tunnel addresses are taken from: give the gateway's outer address, or --tunnel-net PREFIX that nobody uses"
    )]
    EndpointInTunnels { zone: ZoneName, endpoint: Endpoint, net: IpNet },
    #[error("endpoint {endpoint} of zone {zone} is zone {other}'s too: name each endpoint once")]
    EndpointTwice { zone: ZoneName, endpoint: Endpoint, other: ZoneName },
    #[error("--tunnel-net: {0}: take one that nobody uses, such as 10.255.0.0/24")]
    ReservedTunnels(ReservedPrefix),
    #[error("--tunnel-net {net} has too few addresses for {zones} zones: take a wider one")]
    FewTunnels { net: IpNet, zones: usize },
    #[error(
        "--tunnel-net {net} would give out addresses in {prefix} of zone {owner}: take one that no zone uses, such as 10.255.0.0/24"
    )]
    TunnelsInZone { net: IpNet, owner: ZoneName, prefix: IpNet },
    #[error("--lan {address} of zone {zone} lies in no prefix of it, but in {}", listed(.prefixes))]
    LanOutside { zone: ZoneName, address: IpAddr, prefixes: Vec<IpNet> },
    #[error(
        "--lan {address} of zone {zone} is {what} of {net}, and no machine's: give its gateway's"
    )]
    LanOfNobody { zone: ZoneName, address: IpAddr, what: &'static str, net: IpNet },
    #[error("--lan is said twice of zone {0}: a gateway has one address for its VMs")]
    LanTwice(ZoneName),
    #[error("{what} names zone {zone}, which is not founded; founded: {founded}")]
    Stranger { what: String, zone: ZoneName, founded: String },
    #[error("federation {0} is named twice: name it once")]
    FederationTwice(FederationName),
    #[error("federation {federation} names zone {zone} twice among those that train")]
    TrainerTwice { federation: FederationName, zone: ZoneName },
    #[error("--valid-for {0} ends after the year 9999: give a shorter time, such as 7d")]
    ForEver(String),
}

fn listed(prefixes: &[IpNet]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

type Mistakes = Vec<FoundingMistake>;

/// Reads all of it, or says all that is wrong.
pub(in crate::commands) fn read(
    offline: &Offline,
    owners: &[String],
    now: UnixMillis,
) -> Result<SaidMesh, Vec<FoundingMistake>> {
    let mut mistakes = Mistakes::new();
    let founder = taken("--founder", &offline.founder, &mut mistakes);
    let zones = [&founder[..], &taken("--zone", &offline.zones, &mut mistakes)].concat();
    let federations = taken("--federation", &offline.federations, &mut mistakes);
    let lan = taken("--lan", &offline.lan, &mut mistakes);
    let tunnel_net = taken("--tunnel-net", [&offline.tunnel_net], &mut mistakes);
    let valid_for = taken("--valid-for", [&offline.valid_for], &mut mistakes);
    check_owners(owners, &mut mistakes);
    if founder.first().is_some_and(|founder| founder.endpoints.is_empty()) {
        mistakes.push(FoundingMistake::FounderWithoutEndpoint);
    }
    check_zones(&zones, &mut mistakes);
    let tunnel_net = tunnel_net.first().copied();
    check_endpoints(&zones, tunnel_net, &mut mistakes);
    tunnel_net.iter().for_each(|net| check_tunnels(&zones, net, &mut mistakes));
    let names = FoundedNames::of(offline);
    check_lan(&lan, &zones, &names, &mut mistakes);
    check_federations(&federations, &names, &mut mistakes);
    let expires_at = valid_for.first().and_then(|time| {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let at = now.plus_until_latest(millis);
        if at.is_none() {
            mistakes.push(FoundingMistake::ForEver(offline.valid_for.text.clone()));
        }
        at
    });
    match (tunnel_net, expires_at) {
        (Some(tunnel_net), Some(expires_at)) if mistakes.is_empty() => Ok(SaidMesh {
            zones: zones.into_iter().cloned().collect(),
            federations: federations.into_iter().cloned().collect(),
            lan: lan.into_iter().cloned().collect(),
            tunnel_net: *tunnel_net,
            expires_at,
        }),
        _ => Err(mistakes),
    }
}

/// What could be read.
fn taken<'a, T>(
    option: &'static str,
    written: impl IntoIterator<Item = &'a Written<T>>,
    mistakes: &mut Mistakes,
) -> Vec<&'a T> {
    let mut read = Vec::new();
    for one in written {
        match &one.read {
            Ok(value) => read.push(value),
            Err(why) => mistakes.push(FoundingMistake::Argument {
                option,
                text: without_secrets(&one.text).into_owned(),
                why: Arc::clone(why),
            }),
        }
    }
    read
}

fn check_owners(owners: &[String], mistakes: &mut Mistakes) {
    let mut seen = BTreeSet::new();
    for owner in owners {
        match owner.parse::<AuthorityPublicKey>() {
            Ok(key) if !seen.insert(key) => mistakes.push(FoundingMistake::OwnerTwice),
            Ok(_key) => {}
            Err(why) => mistakes.push(FoundingMistake::Owner(why.to_string())),
        }
    }
}

/// Each prefix with its zone.
fn prefixes<'z>(zones: &[&'z ZoneArgument]) -> Vec<(&'z ZoneName, IpNet)> {
    let mut all = Vec::new();
    for &zone in zones {
        all.extend(zone.prefixes.iter().map(|net| (&zone.zone, *net)));
    }
    all
}

fn check_zones(zones: &[&ZoneArgument], mistakes: &mut Mistakes) {
    let mut names = BTreeSet::new();
    for ZoneArgument { zone, prefixes, .. } in zones {
        if !names.insert(zone) {
            mistakes.push(FoundingMistake::ZoneTwice(zone.clone()));
            continue;
        }
        for net in prefixes {
            let zone = zone.clone();
            if *net != net.trunc() {
                mistakes.push(FoundingMistake::HostBits { zone, net: *net });
            } else if let Err(why) = prefix::check_ordinary(net) {
                mistakes.push(FoundingMistake::Reserved { zone, why });
            }
        }
        check_own_overlaps(zone, prefixes, mistakes);
    }
    // What no zone may have overlaps all sorts of things.
    let all = prefixes(zones);
    let ordinary: Vec<_> =
        all.into_iter().filter(|(_, net)| prefix::check_ordinary(net).is_ok()).collect();
    for (index, (zone, later)) in ordinary.iter().enumerate() {
        let clash = ordinary[..index]
            .iter()
            .find(|(other, earlier)| other != zone && prefix::overlaps(later, earlier));
        if let Some((other, earlier)) = clash {
            let (zone, other) = ((*zone).clone(), (*other).clone());
            let (later, earlier) = (*later, *earlier);
            mistakes.push(FoundingMistake::Overlap { zone, later, other, earlier });
        }
    }
}

fn check_own_overlaps(zone: &ZoneName, prefixes: &[IpNet], mistakes: &mut Mistakes) {
    for (index, later) in prefixes.iter().enumerate() {
        let clash = prefixes[..index].iter().find(|earlier| prefix::overlaps(later, earlier));
        if let Some(earlier) = clash {
            let (zone, later, earlier) = (zone.clone(), *later, *earlier);
            mistakes.push(FoundingMistake::OwnOverlap { zone, later, earlier });
        }
    }
}

fn check_endpoints(zones: &[&ZoneArgument], tunnel_net: Option<&IpNet>, mistakes: &mut Mistakes) {
    let routed = prefixes(zones);
    let mut seen: Vec<(&ZoneName, &Endpoint)> = Vec::new();
    for ZoneArgument { zone, endpoints, .. } in zones {
        for endpoint in endpoints {
            let (named, told) = (zone.clone(), endpoint.clone());
            if let Some((other, _)) = seen.iter().find(|(_, known)| *known == endpoint) {
                let other = (*other).clone();
                mistakes.push(FoundingMistake::EndpointTwice {
                    zone: named,
                    endpoint: told,
                    other,
                });
                continue;
            }
            seen.push((zone, endpoint));
            let Endpoint::Address(address) = endpoint else { continue };
            let inside = routed.iter().find(|(_, net)| net.contains(&address.ip()));
            if let Some((owner, net)) = inside {
                let (owner, net) = ((*owner).clone(), *net);
                mistakes.push(FoundingMistake::EndpointInZone {
                    zone: named,
                    endpoint: told,
                    owner,
                    net,
                });
            } else if let Some(net) = tunnel_net.filter(|net| net.contains(&address.ip())) {
                let net = *net;
                mistakes.push(FoundingMistake::EndpointInTunnels {
                    zone: named,
                    endpoint: told,
                    net,
                });
            }
        }
    }
}

fn check_tunnels(zones: &[&ZoneArgument], net: &IpNet, mistakes: &mut Mistakes) {
    if let Err(why) = prefix::check_ordinary(net) {
        mistakes.push(FoundingMistake::ReservedTunnels(why));
        return;
    }
    let given: Vec<IpAddr> = net.hosts().take(zones.len()).collect();
    if given.len() < zones.len() {
        mistakes.push(FoundingMistake::FewTunnels { net: *net, zones: zones.len() });
    }
    let of_others = |owner: &ZoneName, prefix: &IpNet| {
        let mut pairs = zones.iter().zip(&given);
        pairs.any(|(zone, address)| zone.zone != *owner && prefix.contains(address))
    };
    for (owner, prefix) in prefixes(zones) {
        if of_others(owner, &prefix) {
            let (net, owner) = (*net, owner.clone());
            mistakes.push(FoundingMistake::TunnelsInZone { net, owner, prefix });
        }
    }
}

/// The names of all zones, also of those of which the rest cannot be read.
struct FoundedNames(Vec<ZoneName>);

impl FoundedNames {
    fn of(offline: &Offline) -> Self {
        let zones = offline.founder.iter().chain(&offline.zones);
        let name = |one: &Written<ZoneArgument>| one.text.split('=').next()?.parse().ok();
        Self(zones.filter_map(name).collect())
    }

    fn check(&self, zone: &ZoneName, what: String, mistakes: &mut Mistakes) {
        if !self.0.contains(zone) {
            let founded: Vec<_> = self.0.iter().map(ZoneName::as_str).collect();
            let (zone, founded) = (zone.clone(), founded.join(", "));
            mistakes.push(FoundingMistake::Stranger { what, zone, founded });
        }
    }
}

fn check_lan(
    lan: &[&LanArgument],
    zones: &[&ZoneArgument],
    names: &FoundedNames,
    mistakes: &mut Mistakes,
) {
    let mut seen = BTreeSet::new();
    for LanArgument { zone, address } in lan {
        names.check(zone, "--lan".to_owned(), mistakes);
        if !seen.insert(zone) {
            mistakes.push(FoundingMistake::LanTwice(zone.clone()));
        }
        let Some(planned) = zones.iter().find(|planned| planned.zone == *zone) else { continue };
        let (zone, address) = (zone.clone(), *address);
        match planned.prefixes.iter().find(|net| net.contains(&address)) {
            None => {
                let prefixes = planned.prefixes.clone();
                mistakes.push(FoundingMistake::LanOutside { zone, address, prefixes });
            }
            Some(net) => {
                if let Some(what) = prefix::of_nobody(net, &address) {
                    let net = *net;
                    mistakes.push(FoundingMistake::LanOfNobody { zone, address, what, net });
                }
            }
        }
    }
}

/// The first address that a machine can have.
pub(super) fn first_of(net: &IpNet) -> Option<IpAddr> {
    net.hosts().find(|address| prefix::of_nobody(net, address).is_none())
}

fn check_federations(
    federations: &[&FederationArgument],
    names: &FoundedNames,
    mistakes: &mut Mistakes,
) {
    let mut seen = BTreeSet::new();
    for FederationArgument { name, host, trainers } in federations {
        if !seen.insert(name) {
            mistakes.push(FoundingMistake::FederationTwice(name.clone()));
            continue;
        }
        let mut named = BTreeSet::new();
        for zone in trainers {
            if !named.insert(zone) {
                let (federation, zone) = (name.clone(), zone.clone());
                mistakes.push(FoundingMistake::TrainerTwice { federation, zone });
            }
        }
        named.insert(host);
        for zone in named {
            names.check(zone, format!("federation {name}"), mistakes);
        }
    }
}
