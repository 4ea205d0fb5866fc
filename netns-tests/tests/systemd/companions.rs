//! The companions' packages with a real Flower under their units.
//!
//! ```text
//!   berlin               WAN              madrid                paris
//!   superlink - gw   [ router ]   gw - supernode        gw - supernode      each in a Debian
//! ```
//!
//! The gateways are daemons of the Lab. Flower is this machine's, behind a Python of the Debian: it
//! has to be of the same version, which only Debian 12 has here.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::systemd::{BootedDebian, FAILED, package};
use serde_json::Value;
use zonemesh_lab::federation::{
    HOME, LabFederation, SUPERLINK, SUPERNODE, Settings, TRAINING, ZONES,
};
use zonemesh_lab::flower::TrainingPlan;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::wait::{Look, until};

use crate::confinement::exposure;
use crate::say;

/// The Debian whose Python has the version that Flower was installed for.
const RELEASE: &str = "bookworm";
/// Flower itself takes seconds to start, and up to a minute on a starved machine.
const FLOWER: Duration = Duration::from_secs(120);

/// Flower in /opt/flower, as `pip` would have put it there.
const INSTALL_FLOWER: &str = r#"python3 -m venv --without-pip /opt/flower
    site=$(echo /opt/flower/lib/python3*/site-packages)
    test -d /srv/shared/lib/$(basename $(dirname "$site"))
    echo "/srv/shared/lib/$(basename $(dirname "$site"))/site-packages" >"$site/shared.pth"
    for script in /srv/shared/bin/fl*; do
        sed '1s|.*|#!/opt/flower/bin/python|' "$script" >"/opt/flower/bin/${script##*/}"
    done
    chmod 0755 /opt/flower/bin/fl*"#;

/// As an administrator with one accelerator too many would have it.
const DROP_IN: &str = "[Service]\nEnvironment=CUDA_VISIBLE_DEVICES=1 OTHER=no\n";

/// CAP_NET_ADMIN of linux/capability.h.
const NET_ADMIN: u64 = 1 << 12;

/// Each Python under this unit (`$1`) writes down what it may do before all else, and what it is.
const CONFESSIONS: &str = r#"cat >"$(echo /opt/flower/lib/python3*/site-packages)/told.pth" <<END
import sys; open("/var/lib/$1/told", "a").write(" ".join([line.split()[1] for line in open("/proc/self/status") if line.startswith("CapPrm")] + sys.orig_argv) + "\n")
END"#;

/// One VM with its companion.
struct Vm {
    debian: BootedDebian,
    unit: String,
}

impl Vm {
    fn boot(
        federation: &LabFederation,
        zone: &str,
        role: &str,
        settings: Settings,
    ) -> Result<Self> {
        let place = &federation.lab.zone(zone)?.vm(role)?.namespace;
        let flower = federation.flower.bin().parent().context("a folder above bin")?;
        let debian = BootedDebian::boot_with(&federation.lab, place, RELEASE, flower)?;
        let unit = format!("zonemesh-{role}");
        let file = package(&unit)?;
        debian.put(&file, "/root/companion.deb")?;
        debian.run("dpkg --install /root/companion.deb")?;
        debian.run(INSTALL_FLOWER)?;
        debian.run("usermod --append --groups video flower")?;
        debian.run(&format!("mkdir -p /etc/systemd/system/{unit}.service.d"))?;
        debian.write(&format!("/etc/systemd/system/{unit}.service.d/accelerator.conf"), DROP_IN)?;
        debian.run("systemctl daemon-reload")?;
        debian.write("/etc/zonemesh/context.sh", &context(settings))?;
        debian.run(&format!("chmod 0600 /etc/zonemesh/context.sh; systemctl start {unit}"))?;
        Ok(Self { debian, unit })
    }

    /// Until the companion says that Flower is ready.
    fn wait_until_ready(&self) -> Result<()> {
        until(&format!("{} to be ready", self.unit), FLOWER, || {
            let said = match self.debian.run(&format!("cat /var/lib/{}/status.json", self.unit)) {
                Ok(said) => said,
                Err(error) => return Ok(Look::Not(format!("{error:#}"))),
            };
            let status: Value = serde_json::from_str(&said)?;
            Ok(Look::<()>::when(status["state"] == "ready", said))
        })?;
        Ok(())
    }

    /// Flower's user opens the devices that its groups open, and the accelerators that it is told.
    fn accelerator_is_reached(&self) -> Result<()> {
        let first = "$(pgrep -u flower | head -n 1)";
        let groups = self.debian.run(&format!("ps -o supgrp= -p {first}"))?;
        ensure!(groups.split(',').any(|group| group.trim() == "video"), "{groups}");
        let environment = self.debian.run(&format!("tr '\\0' '\\n' </proc/{first}/environ"))?;
        ensure!(environment.contains("CUDA_VISIBLE_DEVICES=1\n"), "{environment}");
        ensure!(!environment.contains("OTHER="), "{environment}");
        Ok(())
    }

