//! The life of `zonemeshd.service` under a real systemd: boots, restarts, and what goes wrong.
//!
//! ```text
//!   berlin: Debian, the package installed with dpkg ==== WAN ==== madrid: a daemon of the Lab
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::systemd::{FAILED, Site};
use zonemesh_lab::wait::{Look, holds_for, until};

use crate::{SOON, on_each_release, say};

/// Where berlin's configuration lies.
const FILE: &str = "/etc/zonemesh/zonemesh.toml";

/// How often it is killed; `make test-systemd` sets more.
fn kills() -> u32 {
    let wanted = std::env::var("ZONEMESH_KILLS").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(2)
}

#[test]
fn a_gateway_starts_at_a_fresh_boot_and_after_every_kill() -> Result<()> {
    on_each_release(|release| {
        let mut site = Site::connected(release)?;
        site.berlin.reboot()?;
        let took = site.wait_until_connected()?;
        say(format_args!("{release}: connected {took:.1?} after the boot"))?;
        site.ping()?;
        let failed = site.berlin.run(FAILED)?;
        ensure!(failed.is_empty(), "{failed}{}", site.berlin.run("journalctl -b -p warning")?);
        for kill in 1..=kills() {
            site.berlin.run("kill -9 $(systemctl show --value -p MainPID zonemeshd)")?;
            let restarts = kill.to_string();
            until("the next start", SOON, || {
                let is = site.property("NRestarts")? == restarts;
                let is_up = is && site.property("ActiveState")? == "active";
                Ok(Look::<()>::when(is_up, "not yet"))
            })?;
        }
        site.wait_until_connected()?;
        site.ping()?;
        site.succeeded()
    })
}

#[test]
fn a_restart_keeps_the_device_and_a_stop_takes_it() -> Result<()> {
    on_each_release(|release| {
        let site = Site::connected(release)?;
        let berlin = &site.berlin;
        let index = berlin.run("ip -o link show dev zm0 | cut -d: -f1")?;
        let first = site.property("MainPID")?;
        berlin.run("systemctl restart zonemeshd")?;
        ensure!(site.property("MainPID")? != first, "it is the same process");
        ensure!(berlin.run("ip -o link show dev zm0 | cut -d: -f1")? == index, "zm0 was made anew");
        site.wait_until_connected()?;
        site.ping()?;
        berlin.run("systemctl stop zonemeshd")?;
        ensure!(site.property("Result")? == "success");
        ensure!(!berlin.output("ip link show zm0")?.status.success(), "zm0 is there still");
        ensure!(site.ping().is_err(), "something else carries packets for madrid");
        berlin.run("systemctl start zonemeshd")?;
        site.wait_until_connected()?;
        site.succeeded()
    })
}

#[test]
fn a_reload_takes_a_good_file_and_fails_with_a_broken_one() -> Result<()> {
    on_each_release(|release| {
        let mut site = Site::connected(release)?;
        let good = site.configuration()?;
        let pid = site.property("MainPID")?;
        site.berlin.write(FILE, &format!("{good}\n[probes]\ninterval = \"2s\"\n"))?;
        ensure!(site.berlin.run("zonemesh config check")?.contains("differs: probes.interval"));
        site.berlin.run("systemctl reload zonemeshd")?;
        ensure!(site.berlin.run("zonemesh config check")?.contains("it is what is in force"));
        site.berlin.write(FILE, "[zone\nname = 1\n")?;
        ensure!(
            !site.berlin.output("systemctl reload zonemeshd")?.status.success(),
            "it was taken"
        );
        site.wait_until_told("zonemeshd", "zonemesh.toml:1:")?;
        ensure!(site.property("ActiveState")? == "active" && site.property("MainPID")? == pid);
        ensure!(site.finding("C115")?.is_some());
        site.ping()?;
        site.berlin.write(FILE, &good)?;
        site.berlin.run("kill -HUP $(systemctl show --value -p MainPID zonemeshd)")?;
        site.wait_until_connected()?;
        // Its tunnels are made anew, by the same process.
        let port = good.replace("[tunnel]\n", "[tunnel]\nlisten_port = 51899\n");
        ensure!(port != good);
        site.berlin.write(FILE, &port)?;
        site.berlin.run("systemctl reload zonemeshd")?;
        until("the other port", SOON, || {
            let is_there =
                site.status().is_ok_and(|status| status["tunnel"]["listen_port"] == 51_899);
            Ok(Look::<()>::when(is_there && site.property("ActiveState")? == "active", "not yet"))
        })?;
        ensure!(site.property("MainPID")? == pid && site.property("NRestarts")? == "0");
        site.wait_until_connected()?;
        site.succeeded()
    })
}

