//! Names of endpoints: a resolver that is dead, says no, or is configured by a file with a mistake.

use anyhow::Result;
use toml::Value;

use super::FaultOutcome::{Borne, Told};
use super::configuration::set;
use super::{CataloguedFault, FaultStage, FaultTold, HERE, LAGGING};
use crate::mesh::patience;
use crate::process::Process;

/// The name under which a stage keeps its DNS server.
const DNS: &str = "dnsmasq";
const RESOLV_CONF: &str = "/etc/resolv.conf";
const NAME: &str = "gw.madrid.example";
/// Questions to the router vanish.
const DEAF: &str =
    "table inet deaf { chain c { type filter hook input priority 0; udp dport 53 drop; }; }";

pub(super) fn faults() -> Vec<CataloguedFault> {
    let told = || Told(vec![FaultTold::new("N215", NAME).advice("resolver")]);
    vec![
        CataloguedFault {
            name: "the resolver does not answer",
            make: |stage| {
                stage.lab.router().run(&["nft", DEAF])?;
                with_resolver(stage, "")
            },
            undo: |stage| {
                stage.lab.router().run(&["nft", "delete table inet deaf"])?;
                without_resolver(stage)
            },
            outcome: told(),
        },
        CataloguedFault {
            name: "the resolver knows no such name",
            make: |stage| {
                serve(stage, "--local=/example/")?;
                with_resolver(stage, "")
            },
            undo: |stage| {
                stage.end(DNS)?;
                without_resolver(stage)
            },
            outcome: told(),
        },
        CataloguedFault {
            name: "resolv.conf has a line that cannot be read",
            make: |stage| {
                let madrid = stage.lab.zone("madrid")?.wan_address;
                serve(stage, &format!("--address=/{NAME}/{madrid}"))?;
                with_resolver(stage, "search a..b ..\noptions ndots:9\nnonsense here\n")
            },
            undo: |stage| {
                stage.end(DNS)?;
                without_resolver(stage)
            },
            outcome: Borne {
                but: LAGGING,
                holds: |stage| {
                    let madrid = stage.lab.zone("madrid")?.wan_address.to_string();
                    let at = stage.status(HERE)?.of_peer("madrid", "endpoint");
                    let is_there = at.as_str().is_some_and(|at| at.starts_with(&madrid));
                    anyhow::ensure!(is_there, "madrid is called at {at}");
                    Ok(())
                },
            },
        },
    ]
}

fn server(stage: &FaultStage<'_>) -> Result<String> {
    let [a, b, c, _] = stage.lab.zone(HERE)?.wan_address.octets();
    Ok(format!("{a}.{b}.{c}.254"))
}

/// A DNS server on the router that asks nobody else.
fn serve(stage: &mut FaultStage<'_>, knows: &str) -> Result<()> {
    let mut command = stage.lab.router().command("dnsmasq");
    command.args(["--keep-in-foreground", "--no-resolv", "--no-hosts", "--user=root"]);
    command.args(["--group=root", "--pid-file=", "--log-facility=-", "--conf-file=/dev/null"]);
    command.arg(knows);
    let mut server = Process::spawn(DNS, command, stage.lab.folder())?;
    server.wait_for("started", patience())?;
    stage.helpers.insert(DNS, server);
    Ok(())
}

/// Starts the gateway anew: it asks the router, and knows of madrid's endpoint only the name.
fn with_resolver(stage: &mut FaultStage<'_>, more: &str) -> Result<()> {
    let file = stage.lab.folder().join("resolv.conf");
    let server = server(stage)?;
    let text = format!("{more}nameserver {server}\noptions timeout:1 attempts:1\n");
    std::fs::write(&file, text)?;
    stage.mesh.gateway(HERE)?.stand_ins.insert(RESOLV_CONF, file);
    let endpoints = Value::Array(vec![format!("{NAME}:51820").into()]);
    stage.with_configuration(|config| set(config, "endpoints", endpoints))
}

fn without_resolver(stage: &mut FaultStage<'_>) -> Result<()> {
    stage.mesh.gateway(HERE)?.stand_ins.remove(RESOLV_CONF);
    stage.restored()
}
