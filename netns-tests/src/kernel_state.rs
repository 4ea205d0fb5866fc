//! What a gateway should have in its kernel, as its administrator would see it.
//!
//! Asks `ip` and `nft` and nobody of ours. A gateway is whole when its interface, addresses, routes,
//! rules and packet filter are all there.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use zonemesh_lab::lab::{Lab, LabZone};
use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::wait::{Look, until};

/// The routing table of a gateway's own.
pub const TABLE: &str = "9091";
/// How soon what somebody has changed is put right.
pub const SOON: Duration = Duration::from_secs(2);

/// The routes of a gateway's own table to `prefix`.
///
/// # Errors
/// When `ip` cannot be started.
pub fn routes(gateway: &Namespace, prefix: &str) -> Result<String> {
    let mut command = gateway.command("ip");
    let shown = command.args(["route", "show", "table", TABLE, prefix]).output()?;
    Ok(String::from_utf8_lossy(&shown.stdout).into_owned())
}

/// What is missing at the gateway of `zone`, in words; empty when all is there.
///
/// # Errors
/// When `ip` or `nft` cannot be started.
pub fn missing(lab: &Lab, zone: &LabZone) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    let gateway = &zone.gateway;
    let said = |program: &str, args: &[&str]| -> Result<String> {
        let output = gateway.command(program).args(args).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let link = said("ip", &["-d", "addr", "show", "dev", "zm0"])?;
    let address = format!("inet {}/32", zone.tunnel_address);
    for part in ["mtu 1420", ",UP", "alias zonemesh gateway", &address] {
        if !link.contains(part) {
            missing.push(format!("zm0 without {part:?}: {}", link.trim()));
        }
    }
    if link.matches("inet ").count() > 1 {
        missing.push(format!("zm0 with other addresses: {link}"));
    }
    let rules = said("ip", &["rule"])?;
    let own: Vec<_> = rules.lines().filter(|line| line.contains(TABLE)).collect();
    if !matches!(own[..], [rule] if rule.starts_with("9091:") && rule.contains("not from all fwmark 0x7a6d"))
    {
        missing.push(format!("rules: {own:?}"));
    }
    for other in lab.zones().iter().filter(|other| other.name != zone.name) {
        let own = routes(gateway, &other.prefix())?;
        let ways = [own.contains("dev zm0"), own.contains("unreachable")];
        if ways != [true, true] || own.lines().count() != 2 {
            missing.push(format!("routes to {}: {:?}", other.prefix(), own.trim()));
        }
    }
    let filter = said("nft", &["list", "table", "inet", "zonemesh"])?;
    let others = lab.zones().iter().filter(|other| other.name != zone.name);
    let rest = ["hook postrouting", "@zones4 drop", "oifname \"zm0\" accept"];
    for part in rest.into_iter().map(str::to_owned).chain(others.map(LabZone::prefix)) {
        if !filter.contains(&part) {
            missing.push(format!("the packet filter without {part:?}: {filter}"));
        }
    }
    // By the tunnel, inside this machine, by the tunnels' own mark; the policy besides.
    if filter.matches("accept").count() != 4 {
        missing.push(format!("the packet filter accepts more: {filter}"));
    }
    Ok(missing)
}

/// Waits until all is there at the gateway of `zone`; fails when that takes longer than two seconds.
///
/// # Errors
/// With what is still missing.
pub fn whole_soon(lab: &Lab, zone: &str) -> Result<Duration> {
    let (start, zone) = (Instant::now(), lab.zone(zone)?);
    until("the gateway to put its kernel right", SOON * 3, || {
        let missing = missing(lab, zone)?;
        Ok(Look::<()>::when(missing.is_empty(), missing.join("\n")))
    })?;
    let took = start.elapsed();
    ensure!(took <= SOON, "it took {took:.2?}");
    Ok(took)
}
