//! What a service manager hears of a gateway: whoever says that it stops and is still there later is
//! ended by it.
//!
//! ```text
//!   the test's socket <- READY, STOPPING - berlin
//! ```

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 1] = [ZonePlan { name: "berlin", vms: &[] }];
const SOON: Duration = Duration::from_secs(15);

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
    berlin.daemon()?.terminate(SOON)?;
    let last = heard(&socket);
    ensure!(last.contains("STOPPING=1"), "{last}");
    lab.succeeded()
}
