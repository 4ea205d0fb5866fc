//! A VM as OpenNebula makes it: a disk from an image, a CONTEXT, and the OneGate of its zone.
//!
//! Promises that it is told nothing else. Refuses to know in which order VMs come.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use netns_tests::systemd::{BootedDebian, FAILED, MachineDisk};
use zonemesh_lab::lab::Lab;
use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::wait::{Look, until};
use zonemesh_standin::TestOneGate;

use super::context::ContextDisk;
use crate::say;

/// How long the stages may take, once what they wait for is there.
const STAGES: Duration = Duration::from_secs(60);
/// What keeps a stage from beginning in some boots of several containers at once, and in no VM: systemd
/// cannot put its process into the cgroup that it has just made on the machine's one kernel.
const LOST_TO_ITS_CGROUP: &str = "systemctl show --value --property ExecMainStatus \
    one-context-local one-context-online one-context 2>/dev/null | grep --line-regexp 219 || true";

/// One VM.
pub(crate) struct OpenNebulaVm {
    pub(crate) name: String,
    /// As OpenNebula counts.
    pub(crate) id: String,
    pub(crate) context: ContextDisk,
    pub(crate) onegate: Arc<TestOneGate>,
    disk: MachineDisk,
    machine: Option<BootedDebian>,
}

impl OpenNebulaVm {
    /// One that is not made yet.
    pub(crate) fn new(
        name: &str,
        id: &str,
        context: ContextDisk,
        onegate: &Arc<TestOneGate>,
        disk: MachineDisk,
    ) -> Self {
        let disk = disk.with(context.folder(), "/context");
        let onegate = Arc::clone(onegate);
        let (name, id) = (name.to_owned(), id.to_owned());
        Self { name, id, context, onegate, disk, machine: None }
    }

    /// Makes and starts it; waits for nothing.
    pub(crate) fn make(&mut self, lab: &Lab, place: &Namespace) -> Result<()> {
        self.context.write()?;
        self.machine = Some(BootedDebian::switch_on(lab, place, self.disk.clone())?);
        Ok(())
    }

    fn machine(&mut self) -> Result<&mut BootedDebian> {
        self.machine.as_mut().with_context(|| format!("{} is not made", self.name))
    }

    /// Shuts it down. What it tells OneGate from now on is of another boot.
    pub(crate) fn switch_off(&mut self) -> Result<()> {
        self.machine()?.switch_off()?;
        self.onegate.write(&self.id, "READY", None);
        Ok(())
    }

    /// Ends it without a word.
    pub(crate) fn cut_power(&mut self) -> Result<()> {
        self.machine()?.cut_power()?;
        self.onegate.write(&self.id, "READY", None);
        Ok(())
    }

    /// The disk with its CONTEXT is another one while it runs, and it looks at it.
    pub(crate) fn reconfigure(&self) -> Result<String> {
        self.context.write()?;
        self.run("/usr/sbin/one-contextd all reconfigure 2>&1; cat /etc/one-appliance/status")
    }

    /// Starts it again, and waits for nothing.
    pub(crate) fn switch_on(&mut self) -> Result<()> {
        self.context.write()?;
        self.machine()?.is_switched_on()
    }

    /// Runs a script as root in it.
    pub(crate) fn run(&self, script: &str) -> Result<String> {
        self.machine.as_ref().with_context(|| format!("{} is not made", self.name))?.run(script)
    }

    /// Until this boot has configured it, and its programs are started.
    pub(crate) fn wait_until_configured(&self) -> Result<()> {
        let look = "test -e /run/one-context/context.sh.network; cat /etc/one-appliance/status";
        until(&format!("configure of {}", self.name), STAGES, || {
            let status = self.run(look).unwrap_or_default();
            self.has_begun_its_stages()?;
            Ok(Look::<()>::when(status.starts_with("bootstrap_s"), status))
        })?;
        Ok(())
    }

