//! The stage of most scenarios: three zones, a SuperLink in the first, a SuperNode in each other.
//!
//! ```text
//!   berlin                      WAN                       madrid                  paris
//!   superlink 10.10.10.5 - gw [ router ] gw - supernode 10.10.11.5    gw - supernode 10.10.12.5
//! ```
//!
//! Owns the companions and their settings. Promises that they learn everything from their gateway:
//! a SuperNode is told a federation's name, never an address of the SuperLink.
//! Refuses to start Flower itself.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::binaries;
use crate::flower::{Flower, Outcome, Submission, TrainingPlan, TrainingRun};
use crate::lab::{Lab, LabZone, ZonePlan};
use crate::mesh::{FEDERATION, LOCAL_API_PORT, Mesh};
use crate::process::Process;
use crate::shipped_unit::ShippedUnit;
use crate::wait::{Look, until};

/// The zone of the SuperLink.
pub const HOME: &str = "berlin";
/// The zones that train, in the order of their partitions.
pub const TRAINING: [&str; 2] = ["madrid", "paris"];

/// The SuperLink's VM.
pub const SUPERLINK: &str = "superlink";
/// The VM of a zone's SuperNode.
pub const SUPERNODE: &str = "supernode";
/// Flower itself takes seconds to start, and up to a minute on a starved machine.
const FLOWER_PATIENCE: Duration = Duration::from_secs(180);

/// The three zones.
pub const ZONES: [ZonePlan<'static>; 3] = [
    ZonePlan { name: HOME, vms: &[SUPERLINK] },
    ZonePlan { name: TRAINING[0], vms: &[SUPERNODE] },
    ZonePlan { name: TRAINING[1], vms: &[SUPERNODE] },
];

/// Zones, gateways and companions.
#[derive(Debug)]
pub struct LabFederation {
    /// The companions by zone. Declared first: they end before their zones go.
    companions: BTreeMap<String, Process>,
    /// The gateways.
    pub mesh: Mesh,
    /// The zones.
    pub lab: Lab,
    /// Flower, of another release from the next start on if that is changed.
    pub flower: Flower,
    /// The folder of another release's companions, to be used from the next start on.
    pub programs: Option<PathBuf>,
    runs: u32,
}

impl LabFederation {
    /// Prepares gateways and companions on a Lab made of [`ZONES`]; starts nothing.
    ///
    /// # Errors
    /// When Flower is not installed or keys cannot be made.
    pub fn prepare(lab: Lab) -> Result<Self> {
        let flower = Flower::find()?;
        flower.reaches(lab.folder()).context("-> TMPDIR=/tmp")?;
        let mesh = Mesh::prepare(&lab)?;
        Ok(Self { companions: BTreeMap::new(), mesh, lab, flower, programs: None, runs: 0 })
    }

    /// Starts the gateways and waits until all tunnels and registry streams are up.
    ///
    /// # Errors
    /// When they do not come up in 30 s.
    pub fn connect(&mut self) -> Result<Duration> {
        self.mesh.start(&self.lab)?;
        self.mesh.wait_until_connected(crate::mesh::patience())
    }

    /// Everything up: gateways, SuperLink, both SuperNodes.
    ///
    /// # Errors
    /// When a part does not come up.
    pub fn start(lab: Lab) -> Result<Self> {
        let mut federation = Self::prepare(lab)?;
        federation.connect()?;
        federation.start_superlink()?;
        federation.wait_until_ready()?;
        for zone in TRAINING {
            federation.start_supernode(zone)?;
        }
        Ok(federation)
    }

