//! A gateway that starts, dies or stops never lets another zone's packets out by the default route.
//!
//! ```text
//!   berlin                       WAN                      madrid
//!   vm 10.10.10.5 - gw (dies) [ router: capture ] gw - vm 10.10.11.5
//!   (its default route leads straight to the WAN)
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::capture::Capture;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, WIREGUARD_PORT, patience};
use zonemesh_lab::process::Process;

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];

/// A VM that never stops sending to the other zone, and what crosses the WAN meanwhile.
fn stays_clean(trouble: impl FnOnce(&Lab, &mut Mesh) -> Result<()>) -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let capture = Capture::start(&lab, "wan", &[WIREGUARD_PORT])?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let mut ping = lab.zone("berlin")?.vm("vm")?.namespace.command("ping");
    ping.args(["-n", "-i", "0.01", "10.10.11.5"]);
    let mut ping = Process::spawn("ping", ping, lab.folder())?;
    ping.wait_for("bytes from 10.10.11.5", Duration::from_secs(10))?;
    trouble(&lab, &mut mesh)?;
    drop(ping);
    let report = capture.finish(&lab)?;
    ensure!(report.is_clean(), "{report}");
    lab.succeeded()
}

#[test]
fn while_a_killed_gateway_is_down_and_comes_back() -> Result<()> {
    stays_clean(|lab, mesh| {
        for _ in 0..5 {
            let gateway = mesh.gateway("berlin")?;
            gateway.daemon()?.kill_9()?;
            lab.zone("berlin")?.vm("vm")?.namespace.run(&["sleep", "0.3"])?;
            gateway.start(lab)?;
            gateway.wait_until_connected(patience())?;
        }
        Ok(())
    })
}

#[test]
fn while_a_gateway_is_restarted_in_order() -> Result<()> {
    stays_clean(|lab, mesh| {
        for _ in 0..5 {
            let gateway = mesh.gateway("berlin")?;
            let code = gateway.daemon()?.terminate(Duration::from_secs(20))?;
            ensure!(code == 0, "it ended with {code}");
            gateway.start(lab)?;
            gateway.wait_until_connected(patience())?;
        }
        Ok(())
    })
}
