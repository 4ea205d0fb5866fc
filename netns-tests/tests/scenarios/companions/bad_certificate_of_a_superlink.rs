//! A SuperLink that shows a certificate Flower would refuse: the SuperNode's companion says why.
//!
//! ```text
//!   berlin                               WAN                madrid
//!   superlink 10.10.10.5 \
//!   second    10.10.10.6 -- gw        [ router ]        gw - supernode 10.10.11.5
//!   (one of them runs an impostor)
//! ```
//!
//! Flower 1.25 itself would only retry in silence (SAN) or with a bare OpenSSL text (CA).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::federation::{HOME, LabFederation, SUPERLINK};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::namespace::run;
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

const SECOND: &str = "second";
const ZONES: [ZonePlan<'_>; 2] = [
    ZonePlan { name: "berlin", vms: &[SUPERLINK, SECOND] },
    ZonePlan { name: "madrid", vms: &["supernode"] },
];
const TOLD_WITHIN: Duration = Duration::from_secs(10);

/// A registered and ready SuperLink in this VM, which then loses its power.
fn announce_and_vanish(federation: &mut LabFederation, vm: &str) -> Result<()> {
    let settings = federation.superlink_settings(HOME, vm)?;
    federation.start_superlink_with(HOME, vm, settings)?;
    let address = federation.zone(HOME)?.vm(vm)?.address.to_string();
    for zone in ["berlin", "madrid"] {
        federation.wait_for_superlink(zone, "ready", Duration::from_secs(180))?;
        until("its address to be announced", Duration::from_secs(30), || {
            let known = federation.mesh.gateway(zone)?.ask(&["superlink", "list"])?;
            Ok(Look::<()>::when(known["superlinks"][0]["addresses"][0] == *address, &known))
        })?;
    }
    federation.cut_power(HOME, vm)
}

/// Something else that listens where SuperNodes connect.
fn impostor(
    federation: &LabFederation,
    vm: &str,
    certificate: &Path,
    key: &Path,
) -> Result<Process> {
    let vm = federation.zone(HOME)?.vm(vm)?;
    // -www: without it openssl ends with its standard input, which is empty here.
    let mut command = vm.namespace.command("openssl");
    command
        .args(["s_server", "-www", "-alpn", "h2", "-accept", &format!("{}:9092", vm.address)])
        .arg("-cert")
        .arg(certificate)
        .arg("-key")
        .arg(key);
    let mut process = Process::spawn("impostor", command, federation.lab.folder())?;
    process.wait_for("ACCEPT", Duration::from_secs(20))?;
    Ok(process)
}

fn reason_of_the_supernode(federation: &mut LabFederation, code: &str) -> Result<String> {
    federation.start_supernode("madrid")?;
    let companion = federation.companion("madrid")?;
    let (line, took) = companion.wait_for(code, TOLD_WITHIN)?;
    ensure!(took <= TOLD_WITHIN, "told after {took:?}");
    ensure!(companion.ended()?.is_none(), "it must keep trying");
    Ok(line)
}

/// A certificate with the right SAN, signed by nobody that this federation knows.
fn foreign_certificate(folder: &Path, address: &str) -> Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (folder.join("foreign.pem"), folder.join("foreign.key"));
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "1", "-subj", "/CN=superlink"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-addext", &format!("subjectAltName=IP:{address}")])
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key);
    run(&mut openssl)?;
    Ok((certificate, key))
}

#[test]
fn a_supernode_tells_a_wrong_ca_within_10_s() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.connect()?;
    announce_and_vanish(&mut federation, SUPERLINK)?;
    let (certificate, key) = foreign_certificate(federation.lab.folder(), "10.10.10.5")?;
    let _impostor = impostor(&federation, SUPERLINK, &certificate, &key)?;
    let line = reason_of_the_supernode(&mut federation, "T401")?;
    ensure!(line.contains("10.10.10.5:9092"), "{line}");
    federation.succeeded()
}

#[test]
fn a_supernode_tells_a_san_mismatch_within_10_s() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.connect()?;
    // The operator's mistake: the second VM serves with the files of the first one.
    announce_and_vanish(&mut federation, SUPERLINK)?;
    announce_and_vanish(&mut federation, SECOND)?;
    let first = federation.companion_folder(HOME, SUPERLINK).join("tls");
    let _impostor =
        impostor(&federation, SECOND, &first.join("server.pem"), &first.join("server.key"))?;
    let line = reason_of_the_supernode(&mut federation, "T402")?;
    ensure!(line.contains("10.10.10.6") && line.contains("10.10.10.5"), "{line}");
    federation.succeeded()
}
