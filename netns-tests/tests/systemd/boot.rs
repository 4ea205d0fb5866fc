//! From the boot to the start of `zonemeshd`, and after the removal of its package: what bars the clear
//! in the kernel, since when, and until when.
//!
//! ```text
//!   berlin: Debian, the package installed with dpkg ==== WAN ==== madrid: a daemon of the Lab
//! ```
//!
//! The container's network outlives its boots, so that what a test wants to see come is cleared before.

use anyhow::{Context as _, Result, ensure};
use netns_tests::systemd::{BootedDebian, FAILED, Site, package};

use crate::on_each_release;

/// Stands where the units stand that bring a network up, and keeps what it sees in the kernel then.
const NETWORK: &str = "[Unit]
DefaultDependencies=no
Wants=network-pre.target
After=network-pre.target
Before=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c '(nft list table inet zonemesh; ip route show table 9091) >/run/seen 2>&1'
[Install]
WantedBy=sysinit.target
";

/// All that a gateway has in the kernel.
const IN_THE_KERNEL: &str = "nft list tables | grep zonemesh || true
    (ip rule; ip -6 rule) | grep -E '909[01]|zonemesh' || true
    (ip route show table all; ip -6 route show table all) | grep 'proto 90' || true
    ip -o link show type tun | grep zm0 || true";

const GUARD: &str = "zonemesh-guard.service";

/// When a unit has reached what the property says, in microseconds since the machine's own start.
fn at(debian: &BootedDebian, unit: &str, property: &str) -> Result<u64> {
    let shown = debian.run(&format!("systemctl show --value --property={property} {unit}"))?;
    let at: u64 = shown.trim().parse().with_context(|| format!("{unit}: {property}={shown}"))?;
    ensure!(at > 0, "{unit} has not been started: {property} is 0");
    Ok(at)
}

/// Stops the daemon and takes away what it has left.
fn clear(site: &Site) -> Result<()> {
    site.berlin.run("systemctl stop zonemeshd; zonemeshd clear")?;
    let left = site.berlin.run(IN_THE_KERNEL)?;
    ensure!(left.is_empty(), "clear leaves {left}");
    Ok(())
}

#[test]
fn after_a_boot_the_clear_is_barred_before_the_network_and_before_the_daemon() -> Result<()> {
    on_each_release(|release| {
        let mut site = Site::connected(release)?;
        ensure!(site.berlin.run(&format!("systemctl is-enabled {GUARD}"))?.trim() == "enabled");
        site.berlin.write("/etc/systemd/system/network-like.service", NETWORK)?;
        site.berlin.run("systemctl enable network-like")?;
        clear(&site)?;
        site.berlin.reboot()?;
        let berlin = &site.berlin;
        let seen = berlin.run("cat /run/seen")?;
        for barred in ["10.10.11.0/24", "unreachable 10.10.11.0/24"] {
            ensure!(seen.contains(barred), "the network comes up without {barred}:\n{seen}");
        }
        // Its /dev is not taken from under it.
        let emptied =
            at(berlin, "systemd-tmpfiles-setup.service", "ActiveEnterTimestampMonotonic")?;
        let begun = at(berlin, GUARD, "InactiveExitTimestampMonotonic")?;
        ensure!(emptied <= begun, "/tmp is emptied at {emptied}, and the guard begins at {begun}");
        let barred = at(berlin, GUARD, "ActiveEnterTimestampMonotonic")?;
        for (unit, property) in [
            ("network-pre.target", "ActiveEnterTimestampMonotonic"),
            ("network-like.service", "InactiveExitTimestampMonotonic"),
            ("zonemeshd.service", "InactiveExitTimestampMonotonic"),
        ] {
            let came = at(berlin, unit, property)?;
            ensure!(barred <= came, "{unit} at {came}, and the clear is barred at {barred}");
        }
        // Taken over by the daemon, left by it, and taken over again.
        site.wait_until_connected()?;
        site.ping()?;
        berlin.run("systemctl stop zonemeshd; nft list table inet zonemesh")?;
        ensure!(site.ping().is_err(), "something else carries packets for madrid");
        berlin.run("systemctl start zonemeshd")?;
        site.wait_until_connected()?;
        site.ping()?;
        ensure!(berlin.run(FAILED)?.is_empty());
        site.succeeded()
    })
}

