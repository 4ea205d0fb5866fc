//! From the protobuf form to a valid record, field by field.
//!
//! Promises: an error names the field by its path; nothing panics on any bytes. Refuses to know
//! signatures and bounds.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::super::certificate::signed_certificate;
use super::super::text::{self, TextProblem};
use super::super::{
    CertificateDer, MAX_ADMITTED, MAX_CAS, MAX_ENDPOINTS, MAX_FEDERATIONS, MAX_GATEWAYS, MAX_LANES,
    MAX_PREFIXES, MAX_PROOFS, MAX_SUPERLINK_ADDRESSES, MAX_SUPERNODES, MAX_TUNNEL_IPS,
};
use super::slots;
use super::{
    CaCertificate, CaSet, CaState, DecodeError, FlowerTransport, Gateway, KeyProof, Lane, Problem,
    ProtocolRange, Readiness, RecordContent, SuperLink, UnixMillis, Version, WireCaCertificate,
    WireCaSet, WireGateway, WireKeyProof, WireLane, WirePrefix, WireRecord, WireSuperLink,
    ZoneRecord,
};
use crate::key::{KeyError, WireGuardPublicKey};

pub(crate) type Result<T> = std::result::Result<T, DecodeError>;

pub(crate) fn bad(field: &str, problem: Problem) -> DecodeError {
    let field = field.to_owned();
    DecodeError { field, problem }
}

/// Decodes each element of a repeated field; an error gets the element's place.
pub(crate) fn each<W, T>(
    field: &str,
    wire: Vec<W>,
    decode: impl Fn(W) -> Result<T>,
) -> Result<Vec<T>> {
    let place = |(index, element): (usize, W)| {
        decode(element).map_err(|error| DecodeError {
            field: match error.field.as_str() {
                "" => format!("{field}[{index}]"),
                inner => format!("{field}[{index}].{inner}"),
            },
            ..error
        })
    };
    let decoded: Result<Vec<T>> = wire.into_iter().enumerate().map(place).collect();
    // The list lies where the larger elements of the wire lay, and is kept for as long as the record.
    decoded.map(|mut list| {
        list.shrink_to_fit();
        list
    })
}

/// Those that this build knows.
fn known<T>(elements: Vec<Option<T>>) -> Vec<T> {
    let mut known: Vec<T> = elements.into_iter().flatten().collect();
    known.shrink_to_fit();
    known
}

pub(crate) fn name<T: std::str::FromStr<Err = crate::name::NameError>>(
    field: &str,
    text: &str,
) -> Result<T> {
    text.parse().map_err(|source| bad(field, Problem::Name(source)))
}

fn port(field: &str, port: u32) -> Result<u16> {
    let fits = u16::try_from(port).ok().filter(|port| *port != 0);
    fits.ok_or_else(|| bad(field, Problem::Port(port)))
}

pub(crate) fn address(octets: Vec<u8>) -> Result<IpAddr> {
    let length = octets.len();
    let v4 = |octets: [u8; 4]| IpAddr::V4(Ipv4Addr::from(octets));
    let v6 = |octets: [u8; 16]| IpAddr::V6(Ipv6Addr::from(octets));
    let four = <[u8; 4]>::try_from(octets.as_slice()).ok().map(v4);
    let address = four.or_else(|| <[u8; 16]>::try_from(octets.as_slice()).ok().map(v6));
    address.ok_or_else(|| bad("", Problem::AddressLength(length)))
}

pub(crate) fn prefix(wire: WirePrefix) -> Result<IpNet> {
    let address = address(wire.address)?;
    let too_long = || bad("", Problem::PrefixLength(wire.length));
    let length = u8::try_from(wire.length).ok();
    let net = length.and_then(|length| IpNet::new(address, length).ok());
    let net = net.ok_or_else(too_long)?;
    if net.trunc() != net {
        return Err(bad("", Problem::HostBits));
    }
    Ok(net)
}

