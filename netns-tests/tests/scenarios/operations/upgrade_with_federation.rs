//! From release 0.1.0 to this one with a federation that has worked: gateways and companions of 0.1.0 are
//! stopped and replaced, their folders stay, the VMs get tokens of the new form.
//!
//! ```text
//!   0.1.0:   berlin (SuperLink) ==== madrid, paris (SuperNodes)     a run of Flower
//!   then:    the same, all of this release, with the same CA and database     another run
//! ```

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use toml::Table;
use zonemesh_lab::binaries;
use zonemesh_lab::federation::{HOME, LabFederation, SUPERLINK, TRAINING, ZONES};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{FEDERATION, MadeToken, make_keys, patience};

use crate::tool::{invite, run, say};

const PLAN: TrainingPlan = TrainingPlan { rounds: 1, nodes: 2, train_sleep: Duration::ZERO };
/// For a daemon, or a companion with its Flower, to end.
const SOON: Duration = Duration::from_secs(30);

/// A token as `zonemesh key generate token -o json` prints it, of whatever release.
fn make_token(federation: &mut LabFederation, zone: &str) -> Result<MadeToken> {
    let text = say(&mut federation.mesh, zone, &["key", "generate", "token", "-o", "json"])?;
    let made: Value = serde_json::from_str(&text)?;
    let field = |name: &str| made[name].as_str().map(str::to_owned).context("a text");
    Ok(MadeToken { token: field("token")?, sha256: field("sha256")? })
}

/// Gateways of 0.1.0, with keys that it has made; returns the token of the SuperLink's VM.
fn strangers_of_0_1(federation: &mut LabFederation) -> Result<String> {
    let programs = binaries::release("0.1.0")?;
    for zone in ZONES {
        let gateway = federation.mesh.gateway(zone.name)?;
        gateway.programs = Some(programs.clone());
        gateway.set_peers(Vec::new());
        gateway.section("local_api")?.remove("token");
        for file in ["wireguard.key", "zone.key"] {
            std::fs::remove_file(gateway.folder().join(file))?;
        }
        gateway.keys = make_keys(&programs.join("zonemesh"), gateway.folder())?;
    }
    let MadeToken { token, sha256 } = make_token(federation, HOME)?;
    // As QUICKSTART of 0.1.0 has it.
    let text = format!(
        "name = \"superlink-vm\"\nsha256 = \"{sha256}\"\nfederation = \"{FEDERATION}\"\n\
         expires = \"2099-01-01T00:00:00Z\""
    );
    let tokens = vec![toml::Value::Table(text.parse::<Table>()?)];
    let gateway = federation.mesh.gateway(HOME)?;
    gateway.section("local_api")?.insert("token".to_owned(), tokens.into());
    Ok(token)
}

/// Berlin's mesh and federation of 0.1.0; returns the token of the SuperLink's VM.
fn federation_of_0_1(federation: &mut LabFederation) -> Result<String> {
    let token = strangers_of_0_1(federation)?;
    federation.mesh.start(&federation.lab)?;
    for zone in ZONES {
        federation.mesh.gateway(zone.name)?.wait_until_ready(patience())?;
    }
    say(&mut federation.mesh, HOME, &["mesh", "init"])?;
    for zone in TRAINING {
        let LabFederation { lab, mesh, .. } = &mut *federation;
        let invitation = invite(lab, mesh, lab.zone(zone)?, &[])?;
        say(&mut federation.mesh, zone, &["zone", "join", &invitation])?;
    }
    federation.mesh.wait_until_connected(patience())?;
    federation.programs = Some(binaries::release("0.1.0")?);
    let mut settings = federation.superlink_settings(HOME, SUPERLINK)?;
    settings.insert("ONEAPP_ZONEMESH_TOKEN", token.clone());
    settings.insert(FINGERPRINT, fingerprint(federation, HOME)?);
    federation.start_superlink_with(HOME, SUPERLINK, settings)?;
    federation.wait_until_ready()?;
    for zone in TRAINING {
        let mut settings = federation.supernode_settings(zone)?;
        settings.remove("ONEAPP_ZONEMESH_TOKEN");
        settings.insert(FINGERPRINT, fingerprint(federation, zone)?);
        federation.start_supernode_with(zone, settings)?;
    }
    Ok(token)
}

/// What a VM of 0.1.0 pinned its gateway with.
const FINGERPRINT: &str = "ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT";

