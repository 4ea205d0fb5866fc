//! A gateway's VM as OpenNebula boots it: the appliance's own stages, the real programs, a CONTEXT
//! and nothing else. Played are systemd, which starts what the script starts, and one-apps' `msg`.
//!
//! Owns the VM's folders, which lie where a VM has them: `/var/lib` and `/run` are its own.
//! Promises that a boot starts what is enabled first, and then runs configure and bootstrap, as
//! one-apps does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::findings;
use serde_json::Value;
use zonemesh_lab::binaries;
use zonemesh_lab::lab::{Lab, LabZone};
use zonemesh_lab::mesh::patience;
use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};
use zonemesh_standin::{ONEGATE_VM, TestOneGate, VM_ACTIVE};

/// How long a stage may take on a busy machine.
const STAGE: Duration = Duration::from_secs(150);
const UNITS: [&str; 2] = ["zonemeshd.service", "zonemesh-gateway.service"];

/// Its own folders in the places of the machine's.
const OWN_FOLDERS: &str =
    "mount --bind \"$1/lib\" /var/lib; mount --bind \"$1/run\" /run; shift; exec \"$@\"";

/// What one-apps and systemd do for the script; as in one-apps, `msg error` returns 1.
const PRELUDE: &str = r#"set -e; umask 0077
msg() { echo "$@" >&2; [ "$1" != error ]; }
systemctl() { case "$1" in
    restart) echo "$3" >>"$VM/asked" ;;
    is-active) [ -e "$VM/active/$3" ] ;;
esac; }
. "$APPLIANCE"
"#;

/// One gateway's VM.
pub(crate) struct GatewayVm {
    name: String,
    namespace: Namespaced,
    folder: PathBuf,
    context: BTreeMap<String, String>,
    pub(crate) onegate: TestOneGate,
    units: BTreeMap<&'static str, Process>,
}

/// Where its processes run.
struct Namespaced {
    path: String,
}

impl Namespaced {
    fn of(namespace: &Namespace) -> Self {
        Self { path: format!("--net=/run/netns/{}", namespace.name()) }
    }

    fn command(&self, vm: &Path, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.args([&self.path, "--", "unshare", "--mount", "sh", "-ec", OWN_FOLDERS, "sh"]);
        command.arg(vm).arg(program).stdin(Stdio::null());
        command
    }
}