#[test]
fn a_broken_state_or_configuration_keeps_no_machine_from_booting_and_bars_what_is_known()
-> Result<()> {
    on_each_release(|release| {
        let mut site = Site::connected(release)?;
        clear(&site)?;
        // The list says nothing; what the configuration's peers own is barred.
        site.berlin.run("cp /var/lib/zonemesh/barred /root; systemctl disable zonemeshd")?;
        site.berlin.run("printf 'no network\\n\\377\\n' >/var/lib/zonemesh/barred")?;
        site.berlin.reboot()?;
        site.wait_until_told(GUARD, "what was barred last cannot be read")?;
        let seen =
            site.berlin.run("ip route show table 9091; systemctl is-active network-pre.target")?;
        ensure!(seen.contains("unreachable 10.10.11.0/24"), "{seen}");
        ensure!(site.berlin.run(FAILED)?.contains(GUARD), "what only the list knew is not barred");
        // The file says nothing; the one that was in force last does.
        clear(&site)?;
        site.berlin.run("cp /root/barred /var/lib/zonemesh")?;
        site.berlin.run("echo '[zone' >/etc/zonemesh/zonemesh.toml")?;
        site.berlin.reboot()?;
        site.wait_until_told(GUARD, "barring by the last one in force")?;
        let seen = site.berlin.run("ip route show table 9091; systemctl --failed --no-legend")?;
        ensure!(seen.contains("unreachable 10.10.11.0/24") && !seen.contains(GUARD), "{seen}");
        // No configuration says anything; what was barred last is barred.
        clear(&site)?;
        let kept = "/var/lib/zonemesh/in-force.toml";
        site.berlin.run(&format!("rm {kept}"))?;
        site.berlin.reboot()?;
        site.wait_until_told(GUARD, "zonemesh config check /etc/zonemesh/zonemesh.toml")?;
        let failed = site.berlin.run(FAILED)?;
        ensure!(failed.lines().count() == 1 && failed.contains(GUARD), "{failed}");
        let seen = site.berlin.run("ip route show table 9091; nft list table inet zonemesh")?;
        ensure!(seen.contains("unreachable 10.10.11.0/24"), "{seen}");
        ensure!(site.ping().is_err(), "something carries packets for madrid");
        site.succeeded()
    })
}

#[test]
fn without_a_configuration_the_guard_is_passed_over_at_a_boot() -> Result<()> {
    on_each_release(|release| {
        let mut site = Site::new(release)?;
        site.install(&package("zonemesh")?)?;
        site.berlin.reboot()?;
        let berlin = &site.berlin;
        let shown =
            berlin.run(&format!("systemctl show -p ActiveState -p ConditionResult {GUARD}"))?;
        ensure!(
            shown.contains("ActiveState=inactive") && shown.contains("ConditionResult=no"),
            "{shown}"
        );
        ensure!(berlin.run(FAILED)?.is_empty());
        ensure!(berlin.run(IN_THE_KERNEL)?.is_empty());
        site.succeeded()
    })
}

#[test]
fn an_upgrade_keeps_what_is_in_the_kernel_and_a_removal_takes_it() -> Result<()> {
    on_each_release(|release| {
        let site = Site::connected(release)?;
        let berlin = &site.berlin;
        // With the daemon out of the way it is seen what the scripts do.
        berlin.run("systemctl disable --now zonemeshd; mv /etc/zonemesh/zonemesh.toml /root")?;
        let before = berlin.run(IN_THE_KERNEL)?;
        ensure!(before.contains("zonemesh") && before.contains("909"), "nothing bars: {before}");
        site.install(&package("zonemesh")?)?;
        ensure!(berlin.run(IN_THE_KERNEL)? == before, "{before}\n{}", berlin.run(IN_THE_KERNEL)?);
        berlin.run("mv /root/zonemesh.toml /etc/zonemesh; systemctl enable --now zonemeshd")?;
        site.wait_until_connected()?;
        berlin.run("dpkg --remove zonemesh")?;
        let left = berlin.run(IN_THE_KERNEL)?;
        ensure!(left.is_empty(), "a removal leaves {left}");
        berlin.run("test -s /var/lib/zonemesh/zone.key")?;
        site.succeeded()
    })
}