fn checked(
    field: &str,
    text: String,
    check: fn(&str) -> std::result::Result<(), TextProblem>,
) -> Result<String> {
    match check(&text) {
        Ok(()) => Ok(text),
        Err(source) => Err(bad(field, Problem::Text(source))),
    }
}

/// As [`checked`]; an empty text is none.
fn optional(
    field: &str,
    text: String,
    check: fn(&str) -> std::result::Result<(), TextProblem>,
) -> Result<Option<String>> {
    (!text.is_empty()).then(|| checked(field, text, check)).transpose()
}

fn unique<'a, T: Ord + 'a>(field: &str, keys: impl Iterator<Item = &'a T>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (index, key) in keys.enumerate() {
        if !seen.insert(key) {
            return Err(bad(&format!("{field}[{index}]"), Problem::Duplicate));
        }
    }
    Ok(())
}

/// As [`each`], of at most so many.
pub(crate) fn at_most<W, T>(
    most: usize,
    field: &str,
    wire: Vec<W>,
    decode: impl Fn(W) -> Result<T>,
) -> Result<Vec<T>> {
    match wire.len() {
        found if found > most => Err(bad(field, Problem::TooMany { found, most })),
        _ => each(field, wire, decode),
    }
}

/// `IP:port` or `name:port`.
pub(crate) fn endpoint(text: String) -> Result<String> {
    checked("", text, super::super::text::endpoint)
}

fn next_key(bytes: &[u8]) -> Result<Option<WireGuardPublicKey>> {
    let given = (!bytes.is_empty()).then_some(bytes);
    given.map(|key| wireguard_key("next_wireguard_key", key)).transpose()
}

fn lane(wire: WireLane) -> Result<Lane> {
    Ok(Lane {
        wireguard_key: wireguard_key("wireguard_key", &wire.wireguard_key)?,
        next_wireguard_key: next_key(&wire.next_wireguard_key)?,
        port_offset: port("port_offset", wire.port_offset)?,
    })
}

/// None of a form that this build does not know: it proves nothing here.
fn proof(wire: WireKeyProof) -> Result<Option<KeyProof>> {
    let key = wireguard_key("key", &wire.key)?;
    let signature = wire.signature.try_into().ok();
    Ok(signature.map(|signature| KeyProof { key, signature }))
}

fn wireguard_key(field: &str, bytes: &[u8]) -> Result<WireGuardPublicKey> {
    match <[u8; 32]>::try_from(bytes) {
        Ok(key) => Ok(WireGuardPublicKey(key)),
        Err(_wrong) => Err(bad(field, Problem::Key(KeyError::Length(bytes.len())))),
    }
}

pub(crate) fn gateway(wire: WireGateway) -> Result<Gateway> {
    let proofs = known(at_most(MAX_PROOFS, "proofs", wire.proofs, proof)?);
    unique("proofs", proofs.iter().map(|proof: &KeyProof| &proof.key))?;
    Ok(Gateway {
        name: checked("name", wire.name, text::dns_name)?,
        wireguard_key: wireguard_key("wireguard_key", &wire.wireguard_key)?,
        next_wireguard_key: next_key(&wire.next_wireguard_key)?,
        lanes: at_most(MAX_LANES, "lanes", wire.lanes, lane)?,
        proofs,
        endpoints: at_most(MAX_ENDPOINTS, "endpoints", wire.endpoints, endpoint)?,
        further_endpoints: known(at_most(
            MAX_ENDPOINTS,
            "further_endpoints",
            wire.further_endpoints,
            slots::further_endpoint,
        )?),
        tunnel_ips: at_most(MAX_TUNNEL_IPS, "tunnel_ips", wire.tunnel_ips, address)?,
        registry_port: port("registry_port", wire.registry_port)?,
    })
}