impl GatewayVm {
    /// The VM of a zone's gateway with what OpenNebula itself writes into its CONTEXT.
    pub(crate) fn new(lab: &Lab, zone: &LabZone) -> Result<Self> {
        let folder = lab.folder().join(format!("{}-vm", zone.name));
        for part in ["lib/zonemesh", "run/zonemesh", "etc", "active"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        let onegate = zone.gateway.inside(|| Ok(TestOneGate::start()))?;
        onegate.has_vm(ONEGATE_VM, VM_ACTIVE);
        let mut context: BTreeMap<String, String> = [
            ("ETH0_IP", zone.lan_address.to_string()),
            ("ETH0_MASK", "255.255.255.0".to_owned()),
            ("ETH0_IP6", String::new()),
            ("ETH0_EXTERNAL", String::new()),
            ("ETH1_IP", zone.wan_address.to_string()),
            ("ETH1_MASK", "255.255.255.0".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        for (key, value) in onegate.variables() {
            if key == "TOKENTXT" {
                // The token is in no environment.
                std::fs::write(folder.join("one_env"), format!("export {key}=\"{value}\"\n"))?;
            } else {
                context.insert(key, value);
            }
        }
        Ok(Self {
            name: zone.name.clone(),
            namespace: Namespaced::of(&zone.gateway),
            folder,
            context,
            onegate,
            units: BTreeMap::new(),
        })
    }

    /// A value of its template.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.context.insert(key.to_owned(), value.to_owned());
    }

    /// Takes the lines of a file that `zonemesh mesh init --out` has written.
    pub(crate) fn take(&mut self, file: &Path) -> Result<()> {
        for line in std::fs::read_to_string(file)?.lines() {
            let (key, value) = line.split_once('=').context("KEY=\"VALUE\"")?;
            self.set(key, value.trim_matches('"'));
        }
        Ok(())
    }

    /// The configuration file.
    pub(crate) fn toml(&self) -> PathBuf {
        self.folder.join("etc/zonemesh.toml")
    }

    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("lib/zonemesh")
    }

    /// Boots: what is enabled starts, then the stages run. What configure has printed.
    pub(crate) fn boot(&mut self, lab: &Lab) -> Result<String> {
        self.shut_down()?;
        for unit in UNITS {
            let is_enabled = self.folder.join("asked").exists();
            if is_enabled && self.toml().exists() {
                self.start(lab, unit)?;
            }
        }
        let configured = self.stage(lab, "service_configure")?;
        self.stage(lab, "service_bootstrap")?;
        Ok(configured)
    }

    /// Ends what runs, as a shutdown does.
    pub(crate) fn shut_down(&mut self) -> Result<()> {
        for (unit, mut process) in std::mem::take(&mut self.units) {
            let code = process.terminate(STAGE)?;
            ensure!(code == 0, "{unit} of {} ended with {code}", self.name);
        }
        Ok(())
    }

    /// Runs one stage; what the script asks of systemd is done meanwhile.
    fn stage(&mut self, lab: &Lab, stage: &str) -> Result<String> {
        let asked = self.folder.join("asked");
        drop(std::fs::remove_file(&asked));
        let log = self.folder.join(format!("{stage}.log"));
        let mut running = self.script(stage, &log)?;
        let mut done = 0;
        let name = self.name.clone();
        let (status, _) = until(&format!("{stage} of {name}"), STAGE, || {
            let text = std::fs::read_to_string(&asked).unwrap_or_default();
            for unit in text.lines().skip(done) {
                done += 1;
                let unit = UNITS.into_iter().find(|known| *known == unit).context("a unit")?;
                self.start(lab, unit)?;
            }
            self.note_active()?;
            Ok(match running.try_wait()? {
                Some(status) => Look::Done(status),
                None => Look::Not(std::fs::read_to_string(&log).unwrap_or_default()),
            })
        })?;
        let said = std::fs::read_to_string(&log)?;
        ensure!(status.success(), "{stage} of {name}: {status}\n{said}");
        Ok(said)
    }

    fn script(&self, stage: &str, log: &Path) -> Result<Child> {
        let packer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packer");
        let programs = binaries::find("zonemesh-gateway")?;
        let programs = programs.parent().context("a folder")?.display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let log = std::fs::File::create(log)?;
        let mut command = self.namespace.command(&self.folder, Path::new("bash"));
        command.args(["-c", &format!("{PRELUDE}{stage}")]).env_clear();
        command.env("PATH", format!("{programs}:{path}")).env("VM", &self.folder);
        command.env("APPLIANCE", packer.join("service_ZonemeshGateway/appliance.sh"));
        command.env("ZONEMESH_LIB", packer.join("base/zonemesh.sh"));
        command.env("ZONEMESH_ETC", self.folder.join("etc")).env("ZONEMESH_CONFIG", self.toml());
        command.env("ZONEMESH_ONE_ENV", self.folder.join("one_env"));
        command.env("ONE_SERVICE_REPORT", self.folder.join("report")).envs(&self.context);
        Ok(command.stdout(log.try_clone()?).stderr(log).spawn()?)
    }

    /// Starts a unit, or starts it anew.
    fn start(&mut self, lab: &Lab, unit: &'static str) -> Result<()> {
        if let Some(mut before) = self.units.remove(unit) {
            before.terminate(STAGE)?;
        }
        drop(std::fs::remove_file(self.folder.join("active").join(unit)));
        let program = unit.trim_end_matches(".service");
        let mut command = self.namespace.command(&self.folder, &binaries::find(program)?);
        command.arg("run").env("ZONEMESH_CONFIG", self.toml());
        if program == "zonemesh-gateway" {
            command.arg("--context").arg(self.folder.join("etc/context.sh"));
        }
        let name = format!("{}-{program}", self.name);
        self.units.insert(unit, Process::spawn(&name, command, lab.folder())?);
        Ok(())
    }

    /// The daemon is active when it answers; its companion when it runs.
    fn note_active(&mut self) -> Result<()> {
        for (unit, process) in &mut self.units {
            let is_there = process.ended()?.is_none();
            let answers = *unit != UNITS[0] || self.folder.join("run/zonemesh/admin.sock").exists();
            if is_there && answers {
                std::fs::write(self.folder.join("active").join(unit), "")?;
            }
        }
        Ok(())
    }

    /// What `zonemesh ARGS -o json` prints about it.
    pub(crate) fn ask(&self, args: &[&str]) -> Result<Value> {
        let mut command = Command::new(binaries::find("zonemesh")?);
        command.arg("--socket").arg(self.folder.join("run/zonemesh/admin.sock"));
        let output = command.args(args).args(["-o", "json"]).output()?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("zonemesh {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr))
        })
    }

    /// Until its status tells a finding with these words.
    pub(crate) fn tells(&self, code: &str, words: &str) -> Result<()> {
        until(&format!("{code}: {words}"), patience(), || {
            let status = self.ask(&["status"])?;
            let is_told = findings::tells(&status, code, &[words])?;
            Ok(Look::<()>::when(is_told, &status["findings"]))
        })?;
        Ok(())
    }

    /// What its companion says of it.
    pub(crate) fn report(&self) -> Result<Value> {
        let file = self.folder.join("run/zonemesh-gateway/status.json");
        Ok(serde_json::from_slice(&std::fs::read(file)?)?)
    }

    /// An attribute of it in its OneGate.
    pub(crate) fn told(&self, name: &str) -> Option<String> {
        self.onegate.attribute(ONEGATE_VM, name)
    }

    /// Until OneGate hears that it is ready.
    pub(crate) fn wait_until_ready(&self, timeout: Duration) -> Result<()> {
        until(&format!("READY of {}", self.name), timeout, || {
            let is_ready = self.told("READY").as_deref() == Some("YES");
            let seen = || format!("{:?}, {:?}", self.report(), self.ask(&["status"]));
            Ok(if is_ready { Look::Done(()) } else { Look::Not(seen()) })
        })?;
        Ok(())
    }
}
