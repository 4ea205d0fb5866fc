//! What engineers see of a running gateway: every reading command answers, and no secret shows.
//!
//! ```text
//!   berlin            WAN            madrid
//!   gw ----------- [ router ] ------- gw
//! ```

use std::os::unix::fs::PermissionsExt;

use std::net::IpAddr;

use anyhow::{Result, ensure};
use netns_tests::wireguard::traffic::ping;
use serde_json::Value;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
const READING: [&[&str]; 6] = [
    &["status"],
    &["peers"],
    &["superlink", "list"],
    &["registry", "list"],
    &["cert", "show"],
    &["token", "list"],
];

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

/// What berlin and madrid have counted of their tunnel, as berlin shows it, once `is_it`.
fn pair(mesh: &mut Mesh, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
    let (pair, _) = until(what, patience(), || {
        let shown = mesh.gateway("berlin")?.ask(&["show", "madrid"])?;
        let pair = shown["pair"].clone();
        Ok(if !pair.is_null() && is_it(&pair) {
            Look::Done(pair)
        } else {
            Look::Not(shown.to_string())
        })
    })?;
    Ok(pair)
}

fn number(pair: &Value, key: &str) -> i64 {
    pair[key].as_i64().unwrap_or(i64::MIN)
}

#[test]
fn what_is_lost_between_two_gateways_shows_where_both_ends_are_compared() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let target = IpAddr::from(lab.zone("madrid")?.tunnel_address);
    pair(&mut mesh, "madrid to answer", |_| true)?;
    ping(&lab.zone("berlin")?.gateway, target, 50, 0.02)?;
    let whole = pair(&mut mesh, "what was sent", |pair| number(pair, "sent_here") > 5_000)?;
    for way in ["lost_on_the_way_there", "lost_on_the_way_here"] {
        ensure!(number(&whole, way).abs() < 1_500, "{way} of a whole path: {whole}");
    }

    lab.lose("madrid", 40.0)?;
    ping(&lab.zone("berlin")?.gateway, target, 200, 0.01)?;
    lab.lose("madrid", 0.0)?;
    let lossy = pair(&mut mesh, "madrid to answer again", |pair| {
        number(pair, "sent_here") > number(&whole, "sent_here") + 10_000
    })?;
    ensure!(number(&lossy, "lost_on_the_way_there") > 3_000, "{lossy}");
    let text = mesh.gateway("berlin")?.show(&["show", "madrid"])?;
    ensure!(text.contains("way there") && text.contains("missing"), "{text}");

    // Who counts anew is compared anew.
    mesh.gateway("madrid")?.kill_9_and_start(&lab)?;
    let since = lossy["since"].clone();
    let anew = pair(&mut mesh, "madrid to be compared anew", |pair| pair["since"] != since)?;
    ensure!(number(&anew, "sent_here") < 1_000_000 && number(&anew, "sent_there") >= 0, "{anew}");
    ensure!(number(&anew, "lost_on_the_way_there").abs() < 1_500, "{anew}");
    lab.succeeded()
}