    /// What the companion may do it may not pass on, be it to root: neither to Flower nor to what it
    /// asks.
    fn only_the_companion_changes_the_network(&self) -> Result<()> {
        let Self { debian, unit } = self;
        debian.run(&format!("set -- {unit}; {CONFESSIONS}"))?;
        debian.run(&format!(
            "systemctl stop {unit}; rm /var/lib/{unit}/status.json
            sed -i /FLOWER_USER/d /etc/zonemesh/context.sh; systemctl start {unit}"
        ))?;
        self.wait_until_ready()?;
        let own = debian.run(&format!(
            "main=$(systemctl show --value --property=MainPID {unit})
            sed -n 's/^CapPrm:\t//p' /proc/$main/status"
        ))?;
        ensure!(capabilities(&own)? & NET_ADMIN != 0, "{unit} sets no routes: {own}");
        let told = debian.run(&format!("cat /var/lib/{unit}/told"))?;
        for line in told.lines() {
            let held = capabilities(line)?;
            ensure!(held != 0, "it is not root, or could do nothing anyway: {told}");
            ensure!(held & NET_ADMIN == 0, "it may change the network: {told}");
        }
        for program in [" -c ", "flower-super"] {
            ensure!(told.contains(program), "{program} did not run: {told}");
        }
        Ok(())
    }

    /// The processes of the user `flower`, by their names.
    fn flowers(&self) -> Result<String> {
        self.debian.run("ps -u flower -o args= || true")
    }
}

/// The first word as the kernel writes sets of capabilities.
fn capabilities(line: &str) -> Result<u64> {
    let word = line.split_whitespace().next().context("no capabilities")?;
    u64::from_str_radix(word, 16).with_context(|| line.to_owned())
}

/// The settings in the form of a VM's CONTEXT.
fn context(mut settings: Settings) -> String {
    // Places as the package has them.
    settings.remove("ONEAPP_ZONEMESH_STATE_DIR");
    settings.remove("ONEAPP_ZONEMESH_FLOWER_BIN");
    settings.insert("ONEAPP_ZONEMESH_FLOWER_USER", "flower".to_owned());
    settings.into_iter().map(|(key, value)| format!("{key}='{value}'\n")).collect()
}

#[test]
fn flower_trains_under_the_shipped_units_and_goes_with_its_package() -> Result<()> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.connect()?;
    let settings = federation.superlink_settings(HOME, SUPERLINK)?;
    let superlink = Vm::boot(&federation, HOME, SUPERLINK, settings)?;
    superlink.wait_until_ready()?;
    let mut supernodes = Vec::new();
    for zone in TRAINING {
        let settings = federation.supernode_settings(zone)?;
        supernodes.push(Vm::boot(&federation, zone, SUPERNODE, settings)?);
    }
    supernodes.iter().try_for_each(Vm::wait_until_ready)?;
    federation.train(TrainingPlan { rounds: 2, nodes: 2, train_sleep: Duration::ZERO })?;
    for vm in supernodes.iter().chain([&superlink]) {
        let figure = exposure(&vm.debian, &vm.unit)?;
        say(format_args!("{RELEASE}: {} {figure:.1} with Flower under it", vm.unit))?;
        ensure!(figure <= 3.0, "{} is at {figure}", vm.unit);
        ensure!(vm.flowers()?.contains("flower-super"), "Flower runs as another user");
        vm.accelerator_is_reached()?;
        let token =
            "setpriv --reuid flower --regid flower --clear-groups cat /etc/zonemesh/context.sh";
        ensure!(!vm.debian.output(token)?.status.success(), "Flower's user reads the token");
    }
    for vm in supernodes.iter().take(1).chain([&superlink]) {
        vm.only_the_companion_changes_the_network()?;
    }
    goes_with_its_package(&superlink)?;
    federation.succeeded()
}

fn goes_with_its_package(vm: &Vm) -> Result<()> {
    let (debian, unit) = (&vm.debian, &vm.unit);
    let said = debian.run(&format!("dpkg --remove {unit}"))?;
    ensure!(said.contains("stay; a purge deletes them"), "{said}");
    ensure!(vm.flowers()?.is_empty(), "Flower outlives its package");
    debian.run(&format!("test -s /etc/zonemesh/context.sh -a -d /var/lib/{unit}"))?;
    let said = debian.run(&format!("dpkg --purge {unit}"))?;
    ensure!(said.contains(&format!("deleting /var/lib/{unit}")), "{said}");
    debian.run(&format!("! test -e /etc/zonemesh -o -e /var/lib/{unit}"))?;
    ensure!(debian.run(FAILED)?.is_empty());
    Ok(())
}
