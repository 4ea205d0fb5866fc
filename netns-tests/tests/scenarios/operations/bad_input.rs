//! Bad input and a hostile machine: one clear message, the documented exit code, nothing lost.
//!
//! ```text
//!   berlin            WAN            madrid
//!   gw ----------- [ router ] ------- gw        (one of the gateways is given something bad)
//! ```
//!
//! Exit codes: docs/REFERENCE.md (5 network, 6 policy, 7 configuration).

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zonemesh_lab::binaries;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::process::Process;

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &[] }];
const NETWORK: i32 = 5;
const POLICY: i32 = 6;
const CONFIGURATION: i32 = 7;
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Starts berlin's daemon after `spoil`; it must end with `code` and say all of `words`.
fn refuses(
    code: i32,
    words: &[&str],
    spoil: impl FnOnce(&Lab, &mut Mesh) -> Result<()>,
) -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    spoil(&lab, &mut mesh)?;
    let gateway = mesh.gateway("berlin")?;
    gateway.start(&lab)?;
    let (got, output) = gateway.daemon()?.wait_for_end(ENDS_WITHIN)?;
    says(code, words, got, &output)?;
    lab.succeeded()
}

fn says(code: i32, words: &[&str], got: i32, output: &str) -> Result<()> {
    ensure!(got == code, "ended with {got}, not {code}:\n{output}");
    for word in words {
        ensure!(output.contains(word), "{word:?} is not in its message:\n{output}");
    }
    Ok(())
}

#[test]
fn an_unknown_key_ends_with_7_and_names_file_line_and_key() -> Result<()> {
    refuses(CONFIGURATION, &["zonemesh.toml:", "listen_prot", "listen_port"], |_, mesh| {
        let tunnel = mesh.gateway("berlin")?.section("tunnel")?;
        tunnel.insert("listen_prot".to_owned(), 51_820.into());
        Ok(())
    })
}

#[test]
fn a_key_of_the_wrong_length_ends_with_7_and_names_its_place() -> Result<()> {
    refuses(CONFIGURATION, &["zonemesh.toml:", "wireguard_key"], |_, mesh| {
        let peer = mesh.gateway("berlin")?.peer("madrid")?;
        peer.insert("wireguard_key".to_owned(), "AAAA".into());
        Ok(())
    })
}

#[test]
fn overlapping_prefixes_end_with_7_and_name_both_owners() -> Result<()> {
    refuses(CONFIGURATION, &["zonemesh.toml:", "berlin", "madrid", "10.10.11.0/24"], |_, mesh| {
        let zone = mesh.gateway("berlin")?.section("zone")?;
        let both = ["10.10.10.0/24", "10.10.11.0/25"].map(toml::Value::from).to_vec();
        zone.insert("prefixes".to_owned(), both.into());
        Ok(())
    })
}

#[test]
fn ones_own_key_as_a_peer_ends_with_7() -> Result<()> {
    refuses(CONFIGURATION, &["madrid", "own"], |_, mesh| {
        let gateway = mesh.gateway("berlin")?;
        let own = gateway.keys.wireguard.clone();
        gateway.peer("madrid")?.insert("wireguard_key".to_owned(), own.into());
        Ok(())
    })
}

#[test]
fn a_key_file_that_holds_no_key_ends_with_7_and_stays_as_it_is() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let gateway = mesh.gateway("berlin")?;
    let file = gateway.folder().join("wireguard.key");
    std::fs::write(&file, "not a key\n")?;
    gateway.start(&lab)?;
    let (code, output) = gateway.daemon()?.wait_for_end(ENDS_WITHIN)?;
    says(CONFIGURATION, &["wireguard.key"], code, &output)?;
    ensure!(std::fs::read_to_string(&file)? == "not a key\n", "the file must stay as it was");
    lab.succeeded()
}