fn superlink(wire: WireSuperLink) -> Result<SuperLink> {
    if wire.addresses.is_empty() {
        return Err(bad("addresses", Problem::Missing));
    }
    Ok(SuperLink {
        federation: name("federation", &wire.federation)?,
        addresses: at_most(MAX_SUPERLINK_ADDRESSES, "addresses", wire.addresses, address)?,
        fleet_port: port("fleet_port", wire.fleet_port)?,
        control_port: port("control_port", wire.control_port)?,
        flower_version: checked("flower_version", wire.flower_version, text::version)?,
        transport: FlowerTransport::of(wire.transport),
        readiness: Readiness::of(wire.readiness),
        tls_name: checked("tls_name", wire.tls_name, text::dns_name)?,
        clock_offset_ms: wire.clock_offset_ms,
        dns_name: optional("dns_name", wire.dns_name, text::dns_name)?,
        cas: known(at_most(MAX_CAS, "cas", wire.cas, slots::held_ca)?),
        admitted: match wire.authenticates {
            true => Some(at_most(MAX_ADMITTED, "admitted", wire.admitted, slots::admitted_node)?),
            false => None,
        },
    })
}

/// None in a state that this build does not know: it cannot say whether to trust it.
fn ca_certificate(wire: WireCaCertificate) -> Result<Option<CaCertificate>> {
    let Some(state) = CaState::of(wire.state) else { return Ok(None) };
    let certificate = match wire.der.is_empty() {
        true => CertificateDer::from_pem(&wire.pem),
        false => CertificateDer::new(wire.der),
    };
    let certificate = certificate.map_err(|source| bad("certificate", Problem::Text(source)))?;
    Ok(Some(CaCertificate { certificate, state }))
}

fn ca_set(wire: WireCaSet) -> Result<CaSet> {
    Ok(CaSet {
        federation: name("federation", &wire.federation)?,
        certificates: known(at_most(MAX_CAS, "certificates", wire.certificates, ca_certificate)?),
    })
}

/// The gateway whose record it is. One of release 0.1.0 does not say it.
fn writer(gateway: String, content: &RecordContent, zone: &str) -> Result<String> {
    if content.protocol.max < ProtocolRange::CURRENT.min {
        let first = content.gateways.first().map(|gateway| gateway.name.clone());
        return Ok(first.unwrap_or_else(|| format!("{zone}-gw1")));
    }
    match content.gateways.iter().position(|named| named.name != gateway) {
        Some(index) => Err(bad(&format!("gateways[{index}].name"), Problem::OtherGateway)),
        None => checked("gateway", gateway, text::dns_name),
    }
}

impl TryFrom<WireRecord> for ZoneRecord {
    type Error = DecodeError;

    fn try_from(wire: WireRecord) -> Result<Self> {
        let content = RecordContent {
            gateways: at_most(MAX_GATEWAYS, "gateways", wire.gateways, gateway)?,
            prefixes: at_most(MAX_PREFIXES, "prefixes", wire.prefixes, prefix)?,
            superlinks: at_most(MAX_FEDERATIONS, "superlinks", wire.superlinks, superlink)?,
            ca_sets: at_most(MAX_FEDERATIONS, "ca_sets", wire.ca_sets, ca_set)?,
            protocol: ProtocolRange { min: wire.protocol_min, max: wire.protocol_max },
            release: optional("release", wire.release, text::version)?,
            transit: wire.transit.map(slots::transit).transpose()?,
            supernodes: at_most(MAX_SUPERNODES, "supernodes", wire.supernodes, slots::supernode)?,
        };
        if content.protocol.min > content.protocol.max {
            return Err(bad("protocol", Problem::EmptyRange));
        }
        let gateway = writer(wire.gateway, &content, &wire.zone)?;
        unique("gateways", content.gateways.iter().map(|g| &g.name))?;
        unique("superlinks", content.superlinks.iter().map(|s| &s.federation))?;
        unique("ca_sets", content.ca_sets.iter().map(|s| &s.federation))?;
        Ok(Self {
            zone: name("zone", &wire.zone)?,
            gateway,
            certificate: wire.certificate.map(signed_certificate).transpose()?,
            version: Version { incarnation: wire.incarnation, seq: wire.seq },
            issued_at: UnixMillis(wire.issued_at_unix_ms),
            content,
        })
    }
}
