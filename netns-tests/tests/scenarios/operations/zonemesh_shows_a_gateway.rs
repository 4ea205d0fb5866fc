//! What engineers see of a running gateway: every reading command answers, and no secret shows.
//!
//! ```text
//!   berlin            WAN            madrid
//!   gw ----------- [ router ] ------- gw
//! ```

use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
const READING: [&[&str]; 5] =
    [&["status"], &["peers"], &["superlink", "list"], &["registry", "list"], &["cert", "show"]];

#[test]
fn every_reading_command_answers_and_no_secret_is_shown_or_readable_by_others() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let token = mesh.token().to_owned();
    let berlin = mesh.gateway("berlin")?;
    let mut shown = berlin.daemon()?.output()?;
    for command in READING {
        let json = berlin.ask(command)?;
        let schema = json["schema"].as_str().unwrap_or_default();
        ensure!(schema.starts_with("zonemesh/") && schema.ends_with("/v1"), "{command:?}: {json}");
        shown.push_str(&json.to_string());
        let text = berlin.show(command)?;
        ensure!(!text.trim().is_empty(), "{command:?} shows nothing");
        shown.push_str(&text);
    }
    let pin = berlin.local_api_pin()?;
    ensure!(
        token.starts_with(&format!("zmt1.{pin}.")),
        "a token made from the key alone pins {pin}"
    );
    for name in ["wireguard.key", "zone.key"] {
        let file = berlin.folder().join(name);
        let mode = std::fs::metadata(&file)?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{name} has mode {mode:o}");
        let secret = std::fs::read_to_string(&file)?;
        ensure!(!shown.contains(secret.trim()), "{name} is shown");
    }
    ensure!(!shown.contains(&token), "the token is shown");
    ensure!(!shown.contains("PRIVATE KEY"), "a private key is shown");
    lab.succeeded()
}

#[test]
fn a_clock_that_went_back_is_said_and_stops_nothing() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let state = mesh.gateway("berlin")?.folder().join("state");
    std::fs::create_dir(&state)?;
    // 2100-01-01: where the clock stood, as far as the last run knew.
    std::fs::write(state.join("clock"), "4102444800000\n")?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let berlin = mesh.gateway("berlin")?;
    let findings = berlin.ask(&["status"])?["findings"].to_string();
    ensure!(findings.contains("T415") && findings.contains("the clock is"), "{findings}");
    let said = berlin.daemon()?.output()?;
    ensure!(
        said.contains("the clock went back") && said.contains("2100-01-01T00:00:00Z"),
        "{said}"
    );
    lab.succeeded()
}
