//! A mesh and its federation from what `zonemesh mesh init --out` has written, and from nothing else: no
//! configuration is edited and no token's hash is typed.
//!
//! ```text
//!   berlin (founds, hosts)         WAN                 madrid (trains)        paris (trains)
//!   superlink 10.10.10.5 - gw - [ router ] - gw - supernode 10.10.11.5   gw - supernode
//! ```

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::managed::ManagedGateway as _;
use netns_tests::updates::{Post, Registering, registration};
use serde_json::Value;
use tonic::{Code, Status};
use zonemesh_api::clients::local;
use zonemesh_lab::federation::{
    HOME, LabFederation, SUPERLINK, SUPERNODE, Settings, TRAINING, ZONES,
};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{FEDERATION, MadeToken, WIREGUARD_PORT, patience};

use crate::tool::say;

const PLAN: TrainingPlan = TrainingPlan { rounds: 1, nodes: 2, train_sleep: Duration::ZERO };

/// Makes the mesh without a gateway; returns its folder.
fn init(federation: &mut LabFederation) -> Result<String> {
    let zone = |name: &str| -> Result<String> {
        let zone = federation.lab.zone(name)?;
        Ok(format!("{name}={}@{}:{WIREGUARD_PORT}", zone.prefix(), zone.wan_address))
    };
    let folder = federation.lab.folder().join("founded").display().to_string();
    let (founder, madrid, paris) = (zone(HOME)?, zone(TRAINING[0])?, zone(TRAINING[1])?);
    let federations = format!("{FEDERATION}={HOME}:{}", TRAINING.join(","));
    let args = ["mesh", "init", "--out", &folder, "--founder", &founder];
    let others = ["--zone", &madrid, "--zone", &paris, "--federation", &federations];
    say(&mut federation.mesh, HOME, &[&args[..], &others].concat())?;
    Ok(folder)
}

/// The gateway takes the configuration that was written for it. Only where its files are is the Lab's.
fn configure(federation: &mut LabFederation, folder: &str, zone: &str) -> Result<()> {
    let text = std::fs::read_to_string(format!("{folder}/{zone}/zonemesh.toml"))?;
    ensure!(!text.contains("token"), "{text}");
    let gateway = federation.mesh.gateway(zone)?;
    let of_lab = std::mem::replace(&mut gateway.config, text.parse()?);
    for (section, key) in [
        ("gateway", "state_dir"),
        ("gateway", "admin_socket"),
        ("tunnel", "private_key_file"),
        ("registry", "identity_key_file"),
    ] {
        let value = of_lab[section][key].clone();
        let empty = || toml::Value::Table(toml::Table::new());
        gateway.config.entry(section).or_insert_with(empty);
        gateway.section(section)?.insert(key.to_owned(), value);
    }
    Ok(())
}

/// What a VM's companion is told, with the lines that were written for its CONTEXT.
fn with_context(mut settings: Settings, folder: &str, zone: &str, role: &str) -> Result<Settings> {
    let file = format!("{folder}/{zone}/{role}-{FEDERATION}.context");
    for line in std::fs::read_to_string(file)?.lines() {
        let (key, value) = line.split_once('=').context("KEY=\"VALUE\"")?;
        let known = settings.iter_mut().find(|(name, _)| **name == key);
        *known.with_context(|| format!("a key that no companion reads: {key}"))?.1 =
            value.trim_matches('"').to_owned();
    }
    Ok(settings)
}

fn founded(lab: Lab) -> Result<(LabFederation, String)> {
    let mut federation = LabFederation::prepare(lab)?;
    let folder = init(&mut federation)?;
    for zone in ZONES {
        configure(&mut federation, &folder, zone.name)?;
    }
    federation.mesh.start(&federation.lab)?;
    for zone in ZONES {
        federation.mesh.gateway(zone.name)?.wait_until_ready(patience())?;
    }
    say(&mut federation.mesh, HOME, &["mesh", "found", &format!("{folder}/{HOME}/founding")])?;
    for zone in TRAINING {
        let invitation = format!("{folder}/{zone}/invitation");
        say(&mut federation.mesh, zone, &["zone", "join", &invitation])?;
    }
    federation.mesh.wait_until_connected(patience())?;
    Ok((federation, folder))
}

