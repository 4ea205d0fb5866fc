//! While no agent runs: routes and packet filter bar other zones' packets, each of them alone; before
//! the first start `zonemeshd guard` sets them, and `zonemeshd clear` takes all away.
//!
//! ```text
//!   berlin                       WAN                      madrid
//!   vm 10.10.10.5 - gw (dead) [ router: capture ] gw - vm 10.10.11.5
//!   (its default route leads straight to the WAN)
//! ```

use std::process::Output;
use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::capture::{Capture, Report};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, WIREGUARD_PORT, patience};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];

/// Five packets of a VM and five of the gateway to the other zone, and what crossed the WAN.
fn sends(lab: &Lab, name: &str) -> Result<Report> {
    let capture = Capture::start(lab, name, &[WIREGUARD_PORT])?;
    let berlin = lab.zone("berlin")?;
    for from in [&berlin.vm("vm")?.namespace, &berlin.gateway] {
        drop(
            from.command("ping")
                .args(["-n", "-c", "5", "-i", "0.1", "-W", "1", "10.10.11.5"])
                .output()?,
        );
    }
    capture.finish(lab)
}

/// `zonemeshd COMMAND` at berlin's gateway, with its configuration.
fn zonemeshd(lab: &Lab, mesh: &mut Mesh, args: &[&str]) -> Result<Output> {
    let gateway = mesh.gateway("berlin")?;
    std::fs::write(gateway.config_file(), gateway.config.to_string())?;
    let mut command = lab.zone("berlin")?.gateway.command(gateway.program("zonemeshd")?);
    command.args(args).env("ZONEMESH_CONFIG", gateway.config_file());
    Ok(command.output()?)
}

fn works(output: &Output) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
    Ok(())
}

/// A mesh whose first gateway has just died.
fn dead() -> Result<(Lab, Mesh)> {
    let lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    mesh.gateway("berlin")?.daemon()?.kill_9()?;
    Ok((lab, mesh))
}

#[test]
fn the_packet_filter_alone_bars_the_clear() -> Result<()> {
    let (mut lab, _mesh) = dead()?;
    let gateway = &lab.zone("berlin")?.gateway;
    gateway.ip(&["route", "flush", "table", "9091"])?;
    gateway.ip(&["rule", "del", "pref", "9091"])?;
    let report = sends(&lab, "filter")?;
    ensure!(report.violations.frames == 0, "{report}");
    lab.succeeded()
}

#[test]
fn the_routes_alone_bar_the_clear() -> Result<()> {
    let (mut lab, _mesh) = dead()?;
    lab.zone("berlin")?.gateway.run(&["nft", "flush", "ruleset"])?;
    let report = sends(&lab, "routes")?;
    ensure!(report.violations.frames == 0, "{report}");
    lab.succeeded()
}

#[test]
fn before_the_first_start_guard_bars_and_clear_takes_all_away() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let report = sends(&lab, "before")?;
    ensure!(report.violations.frames >= 10, "nothing bars yet, and nothing was seen: {report}");
    works(&zonemeshd(&lab, &mut mesh, &["guard"])?)?;
    let report = sends(&lab, "guarded")?;
    ensure!(report.violations.frames == 0, "{report}");
    // The agent starts over it; `clear` refuses while it runs.
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    works(&zonemeshd(&lab, &mut mesh, &["guard"])?)?;
    let refused = zonemeshd(&lab, &mut mesh, &["clear"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        refused.status.code() == Some(1) && said.contains("systemctl stop zonemeshd"),
        "{said}"
    );
    mesh.gateway("berlin")?.daemon()?.terminate(Duration::from_secs(10))?;
    let report = sends(&lab, "stopped")?;
    ensure!(report.violations.frames == 0, "{report}");
    works(&zonemeshd(&lab, &mut mesh, &["clear"])?)?;
    let gateway = &lab.zone("berlin")?.gateway;
    let left = gateway.ip(&["rule"])? + &gateway.ip(&["route", "show", "table", "all"])?;
    ensure!(!left.contains("9091") && !left.contains("proto 90"), "{left}");
    let tables = gateway.run(&["nft", "list", "tables"])?;
    ensure!(tables.is_empty(), "{tables}");
    let report = sends(&lab, "cleared")?;
    ensure!(report.violations.frames >= 10, "something bars still: {report}");
    lab.succeeded()
}

#[test]
fn what_was_barred_last_is_barred_at_boot_without_a_key_or_a_peer_in_the_configuration()
-> Result<()> {
    let (mut lab, mut mesh) = dead()?;
    let gateway = mesh.gateway("berlin")?;
    gateway.set_peers(Vec::new());
    std::fs::remove_file(gateway.folder().join("wireguard.key"))?;
    works(&zonemeshd(&lab, &mut mesh, &["clear"])?)?;
    works(&zonemeshd(&lab, &mut mesh, &["guard"])?)?;
    let report = sends(&lab, "boot")?;
    ensure!(report.violations.frames == 0, "{report}");
    lab.succeeded()
}

#[test]
fn tables_of_others_stay_as_they_are() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let gateway = &lab.zone("berlin")?.gateway;
    let add = "nft add table inet mine; nft add chain inet mine c; nft add rule inet mine c accept; \
               nft add table ip zonemesh; ip rule add pref 9100 lookup 77; \
               ip route add unreachable 10.66.0.0/16 table 77";
    gateway.run(&["sh", "-ec", add])?;
    let own = || -> Result<String> {
        let tables = gateway.run(&["nft", "list", "table", "inet", "mine"])?;
        let more = gateway.run(&["nft", "list", "table", "ip", "zonemesh"])?;
        Ok(tables + &more + &gateway.ip(&["route", "show", "table", "77"])?)
    };
    let before = own()?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    mesh.gateway("berlin")?.daemon()?.terminate(Duration::from_secs(10))?;
    works(&zonemeshd(&lab, &mut mesh, &["clear"])?)?;
    let after = own()?;
    ensure!(before == after && gateway.ip(&["rule"])?.contains("9100:"), "{before}\n{after}");
    lab.succeeded()
}