fn fingerprint(federation: &mut LabFederation, zone: &str) -> Result<String> {
    let status = federation.mesh.gateway(zone)?.ask(&["status"])?;
    let shown = status["local_api_fingerprint"].as_str().map(str::to_owned);
    shown.with_context(|| format!("no fingerprint in {status}"))
}

/// Ends all programs of 0.1.0, the VMs' first.
fn stop(federation: &mut LabFederation) -> Result<()> {
    for zone in ZONES {
        let code = federation.companion(zone.name)?.terminate(SOON)?;
        ensure!(code == 0, "the companion of {} ended with {code}", zone.name);
    }
    for zone in ZONES {
        federation.mesh.gateway(zone.name)?.daemon()?.terminate(SOON)?;
        federation.mesh.gateway(zone.name)?.programs = None;
    }
    federation.programs = None;
    Ok(())
}

/// What 0.1.0 took is refused now, in a configuration and in a VM's CONTEXT, with the command that helps.
fn old_tokens_are_refused(federation: &mut LabFederation, token: &str) -> Result<()> {
    let file = federation.mesh.gateway(HOME)?.config_file().display().to_string();
    let checked = run(&mut federation.mesh, HOME, &["config", "check", "--wide", &file])?;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    ensure!(checked.status.code() == Some(7) && said.contains("key generate token"), "{said}");
    let mut plan = Command::new(binaries::find("zonemesh-superlink")?);
    plan.arg("plan").env("ONEAPP_ZONEMESH_FEDERATION", FEDERATION);
    plan.env("ONEAPP_ZONEMESH_GATEWAY", "127.0.0.1:1").env("ONEAPP_ZONEMESH_TOKEN", token);
    let planned = plan.env("ONEAPP_ZONEMESH_ADDRESS", "10.10.10.5").output()?;
    let said = String::from_utf8_lossy(&planned.stderr).into_owned();
    ensure!(planned.status.code() == Some(7) && said.contains("key generate token"), "{said}");
    ensure!(!said.contains(token), "{said}");
    Ok(())
}

/// Starts the gateways anew on their folders, and makes tokens there for all VMs.
fn start_upgraded(federation: &mut LabFederation) -> Result<()> {
    federation.mesh.gateway(HOME)?.section("local_api")?.remove("token");
    federation.mesh.start(&federation.lab)?;
    federation.mesh.wait_until_connected(patience())?;
    for zone in ZONES {
        let token = make_token(federation, zone.name)?;
        let gateway = federation.mesh.gateway(zone.name)?;
        if zone.name == HOME {
            gateway.tokens.superlink = token;
            gateway.hold_federation()?;
        } else {
            gateway.tokens.supernode = token;
            gateway.take_supernodes()?;
        }
        gateway.daemon()?.terminate(SOON)?;
        gateway.start(&federation.lab)?;
    }
    federation.mesh.wait_until_connected(patience())?;
    Ok(())
}

fn ca(federation: &mut LabFederation) -> Result<String> {
    Ok(std::fs::read_to_string(federation.ca_file()?)?)
}

#[test]
fn a_federation_of_0_1_0_goes_on_with_its_ca_and_database_and_no_new_invitation() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    let old_token = federation_of_0_1(&mut federation)?;
    federation.train(PLAN)?;
    let old_ca = ca(&mut federation)?;
    let database: PathBuf =
        federation.companion_folder(HOME, SUPERLINK).join("flower/superlink.db");
    let inode = std::fs::metadata(&database)?.ino();

    stop(&mut federation)?;
    old_tokens_are_refused(&mut federation, &old_token)?;
    start_upgraded(&mut federation)?;
    let zones = federation.mesh.gateway(TRAINING[1])?.ask(&["zone", "list"])?;
    let listed = zones["zones"].as_array().context("a list of zones")?;
    let is_member = |zone: &Value| zone["state"] == "member";
    ensure!(listed.len() == ZONES.len() && listed.iter().all(is_member), "{zones}");

    federation.start_superlink()?;
    federation.wait_until_ready()?;
    ensure!(ca(&mut federation)? == old_ca, "the federation has another CA");
    ensure!(std::fs::metadata(&database)?.ino() == inode, "the database was made anew");
    for zone in TRAINING {
        federation.start_supernode(zone)?;
    }
    federation.train(TrainingPlan { rounds: 2, ..PLAN })?;
    federation.succeeded()
}
