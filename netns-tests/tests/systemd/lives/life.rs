//! Two zones from nothing but the values of their CONTEXT to a trained model.
//!
//! ```text
//!   berlin                                WAN                              madrid
//!   SuperLink VM - gateway VM    ====  [ router ]  ====    gateway VM - SuperNode VM
//!   OneGate of berlin                                              OneGate of madrid
//! ```
//!
//! Owns the values, both OneGates and the four VMs. Promises that a training run is right only with
//! the digest of plain FedAvg. Refuses to decide in which order the VMs are made.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::systemd::MachineDisk;
use zonemesh_lab::binaries;
use zonemesh_lab::flower::{Flower, Submission, TrainingPlan, TrainingRun};
use zonemesh_lab::lab::{Lab, LabZone, ZonePlan};
use zonemesh_lab::namespace::{Namespace, run};
use zonemesh_standin::TestOneGate;

use super::context::ContextDisk;
use super::image::{BOTH, GATEWAY, SUPERLINK, SUPERNODE};
use super::vm::OpenNebulaVm;

const ONEGATE_PORT: u16 = 5030;
/// The role that is scaled.
pub(crate) const NODE: &str = "supernode";
/// The role whose VM is gateway and SuperLink.
const SHARED: &str = "superlink_gateway";
const FEDERATION: &str = "health-eu";
/// A run of seconds, on a machine that has other things to do.
const TRAINING: Duration = Duration::from_secs(300);

/// A VM's place and part.
#[derive(Debug, Clone)]
struct PlannedVm {
    name: String,
    id: String,
    zone: &'static str,
    role: &'static str,
}

impl PlannedVm {
    fn new(name: &str, id: usize, zone: &'static str, role: &'static str) -> Self {
        Self { name: name.to_owned(), id: id.to_string(), zone, role }
    }

    /// Its interfaces are here.
    fn place<'lab>(&self, lab: &'lab Lab) -> Result<&'lab Namespace> {
        let zone = lab.zone(self.zone)?;
        Ok(if self.is_gateway() { &zone.gateway } else { &zone.vm(&self.name)?.namespace })
    }

    fn is_gateway(&self) -> bool {
        ["gateway", SHARED].contains(&self.role)
    }

    fn is_superlink(&self) -> bool {
        ["superlink", SHARED].contains(&self.role)
    }
}

/// The two zones and whatever has been made of their VMs.
pub(crate) struct Life {
    vms: BTreeMap<String, OpenNebulaVm>,
    planned: Vec<PlannedVm>,
    disks: BTreeMap<&'static str, MachineDisk>,
    onegates: BTreeMap<&'static str, Arc<TestOneGate>>,
    values: PathBuf,
    flower: Flower,
    pub(crate) lab: Lab,
    runs: u32,
    went_well: bool,
}

impl Life {
    /// The values are made, the images too, and no VM; there will be one SuperNode.
    pub(crate) fn new(flower: &str) -> Result<Self> {
        Self::with_supernodes(flower, 1)
    }

    /// As [`Life::new`]; so many SuperNodes may be made. The first is `supernode`, the second
    /// `supernode-1`.
    pub(crate) fn with_supernodes(flower: &str, most: usize) -> Result<Self> {
        let mut planned = vec![
            PlannedVm::new("berlin-gateway", 10, "berlin", "gateway"),
            PlannedVm::new("superlink", 11, "berlin", "superlink"),
            PlannedVm::new("madrid-gateway", 20, "madrid", "gateway"),
        ];
        planned.extend(
            (0..most).map(|number| PlannedVm::new(&supernode(number), 21 + number, "madrid", NODE)),
        );
        Self::of(flower, planned)
    }

    /// As [`Life::new`], where one VM, `berlin`, is berlin's gateway and its SuperLink.
    pub(crate) fn with_both_in_one_vm(flower: &str) -> Result<Self> {
        let planned = vec![
            PlannedVm::new("berlin", 10, "berlin", SHARED),
            PlannedVm::new("madrid-gateway", 20, "madrid", "gateway"),
            PlannedVm::new(&supernode(0), 21, "madrid", NODE),
        ];
        Self::of(flower, planned)
    }