#[test]
fn a_key_file_that_cannot_be_read_ends_with_7() -> Result<()> {
    refuses(CONFIGURATION, &["zone.key"], |_, mesh| {
        // Root reads everything, so it is a folder that stands in the file's place.
        let file = mesh.gateway("berlin")?.folder().join("zone.key");
        std::fs::remove_file(&file)?;
        Ok(std::fs::create_dir(&file)?)
    })
}

/// Runs berlin's daemon with `prefix` before it.
fn under(lab: &Lab, mesh: &mut Mesh, prefix: &[&str]) -> Result<(i32, String)> {
    let gateway = mesh.gateway("berlin")?;
    std::fs::write(gateway.config_file(), gateway.config.to_string())?;
    let (program, rest) = prefix.split_first().context("no prefix")?;
    let mut command: Command = lab.zone("berlin")?.gateway.command(program);
    command
        .args(rest)
        .arg(binaries::find("zonemeshd")?)
        .args(["run", "--config"])
        .arg(gateway.config_file());
    Process::spawn("berlin-zonemeshd", command, lab.folder())?.wait_for_end(ENDS_WITHIN)
}

#[test]
fn without_cap_net_admin_it_ends_with_6_and_says_so() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let less = ["--bounding-set=-net_admin", "--inh-caps=-net_admin", "--ambient-caps=-net_admin"];
    let (code, output) = under(&lab, &mut mesh, &[&["setpriv"][..], &less[..]].concat())?;
    says(POLICY, &["CAP_NET_ADMIN", "--cap-add NET_ADMIN"], code, &output)?;
    lab.succeeded()
}

#[test]
fn without_dev_net_tun_it_ends_with_5_and_says_what_to_do() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let hide = "mount -t tmpfs none /dev/net && exec \"$@\"";
    let (code, output) = under(&lab, &mut mesh, &["unshare", "--mount", "sh", "-c", hide, "sh"])?;
    says(NETWORK, &["/dev/net/tun", "--device /dev/net/tun"], code, &output)?;
    lab.succeeded()
}

#[test]
fn a_corrupted_record_is_set_aside_and_fetched_again_and_keys_survive() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let keys = mesh.gateway("berlin")?.ask(&["status"])?["zone_key"].clone();
    mesh.gateway("berlin")?.daemon()?.kill_9()?;
    let mut spoiled = 0;
    for entry in std::fs::read_dir(mesh.gateway("berlin")?.folder().join("state/records"))? {
        std::fs::write(entry?.path(), b"\x00garbage\xff")?;
        spoiled += 1;
    }
    ensure!(spoiled >= 2, "its own and madrid's record, not {spoiled}");
    mesh.gateway("berlin")?.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    ensure!(mesh.gateway("berlin")?.ask(&["status"])?["zone_key"] == keys, "same identity");
    let records = mesh.gateway("berlin")?.ask(&["registry", "list"])?;
    ensure!(records["records"].as_array().is_some_and(|all| all.len() == 2), "{records}");
    lab.succeeded()
}

#[test]
fn an_endpoint_name_that_cannot_be_resolved_leaves_the_daemon_running() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let endpoints: toml::Value = vec![toml::Value::from("gw.madrid.invalid:51820")].into();
    mesh.gateway("berlin")?.peer("madrid")?.insert("endpoints".to_owned(), endpoints);
    mesh.start(&lab)?;
    // Madrid knows where berlin is, so the tunnel comes up all the same.
    mesh.wait_until_connected(Duration::from_secs(60))?;
    let log = mesh.gateway("berlin")?.daemon()?.output()?;
    ensure!(log.contains("gw.madrid.invalid"), "the name must be named:\n{log}");
    lab.succeeded()
}

#[test]
fn a_gateway_that_does_not_run_is_told_with_3_and_the_next_command() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let socket = mesh.gateway("berlin")?.socket();
    let output = Command::new(binaries::find("zonemesh")?)
        .arg("--socket")
        .arg(&socket)
        .arg("status")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    says(3, &["zonemeshd", "admin.sock"], output.status.code().unwrap_or(-1), &said)?;
    lab.succeeded()
}
