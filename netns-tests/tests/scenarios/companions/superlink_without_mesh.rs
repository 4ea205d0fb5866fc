//! A SuperNode whose CONTEXT names its SuperLink: no gateway, no token, and Flower 1.42 on both sides.
//!
//! ```text
//!   berlin, whose gateway is never started
//!   superlink 10.10.10.5: flower-superlink, by hand --- supernode: the companion
//! ```

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zonemesh_lab::binaries;
use zonemesh_lab::federation::{HOME, SUPERLINK, SUPERNODE};
use zonemesh_lab::flower::{Flower, Submission, TrainingPlan};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::process::Process;
use zonemesh_lab::shipped_unit::ShippedUnit;
use zonemesh_lab::wait::{Look, holds_for, until};
use zonemesh_pki::{CertificateRequest, FederationCa, San};

const FLOWER: &str = "1.42.0";
const ONE_ZONE: [ZonePlan<'_>; 1] = [ZonePlan { name: HOME, vms: &[SUPERLINK, SUPERNODE] }];
const FLOWER_PATIENCE: Duration = Duration::from_secs(180);
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// A connection may be missed for half a minute, and TLS is looked for as often.
const MISSED_WITHIN: Duration = Duration::from_secs(90);

/// A zone without a mesh, and a CA of somebody's own.
struct WithoutMesh {
    // Declared first: it ends before the zone goes.
    companion: Option<Process>,
    superlink: Option<Process>,
    lab: Lab,
    flower: Flower,
    ca: FederationCa,
}

impl WithoutMesh {
    fn prepare() -> Result<Self> {
        let (lab, flower) = (Lab::new(&ONE_ZONE)?, Flower::release(FLOWER)?);
        flower.reaches(lab.folder()).context("-> TMPDIR=/tmp")?;
        let ca = FederationCa::generate("own", SystemTime::now())?;
        Ok(Self { companion: None, superlink: None, lab, flower, ca })
    }

    fn state(&self) -> PathBuf {
        self.lab.folder().join("state")
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let file = self.lab.folder().join(name);
        std::fs::write(&file, text)?;
        self.flower.give(&file)?;
        Ok(file)
    }

    fn at<T>(&self, act: impl FnOnce(&Flower, &Submission<'_>) -> Result<T>) -> Result<T> {
        let vm = self.lab.zone(HOME)?.vm(SUPERLINK)?;
        let ca = self.file("own-ca.pem", self.ca.certificate_pem())?;
        let place = Submission {
            name: "own",
            namespace: &vm.namespace,
            folder: self.lab.folder(),
            address: vm.address,
            ca: &ca,
        };
        act(&self.flower, &place)
    }

    /// Flower's own program, with a certificate of this CA.
    fn start_superlink(&mut self) -> Result<()> {
        let sans = [San::Ip(self.lab.zone(HOME)?.vm(SUPERLINK)?.address.into())];
        let request = CertificateRequest::generate("superlink", &sans)?;
        let certificate = self.ca.sign(&request.csr_pem, &sans, SystemTime::now())?;
        let certificate = self.file("own.pem", &certificate)?;
        let key = self.file("own.key", &request.key_pem)?;
        let home = self.lab.folder().join("own");
        std::fs::create_dir_all(&home)?;
        self.flower.give(&home)?;
        let command =
            self.at(|flower, place| Ok(flower.bare_superlink(place, &certificate, &key)))?;
        self.superlink = Some(Process::spawn("own-superlink", command, self.lab.folder())?);
        Ok(())
    }

    /// The companion, with this CA and nothing of a gateway.
    fn start_companion(&mut self, ca_pem: &str) -> Result<()> {
        let vm = &self.lab.zone(HOME)?.vm(SUPERNODE)?.namespace;
        let superlink = self.lab.zone(HOME)?.vm(SUPERLINK)?.address;
        let program = binaries::find("zonemesh-supernode")?;
        let mut command = ShippedUnit::of(SUPERNODE)?.command(vm, &program)?;
        command
            .arg("run")
            .env("ONEAPP_ZONEMESH_FEDERATION", "own")
            .env("ONEAPP_FL_SUPERLINK_ADDRESS", format!("{superlink}:8000"))
            .env("ONEAPP_FL_SSL_CA_CERTFILE", STANDARD.encode(ca_pem))
            .env("ONEAPP_ZONEMESH_NODE_CONFIG", "partition-id=0 num-partitions=1")
            .env("ONEAPP_ZONEMESH_FLOWER_BIN", self.flower.bin())
            .env("ONEAPP_ZONEMESH_STATE_DIR", self.state());
        if let Some(user) = self.flower.user() {
            command.env("ONEAPP_ZONEMESH_FLOWER_USER", user.name());
        }
        self.companion = Some(Process::spawn("own-supernode", command, self.lab.folder())?);
        Ok(())
    }

    fn companion(&mut self) -> Result<&mut Process> {
        self.companion.as_mut().context("it was not started")
    }

    fn wait_for_state(&mut self, state: &str, patience: Duration) -> Result<()> {
        let file = self.state().join("status.json");
        until(&format!("the state {state}"), patience, || {
            if let Some(ended) = self.companion()?.ended()? {
                anyhow::bail!("the companion ended with {ended}:\n{}", self.companion()?.output()?);
            }
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            Ok(Look::<()>::when(status["state"] == state, &text))
        })?;
        Ok(())
    }

    fn train(&self) -> Result<()> {
        let plan = TrainingPlan { rounds: 2, nodes: 1, train_sleep: Duration::ZERO };
        let run = self.at(|flower, place| flower.submit(place, plan))?;
        let log = self.state().join("log/flower-supernode.log");
        let outcome = run.finish(Duration::from_secs(300), &[log])?;
        let expected = self.flower.expected(plan)?;
        ensure!(
            outcome.digest == expected.digest && outcome.rounds_done == plan.rounds,
            "plain FedAvg gives {expected:?}, this gave {outcome:?}"
        );
        Ok(())
    }
}

#[test]
fn a_supernode_without_a_mesh_waits_for_its_superlink_trains_and_loses_ready_with_it() -> Result<()>
{
    let mut own = WithoutMesh::prepare()?;
    let ca = own.ca.certificate_pem().to_owned();
    own.start_companion(&ca)?;
    let (line, _) = own.companion()?.wait_for("N202", TOLD_WITHIN)?;
    ensure!(line.contains("10.10.10.5:8000"), "{line}");
    own.companion()?.wait_for("SuperNode authentication is off", TOLD_WITHIN)?;
    holds_for("the companion waits", Duration::from_secs(8), || {
        let ended = own.companion()?.ended()?;
        Ok(ended.map_or(Look::Done(()), |status| Look::Not(format!("it ended with {status}"))))
    })?;
    own.start_superlink()?;
    own.wait_for_state("ready", FLOWER_PATIENCE)?;
    own.train()?;
    own.wait_for_state("ready", TOLD_WITHIN)?;
    // READY goes with the SuperLink, and comes back with it.
    own.superlink.take().context("it runs")?.kill_9()?;
    own.lab.zone(HOME)?.vm(SUPERLINK)?.namespace.kill_all()?;
    own.wait_for_state("starting", MISSED_WITHIN)?;
    own.start_superlink()?;
    own.wait_for_state("ready", FLOWER_PATIENCE)?;
    own.lab.succeeded()
}

#[test]
fn a_supernode_without_a_mesh_tells_a_wrong_ca_and_starts_no_flower() -> Result<()> {
    let mut own = WithoutMesh::prepare()?;
    own.start_superlink()?;
    let other = FederationCa::generate("other", SystemTime::now())?;
    own.start_companion(other.certificate_pem())?;
    let (line, _) = own.companion()?.wait_for("T401", FLOWER_PATIENCE)?;
    ensure!(
        line.contains("10.10.10.5:8000") && line.contains("ONEAPP_FL_SSL_CA_CERTFILE"),
        "{line}"
    );
    ensure!(own.companion()?.ended()?.is_none(), "it must keep trying");
    ensure!(!own.state().join("log/flower-supernode.log").exists(), "Flower was started");
    own.lab.succeeded()
}
