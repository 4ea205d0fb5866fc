//! One Debian that is booted by systemd-nspawn, in a network namespace of a Lab.
//!
//! Its root is a layer above the release's own: what it writes lies in the Lab's folder and goes
//! with it. Promises that nothing of it is left when the value goes, also after a kill: the layer
//! is mounted in a mount namespace of its own. Refuses to know what is installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use zonemesh_lab::lab::Lab;
use zonemesh_lab::namespace::{Namespace, run};
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

use super::disk::MachineDisk;

/// How long a boot may take on a busy machine.
const BOOT: Duration = Duration::from_secs(60);

/// Mounts the layer ($1: what is below it, $2: folder) and becomes what follows.
const ABOVE: &str = "mkdir -p \"$2/upper\" \"$2/work\" \"$2/root\"
    mount -t overlay overlay -o \"lowerdir=$1,upperdir=$2/upper,workdir=$2/work\" \"$2/root\"
    shift 2; exec \"$@\"";

/// How systemd-nspawn ends when the machine in it wants to boot again.
const WANTS_REBOOT: i32 = 133;

/// A Debian that runs.
pub struct BootedDebian {
    disk: MachineDisk,
    layer: Layer,
    container: Process,
}

/// Where a machine's own files lie, from boot to boot.
struct Layer {
    folder: PathBuf,
    /// Of the network; the machine is called the same.
    namespace: String,
}

impl BootedDebian {
    /// Boots it, and waits until all that belongs to the boot has been started.
    ///
    /// # Errors
    /// When it does not come up: what its console says.
    pub fn boot(lab: &Lab, place: &Namespace, release: &str) -> Result<Self> {
        Self::boot_from(lab, place, MachineDisk::of(release))
    }

    /// As [`BootedDebian::boot`], with a folder of this machine at `/srv/shared`.
    ///
    /// # Errors
    /// As [`BootedDebian::boot`].
    pub fn boot_with(lab: &Lab, place: &Namespace, release: &str, shared: &Path) -> Result<Self> {
        Self::boot_from(lab, place, MachineDisk::of(release).with(shared, "/srv/shared"))
    }

    /// As [`BootedDebian::boot`], from this disk.
    ///
    /// # Errors
    /// As [`BootedDebian::boot`].
    pub fn boot_from(lab: &Lab, place: &Namespace, disk: MachineDisk) -> Result<Self> {
        let mut booted = Self::switch_on(lab, place, disk)?;
        booted.wait_until_booted()?;
        Ok(booted)
    }

    /// Starts it, and waits for nothing.
    ///
    /// # Errors
    /// When the container cannot be started.
    pub fn switch_on(lab: &Lab, place: &Namespace, disk: MachineDisk) -> Result<Self> {
        let (namespace, folder) = (place.name().to_owned(), lab.folder().join(place.name()));
        std::fs::create_dir(&folder)?;
        let layer = Layer { folder, namespace };
        let container = start(&disk, &layer)?;
        Ok(Self { disk, layer, container })
    }

    /// Whose release it is.
    #[must_use]
    pub fn release(&self) -> &str {
        self.disk.release()
    }

    /// What it has written, as the layer above its disk.
    #[must_use]
    pub fn written(&self) -> PathBuf {
        self.layer.folder.join("upper")
    }

    /// Waits until nothing of the boot is left to be started, failed units or not.
    ///
    /// # Errors
    /// After a minute, or when the container ends: what was seen last.
    pub fn wait_until_booted(&mut self) -> Result<()> {
        until(&format!("the boot of {}", self.layer.namespace), BOOT, || {
            if let Some(status) = self.container.ended()? {
                bail!("the container ended with {status}:\n{}", self.container.output()?);
            }
            let output = match self.output("systemctl is-system-running") {
                Ok(output) => output,
                Err(error) => return Ok(Look::Not(format!("{error:#}"))),
            };
            let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            Ok(Look::<()>::when(["running", "degraded"].contains(&said.as_str()), said))
        })?;
        Ok(())
    }