    /// An attribute of it in its OneGate.
    pub(crate) fn told(&self, name: &str) -> Option<String> {
        self.onegate.attribute(&self.id, name)
    }

    /// Until OneFlow sees that it is ready.
    pub(crate) fn wait_until_ready(&self, patience: Duration) -> Result<Duration> {
        let (_, took) = until(&format!("READY of {}", self.name), patience, || {
            if self.told("READY").as_deref() == Some("YES") {
                return Ok(Look::Done(()));
            }
            let status = self.run("cat /etc/one-appliance/status").unwrap_or_default();
            if status.trim().ends_with("_failure") {
                bail!("{}: {status}", self.name);
            }
            self.has_begun_its_stages()?;
            Ok(Look::Not(status))
        })?;
        Ok(took)
    }

    /// Begins the stages again that trouble of the container's has kept away, which no wait mends.
    pub(super) fn has_begun_its_stages(&self) -> Result<()> {
        // Before it is booted nothing answers.
        if !self.run(LOST_TO_ITS_CGROUP).is_ok_and(|lost| lost.starts_with("219")) {
            return Ok(());
        }
        say(format_args!("{}: its container lost a stage to 219/CGROUP: begun again", self.name))?;
        self.run("systemctl reset-failed 'one-context*'; systemctl start --no-block one-context-local one-context-online one-context")?;
        Ok(())
    }

    /// What an administrator finds in it once its stages are over: no failure, no secret in a log, and
    /// nothing of a value was run.
    pub(crate) fn is_as_it_should_be(&self) -> Result<()> {
        until(&format!("the stages of {}", self.name), STAGES, || {
            let status = self.run("cat /etc/one-appliance/status").unwrap_or_default();
            Ok(Look::<()>::when(status.trim() == "bootstrap_success", status))
        })?;
        ensure!(self.run("cat /etc/motd")?.contains("All set and ready to serve 8)"));
        for (file, expected) in [
            ("/etc/zonemesh/context.sh", "root:root 600"),
            ("/etc/one-appliance/config", "root:root 600"),
            ("/var/run/one-context/one_env", "root:root 400"),
        ] {
            let is = self.run(&format!("stat -L -c '%U:%G %a' {file}"))?;
            ensure!(is.trim() == expected, "{}: {file}: {is}", self.name);
        }
        ensure!(self.run(FAILED)?.is_empty(), "{}", self.run(FAILED)?);
        self.run("! test -e /root/pwned")?;
        let logs = "cat /var/log/one-appliance/*.log; journalctl --no-pager --boot";
        let said = self.run(logs)?;
        ensure!(!said.contains("panicked at"), "{said}");
        let secrets = "sed -n \"s/^ONEAPP_ZONEMESH_\\(TOKEN\\|INVITATION\\)='\\(..*\\)'/\\2/p\" \
                       /context/context.sh";
        for secret in self.run(secrets)?.lines() {
            ensure!(!said.contains(secret), "{}: a secret is in a log", self.name);
        }
        Ok(())
    }

    /// What Flower says in it, if it is a SuperNode: in it a lost message shows.
    pub(crate) fn flower_log(&self) -> Option<PathBuf> {
        let log = "var/lib/zonemesh-supernode/log/flower-supernode.log";
        self.machine.as_ref().map(|machine| machine.written().join(log))
    }

    /// All that it has to say.
    pub(crate) fn journal(&self) -> Option<String> {
        let logs = "set +e; tail -n 40 /var/log/one-appliance/*.log /var/lib/zonemesh-*/status.json \
                    /run/zonemesh-gateway/status.json; \
                    tail -n 30 /var/lib/zonemesh-*/log/*.log; \
                    systemctl --no-pager --lines=0 status 'zonemesh*' 'one-context*'; \
                    journalctl --no-pager --lines=120 -u 'zonemesh*' -u 'one-context*'";
        self.machine
            .as_ref()?
            .output(logs)
            .ok()
            .map(|said| String::from_utf8_lossy(&said.stdout).into_owned())
    }
}
