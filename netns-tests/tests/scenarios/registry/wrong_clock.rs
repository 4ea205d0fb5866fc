//! A gateway whose clock is two days ahead: it starts, its tunnels work, and what cannot work says
//! why; with the clock set right all is well again, also while it runs.

use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::patience;
use zonemesh_lab::wait::{Look, until};

use crate::tool::{ZONES, in_step, joined, peers};

#[test]
fn a_clock_two_days_off_stops_no_tunnel_and_is_named() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = joined(&lab)?;
    let madrid = mesh.gateway("madrid")?;
    madrid.daemon()?.kill_9()?;
    madrid.clock = Some("+2d".to_owned());
    mesh.start_one(&lab, "madrid")?;
    until("the tunnels of madrid to be up", patience(), || {
        let peers = peers(&mut mesh, "berlin")?;
        let up = peers.iter().any(|peer| peer["zone"] == "madrid" && peer["state"] == "up");
        Ok(Look::<()>::when(up, format!("{peers:?}")))
    })?;
    let (from, to) = (lab.zone("berlin")?, lab.zone("madrid")?);
    let (source, target) = (from.lan_address.to_string(), to.lan_address.to_string());
    from.gateway.run(&["ping", "-q", "-c", "3", "-W", "2", "-I", &source, &target])?;
    // What was said before goes on to count; what is refused says that it is about time.
    until("a word about the clock", patience(), || {
        let seen = [peers(&mut mesh, "berlin")?, peers(&mut mesh, "madrid")?].concat();
        let said = seen.iter().any(|peer| {
            let error = peer["stream_error"].to_string();
            let skew = peer["clock_offset_ms"].as_i64().unwrap_or_default().unsigned_abs();
            error.contains("clock") || error.contains("valid") || skew > 86_400_000
        });
        Ok(Look::<()>::when(said, format!("{seen:?}")))
    })?;
    ensure!(
        mesh.gateway("berlin")?.ask(&["registry", "list"])?["missing"] == serde_json::json!([])
    );

    let madrid = mesh.gateway("madrid")?;
    madrid.daemon()?.kill_9()?;
    madrid.clock = None;
    mesh.start_one(&lab, "madrid")?;
    mesh.wait_until_connected(Duration::from_secs(60))?;
    in_step(&lab, &mut mesh, patience())?;
    lab.succeeded()
}

#[test]
fn a_clock_that_is_put_right_under_a_running_gateway_ends_what_was_refused() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..2])?;
    let mut mesh = joined(&lab)?;
    let file = lab.folder().join("clock");
    std::fs::write(&file, "+3d\n")?;
    let madrid = mesh.gateway("madrid")?;
    madrid.daemon()?.kill_9()?;
    madrid.clock = Some(format!("file:{}", file.display()));
    mesh.start_one(&lab, "madrid")?;
    until("its certificate to be refused", patience(), || {
        let peers = peers(&mut mesh, "madrid")?;
        let refused = peers.iter().any(|peer| peer["state"] == "up" && peer["stream"] != "up");
        let said = peers.iter().any(|peer| !peer["stream_error"].is_null());
        Ok(Look::<()>::when(refused && said, format!("{peers:?}")))
    })?;
    std::fs::write(&file, "+0\n")?;
    mesh.wait_until_connected(Duration::from_secs(90))?;
    in_step(&lab, &mut mesh, patience())?;
    let log = mesh.gateway("madrid")?.daemon()?.output()?;
    ensure!(log.contains("this gateway's certificate is made anew"), "{log}");
    lab.succeeded()
}