    /// Runs a script as root in it, whatever it ends with.
    ///
    /// # Errors
    /// When it cannot be started: nothing is booted.
    pub fn output(&self, script: &str) -> Result<Output> {
        let init = self.init()?.to_string();
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &init, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]);
        command.args(["--root", "--wd", "--", "/bin/sh", "-ec", script]);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", "/root")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command.stdin(Stdio::null()).output().context("nsenter does not start")
    }

    /// Runs a script as root in it; returns what it prints on both ways.
    ///
    /// # Errors
    /// When it does not end with 0.
    pub fn run(&self, script: &str) -> Result<String> {
        let output = self.output(script)?;
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        let said = said.concat();
        ensure!(output.status.success(), "{script}\nended with {}: {said}", output.status);
        Ok(said)
    }

    /// Puts a file of this machine into it.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn put(&self, file: &Path, place: &str) -> Result<()> {
        let root = format!("/proc/{}/root", self.init()?);
        let to = Path::new(&root).join(place.trim_start_matches('/'));
        std::fs::copy(file, &to)
            .with_context(|| format!("cannot copy {} to {place}", file.display()))?;
        Ok(())
    }

    /// Writes a file in it, as root's own editor would.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, place: &str, text: &str) -> Result<()> {
        let root = format!("/proc/{}/root", self.init()?);
        let to = Path::new(&root).join(place.trim_start_matches('/'));
        std::fs::write(&to, text).with_context(|| format!("cannot write {place}"))
    }

    /// Boots it again, as `reboot` does; returns when it is up again.
    ///
    /// # Errors
    /// When it does not go down or does not come up.
    pub fn reboot(&mut self) -> Result<()> {
        self.goes_down("reboot", WANTS_REBOOT)?;
        self.is_switched_on()?;
        self.wait_until_booted()
    }

    /// Shuts it down, as `poweroff` does.
    ///
    /// # Errors
    /// When it does not go down.
    pub fn switch_off(&mut self) -> Result<()> {
        self.goes_down("poweroff", 0)
    }

    /// Ends it without a word, as a power cut does.
    ///
    /// # Errors
    /// When it does not run.
    pub fn cut_power(&mut self) -> Result<()> {
        let init = self.init()?;
        self.container.kill_9()?;
        // All that is in it goes with its process 1.
        run(Command::new("kill").args(["-9", &init.to_string()]))?;
        until(&format!("the end of {}", self.layer.namespace), BOOT, || {
            let is_gone = !Path::new(&format!("/proc/{init}")).exists();
            Ok(Look::<()>::when(is_gone, "its process 1 is there"))
        })?;
        Ok(())
    }

    /// Starts it again after that, and waits for nothing.
    ///
    /// # Errors
    /// When the container cannot be started.
    pub fn is_switched_on(&mut self) -> Result<()> {
        self.container = start(&self.disk, &self.layer)?;
        Ok(())
    }

    fn goes_down(&mut self, how: &str, code: i32) -> Result<()> {
        // The connection to systemd may end before its answer.
        let _asked = self.output(&format!("systemctl {how}"))?;
        let (ended, said) = self.container.wait_for_end(BOOT)?;
        ensure!(ended == code, "the container ended with {ended}: {said}");
        Ok(())
    }

    /// Its process 1, as this machine counts.
    fn init(&self) -> Result<u32> {
        let pid = self.container.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let first = children.split_whitespace().next().context("the container has no process")?;
        Ok(first.parse()?)
    }
}

/// Starts the container over a layer that is new or from the last boot.
fn start(disk: &MachineDisk, layer: &Layer) -> Result<Process> {
    let Layer { folder, namespace } = layer;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", ABOVE, "sh"]);
    command.arg(disk.below()?).arg(folder).arg("systemd-nspawn");
    command.args(["--quiet", "--boot", "--register=no", "--keep-unit", "--link-journal=no"]);
    command.args(["--resolv-conf=off", "--timezone=off", "--console=pipe"]);
    // The network is its own, as a machine's.
    command.arg("--capability=CAP_NET_ADMIN");
    command.arg(format!("--network-namespace-path=/run/netns/{namespace}"));
    command.arg(format!("--machine={namespace}")).arg("--directory").arg(folder.join("root"));
    command.args(disk.binds());
    command.env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network");
    // The host's own tree of control groups may be of the old kind; no release boots on that alone.
    command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1");
    let logs = folder.parent().context("a folder of the Lab")?;
    Process::spawn(&format!("{namespace}-console"), command, logs)
}
