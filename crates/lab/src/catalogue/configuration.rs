//! What an engineer writes wrong into a gateway's file; it is started with that, or told to read
//! it.

use anyhow::Context as _;
use nix::sys::signal::Signal;
use toml::{Table, Value};

use super::FaultOutcome::Told;
use super::{CataloguedFault, FaultStage, FaultTold, HERE};

pub(super) fn faults() -> Vec<CataloguedFault> {
    let mut all = at_a_start();
    all.extend(others());
    all
}

fn at_a_start() -> Vec<CataloguedFault> {
    let restored = |stage: &mut FaultStage<'_>| stage.restored();
    let fault =
        |name, make, told| CataloguedFault { name, make, undo: restored, outcome: Told(told) };
    vec![
        fault(
            "the file is broken at a start",
            |stage| {
                stage.with_configuration(|config| {
                    let level = Table::from_iter([("level".to_owned(), "verbose".into())]);
                    config.insert("log".to_owned(), level.into());
                    Ok(())
                })
            },
            vec![FaultTold::new("C117", "log.level").advice("zonemesh config check")],
        ),
        fault(
            "a peer's zone key is another one's",
            |stage| {
                stage.with_configuration(|config| set(config, "zone_key", OTHER_ZONE_KEY.into()))
            },
            vec![
                FaultTold::new("T413", "zone_key").advice("section here"),
                FaultTold::new("T413", "zone_key").advice("the file there is wrong").at("madrid"),
                FaultTold::nothing("paris"),
            ],
        ),
        fault(
            "a peer's prefix is not the one that it announces",
            |stage| {
                let other = Value::Array(vec!["10.10.99.0/24".into()]);
                stage.with_configuration(|config| set(config, "prefixes", other))
            },
            vec![FaultTold::new("P303", "10.10.11.0/24").advice("zone.prefixes")],
        ),
        fault(
            "a peer's endpoint is a name that does not resolve",
            |stage| {
                let name = Value::Array(vec!["gw.madrid.invalid:51820".into()]);
                stage.with_configuration(|config| set(config, "endpoints", name))
            },
            vec![FaultTold::new("N215", "gw.madrid.invalid").advice("check the name")],
        ),
        fault(
            "a peer's prefix has a number with a zero before it",
            |stage| {
                let other = Value::Array(vec!["10.010.11.0/24".into()]);
                stage.with_configuration(|config| set(config, "prefixes", other))
            },
            vec![FaultTold::new("C117", "10.010.11.0/24").advice("zonemesh config check")],
        ),
    ]
}

fn others() -> Vec<CataloguedFault> {
    vec![
        CataloguedFault {
            name: "a peer's WireGuard key is another one's",
            make: |stage| {
                let other = flipped(&stage.mesh.gateway("paris")?.keys.wireguard);
                stage.with_configuration(|config| set(config, "wireguard_key", other.into()))
            },
            undo: |stage| stage.restored(),
            // Its record on this disk proves the right one, which is tried too.
            outcome: Told(vec![
                FaultTold::new("C118", "its WireGuard key is written here")
                    .advice("zonemesh reload")
                    .exit(0),
            ]),
        },
        CataloguedFault {
            name: "a file that is no TOML is reloaded",
            make: |stage| {
                let gateway = stage.mesh.gateway(HERE)?;
                std::fs::write(gateway.config_file(), "[zone\nname = \"berlin\"\n")?;
                gateway.daemon()?.signal(Signal::SIGHUP)
            },
            undo: reloaded,
            outcome: Told(vec![FaultTold::new("C115", "zonemesh.toml").advice("zonemesh reload")]),
        },
        CataloguedFault {
            name: "the file was changed and nobody has reloaded it",
            make: |stage| {
                let gateway = stage.mesh.gateway(HERE)?;
                let text = format!("{}\n[log]\nlevel = \"debug\"\n", gateway.config);
                Ok(std::fs::write(gateway.config_file(), text)?)
            },
            undo: reloaded,
            outcome: Told(vec![
                FaultTold::new("C116", "log.level").advice("zonemesh reload").exit(0),
            ]),
        },
    ]
}

/// What is in force stands in the file again.
fn reloaded(stage: &mut FaultStage<'_>) -> anyhow::Result<()> {
    let gateway = stage.mesh.gateway(HERE)?;
    gateway.write_config()?;
    gateway.daemon()?.signal(Signal::SIGHUP)
}

/// The public key of RFC 8032, section 7.1, test 1.
const OTHER_ZONE_KEY: &str = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// Another key: a WireGuard key may be any 32 bytes.
fn flipped(key: &str) -> String {
    let first = if key.starts_with('A') { 'B' } else { 'A' };
    format!("{first}{}", key.get(1..).unwrap_or_default())
}

/// Changes what the file says of madrid.
pub(super) fn set(config: &mut Table, key: &str, value: Value) -> anyhow::Result<()> {
    let peers = config.get_mut("peer").and_then(Value::as_array_mut).context("no peers")?;
    let peers = peers.iter_mut().filter_map(Value::as_table_mut);
    for peer in peers.filter(|peer| peer["zone"].as_str() == Some("madrid")) {
        peer.insert(key.to_owned(), value.clone());
    }
    Ok(())
}
