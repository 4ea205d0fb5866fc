//! A tunnel that is up and VMs that are cut off: what is wrong on the side of the LAN is named.
//!
//! ```text
//!   vm -- lan0 gw (does not forward, is down) -- [ router ] -- gw
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::findings::{over, status, tells, told};
use zonemesh_lab::federation::{LabFederation, SUPERNODE, ZONES as OF_FEDERATION};
use zonemesh_lab::lab::{Lab, LabZone, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, holds_for, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &[] }];
const TOLD_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn switches_of_forwarding_that_are_off_and_a_lan_that_is_down_are_named() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let (exit, text) = status(mesh.gateway("berlin")?)?;
    ensure!(exit == Some(0), "{text}");
    let gateway = &lab.zone("berlin")?.gateway;
    for (switch, words) in [
        ("net.ipv4.ip_forward", "net.ipv4.ip_forward is off"),
        ("net.ipv4.conf.lan0.forwarding", "net.ipv4.conf.lan0.forwarding is off"),
        ("net.ipv4.conf.zm0.forwarding", "net.ipv4.conf.zm0.forwarding is off"),
    ] {
        gateway.run(&["sysctl", "-qw", &format!("{switch}=0")])?;
        told(mesh.gateway("berlin")?, "N214", &[words], TOLD_WITHIN)?;
        gateway.run(&["sysctl", "-qw", &format!("{switch}=1")])?;
        over(mesh.gateway("berlin")?, "N214", TOLD_WITHIN)?;
    }
    gateway.ip(&["link", "set", "lan0", "down"])?;
    told(mesh.gateway("berlin")?, "N233", &["lan0 is down"], TOLD_WITHIN)?;
    gateway.ip(&["link", "set", "lan0", "up"])?;
    over(mesh.gateway("berlin")?, "N233", TOLD_WITHIN)?;
    lab.succeeded()
}

/// As Docker leaves a machine.
const DOCKER: &str =
    "table ip docker { chain forward { type filter hook forward priority 0; policy drop; }; }";
/// What is asked each 5 s, four times in vain.
const FOUND_WITHIN: Duration = Duration::from_secs(45);

/// Waits until the gateway hears of the companion in its VM.
fn heard(federation: &mut LabFederation, zone: &str) -> Result<()> {
    until("the companion to report", patience(), || {
        let status = federation.mesh.gateway(zone)?.ask(&["status"])?;
        let one = &status["companions"][0];
        Ok(Look::<()>::when(one["connected"] == true && one["state"].is_string(), &status))
    })?;
    Ok(())
}

/// As whom a gateway may ask a VM: some peer's tunnel address.
fn blackholed(zone: &LabZone) -> String {
    format!("{}/32", zone.tunnel_address)
}

#[test]
fn a_vm_that_other_zones_do_not_reach_is_named_whatever_is_in_the_way() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&OF_FEDERATION)?)?;
    federation.connect()?;
    federation.start_supernode("madrid")?;
    heard(&mut federation, "madrid")?;
    holds_for("nothing to be told", Duration::from_secs(30), || {
        let (exit, text) = status(federation.mesh.gateway("madrid")?)?;
        Ok(Look::<()>::when(exit == Some(0), text))
    })?;
    let vm = federation.lab.zone("madrid")?.vm(SUPERNODE)?.address.to_string();
    let words = [vm.as_str(), "not what comes through the tunnel"];

    let gateway = &federation.lab.zone("madrid")?.gateway;
    gateway.run(&["nft", DOCKER])?;
    told(federation.mesh.gateway("madrid")?, "N234", &words, FOUND_WITHIN)?;
    gateway.run(&["nft", "delete table ip docker"])?;
    over(federation.mesh.gateway("madrid")?, "N234", TOLD_WITHIN)?;

    let place = &federation.lab.zone("madrid")?.vm(SUPERNODE)?.namespace;
    // What was routed by nobody is routed by the companion; a route of somebody else's stays.
    place.ip(&["route", "del", "default"])?;
    let others: Vec<String> = federation.lab.zones().iter().map(blackholed).collect();
    for other in &others {
        place.ip(&["route", "replace", "blackhole", other])?;
    }
    told(federation.mesh.gateway("madrid")?, "N234", &words, FOUND_WITHIN)?;
    for other in &others {
        place.ip(&["route", "del", "blackhole", other])?;
    }
    over(federation.mesh.gateway("madrid")?, "N234", TOLD_WITHIN)?;
    // A VM whose companion is gone is no finding, whatever is in the way.
    federation.companion("madrid")?.terminate(patience())?;
    federation.lab.zone("madrid")?.gateway.run(&["nft", DOCKER])?;
    holds_for("not told", Duration::from_secs(30), || {
        let status = federation.mesh.gateway("madrid")?.ask(&["status"])?;
        Ok(Look::<()>::when(!tells(&status, "N234", &[])?, &status["findings"]))
    })?;
    federation.succeeded()
}