#[test]
fn a_start_with_a_broken_file_runs_the_last_and_without_one_tries_less_and_less_often() -> Result<()>
{
    on_each_release(|release| {
        let mut site = Site::connected(release)?;
        let good = site.configuration()?;
        site.berlin.write(FILE, "[zone\nname = 1\n")?;
        site.berlin.run("systemctl restart zonemeshd")?;
        until("the tunnel", SOON, || Ok(Look::<()>::when(site.ping().is_ok(), "no answer")))?;
        let shown = site.berlin.output("zonemesh status")?;
        let text = String::from_utf8_lossy(&shown.stdout);
        ensure!(shown.status.code() == Some(1) && text.contains("! C117"), "{text}");
        let mode = site.berlin.run("stat -c '%U %a' /var/lib/zonemesh/in-force.toml")?;
        ensure!(mode.trim() == "zonemesh 400", "{mode}");
        // Nothing is left that could run.
        site.berlin.run("systemctl stop zonemeshd; rm /var/lib/zonemesh/in-force.toml")?;
        let output = site.berlin.output("systemctl start zonemeshd")?;
        ensure!(!output.status.success(), "systemctl says that it has started");
        ensure!(site.property("ExecMainStatus")? == "7");
        site.wait_until_told("zonemeshd", "zonemesh config check /etc/zonemesh/zonemesh.toml")?;
        // A second each would be twenty.
        std::thread::sleep(Duration::from_secs(20));
        let restarts: u32 = site.property("NRestarts")?.parse()?;
        ensure!((3..=6).contains(&restarts), "{restarts} starts in 20 s");
        let said = site.property("StatusText")?;
        ensure!(said.contains("starts have failed"), "{said}");
        site.berlin.write(FILE, &good)?;
        let took = site.wait_until_connected()?;
        ensure!(took < Duration::from_secs(10), "the mended file was taken after {took:?}");
        site.berlin.run("rm /etc/zonemesh/zonemesh.toml")?;
        let output = site.berlin.output("systemctl restart zonemeshd")?;
        ensure!(!output.status.success(), "it starts without a configuration");
        site.berlin.write(FILE, &good)?;
        site.berlin.run("systemctl start zonemeshd")?;
        site.wait_until_connected()?;
        site.succeeded()
    })
}

#[test]
fn missing_folders_and_files_of_root_are_put_right_by_the_next_start() -> Result<()> {
    on_each_release(|release| {
        let site = Site::connected(release)?;
        let berlin = &site.berlin;
        let key = site.status()?["tunnel"]["public_key"].clone();
        berlin.run("systemctl stop zonemeshd; rm -rf /run/wireguard /run/zonemesh")?;
        berlin.run("systemctl start zonemeshd; wg show zm0 public-key")?;
        // As `sudo install` and an unpacked copy leave them.
        berlin.run(
            "systemctl stop zonemeshd; chown -R root:root /var/lib/zonemesh
            chmod 0600 /etc/zonemesh/zonemesh.toml; systemctl start zonemeshd",
        )?;
        site.wait_until_connected()?;
        berlin.run("chown root:root /var/lib/zonemesh/zone.key; systemctl restart zonemeshd")?;
        site.wait_until_connected()?;
        ensure!(site.status()?["tunnel"]["public_key"] == key, "the gateway has another key");
        // Another gateway then, and it runs: whoever deletes the keys is told nothing else.
        berlin
            .run("systemctl stop zonemeshd; rm -rf /var/lib/zonemesh; systemctl start zonemeshd")?;
        ensure!(site.status()?["tunnel"]["public_key"] != key);
        site.succeeded()
    })
}

#[test]
fn a_socket_that_cannot_be_given_to_its_group_is_a_note_and_the_gateway_runs() -> Result<()> {
    on_each_release(|release| {
        let site = Site::connected(release)?;
        site.berlin.run("gpasswd --delete zonemesh zonemesh-admin; systemctl restart zonemeshd")?;
        site.wait_until_connected()?;
        let status = site.status()?;
        let findings = status["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
        let note = findings.iter().find(|one| one["code"] == "C102");
        ensure!(note.is_some_and(|one| one["severity"] == "note"), "{status}");
        let owner = site.berlin.run("stat -c '%U:%G %a' /run/zonemesh/admin.sock")?;
        ensure!(owner.trim() == "zonemesh:zonemesh 660", "{owner}");
        site.berlin.run("gpasswd --add zonemesh zonemesh-admin; systemctl restart zonemeshd")?;
        site.wait_until_connected()?;
        ensure!(site.status()?["findings"].as_array().is_some_and(Vec::is_empty), "it stays");
        site.succeeded()
    })
}

#[test]
fn a_gateway_that_stands_still_is_started_anew() -> Result<()> {
    on_each_release(|release| {
        let site = Site::connected(release)?;
        let berlin = &site.berlin;
        berlin.run(
            "mkdir /run/systemd/system/zonemeshd.service.d
            printf '[Service]\\nWatchdogSec=5s\\n' >/run/systemd/system/zonemeshd.service.d/soon.conf
            systemctl daemon-reload; systemctl restart zonemeshd",
        )?;
        site.wait_until_connected()?;
        let first = site.property("MainPID")?;
        // Longer than the time that it may be silent: it speaks by itself.
        holds_for("the first process", Duration::from_secs(7), || {
            let pid = site.property("MainPID")?;
            Ok(Look::<()>::when(pid == first, pid))
        })?;
        berlin.run(&format!("kill -STOP {first}"))?;
        until("the next start", SOON, || {
            let pid = site.property("MainPID")?;
            Ok(Look::<()>::when(pid != first && pid != "0", pid))
        })?;
        site.wait_until_told("zonemeshd", "Watchdog timeout")?;
        site.wait_until_connected()?;
        site.succeeded()
    })
}
