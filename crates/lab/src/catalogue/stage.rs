//! The mesh on which faults are made, and what one that is being made has to remember.
//!
//! Promises that what a fault has started ends with it, and that times are counted from the moment
//! at which the fault is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use toml::Table;

use super::status::{ToldStatus, reads_well};
use super::{
    BORNE, CataloguedFault, FORGOTTEN, FaultOutcome, FaultTold, HERE, LAGGING, REPAIRED, SOON,
    ZONES,
};
use crate::lab::Lab;
use crate::mesh::{Mesh, patience};
use crate::process::Process;
use crate::wait::{Look, holds_for, until};

/// How long one gateway is looked at before the next.
const LOOK: Duration = Duration::from_millis(100);

/// A mesh, and what a fault that is being made has to remember.
#[derive(Debug)]
pub struct FaultStage<'a> {
    /// What faults have started, by a name. Declared first: it ends before its namespaces go.
    pub(super) helpers: BTreeMap<&'static str, Process>,
    /// The zones.
    pub lab: &'a mut Lab,
    /// Their gateways.
    pub mesh: &'a mut Mesh,
    saved: Option<Table>,
    /// The configurations of gateways that were written by hand, while they are managed or copied.
    pub(super) by_hand: BTreeMap<&'static str, Table>,
    began: Instant,
}

/// How it went.
#[derive(Debug)]
pub struct TriedFault {
    /// The fault.
    pub name: &'static str,
    /// What told it.
    pub by: String,
    /// How long until all who should had told it, or until it was repaired.
    pub told: Duration,
    /// How long until nobody told it any more.
    pub forgotten: Duration,
}

impl<'a> FaultStage<'a> {
    /// A mesh that runs, and has nothing to tell.
    ///
    /// # Errors
    /// When it does not come up, or complains.
    pub fn set(lab: &'a mut Lab, mesh: &'a mut Mesh) -> Result<Self> {
        mesh.start(lab)?;
        let (helpers, by_hand) = (BTreeMap::new(), BTreeMap::new());
        let mut stage = Self { helpers, lab, mesh, saved: None, by_hand, began: Instant::now() };
        stage.quiet_within(patience() + SOON)?;
        Ok(stage)
    }

    /// Makes a fault, waits until it is told, undoes it, waits until all is quiet. The inner error says
    /// what did not come in time, or was told beside it: the mesh is quiet again all the same.
    ///
    /// # Errors
    /// When it cannot be undone, or is told for ever: there is no mesh for the next one.
    pub fn attempt(&mut self, fault: &CataloguedFault) -> Result<Result<TriedFault>> {
        let by = self.make_and_wait(fault);
        let told = self.began.elapsed();
        let so_far = || format!("undoing: {} ({by:?})", fault.name);
        (fault.undo)(self).with_context(so_far)?;
        let forgotten = self.quiet_within(FORGOTTEN).with_context(so_far)?;
        Ok(by.map(|by| TriedFault { name: fault.name, by, told, forgotten }))
    }

    /// What told it.
    fn make_and_wait(&mut self, fault: &CataloguedFault) -> Result<String> {
        let events = self.events()?.len();
        self.begins_now();
        (fault.make)(self).with_context(|| format!("making: {}", fault.name))?;
        match &fault.outcome {
            FaultOutcome::Repaired(object) => self.wait_for_repair(fault, object, events),
            FaultOutcome::Told(all) => self.wait_until_told(fault, all),
            FaultOutcome::Borne { but, holds } => {
                self.mesh.wait_until_connected(patience())?;
                let ends = Instant::now() + BORNE;
                while Instant::now() < ends {
                    for zone in ZONES {
                        self.tells_nothing_but(zone.name, but, LOOK)?;
                    }
                }
                holds(self)?;
                Ok("nobody, as it should".to_owned())
            }
        }
    }

    /// What came before has only prepared the fault.
    pub(super) fn begins_now(&mut self) {
        self.began = Instant::now();
    }

    fn wait_until_told(&mut self, fault: &CataloguedFault, all: &[FaultTold]) -> Result<String> {
        let begin = Instant::now();
        for one in all {
            let codes = [&codes_at(all, one.at)[..], LAGGING].concat();
            let left = one.within.saturating_sub(begin.elapsed());
            let what = format!("{}: {} at {}", fault.name, one.code, one.at);
            until(&what, left, || {
                let status = self.status(one.at)?;
                let told = status.tells(one) && status.alarms_only(&codes);
                Ok(Look::<()>::when(told, format!("{}, exit {}", status.findings(), status.exit)))
            })?;
        }
        for zone in all.iter().map(|one| one.at).collect::<BTreeSet<_>>() {
            reads_well(self.mesh.gateway(zone)?, &codes_at(all, zone))?;
        }
        let told = all.iter().filter(|one| !one.code.is_empty());
        let told = told.map(|one| format!("{} {}, exit {}", one.at, one.code, one.exit));
        Ok(told.collect::<Vec<_>>().join("; "))
    }