    /// Starts the SuperLink's companion in its VM.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start_superlink(&mut self) -> Result<()> {
        let settings = self.superlink_settings(HOME, SUPERLINK)?;
        self.start_superlink_with(HOME, SUPERLINK, settings)
    }

    /// As [`LabFederation::start_superlink`], in another VM or with settings changed by the scenario.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start_superlink_with(&mut self, zone: &str, vm: &str, settings: Settings) -> Result<()> {
        self.start_companion(CompanionPlace { zone, vm, role: SUPERLINK }, settings)
    }

    /// What a SuperLink's companion in this VM is told.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub fn superlink_settings(&mut self, zone: &str, vm: &str) -> Result<Settings> {
        let mut settings = self.common_settings(zone, vm)?;
        let address = self.lab.zone(zone)?.vm(vm)?.address;
        let token = self.mesh.gateway(zone)?.tokens.superlink.token.clone();
        settings.insert("ONEAPP_ZONEMESH_TOKEN", token);
        settings.insert("ONEAPP_ZONEMESH_ADDRESS", address.to_string());
        Ok(settings)
    }

    /// Starts the companion of a training zone's SuperNode.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start_supernode(&mut self, zone: &str) -> Result<()> {
        let settings = self.supernode_settings(zone)?;
        self.start_supernode_with(zone, settings)
    }

    /// As [`LabFederation::start_supernode`], with settings changed by the scenario.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start_supernode_with(&mut self, zone: &str, settings: Settings) -> Result<()> {
        self.start_companion(CompanionPlace { zone, vm: SUPERNODE, role: SUPERNODE }, settings)
    }

    /// What a SuperNode's companion of this zone is told.
    ///
    /// # Errors
    /// When the gateway of the zone does not answer.
    pub fn supernode_settings(&mut self, zone: &str) -> Result<Settings> {
        let mut settings = self.common_settings(zone, SUPERNODE)?;
        let partition = TRAINING.iter().position(|name| *name == zone).unwrap_or_default();
        let config = format!("partition-id={partition} num-partitions={}", TRAINING.len());
        settings.insert("ONEAPP_ZONEMESH_NODE_CONFIG", config);
        let token = self.mesh.gateway(zone)?.tokens.supernode.token.clone();
        settings.insert("ONEAPP_ZONEMESH_TOKEN", token);
        Ok(settings)
    }

    /// The folder that a VM's companion keeps its state in.
    #[must_use]
    pub fn companion_folder(&self, zone: &str, vm: &str) -> PathBuf {
        self.lab.folder().join(format!("{zone}-{vm}-state"))
    }

    fn common_settings(&mut self, zone: &str, vm: &str) -> Result<Settings> {
        let gateway = self.mesh.gateway(zone)?;
        gateway.wait_until_ready(crate::mesh::patience())?;
        let state = self.companion_folder(zone, vm);
        let address = self.lab.zone(zone)?.lan_address;
        let mut settings = BTreeMap::from([
            ("ONEAPP_ZONEMESH_FEDERATION", FEDERATION.to_owned()),
            ("ONEAPP_ZONEMESH_GATEWAY", format!("{address}:{LOCAL_API_PORT}")),
            ("ONEAPP_ZONEMESH_FLOWER_BIN", self.flower.bin().display().to_string()),
            ("ONEAPP_ZONEMESH_STATE_DIR", state.display().to_string()),
        ]);
        if let Some(user) = self.flower.user() {
            settings.insert("ONEAPP_ZONEMESH_FLOWER_USER", user.name().to_owned());
        }
        Ok(settings)
    }

    fn start_companion(&mut self, place: CompanionPlace<'_>, settings: Settings) -> Result<()> {
        let CompanionPlace { zone, vm, role } = place;
        let program = match &self.programs {
            Some(folder) => folder.join(format!("zonemesh-{role}")),
            None => binaries::find(&format!("zonemesh-{role}"))?,
        };
        let place = &self.lab.zone(zone)?.vm(vm)?.namespace;
        let mut command = ShippedUnit::of(role)?.command(place, &program)?;
        command.arg("run").envs(settings);
        let process = Process::spawn(&format!("{zone}-{vm}"), command, self.lab.folder())?;
        self.companions.insert(zone.to_owned(), process);
        Ok(())
    }

    /// The companion of a zone.
    ///
    /// # Errors
    /// When it was never started.
    pub fn companion(&mut self, zone: &str) -> Result<&mut Process> {
        let found = self.companions.get_mut(zone);
        found.with_context(|| format!("no companion was started in {zone}"))
    }

    /// Ends a zone's companion and all that runs in its VM, as a power cut would.
    ///
    /// # Errors
    /// When there is no such VM.
    pub fn cut_power(&mut self, zone: &str, vm: &str) -> Result<()> {
        self.lab.zone(zone)?.vm(vm)?.namespace.kill_all()?;
        drop(self.companions.remove(zone));
        Ok(())
    }

    /// Waits until the SuperLink answers and is announced as ready in every zone.
    ///
    /// # Errors
    /// After three minutes, with what the last zone knew.
    pub fn wait_until_ready(&mut self) -> Result<Duration> {
        let start = std::time::Instant::now();
        // The registry still says "ready" of a SuperLink that lost its power: silence deletes nothing.
        let vm = self.lab.zone(HOME)?.vm(SUPERLINK)?;
        let port = self.flower.control_port();
        until("the SuperLink's port for flwr run", FLOWER_PATIENCE, || {
            let dial = || Ok(TcpStream::connect((vm.address, port))?);
            Ok(Look::retry(vm.namespace.inside(dial)))
        })?;
        let zones: Vec<String> = self.lab.zones().iter().map(|zone| zone.name.clone()).collect();
        for zone in zones {
            self.wait_for_superlink(&zone, "ready", FLOWER_PATIENCE)?;
        }
        Ok(start.elapsed())
    }

    /// Waits until a zone's gateway knows the SuperLink with this readiness.
    ///
    /// # Errors
    /// After `timeout`, or when the SuperLink's companion ends.
    pub fn wait_for_superlink(
        &mut self,
        zone: &str,
        readiness: &str,
        timeout: Duration,
    ) -> Result<Duration> {
        let what = format!("the SuperLink to be {readiness} in {zone}");
        let (_, took) = until(&what, timeout, || {
            if let Some(status) = self.companion(HOME)?.ended()? {
                let output = self.companion(HOME)?.output()?;
                anyhow::bail!("the SuperLink's companion ended with {status}:\n{output}");
            }
            let known = match self.mesh.gateway(zone)?.ask(&["superlink", "list"]) {
                Ok(known) => known,
                Err(error) => return Ok(Look::Not(format!("{error:#}"))),
            };
            let mut all = known["superlinks"].as_array().into_iter().flatten();
            Ok(Look::<()>::when(all.any(|one| one["readiness"] == readiness), &known))
        })?;
        Ok(took)
    }

    /// Writes the federation's CA certificate to a file, as the registry has it.
    ///
    /// # Errors
    /// When no CA is announced.
    pub fn ca_file(&mut self) -> Result<PathBuf> {
        let known = self.mesh.gateway(HOME)?.ask(&["superlink", "list"])?;
        let pem = known["superlinks"][0]["cas"][0]["pem"].as_str();
        let file = self.lab.folder().join("federation-ca.pem");
        std::fs::write(&file, pem.with_context(|| format!("no CA in {known}"))?)?;
        self.flower.give(&file)?;
        Ok(file)
    }

    /// Submits the app next to the SuperLink, as its operator would.
    ///
    /// # Errors
    /// When `flwr run` cannot start.
    pub fn submit(&mut self, plan: TrainingPlan) -> Result<TrainingRun> {
        self.submit_from(HOME, SUPERLINK, plan)
    }

    /// Submits the app from any VM that reaches the SuperLink.
    ///
    /// # Errors
    /// When `flwr run` cannot start, or there is no such VM.
    pub fn submit_from(&mut self, zone: &str, vm: &str, plan: TrainingPlan) -> Result<TrainingRun> {
        self.at(zone, vm, |flower, place| flower.submit(place, plan))
    }

    /// The IDs of the runs that the SuperLink knows.
    ///
    /// # Errors
    /// When it does not tell them.
    pub fn runs_of_superlink(&mut self) -> Result<Vec<String>> {
        self.at(HOME, SUPERLINK, Flower::runs)
    }

    /// The SuperNodes that the SuperLink knows, with their states.
    ///
    /// # Errors
    /// When it does not tell them.
    pub fn supernodes_of_superlink(&mut self) -> Result<BTreeMap<String, String>> {
        self.at(HOME, SUPERLINK, Flower::supernodes)
    }

    /// What `flwr` does in a VM, with a name and a folder of its own.
    ///
    /// # Errors
    /// When there is no such VM, or what is done there fails.
    pub fn at<T>(
        &mut self,
        zone: &str,
        vm: &str,
        act: impl FnOnce(&Flower, &Submission<'_>) -> Result<T>,
    ) -> Result<T> {
        self.runs += 1;
        let ca = self.ca_file()?;
        let place = Submission {
            name: &format!("flwr-run-{}", self.runs),
            namespace: &self.lab.zone(zone)?.vm(vm)?.namespace,
            folder: self.lab.folder(),
            address: self.lab.zone(HOME)?.vm(SUPERLINK)?.address,
            ca: &ca,
        };
        act(&self.flower, &place)
    }

    /// Runs the app to its end and holds its result against plain FedAvg.
    ///
    /// # Errors
    /// When the run fails, a round is missing, or the digest is another.
    pub fn train(&mut self, plan: TrainingPlan) -> Result<()> {
        let run = self.submit(plan)?;
        self.check(run, plan)
    }

    /// Waits for a run's end and reads its result.
    ///
    /// # Errors
    /// As [`TrainingRun::finish`].
    pub fn outcome(&self, run: TrainingRun, timeout: Duration) -> Result<Outcome> {
        let log = |zone: &&str| {
            self.lab.folder().join(format!("{zone}-supernode-state/log/flower-supernode.log"))
        };
        run.finish(timeout, &TRAINING.iter().map(log).collect::<Vec<_>>())
    }

    /// Waits for a run's end and holds its result against plain FedAvg.
    ///
    /// # Errors
    /// When the run fails, a round is missing, or the digest is another.
    pub fn check(&self, run: TrainingRun, plan: TrainingPlan) -> Result<()> {
        let outcome = self.outcome(run, Duration::from_secs(300))?;
        let expected = self.flower.expected(plan)?;
        anyhow::ensure!(
            outcome.digest == expected.digest && outcome.rounds_done == plan.rounds,
            "plain FedAvg gives {expected:?}, the federation gave {outcome:?}"
        );
        Ok(())
    }

    /// Leaves all processes running when this value goes (`KEEP=1`).
    pub fn left(&mut self) {
        self.mesh.left();
        self.companions.values_mut().for_each(Process::left);
    }

    /// Ends a scenario that went well.
    ///
    /// # Errors
    /// As [`Lab::succeeded`].
    pub fn succeeded(&mut self) -> Result<()> {
        self.lab.succeeded()
    }

    /// A zone of the Lab.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn zone(&self, name: &str) -> Result<&LabZone> {
        self.lab.zone(name)
    }
}

/// Which companion runs where.
#[derive(Debug, Clone, Copy)]
struct CompanionPlace<'a> {
    zone: &'a str,
    vm: &'a str,
    role: &'a str,
}

/// Environment variables of a companion.
pub type Settings = BTreeMap<&'static str, String>;
