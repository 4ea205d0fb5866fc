//! What the package `zonemesh` puts on a machine, what it leaves there, and what it takes away.
//!
//! ```text
//!   berlin: Debian, the package installed with dpkg ==== WAN ==== madrid: a daemon of the Lab
//! ```

use anyhow::{Result, ensure};
use netns_tests::systemd::{FAILED, Site, package};
use zonemesh_lab::wait::{Look, until};

use crate::{SOON, on_each_release};

/// Owner, group and mode of what must be closed to others, each as `stat` prints it.
const FILES: [(&str, &str); 8] = [
    ("/etc/zonemesh", "root:root 755"),
    ("/etc/zonemesh/zonemesh.toml", "root:zonemesh 640"),
    ("/var/lib/zonemesh", "zonemesh:zonemesh 700"),
    ("/var/lib/zonemesh/zone.key", "zonemesh:zonemesh 400"),
    ("/var/lib/zonemesh/wireguard.key", "zonemesh:zonemesh 400"),
    ("/run/wireguard", "zonemesh:zonemesh 700"),
    ("/run/wireguard/zm0.sock", "zonemesh:zonemesh 600"),
    ("/run/zonemesh/admin.sock", "zonemesh:zonemesh-admin 660"),
];

#[test]
fn an_installation_without_a_configuration_starts_nothing_and_says_what_is_next() -> Result<()> {
    on_each_release(|release| {
        let site = Site::new(release)?;
        let berlin = &site.berlin;
        let said = site.install(&package("zonemesh")?)?;
        ensure!(said.contains("next: write /etc/zonemesh/zonemesh.toml"), "{said}");
        ensure!(berlin.run("systemctl is-enabled zonemeshd")?.trim() == "enabled");
        ensure!(site.property("ActiveState")? == "inactive");
        let output = berlin.output("systemctl start zonemeshd")?;
        let refused = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && refused.contains("Assertion failed"), "{refused}");
        ensure!(berlin.run(FAILED)?.is_empty());
        // Routers have these, and no port of the gateway's is given away.
        for (switch, value) in [
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv6.conf.all.forwarding", "1"),
            ("net.ipv4.ip_local_reserved_ports", "51820-51823,51831-51837"),
        ] {
            let is = berlin.run(&format!("sysctl -n {switch}"))?;
            ensure!(is.trim() == value, "{switch} is {is}");
        }
        berlin.run("test -s /usr/share/doc/zonemesh/examples/zonemesh.example.toml*")?;
        berlin
            .run("zonemesh config check /usr/share/doc/zonemesh/examples/zonemesh.example.toml")?;
        site.succeeded()
    })
}

#[test]
fn a_gateway_runs_as_its_own_user_with_two_capabilities_and_its_files_are_closed() -> Result<()> {
    on_each_release(|release| {
        let site = Site::connected(release)?;
        let berlin = &site.berlin;
        site.ping()?;
        for (file, expected) in FILES {
            let is = berlin.run(&format!("stat -c '%U:%G %a' {file}"))?;
            ensure!(is.trim() == expected, "{file}: {is}");
        }
        let pid = site.property("MainPID")?;
        let status = berlin.run(&format!("cat /proc/{pid}/status"))?;
        // CAP_NET_BIND_SERVICE is bit 10, CAP_NET_ADMIN bit 12; see capabilities(7).
        for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            ensure!(status.contains(&format!("{set}:\t0000000000001400")), "{status}");
        }
        ensure!(berlin.run(&format!("stat -c %U /proc/{pid}"))?.trim() == "zonemesh");
        until("the line of systemctl status", SOON, || {
            let text = site.property("StatusText")?;
            Ok(Look::<()>::when(text == "zone berlin: 1 of 1 tunnels up", text))
        })?;
        ensure!(berlin.run("wg show zm0 peers")?.lines().count() == 1);
        berlin.run("systemctl start zonemesh-wait-ready")?;
        looking_takes_the_group_and_nothing_else(&site)?;
        site.succeeded()
    })
}

