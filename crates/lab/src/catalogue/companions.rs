//! Companions in the stage's VMs, with the real Flower beside them.
//!
//! Promises that a companion which is started is heard by its gateway. Refuses to know what is done
//! to it then.

use anyhow::{Context as _, Result};

use super::{FaultStage, HERE, VM};
use crate::binaries;
use crate::flower::Flower;
use crate::mesh::{FEDERATION, LOCAL_API_PORT, patience};
use crate::process::Process;
use crate::shipped_unit::ShippedUnit;
use crate::wait::{Look, until};

/// A SuperLink's companion, and the name under which a stage keeps it.
pub(super) const SUPERLINK: &str = "superlink";
/// The same of a SuperNode's.
pub(super) const SUPERNODE: &str = "supernode";

impl FaultStage<'_> {
    /// Starts the companion of a SuperNode in a zone's VM, and waits until its gateway hears of it.
    pub(super) fn with_supernode(&mut self, zone: &str) -> Result<()> {
        let token = self.mesh.gateway(zone)?.tokens.supernode.token.clone();
        self.start_companion(zone, SUPERNODE, token)?;
        until("the SuperNode's companion to report", patience(), || {
            let status = self.status(zone)?;
            let one = status.companion(SUPERNODE);
            let reports = one.is_some_and(|one| one["state"].is_string());
            Ok(Look::<()>::when(reports, format!("{one:?}")))
        })?;
        Ok(())
    }

    /// Starts a SuperLink with its companion, unless one runs, and waits until all zones know it.
    pub(super) fn with_superlink(&mut self) -> Result<()> {
        if !self.helpers.contains_key(SUPERLINK) {
            let token = self.mesh.token().to_owned();
            self.start_companion(HERE, SUPERLINK, token)?;
        }
        for zone in [HERE, "madrid"] {
            until("the SuperLink to be ready", 4 * patience(), || {
                Ok(Look::<()>::when(self.status(zone)?.has_superlink(), "it is not"))
            })?;
        }
        Ok(())
    }

    /// Starts a companion, whatever becomes of it.
    pub(super) fn start_companion(
        &mut self,
        zone: &str,
        role: &'static str,
        token: String,
    ) -> Result<()> {
        let place = self.lab.zone(zone)?;
        let (vm, gateway) = (place.vm(VM)?, place.lan_address);
        let state = self.lab.folder().join(format!("{zone}-{role}-state"));
        let set = |key: &str| format!("ONEAPP_ZONEMESH_{key}");
        let program = binaries::find(&format!("zonemesh-{role}"))?;
        let mut command = ShippedUnit::of(role)?.command(&vm.namespace, &program)?;
        let flower = Flower::find()?;
        command.arg("run").envs([
            (set("FEDERATION"), FEDERATION.to_owned()),
            (set("GATEWAY"), format!("{gateway}:{LOCAL_API_PORT}")),
            (set("FLOWER_BIN"), flower.bin().display().to_string()),
            (set("STATE_DIR"), state.display().to_string()),
            (set("TOKEN"), token),
        ]);
        if let Some(user) = flower.user() {
            command.env(set("FLOWER_USER"), user.name());
        }
        match role {
            SUPERLINK => command.env(set("ADDRESS"), vm.address.to_string()),
            _ => command.env(set("NODE_CONFIG"), "partition-id=0 num-partitions=1"),
        };
        let process = Process::spawn(&format!("{zone}-{role}"), command, self.lab.folder())?;
        self.helpers.insert(role, process);
        Ok(())
    }

    /// Ends all that runs in the VM of a zone, as a power cut would.
    pub(super) fn cut_power(&mut self, zone: &str, role: &str) -> Result<()> {
        self.helpers.remove(role).with_context(|| format!("no {role} runs"))?;
        self.lab.zone(zone)?.vm(VM)?.namespace.kill_all()
    }
}