    fn of(flower: &str, planned: Vec<PlannedVm>) -> Result<Self> {
        let mut disks = BTreeMap::new();
        let images =
            [("gateway", GATEWAY), ("superlink", SUPERLINK), (NODE, SUPERNODE), (SHARED, BOTH)];
        for (role, appliance) in images {
            if planned.iter().any(|vm| vm.role == role) {
                disks.insert(role, appliance.disk(flower)?);
            }
        }
        let [berlin, madrid] = ["berlin", "madrid"].map(|zone| {
            let behind = planned.iter().filter(|vm| vm.zone == zone && !vm.is_gateway());
            behind.map(|vm| vm.name.as_str()).chain(["onegate"]).collect::<Vec<_>>()
        });
        let lab = Lab::new(&[
            ZonePlan { name: "berlin", vms: &berlin },
            ZonePlan { name: "madrid", vms: &madrid },
        ])?;
        let values = init(&lab)?;
        let onegates = BTreeMap::from([
            ("berlin", Arc::new(onegate(lab.zone("berlin")?)?)),
            ("madrid", Arc::new(onegate(lab.zone("madrid")?)?)),
        ]);
        let (vms, flower) = (BTreeMap::new(), Flower::release(flower)?);
        let mut life =
            Self { vms, planned, disks, onegates, values, flower, lab, runs: 0, went_well: false };
        // A role that is scaled has one VM at first.
        let first = supernode(0);
        let at_first = life.planned.iter().filter(|vm| vm.role != NODE || vm.name == first);
        let at_first: Vec<String> = at_first.map(|vm| vm.name.clone()).collect();
        for vm in at_first {
            life.instantiate(&vm)?;
        }
        Ok(life)
    }

    /// OpenNebula has a VM of this plan, and its CONTEXT; it does not run yet.
    pub(crate) fn instantiate(&mut self, name: &str) -> Result<()> {
        let planned = self.planned.iter().find(|vm| vm.name == name).context("a plan")?.clone();
        let onegate = &self.onegates[planned.zone];
        onegate.makes_vm(&planned.id, planned.role);
        let context = context(&self.lab, &planned, &self.values, onegate)?;
        let disk = self.disks[planned.role].clone();
        let vm = OpenNebulaVm::new(name, &planned.id, context, onegate, disk);
        self.vms.insert(name.to_owned(), vm);
        Ok(())
    }

    /// The OneGate of a zone.
    pub(crate) fn onegate(&self, zone: &str) -> &TestOneGate {
        &self.onegates[zone]
    }

    /// A VM, made or not.
    pub(crate) fn vm(&mut self, name: &str) -> Result<&mut OpenNebulaVm> {
        self.vms.get_mut(name).with_context(|| format!("no VM {name}"))
    }

    /// Makes and starts a VM; waits for nothing.
    pub(crate) fn make(&mut self, name: &str) -> Result<()> {
        let planned = self.planned.iter().find(|vm| vm.name == name).context("a plan")?;
        let vm = self.vms.get_mut(name).with_context(|| format!("no VM {name}"))?;
        vm.make(&self.lab, planned.place(&self.lab)?)
    }

    /// Its VM is gone with its disk, and there is a new one in its place, with the same CONTEXT.
    pub(crate) fn made_anew(&mut self, name: &str) -> Result<()> {
        let planned = self.planned.iter().find(|vm| vm.name == name).context("a plan")?;
        let vm = self.vms.get_mut(name).with_context(|| format!("no VM {name}"))?;
        vm.switch_off()?;
        let place = planned.place(&self.lab)?;
        std::fs::remove_dir_all(self.lab.folder().join(place.name()))?;
        vm.make(&self.lab, place)
    }

    /// OneFlow has taken a VM away.
    pub(crate) fn scaled_away(&mut self, name: &str) -> Result<()> {
        let mut vm = self.vms.remove(name).with_context(|| format!("no VM {name}"))?;
        vm.switch_off()?;
        vm.onegate.leaves_role(&vm.id);
        Ok(())
    }

    /// Until OneFlow sees them all as ready, and each is as it should be.
    pub(crate) fn wait_until_all_are_ready(&mut self, patience: Duration) -> Result<()> {
        for vm in self.vms.values() {
            vm.wait_until_ready(patience)?;
        }
        self.vms.values().try_for_each(OpenNebulaVm::is_as_it_should_be)
    }

    /// Runs the app from the SuperLink's VM, and holds its result against plain FedAvg.
    pub(crate) fn train(&mut self) -> Result<()> {
        self.train_on(1)
    }

    /// As [`Life::train`], with so many SuperNodes, each of another part of the data.
    pub(crate) fn train_on(&mut self, nodes: u32) -> Result<()> {
        let plan = TrainingPlan { rounds: 2, nodes, train_sleep: Duration::ZERO };
        let run = self.submit(plan)?;
        let logs: Vec<_> = self.vms.values().filter_map(OpenNebulaVm::flower_log).collect();
        let outcome = run.finish(TRAINING, &logs)?;
        let expected = self.flower.expected(plan)?;
        ensure!(
            outcome.digest == expected.digest && outcome.rounds_done == plan.rounds,
            "plain FedAvg gives {expected:?}, the federation gave {outcome:?}"
        );
        Ok(())
    }