/// Each gateway holds the grants with the parts that were planned, and knows its own VMs' tokens.
fn grants_and_tokens(federation: &mut LabFederation) -> Result<()> {
    for at in ZONES {
        let gateway = federation.mesh.gateway(at.name)?;
        for zone in gateway.zones()?.zones {
            let part = if zone.zone == HOME { "host" } else { "train" };
            ensure!(zone.federations == [format!("{FEDERATION}={part}")], "{zone:?}");
        }
        let listed = gateway.ask(&["token", "list"])?;
        let tokens = listed["tokens"].as_array().context("a list of tokens")?;
        let (source, inviter, count) = match at.name {
            HOME => ("founding", Value::Null, 2),
            _ => ("invitation", HOME.into(), 1),
        };
        let known = |token: &Value| token["source"] == source && token["inviter"] == inviter;
        ensure!(listed["served"] == true && tokens.len() == count, "{listed}");
        ensure!(tokens.iter().all(known), "{listed}");
    }
    Ok(())
}

/// How a gateway answers a VM that wants to register a SuperLink.
fn register(from: &Post<'_>, request: &Registering) -> Result<Option<Status>> {
    from.place.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let api: SocketAddr = from.api;
            let mut gateway = local::connect(api, from.tls.clone()).await?;
            Ok(request.once(&mut gateway).await.err())
        })
    })
}

/// Berlin's token is nothing in madrid; and where somebody types its hash there, with the federation,
/// madrid's grant still lets it host none.
fn who_may_not_host_is_refused(federation: &mut LabFederation, token: &str) -> Result<()> {
    let LabFederation { mesh, lab, .. } = federation;
    let mut request = registration(lab, mesh, SUPERLINK)?;
    request.token = token.to_owned();
    request.wanted.addresses = vec![lab.zone(TRAINING[0])?.vm(SUPERNODE)?.address.into()];
    let said = register(&Post::at(lab, mesh, TRAINING[0], SUPERNODE)?, &request)?;
    ensure!(said.as_ref().map(Status::code) == Some(Code::Unauthenticated), "{said:?}");

    let listed = mesh.gateway(HOME)?.ask(&["token", "list"])?;
    let tokens = listed["tokens"].as_array().into_iter().flatten();
    let superlink = tokens.filter(|token| token["role"] == SUPERLINK);
    let sha256 = superlink.filter_map(|token| token["sha256"].as_str()).next();
    let sha256 = sha256.context("a SuperLink's token")?.to_owned();
    let gateway = mesh.gateway(TRAINING[0])?;
    gateway.tokens.superlink = MadeToken { token: token.to_owned(), sha256 };
    gateway.hold_federation()?;
    gateway.kill_9_and_start(lab)?;
    gateway.wait_until_ready(patience())?;
    let said = register(&Post::at(lab, mesh, TRAINING[0], SUPERNODE)?, &request)?;
    let said = said.context("madrid may host")?;
    let words = "lets it run no SuperLink of the federation";
    ensure!(said.code() == Code::PermissionDenied && said.message().contains(words), "{said}");
    // What came with the invitation outlives the restart.
    let listed = mesh.gateway(TRAINING[0])?.ask(&["token", "list"])?;
    ensure!(listed["tokens"].as_array().is_some_and(|all| all.len() == 2), "{listed}");
    Ok(())
}

#[test]
fn what_mesh_init_has_written_brings_up_three_zones_and_their_federation() -> Result<()> {
    let (mut federation, folder) = founded(Lab::new(&ZONES)?)?;
    grants_and_tokens(&mut federation)?;

    let settings = federation.superlink_settings(HOME, SUPERLINK)?;
    let settings = with_context(settings, &folder, HOME, SUPERLINK)?;
    let token = settings["ONEAPP_ZONEMESH_TOKEN"].clone();
    federation.start_superlink_with(HOME, SUPERLINK, settings)?;
    federation.wait_until_ready()?;
    for zone in TRAINING {
        let settings = federation.supernode_settings(zone)?;
        let settings = with_context(settings, &folder, zone, SUPERNODE)?;
        federation.start_supernode_with(zone, settings)?;
    }
    federation.train(PLAN)?;
    let backup = federation.lab.folder().join("madrid.backup");
    let state = federation.mesh.gateway(TRAINING[0])?.folder().join("state");
    backed_up(&mut federation, &backup, &state)?;

    who_may_not_host_is_refused(&mut federation, &token)?;
    federation.succeeded()
}

/// A backup holds what came with the invitation.
fn backed_up(federation: &mut LabFederation, backup: &Path, state: &Path) -> Result<()> {
    // The Lab keeps both keys beside the state folder.
    for key in ["wireguard.key", "zone.key"] {
        std::fs::copy(state.with_file_name(key), state.join(key))?;
    }
    let [file, dir] = [backup, state].map(|path| path.display().to_string());
    say(&mut federation.mesh, TRAINING[0], &["state", "backup", &file, "--state-dir", &dir])?;
    let saved: Value = serde_json::from_str(&std::fs::read_to_string(backup)?)?;
    ensure!(saved.to_string().contains("\"tokens\""), "no kept tokens in {saved}");
    Ok(())
}
