//! Addresses: subnets, tunnel IPs, endpoints, URLs and addresses to listen on.
//!
//! None is looked up; that a name can be resolved is found out when it is used.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use toml::de::DeValue;
use zonemesh_core::prefix::{self, NotPrefix, check_ordinary, host};

use super::text;
use crate::complaint::Complaint;
use crate::endpoint::{Endpoint, EndpointError};

pub(crate) fn prefix(value: &DeValue<'_>) -> Result<IpNet, Complaint> {
    subnet(value, "name the zone's own subnets")
}

/// What may come from a plain WireGuard peer and is sent to it.
pub(crate) fn allowed_ip(value: &DeValue<'_>) -> Result<IpNet, Complaint> {
    subnet(value, "name that peer's own addresses and subnets")
}

/// `own` is the way out where it holds more than somebody can have.
fn subnet(value: &DeValue<'_>, own: &str) -> Result<IpNet, Complaint> {
    let expected = "a subnet such as \"10.10.10.0/24\" or \"fd00:10::/64\"";
    let text = text(value, expected)?;
    let complaint = |fix: String| Complaint::new(format!("found {text:?}"), expected, fix);
    let net = prefix::parse(text).map_err(|problem| match problem {
        NotPrefix::NoLength => complaint("add the length after a '/'".to_owned()),
        NotPrefix::LeadingZeros(net) => {
            let found = format!("found {text:?}, where a zero leads");
            Complaint::new(found, expected, format!("write \"{net}\" if that is meant"))
        }
        NotPrefix::Other => {
            let fix = "write the address, a '/' and a length of at most 32 (IPv4) or 128 (IPv6)";
            complaint(fix.to_owned())
        }
    })?;
    if net.prefix_len() == 0 {
        return Err(complaint(format!("{own}: this would take every packet")));
    }
    if let Err(reserved) = check_ordinary(&net) {
        let found = format!("found {text:?}, which holds {}", reserved.what);
        return Err(Complaint::new(found, expected, own));
    }
    if net.addr() != net.network() {
        let found = format!("found {text:?}, which has host bits set");
        let fix = format!("write \"{}\"", net.trunc());
        return Err(Complaint::new(found, expected, fix));
    }
    Ok(net)
}

pub(crate) fn tunnel_address(value: &DeValue<'_>) -> Result<IpAddr, Complaint> {
    let expected = "an IP address such as \"10.255.0.1\"";
    let text = text(value, expected)?;
    let complaint = |fix: String| Complaint::new(format!("found {text:?}"), expected, fix);
    let Ok(address) = text.parse::<IpAddr>() else {
        let fix = match text.parse::<IpNet>() {
            Ok(net) => format!("write \"{}\", without a length", net.addr()),
            Err(_) => "give one address, without port or length".to_owned(),
        };
        return Err(complaint(fix));
    };
    if let Err(reserved) = check_ordinary(&host(address)) {
        let found = format!("found {text:?}, which holds {}", reserved.what);
        let fix = "choose an address that belongs to one gateway";
        return Err(Complaint::new(found, expected, fix));
    }
    Ok(address)
}

pub(crate) fn endpoint(value: &DeValue<'_>) -> Result<Endpoint, Complaint> {
    let expected = "an address or DNS name with a port, such as \"203.0.113.1:51820\"";
    let text = text(value, expected)?;
    text.parse().map_err(|error: EndpointError| {
        let fix = match &error {
            EndpointError::NoPort => format!("write \"{text}:51820\""),
            EndpointError::Port(_) => "give a port from 1 to 65535".to_owned(),
            EndpointError::Brackets => match text.parse::<IpAddr>() {
                Ok(ip) => format!("write \"[{ip}]:51820\""),
                Err(_) => with_brackets(text),
            },
            EndpointError::Host(_) | EndpointError::NotOneMachine(_) => {
                "give the address at which the gateway is reached".to_owned()
            }
        };
        Complaint::new(format!("found {text:?}: {error}"), expected, fix)
    })
}

/// An IPv6 address and a port that follow each other, told apart.
fn with_brackets(text: &str) -> String {
    let apart = text.rsplit_once(':').filter(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok());
    match apart {
        Some((ip, port)) => format!("write \"[{ip}]:{port}\""),
        None => "write \"[address]:port\"".to_owned(),
    }
}

/// `http://host:port` or `https://host:port`, in lower case.
pub(crate) fn url(value: &DeValue<'_>) -> Result<String, Complaint> {
    let expected = "a URL with a port, such as \"https://10.10.10.9:2379\"";
    let text = text(value, expected)?;
    let complaint = |fix: String| Complaint::new(format!("found {text:?}"), expected, fix);
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(complaint("begin it with https:// or http://".to_owned()));
    };
    if !matches!(scheme, "http" | "https") {
        return Err(complaint("begin it with https:// or http://".to_owned()));
    }
    let endpoint = rest.trim_end_matches('/').parse::<Endpoint>();
    let endpoint = endpoint.map_err(|error| complaint(format!("after {scheme}:// {error}")))?;
    Ok(format!("{scheme}://{endpoint}"))
}

/// What is served there shows its state to whoever asks.
pub(crate) fn loopback_address(value: &DeValue<'_>) -> Result<SocketAddr, Complaint> {
    let address = listen_address(value)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(Complaint::new(
        format!("{} is reached from outside this machine", address.ip()),
        "a loopback address",
        format!(
            "write \"127.0.0.1:{}\"; a probe from outside runs: zonemesh health",
            address.port()
        ),
    ))
}

pub(crate) fn listen_address(value: &DeValue<'_>) -> Result<SocketAddr, Complaint> {
    let expected = "an IP address with a port, such as \"10.10.10.1:51822\"";
    let text = text(value, expected)?;
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Ok(address),
        Ok(_) => Err(Complaint::new(
            format!("found {text:?}"),
            expected,
            "give a port from 1 to 65535: VMs must know it beforehand",
        )),
        Err(_) => Err(Complaint::new(
            format!("found {text:?}"),
            expected,
            "give the gateway's address on the zone's LAN and a port",
        )),
    }
}
