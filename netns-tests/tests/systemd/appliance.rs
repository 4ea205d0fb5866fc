//! A gateway's VM on a real systemd: the appliance's own stages, the package's units, a CONTEXT and no
//! configuration by hand.
//!
//! ```text
//!   berlin: Debian, the package installed with dpkg; it founds a mesh of its own
//! ```

use std::path::Path;

use anyhow::{Result, ensure};
use netns_tests::systemd::{FAILED, Site, package};
use zonemesh_lab::wait::{Look, until};

use crate::{SOON, on_each_release};

/// A stage as one-apps runs it: a process of its own, `msg error` returns 1.
const STAGE: &str = r#"set -e; umask 0077
msg() { echo "$@" >&2; [ "$1" != error ]; }
export ZONEMESH_LIB=/root/zonemesh.sh ONE_SERVICE_REPORT=/root/report
. /root/values; . /root/appliance.sh
"$1""#;

/// What is closed to others, as `stat` prints it.
const FILES: [(&str, &str); 3] = [
    ("/etc/zonemesh/zonemesh.toml", "root:zonemesh 640"),
    ("/etc/zonemesh/context.sh", "root:root 600"),
    ("/run/zonemesh-gateway/status.json", "root:root 644"),
];

/// The script, the values of the founder's CONTEXT, and what OpenNebula writes beside them.
fn prepare(site: &Site) -> Result<()> {
    let (berlin, zone) = (&site.berlin, site.lab.zone("berlin")?);
    let packer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packer");
    berlin.put(&packer.join("base/zonemesh.sh"), "/root/zonemesh.sh")?;
    berlin.put(&packer.join("service_ZonemeshGateway/appliance.sh"), "/root/appliance.sh")?;
    let founder = format!("berlin={}@{}:51820", zone.prefix(), zone.wan_address);
    berlin.run(&format!("cd /root; zonemesh mesh init --out mesh --founder {founder}"))?;
    let (lan, wan) = (zone.lan_address, zone.wan_address);
    let written = format!("ETH0_IP={lan}\nETH0_MASK=255.255.255.0\nETH1_IP={wan}\n");
    berlin.write("/root/opennebula", &written)?;
    berlin.run("(echo 'set -a'; cat /root/mesh/berlin/context /root/opennebula) >/root/values")?;
    berlin.write("/root/stage", STAGE)
}

/// Both stages; what configure has said.
fn boot(site: &Site) -> Result<String> {
    let said = site.berlin.run("bash /root/stage service_configure 2>&1")?;
    site.berlin.run("bash /root/stage service_bootstrap")?;
    Ok(said)
}

fn wait_until_ready(site: &Site) -> Result<()> {
    until("the gateway to be ready", SOON, || {
        let said = site.berlin.run("cat /run/zonemesh-gateway/status.json");
        Ok(match said {
            Ok(said) if said.contains("\"ready\": true") => Look::Done(()),
            Ok(said) => Look::Not(said),
            Err(error) => Look::Not(format!("{error:#}")),
        })
    })?;
    Ok(())
}

#[test]
fn a_gateway_founds_its_mesh_from_its_context_and_keeps_an_edit_over_a_boot() -> Result<()> {
    on_each_release(|release| {
        let mut site = Site::new(release)?;
        site.install(&package("zonemesh")?)?;
        ensure!(
            site.berlin.output("systemctl is-enabled zonemesh-gateway")?.status.code() != Some(0)
        );
        prepare(&site)?;
        ensure!(boot(&site)?.contains("written from CONTEXT"));
        wait_until_ready(&site)?;
        for (file, expected) in FILES {
            let is = site.berlin.run(&format!("stat -c '%U:%G %a' {file}"))?;
            ensure!(is.trim() == expected, "{file}: {is}");
        }
        let log = site.berlin.run("journalctl -u zonemesh-gateway -o cat")?;
        ensure!(!log.contains("WARN") && log.contains("this gateway is ready"), "{log}");
        ensure!(site.berlin.run("zonemesh zone list")?.contains("berlin"));

        site.berlin
            .run("printf '\\n[log]\\nlevel = \"debug\"\\n' >>/etc/zonemesh/zonemesh.toml")?;
        let before = site.berlin.run("cat /etc/zonemesh/zonemesh.toml")?;
        site.berlin.reboot()?;
        ensure!(boot(&site)?.contains("edited here"));
        ensure!(site.berlin.run("cat /etc/zonemesh/zonemesh.toml")? == before);
        wait_until_ready(&site)?;
        ensure!(site.berlin.run(FAILED)?.is_empty());
        site.berlin.run("dpkg --purge zonemesh; ! test -e /etc/zonemesh")?;
        site.succeeded()
    })
}
