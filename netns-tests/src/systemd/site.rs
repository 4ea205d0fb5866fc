//! Two zones: berlin's gateway is a booted Debian, madrid's a plain daemon of the Lab.
//!
//! ```text
//!   vm - [ berlin: Debian, package zonemesh ] ==== WAN ==== [ madrid: zonemeshd ] - vm
//! ```
//!
//! Owns berlin's keys and configuration as an engineer would put them there. Refuses to install
//! anything by itself.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, until};

use super::{BootedDebian, package};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];

/// Names the units of ours that have failed: in a container one of systemd's own may (219/CGROUP).
pub const FAILED: &str = "systemctl list-units --failed --plain --no-legend 'zonemesh*'";

/// The two zones; the container goes before the network that it is in.
pub struct Site {
    /// Berlin's gateway.
    pub berlin: BootedDebian,
    /// Madrid's gateway runs; berlin's entry holds keys and configuration only.
    pub mesh: Mesh,
    /// The network.
    pub lab: Lab,
    went_well: bool,
}

impl Site {
    /// Boots berlin, which has nothing of Zonemesh yet, and starts madrid.
    ///
    /// # Errors
    /// When one of them does not come up.
    pub fn new(release: &str) -> Result<Self> {
        let lab = Lab::new(&ZONES)?;
        let mut mesh = Mesh::prepare(&lab)?;
        let berlin = BootedDebian::boot(&lab, &lab.zone("berlin")?.gateway, release)?;
        mesh.start_one(&lab, "madrid")?;
        Ok(Self { berlin, mesh, lab, went_well: false })
    }

    /// As [`Site::new`], with the package installed, configured and connected.
    ///
    /// # Errors
    /// When a step fails.
    pub fn connected(release: &str) -> Result<Self> {
        let mut site = Self::new(release)?;
        site.install(&package("zonemesh")?)?;
        site.configure()?;
        site.berlin.run("systemctl start zonemeshd")?;
        site.wait_until_connected()?;
        Ok(site)
    }

    /// `dpkg --install` of a package of this machine; returns what it says.
    ///
    /// # Errors
    /// When dpkg refuses.
    pub fn install(&self, file: &std::path::Path) -> Result<String> {
        let name = file.file_name().and_then(|name| name.to_str()).context("no file name")?;
        let place = format!("/root/{name}");
        self.berlin.put(file, &place)?;
        self.berlin.run(&format!("dpkg --install {place}"))
    }

    /// Berlin's configuration, with every place left as the package has it.
    ///
    /// # Errors
    /// When the Lab has none.
    pub fn configuration(&mut self) -> Result<String> {
        let mut config = self.mesh.gateway("berlin")?.config.clone();
        for (section, keys) in [
            ("gateway", &["state_dir", "admin_socket"][..]),
            ("tunnel", &["private_key_file"]),
            ("registry", &["identity_key_file"]),
        ] {
            let section = config.get_mut(section).and_then(toml::Value::as_table_mut);
            let section = section.context("no such section")?;
            keys.iter().for_each(|key| drop(section.remove(*key)));
        }
        Ok(config.to_string())
    }

    /// Puts keys and configuration there as `sudo` leaves them: all root's.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn configure(&mut self) -> Result<()> {
        let folder = self.mesh.gateway("berlin")?.folder().to_owned();
        self.berlin
            .run("install -d -m 0755 /etc/zonemesh; install -d -m 0700 /var/lib/zonemesh")?;
        for key in ["wireguard.key", "zone.key"] {
            let place = format!("/var/lib/zonemesh/{key}");
            self.berlin.put(&folder.join(key), &place)?;
            self.berlin.run(&format!("chown root:root {place}; chmod 0600 {place}"))?;
        }
        let text = self.configuration()?;
        self.berlin.write("/etc/zonemesh/zonemesh.toml", &text)
    }

    /// What `zonemesh status` says in berlin.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn status(&self) -> Result<Value> {
        let output = self.berlin.output("zonemesh status -o json")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(matches!(output.status.code(), Some(0 | 1)), "zonemesh status: {said}");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The finding of this code that stands in berlin, if it does within some seconds.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn finding(&self, code: &str) -> Result<Option<Value>> {
        let stands = || -> Result<Option<Value>> {
            let status = self.status()?;
            let mut all = status["findings"].as_array().into_iter().flatten();
            Ok(all.find(|one| one["code"] == code).cloned())
        };
        for _ in 0..20 {
            if let Some(found) = stands()? {
                return Ok(Some(found));
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        Ok(None)
    }

    /// Until the tunnel is up, the records are exchanged, and nothing needs a look.
    ///
    /// # Errors
    /// When that lasts too long: what berlin says.
    pub fn wait_until_connected(&self) -> Result<Duration> {
        let ((), took) = until("berlin and madrid to be connected", patience(), || {
            let status = match self.status() {
                Ok(status) => status,
                Err(error) => return Ok(Look::Not(format!("{error:#}"))),
            };
            let peer = &status["peers"][0];
            let is_up = peer["state"] == "up" && peer["stream"] == "up" && status["state"] == "ok";
            Ok(Look::<()>::when(is_up, &status))
        })?;
        Ok(took)
    }

    /// One ping from berlin's VM to madrid's, through the tunnel.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn ping(&self) -> Result<()> {
        let (from, to) = (self.lab.zone("berlin")?.vm("vm")?, self.lab.zone("madrid")?.vm("vm")?);
        let target = to.address.to_string();
        from.namespace.run(&["ping", "-q", "-c", "1", "-W", "2", &target]).map(drop)
    }

    /// The value of a property of berlin's `zonemeshd.service`.
    ///
    /// # Errors
    /// When systemd does not answer.
    pub fn property(&self, name: &str) -> Result<String> {
        let shown =
            self.berlin.run(&format!("systemctl show --value --property={name} zonemeshd"))?;
        Ok(shown.trim().to_owned())
    }

    /// Waits until a unit's journal of this boot has the words: systemd says that a unit has ended before
    /// its last lines are read from the pipe.
    ///
    /// # Errors
    /// When they do not come; with what is there.
    pub fn wait_until_told(&self, unit: &str, words: &str) -> Result<()> {
        let journal = format!("journalctl --no-pager --boot -u {unit}");
        until(words, patience(), || {
            let told = self.berlin.run(&journal)?;
            Ok(Look::<()>::when(told.contains(words), told))
        })?;
        Ok(())
    }

    /// Ends a scenario that went well.
    ///
    /// # Errors
    /// When something panicked on the way, in berlin too.
    pub fn succeeded(mut self) -> Result<()> {
        let journal = self.berlin.run("journalctl --no-pager -u 'zonemesh*' || true")?;
        ensure!(!journal.contains("panicked at"), "{journal}");
        self.went_well = true;
        self.lab.succeeded()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.went_well {
            return;
        }
        // The Lab prints all logs in its folder then.
        if let Ok(text) = self.berlin.run("journalctl --no-pager --lines=80") {
            drop(std::fs::write(self.lab.folder().join("berlin-journal.log"), text));
        }
    }
}