    /// `flwr run` in the SuperLink's VM, with the CA that is there.
    pub(crate) fn submit(&mut self, plan: TrainingPlan) -> Result<TrainingRun> {
        self.runs += 1;
        let ca = self.lab.folder().join("federation-ca.pem");
        let planned = self.planned.iter().find(|vm| vm.is_superlink()).context("a plan")?.clone();
        let pem = self.vm(&planned.name)?.run("cat /var/lib/zonemesh-superlink/tls/ca.pem")?;
        std::fs::write(&ca, pem)?;
        let zone = self.lab.zone(planned.zone)?;
        let address = match planned.is_gateway() {
            true => zone.lan_address,
            false => zone.vm(&planned.name)?.address,
        };
        let place = Submission {
            name: &format!("flwr-run-{}", self.runs),
            namespace: planned.place(&self.lab)?,
            folder: self.lab.folder(),
            address,
            ca: &ca,
        };
        self.flower.submit(&place, plan)
    }

    /// Ends a life that went well.
    pub(crate) fn succeeded(mut self) -> Result<()> {
        self.went_well = true;
        self.lab.succeeded()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.went_well {
            return;
        }
        // The Lab prints all logs in its folder then.
        for (name, vm) in &self.vms {
            if let Some(text) = vm.journal() {
                drop(std::fs::write(self.lab.folder().join(format!("{name}-journal.log")), text));
            }
        }
    }
}

/// Makes the mesh on an administrator's machine; returns its folder.
fn init(lab: &Lab) -> Result<PathBuf> {
    let (berlin, madrid) = (lab.zone("berlin")?, lab.zone("madrid")?);
    let folder = lab.folder().join("founded");
    let founder = format!("berlin={}@{}:51820", berlin.prefix(), berlin.wan_address);
    let mut command = Command::new(binaries::find("zonemesh")?);
    command.current_dir(lab.folder()).args(["mesh", "init", "--out"]).arg(&folder);
    command.args(["--founder", &founder, "--zone", &format!("madrid={}", madrid.prefix())]);
    run(command.args(["--federation", &format!("{FEDERATION}=berlin:madrid")]))?;
    Ok(folder)
}

/// The OneGate of a zone, where its VMs reach it.
fn onegate(zone: &LabZone) -> Result<TestOneGate> {
    let server = zone.vm("onegate")?;
    let at: (Ipv4Addr, u16) = (server.address, ONEGATE_PORT);
    Ok(TestOneGate::serving(server.namespace.inside(|| Ok(TcpListener::bind(at)?))?))
}

/// The name of a SuperNode's VM, counted from 0.
pub(crate) fn supernode(number: usize) -> String {
    if number == 0 { "supernode".to_owned() } else { format!("supernode-{number}") }
}

/// What OpenNebula writes for a VM of ours.
fn context(
    lab: &Lab,
    planned: &PlannedVm,
    values: &Path,
    onegate: &TestOneGate,
) -> Result<ContextDisk> {
    let PlannedVm { name, id, zone, role, .. } = planned;
    let (zone, role) = (*zone, *role);
    let mut context = ContextDisk::new(lab.folder().join(format!("{name}-context")))?;
    let template = match (zone, role) {
        (_, SHARED) => "superlink-gateway.json",
        ("berlin", _) => "coordinator.json",
        _ => "training-site.json",
    };
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../oneflow");
    context.take_role(&templates.join(template), role)?;
    if planned.is_gateway() {
        context.take_values(&values.join(zone).join("context"))?;
    }
    let of_flower = if planned.is_superlink() { "superlink" } else { role };
    if of_flower != "gateway" {
        let file = format!("{of_flower}-{FEDERATION}.context");
        context.take_values(&values.join(zone).join(file))?;
    }
    let place = planned.place(lab)?;
    if planned.is_gateway() {
        context.take_nic(0, place, "lan0")?;
        context.take_nic(1, place, "wan0")?;
    } else {
        context.take_nic(0, place, "eth0")?;
        context.set("ETH0_GATEWAY", &lab.zone(zone)?.lan_address.to_string());
    }
    for (key, value) in onegate.variables_of(id) {
        context.set(&key, &value);
    }
    Ok(context)
}
