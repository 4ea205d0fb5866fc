//! The package over what is there already: a gateway by hand, and an older package.
//!
//! ```text
//!   vm - [ berlin: Debian ] ==== WAN ==== [ madrid: a daemon of the Lab ] - vm
//!    \_________ a TCP connection through the tunnel, all the time _______/
//! ```

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use netns_tests::systemd::{Site, package};
use zonemesh_lab::binaries;
use zonemesh_lab::namespace::run;
use zonemesh_lab::process::Process;

use crate::{SOON, on_each_release};

/// The unit that QUICKSTART had people install before there was a package.
const BY_HAND: &str = include_str!("by_hand.service");

/// A TCP connection from berlin's VM to madrid's, for this long.
struct Traffic {
    _server: Process,
    client: Process,
}

impl Traffic {
    fn start(site: &Site, seconds: u32) -> Result<Self> {
        let (from, to) = (site.lab.zone("berlin")?.vm("vm")?, site.lab.zone("madrid")?.vm("vm")?);
        let mut command = to.namespace.command("iperf3");
        command.args(["--server", "--one-off", "--forceflush"]);
        let mut server = Process::spawn("iperf3-server", command, site.lab.folder())?;
        server.wait_for("Server listening", SOON)?;
        let mut command = from.namespace.command("iperf3");
        command.args(["--client", &to.address.to_string(), "--bitrate", "20M", "--forceflush"]);
        command.args(["--time", &seconds.to_string()]);
        let mut client = Process::spawn("iperf3-client", command, site.lab.folder())?;
        client.wait_for("bits/sec", SOON)?;
        Ok(Self { _server: server, client })
    }

    /// It has not ended before, and ends well now.
    fn went_on(mut self) -> Result<()> {
        ensure!(self.client.ended()?.is_none(), "it has ended before the upgrade was done");
        let (code, said) = self.client.wait_for_end(2 * SOON)?;
        ensure!(code == 0 && said.contains("receiver"), "ended with {code}: {said}");
        Ok(())
    }
}

/// Programs, unit, group and folders as QUICKSTART of 0.2.0 had people type them.
fn install_by_hand(site: &mut Site) -> Result<()> {
    for program in ["zonemeshd", "zonemesh"] {
        site.berlin.put(&binaries::find(program)?, &format!("/usr/local/bin/{program}"))?;
    }
    site.configure()?;
    site.berlin.write("/etc/systemd/system/zonemeshd.service", BY_HAND)?;
    site.berlin.write("/etc/sysctl.d/60-zonemesh.conf", "net.ipv4.ip_forward=1\n")?;
    site.berlin.run(
        "useradd --create-home eva; groupadd --system zonemesh; usermod -aG zonemesh eva
        systemctl daemon-reload; systemctl enable --now zonemeshd",
    )?;
    site.wait_until_connected()?;
    Ok(())
}

#[test]
fn a_gateway_by_hand_becomes_the_packages_under_load_and_stays_the_same() -> Result<()> {
    on_each_release(|release| {
        let mut site = Site::new(release)?;
        install_by_hand(&mut site)?;
        let pid = site.property("MainPID")?;
        ensure!(site.berlin.run(&format!("stat -c %U /proc/{pid}"))?.trim() == "root");
        let key = site.status()?["tunnel"]["public_key"].clone();
        let traffic = Traffic::start(&site, 25)?;
        let said = site.install(&package("zonemesh")?)?;
        site.wait_until_connected()?;
        traffic.went_on()?;
        ensure!(site.status()?["tunnel"]["public_key"] == key, "the gateway has another key");
        let pid = site.property("MainPID")?;
        ensure!(site.berlin.run(&format!("stat -c %U /proc/{pid}"))?.trim() == "zonemesh");
        ensure!(site.property("FragmentPath")?.ends_with("/lib/systemd/system/zonemeshd.service"));
        let foreign = "find /var/lib/zonemesh ! -user zonemesh";
        ensure!(site.berlin.run(foreign)?.is_empty(), "files of others are left");
        let groups = site.berlin.run("id -nG eva")?;
        ensure!(groups.split_whitespace().eq(["eva", "zonemesh-admin"]), "{groups}");
        for told in
            ["eva is in the group zonemesh-admin", ".dpkg-old", "sudo rm /usr/local/bin/zonemeshd"]
        {
            ensure!(said.contains(told), "{told} is not told:\n{said}");
        }
        site.berlin.run("rm /usr/local/bin/zonemesh /usr/local/bin/zonemeshd")?;
        site.berlin.reboot()?;
        site.wait_until_connected()?;
        site.succeeded()
    })
}

/// The same package under another version.
fn newer(site: &Site) -> Result<PathBuf> {
    let file = site.lab.folder().join("zonemesh_9.0_newer.deb");
    let script = "dpkg-deb --raw-extract \"$1\" \"$2.files\"
        sed -i 's/^Version: .*/Version: 9.0/' \"$2.files/DEBIAN/control\"
        dpkg-deb --build -Zgzip -z1 --root-owner-group \"$2.files\" \"$2\" && rm -rf \"$2.files\"";
    run(Command::new("sh").args(["-ec", script, "sh"]).arg(package("zonemesh")?).arg(&file))?;
    Ok(file)
}

#[test]
fn an_upgrade_keeps_what_was_edited_and_the_connections() -> Result<()> {
    on_each_release(|release| {
        let mut site = Site::connected(release)?;
        site.berlin.write("/etc/default/zonemeshd", "ZONEMESH_LOG=debug\n")?;
        let edited = format!("# by eva\n{}", site.configuration()?);
        site.berlin.write("/etc/zonemesh/zonemesh.toml", &edited)?;
        let (pid, newer) = (site.property("MainPID")?, newer(&site)?);
        let traffic = Traffic::start(&site, 15)?;
        site.install(Path::new(&newer))?;
        ensure!(site.property("MainPID")? != pid, "the old program runs on");
        site.wait_until_connected()?;
        traffic.went_on()?;
        ensure!(site.berlin.run("cat /etc/default/zonemeshd")? == "ZONEMESH_LOG=debug\n");
        ensure!(site.berlin.run("cat /etc/zonemesh/zonemesh.toml")? == edited);
        // The edited environment counts.
        site.wait_until_told("zonemeshd", " DEBUG ")?;
        site.succeeded()
    })
}
