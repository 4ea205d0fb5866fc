//! A gateway that is stopped says so: its peers call it stopped at once, and miss nobody who is back.
//!
//! ```text
//!   berlin             WAN             madrid
//!   gw ------------ [ router ] ---------- gw      stopped, started, killed
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::findings::{came, over, status, told};
use serde_json::Value;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, holds_for, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
/// What is told of a tunnel that is not up.
const ALARMS: [&str; 5] = ["N205", "N206", "N207", "N211", "N230"];
const AT_ONCE: Duration = Duration::from_secs(2);
const TOLD_WITHIN: Duration = Duration::from_secs(10);

fn madrid(mesh: &mut Mesh) -> Result<Value> {
    Ok(mesh.gateway("berlin")?.ask(&["show", "madrid"])?["peer"].clone())
}

fn wait_for_state(mesh: &mut Mesh, state: &str, within: Duration) -> Result<()> {
    until(&format!("madrid to be {state}"), within, || {
        let madrid = madrid(mesh)?;
        Ok(Look::<()>::when(madrid["state"] == state, &madrid))
    })?;
    Ok(())
}

/// Up, and judged by its answers.
fn connected(lab: &Lab) -> Result<Mesh> {
    let mut mesh = Mesh::prepare(lab)?;
    mesh.start(lab)?;
    mesh.wait_until_connected(patience())?;
    until("madrid to answer", patience(), || {
        let madrid = madrid(&mut mesh)?;
        Ok(Look::<()>::when(madrid["rtt_ms"].is_f64(), &madrid))
    })?;
    Ok(mesh)
}

fn stop(mesh: &mut Mesh) -> Result<()> {
    let code = mesh.gateway("madrid")?.daemon()?.terminate(TOLD_WITHIN)?;
    ensure!(code == 0, "exit code {code}");
    Ok(())
}

#[test]
fn a_gateway_that_is_stopped_says_so_and_one_that_is_back_at_once_is_not_missed() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = connected(&lab)?;
    // Until a tunnel is up for the first time it is told that it is not.
    let at_the_start = came(mesh.gateway("berlin")?, &ALARMS)?.len();

    stop(&mut mesh)?;
    wait_for_state(&mut mesh, "stopped", AT_ONCE)?;
    // What the screen shows and what it is worth agree: a note explains it.
    let (exit, text) = status(mesh.gateway("berlin")?)?;
    ensure!(exit == Some(0) && text.contains("\n  N230 madrid"), "{exit:?} {text}");
    mesh.gateway("madrid")?.start(&lab)?;
    wait_for_state(&mut mesh, "up", patience())?;
    mesh.wait_until_connected(patience())?;
    let alarms = came(mesh.gateway("berlin")?, &ALARMS)?;
    ensure!(alarms.len() == at_the_start, "a short stop is an alarm: {alarms:#?}");
    let (exit, text) = status(mesh.gateway("berlin")?)?;
    ensure!(exit == Some(0), "{text}");

    stop(&mut mesh)?;
    wait_for_state(&mut mesh, "stopped", AT_ONCE)?;
    told(mesh.gateway("berlin")?, "N230", &["madrid", "said goodbye"], TOLD_WITHIN)?;
    holds_for("stopped, and nothing else", Duration::from_secs(20), || {
        let madrid = madrid(&mut mesh)?;
        Ok(Look::<()>::when(madrid["state"] == "stopped", &madrid))
    })?;
    let alarms = came(mesh.gateway("berlin")?, &ALARMS)?;
    ensure!(alarms.len() == at_the_start + 1, "one cause is one finding: {alarms:#?}");
    let shown = mesh.gateway("berlin")?.show(&["show", "madrid"])?;
    ensure!(shown.contains("stopped") && shown.contains("it said goodbye"), "{shown}");
    mesh.gateway("madrid")?.start(&lab)?;
    wait_for_state(&mut mesh, "up", patience())?;
    over(mesh.gateway("berlin")?, "N230", TOLD_WITHIN)?;
    lab.succeeded()
}

#[test]
fn a_gateway_that_is_killed_says_no_goodbye_and_is_down() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = connected(&lab)?;
    mesh.gateway("madrid")?.daemon()?.kill_9()?;
    told(mesh.gateway("berlin")?, "N205", &["madrid", "without an answer"], TOLD_WITHIN)?;
    ensure!(madrid(&mut mesh)?["state"] == "down", "{}", madrid(&mut mesh)?);
    lab.succeeded()
}