/// A user of the machine sees the gateway from when they are in the group on, without `sudo`.
fn looking_takes_the_group_and_nothing_else(site: &Site) -> Result<()> {
    let berlin = &site.berlin;
    berlin.run("useradd --create-home eva")?;
    let ask = "setpriv --reuid eva --regid eva --init-groups zonemesh status";
    let refused = berlin.output(ask)?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(6) && said.contains("zonemesh-admin"), "{said}");
    berlin.run("usermod -aG zonemesh-admin eva")?;
    ensure!(berlin.run(ask)?.contains("ZONE berlin"));
    for secret in ["/etc/zonemesh/zonemesh.toml", "/var/lib/zonemesh/zone.key"] {
        let read = format!("setpriv --reuid eva --regid eva --init-groups cat {secret}");
        ensure!(!berlin.output(&read)?.status.success(), "eva reads {secret}");
    }
    Ok(())
}

#[test]
fn removal_leaves_the_keys_and_a_purge_takes_them_and_says_so() -> Result<()> {
    on_each_release(|release| {
        let site = Site::connected(release)?;
        let berlin = &site.berlin;
        let key = site.status()?["tunnel"]["public_key"].clone();
        let said = berlin.run("dpkg --remove zonemesh")?;
        ensure!(said.contains("/var/lib/zonemesh stay"), "{said}");
        ensure!(said.contains("net.ipv4.ip_forward=0"), "{said}");
        berlin.run("test -s /var/lib/zonemesh/zone.key -a -s /etc/zonemesh/zonemesh.toml")?;
        ensure!(!berlin.output("ip link show zm0")?.status.success(), "zm0 is there still");
        ensure!(!berlin.output("systemctl cat zonemeshd")?.status.success());
        // What is installed again goes on as the same gateway, at once.
        site.install(&package("zonemesh")?)?;
        site.wait_until_connected()?;
        ensure!(site.status()?["tunnel"]["public_key"] == key, "the gateway has another key");
        let said = berlin.run("dpkg --purge zonemesh")?;
        ensure!(said.contains("deleting /var/lib/zonemesh: the keys"), "{said}");
        berlin
            .run("! test -e /var/lib/zonemesh -o -e /etc/zonemesh -o -e /etc/default/zonemeshd")?;
        ensure!(berlin.run(FAILED)?.is_empty());
        let left =
            berlin.run("find /etc /usr /var/lib -name '*zonemesh*' ! -path '/var/lib/dpkg/*'")?;
        ensure!(left.is_empty(), "a purge leaves {left}");
        site.succeeded()
    })
}

#[test]
fn a_purge_empties_a_state_folder_on_a_disk_of_its_own() -> Result<()> {
    on_each_release(|release| {
        let mut site = Site::new(release)?;
        site.berlin.run("mkdir -p /var/lib/zonemesh; mount -t tmpfs disk /var/lib/zonemesh")?;
        site.configure()?;
        site.install(&package("zonemesh")?)?;
        site.wait_until_connected()?;
        site.berlin.run("dpkg --purge zonemesh; mountpoint /var/lib/zonemesh")?;
        let left = site.berlin.run("find /var/lib/zonemesh -mindepth 1")?;
        ensure!(left.is_empty(), "a purge leaves {left}");
        site.succeeded()
    })
}

#[test]
fn a_default_route_from_router_advertisements_survives_forwarding() -> Result<()> {
    on_each_release(|release| {
        let site = Site::new(release)?;
        let berlin = &site.berlin;
        berlin.run(
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.wan0.disable_ipv6=0
            ip -6 route add default via fe80::1 dev wan0 proto ra",
        )?;
        let said = site.install(&package("zonemesh")?)?;
        ensure!(said.contains("wan0 has the default route from router advertisements"), "{said}");
        ensure!(berlin.run("sysctl -n net.ipv6.conf.wan0.accept_ra")?.trim() == "2");
        ensure!(berlin.run("sysctl -n net.ipv6.conf.all.forwarding")?.trim() == "1");
        berlin.run("ip -6 route show default proto ra | grep wan0")?;
        site.succeeded()
    })
}