    /// `status` goes on to exit with 0, as it is over before anybody has to act.
    fn wait_for_repair(
        &mut self,
        fault: &CataloguedFault,
        object: &str,
        events: usize,
    ) -> Result<String> {
        let what = format!("{}: a repaired {object}", fault.name);
        until(&what, REPAIRED, || {
            let text = self.events()?;
            let new = text.get(events..).unwrap_or_default();
            let told =
                new.lines().any(|line| line.contains("\trepaired\t") && line.contains(object));
            Ok(Look::<()>::when(told, new))
        })?;
        let status = self.status(HERE)?;
        let is_calm = status.exit == 0 || status.complains() && status.alarms_only(LAGGING);
        ensure!(is_calm, "{} exits with {}", status.findings(), status.exit);
        Ok(format!("event: repaired {object}, exit 0"))
    }

    fn events(&mut self) -> Result<String> {
        Ok(std::fs::read_to_string(self.state_folder()?.join("events")).unwrap_or_default())
    }

    /// Waits until all gateways are connected and none has anything to tell.
    pub(super) fn quiet_within(&mut self, timeout: Duration) -> Result<Duration> {
        let begin = Instant::now();
        self.mesh.wait_until_connected(timeout)?;
        let left = timeout.saturating_sub(begin.elapsed());
        until("all gateways to have nothing to tell", left, || self.look_whether_quiet())?;
        let took = begin.elapsed();
        until("all paths to be measured", patience(), || {
            let mut measured = true;
            for zone in ZONES {
                measured &= self.status(zone.name)?.is_measured();
            }
            Ok(Look::<()>::when(measured, "one is not"))
        })?;
        Ok(took)
    }

    /// Checks that nobody tells anything for `period`.
    ///
    /// # Errors
    /// With what was told.
    pub fn stays_quiet(&mut self, period: Duration) -> Result<()> {
        holds_for("silence", period, || self.look_whether_quiet())
    }

    fn look_whether_quiet(&mut self) -> Result<Look<()>> {
        for zone in ZONES {
            let status = self.status(zone.name)?;
            if status.exit != 0 || status.complains() {
                return Ok(Look::Not(format!("{}: {}", zone.name, status.findings())));
            }
        }
        Ok(Look::Done(()))
    }

    /// Checks for `period` that a gateway raises no other alarm than these.
    pub(super) fn tells_nothing_but(
        &mut self,
        zone: &str,
        codes: &[&str],
        period: Duration,
    ) -> Result<()> {
        holds_for("one trouble to be told as one", period, || {
            let status = self.status(zone)?;
            Ok(Look::<()>::when(status.alarms_only(codes), status.findings()))
        })
    }

    pub(super) fn status(&mut self, zone: &str) -> Result<ToldStatus> {
        ToldStatus::of(self.mesh.gateway(zone)?)
    }

    /// Where the gateway at which faults are made keeps its state.
    pub(super) fn state_folder(&mut self) -> Result<PathBuf> {
        Ok(self.mesh.gateway(HERE)?.folder().join("state"))
    }

    /// Starts the gateway at which faults are made anew, as after a crash.
    pub(super) fn restarted(&mut self) -> Result<()> {
        let gateway = self.mesh.gateway(HERE)?;
        gateway.kill_9_and_start(self.lab)?;
        gateway.wait_until_ready(patience())
    }

    /// The same with a changed configuration.
    pub(super) fn with_configuration(
        &mut self,
        change: impl FnOnce(&mut Table) -> Result<()>,
    ) -> Result<()> {
        let gateway = self.mesh.gateway(HERE)?;
        ensure!(self.saved.is_none(), "a changed configuration is in force already");
        self.saved = Some(gateway.config.clone());
        change(&mut gateway.config)?;
        self.restarted()
    }

    /// Ends [`FaultStage::with_configuration`].
    pub(super) fn restored(&mut self) -> Result<()> {
        let saved = self.saved.take().context("no configuration was changed")?;
        self.mesh.gateway(HERE)?.config = saved;
        self.restarted()
    }

    /// Runs a line of shell at the gateway at which faults are made.
    pub(super) fn shell(&mut self, line: &str) -> Result<()> {
        self.lab.zone(HERE)?.gateway.run(&["sh", "-ec", line]).map(drop)
    }

    /// Ends what a fault has started.
    pub(super) fn end(&mut self, helper: &str) -> Result<()> {
        let mut ended = self.helpers.remove(helper).with_context(|| format!("no {helper} runs"))?;
        ended.terminate(patience()).map(drop)
    }
}

/// What a zone's gateway is to tell.
fn codes_at(all: &[FaultTold], zone: &str) -> Vec<&'static str> {
    let at = all.iter().filter(|one| one.at == zone && !one.code.is_empty());
    at.map(|one| one.code).collect()
}
