//! What a service manager hears of a gateway: whoever says that it stops and is still there later is
//! ended by it.
//!
//! ```text
//!   the test's socket <- READY, STOPPING - berlin
//! ```

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use zonemesh_lab::gateway::LabGateway;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 1] = [ZonePlan { name: "berlin", vms: &[] }];
const SOON: Duration = Duration::from_secs(15);
/// A start within takes some thirty milliseconds here.
const MOMENTS: u32 = 16;
const STEP: Duration = Duration::from_millis(2);

/// All that was said since it was asked last.
fn heard(socket: &UnixDatagram) -> String {
    let (mut said, mut message) = (String::new(), [0; 4096]);
    while let Ok(length) = socket.recv(&mut message) {
        said.push_str(&String::from_utf8_lossy(&message[..length]));
        said.push('\n');
    }
    said
}

#[test]
fn a_start_within_is_no_stop_for_the_service_manager() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let place = lab.folder().join("notify");
    let socket = UnixDatagram::bind(&place)?;
    socket.set_nonblocking(true)?;
    let berlin = mesh.gateway("berlin")?;
    berlin.service_manager = Some(place);
    berlin.start(&lab)?;
    let mut said = String::new();
    let mut ready_times = |times: usize| {
        until("the gateway to say that it is ready", patience(), || {
            said.push_str(&heard(&socket));
            let count = said.matches("READY=1").count();
            Ok(Look::<()>::when(count >= times, &said))
        })?;
        ensure!(!said.contains("STOPPING=1"), "{said}");
        anyhow::Ok(())
    };
    ready_times(1)?;
    berlin.section("tunnel")?.insert("listen_port".to_owned(), 51_899.into());
    let reloaded = berlin.reload()?;
    ensure!(reloaded["starts_anew"] == true, "{reloaded}");
    until("the new port", SOON, || {
        let port = berlin.ask(&["status"]).map(|status| status["tunnel"]["listen_port"].clone());
        Ok(Look::<()>::when(port.is_ok_and(|port| port == 51_899), "not yet"))
    })?;
    ready_times(2)?;
    let name = std::fs::read_to_string(format!("/proc/{}/comm", berlin.daemon()?.pid()))?;
    ensure!(name == "zonemeshd\n", "pgrep zonemeshd finds no {name:?}");
    let code = berlin.daemon()?.terminate(SOON)?;
    let last = heard(&socket);
    ensure!(code == 0 && last.contains("STOPPING=1"), "ended with {code}: {last}");
    lab.succeeded()
}

/// Starts it anew within, and sends a signal at a moment of that.
fn signal_at(berlin: &mut LabGateway, moment: u32, signal: Signal) -> Result<()> {
    berlin.daemon()?.wait_for(" ready zone=", patience())?;
    berlin.section("tunnel")?.insert("listen_port".to_owned(), (51_900 + moment).into());
    let reloaded = berlin.reload()?;
    ensure!(reloaded["starts_anew"] == true, "{reloaded}");
    while !berlin.daemon()?.output()?.contains("stopping") {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(STEP * moment);
    berlin.daemon()?.signal(signal)
}

#[test]
fn a_stop_at_any_moment_of_a_start_within_is_a_stop() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let berlin = mesh.gateway("berlin")?;
    for moment in 0..MOMENTS {
        berlin.start(&lab)?;
        signal_at(berlin, moment, Signal::SIGTERM)?;
        let (code, said) = berlin.daemon()?.wait_for_end(SOON)?;
        ensure!(code == 0, "moment {moment} ends with {code}: {said}");
    }
    lab.succeeded()
}

#[test]
fn a_reload_at_any_moment_of_a_start_within_ends_nothing() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let berlin = mesh.gateway("berlin")?;
    for moment in 0..MOMENTS {
        berlin.start(&lab)?;
        signal_at(berlin, moment, Signal::SIGHUP)?;
        until("the new port", SOON, || {
            let port =
                berlin.ask(&["status"]).map(|status| status["tunnel"]["listen_port"].clone());
            Ok(Look::<()>::when(port.is_ok_and(|port| port == 51_900 + moment), "not yet"))
        })?;
        ensure!(berlin.daemon()?.terminate(SOON)? == 0, "moment {moment}");
    }
    lab.succeeded()
}
