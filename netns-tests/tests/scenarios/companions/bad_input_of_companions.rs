//! Companions with wrong settings: the reason has a stable code, and they keep trying.
//!
//! ```text
//!   berlin
//!   superlink 10.10.10.5 - gw       (no other zone is needed)
//!   other     10.10.10.6 -/
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::federation::{HOME, LabFederation, SUPERLINK, Settings};
use zonemesh_lab::lab::{Lab, ZonePlan};

const ZONES: [ZonePlan<'_>; 1] = [ZonePlan { name: "berlin", vms: &[SUPERLINK, "other"] }];
const TOLD_WITHIN: Duration = Duration::from_secs(15);

fn tells(code: &str, spoil: impl FnOnce(&mut Settings)) -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.mesh.start(&federation.lab)?;
    let mut settings = federation.superlink_settings(HOME, SUPERLINK)?;
    spoil(&mut settings);
    federation.start_superlink_with(HOME, SUPERLINK, settings)?;
    let companion = federation.companion(HOME)?;
    companion.wait_for(code, TOLD_WITHIN)?;
    ensure!(companion.ended()?.is_none(), "it must keep trying");
    let known = federation.mesh.gateway(HOME)?.ask(&["superlink", "list"])?;
    let none = known["superlinks"].as_array().is_some_and(Vec::is_empty);
    ensure!(none, "nothing may be registered: {known}");
    federation.succeeded()
}

#[test]
fn a_gateway_of_another_zone_than_the_token_pins_is_told() -> Result<()> {
    tells("T405", |settings| {
        let other =
            "zmt1.key:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w.bm90LWEtc2VjcmV0LWF0LWFsbA";
        settings.insert("ONEAPP_ZONEMESH_TOKEN", other.to_owned());
    })
}

#[test]
fn a_token_of_0_1_0_ends_with_7_and_the_command_that_makes_a_new_one() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.mesh.start(&federation.lab)?;
    let mut settings = federation.superlink_settings(HOME, SUPERLINK)?;
    let old = "kntYxMidj3dFQp8G-YJbCa1tgHXuJcACjx4i2bSicjY";
    settings.insert("ONEAPP_ZONEMESH_TOKEN", old.to_owned());
    federation.start_superlink_with(HOME, SUPERLINK, settings)?;
    let (code, output) = federation.companion(HOME)?.wait_for_end(TOLD_WITHIN)?;
    ensure!(code == 7 && output.contains("zonemesh key generate token"), "{code}: {output}");
    ensure!(!output.contains(old), "the token is repeated: {output}");
    federation.succeeded()
}

#[test]
fn a_wrong_token_is_told() -> Result<()> {
    tells("T406", |settings| {
        if let Some(token) = settings.get_mut("ONEAPP_ZONEMESH_TOKEN") {
            let last = if token.ends_with('A') { 'B' } else { 'A' };
            token.pop();
            token.push(last);
        }
    })
}

#[test]
fn a_certificate_for_another_vms_address_is_refused() -> Result<()> {
    tells("P301", |settings| {
        settings.insert("ONEAPP_ZONEMESH_ADDRESS", "10.10.10.6".to_owned());
    })
}

#[test]
fn a_federation_that_is_not_held_here_is_refused() -> Result<()> {
    tells("P301", |settings| {
        settings.insert("ONEAPP_ZONEMESH_FEDERATION", "weather-eu".to_owned());
    })
}

#[test]
fn missing_settings_end_with_7_and_are_all_named() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.start_superlink_with(HOME, SUPERLINK, Settings::new())?;
    let (code, output) = federation.companion(HOME)?.wait_for_end(TOLD_WITHIN)?;
    ensure!(code == 7, "ended with {code}: {output}");
    for key in ["FEDERATION", "GATEWAY", "TOKEN"] {
        let name = format!("ONEAPP_ZONEMESH_{key}");
        ensure!(output.contains(&name), "{name} is not in:\n{output}");
    }
    federation.succeeded()
}
