//! Faults made on purpose on a running mesh: how each is made and undone, and what is to be said.
//!
//! ```text
//!   berlin (looked at, meddled with) ==== madrid ==== paris     each with all others
//!   vm 10.10.10.5                        vm            vm
//! ```
//!
//! Owns the list: a name, how it is made and undone, what is told of it (code, words, advice, exit
//! code), and within which time. Rows of other scenarios stand in [`ELSEWHERE`]. Promises that a
//! fault is tried on a mesh that has nothing to tell, and leaves one behind. Refuses to know how a
//! gateway finds out: it reads what `zonemesh status` tells an engineer.

mod companions;
mod configuration;
mod disk;
mod elsewhere;
mod harmless;
mod holders;
mod kernel;
mod machine;
mod membership;
mod names;
mod neighbours;
mod stage;
mod status;
mod superlink;
mod vms;
mod wan;

use std::time::Duration;

use anyhow::Result;

use crate::lab::ZonePlan;

pub use elsewhere::{ELSEWHERE, KeptElsewhere};
pub use stage::{FaultStage, TriedFault};

/// The zones on which faults are made.
pub const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: HERE, vms: &[VM] },
    ZonePlan { name: "madrid", vms: &[VM] },
    ZonePlan { name: "paris", vms: &[VM] },
];
/// The zone at which a fault is made, where it is made at one.
pub const HERE: &str = "berlin";
/// The VM of each zone.
const VM: &str = "vm";

/// What a fault of the WAN, a peer or the configuration may take to be told.
const SOON: Duration = Duration::from_secs(10);
/// What a fault in the zone's own network, or one that has to be measured, may take.
const MEASURED: Duration = Duration::from_secs(60);
/// What is put right by the gateway itself, is so within this.
const REPAIRED: Duration = Duration::from_secs(2);
/// How long nothing may be told of what must change nothing.
const BORNE: Duration = Duration::from_secs(10);
/// How soon nothing is told any more after a fault has gone. A path that lost packets is measured
/// over a hundred rounds of a second.
const FORGOTTEN: Duration = Duration::from_secs(150);

/// Loss is measured over a hundred rounds: what a restart or the fault before has lost is told so long.
const LAGGING: &[&str] = &["N208"];

type Step = fn(&mut FaultStage<'_>) -> Result<()>;

/// One fault.
#[derive(Debug)]
pub struct CataloguedFault {
    /// What is wrong, in an engineer's words.
    pub name: &'static str,
    make: Step,
    undo: Step,
    outcome: FaultOutcome,
}

/// What is to come of it.
#[derive(Debug)]
enum FaultOutcome {
    /// The gateway puts it right by itself and says so as an event of this kind of object.
    Repaired(&'static str),
    /// It is told until it is undone.
    Told(Vec<FaultTold>),
    /// Nobody raises another alarm than these, and `holds` does at the end.
    Borne { but: &'static [&'static str], holds: Step },
}

/// What one gateway says.
#[derive(Debug)]
struct FaultTold {
    at: &'static str,
    /// Empty if it is to say nothing.
    code: &'static str,
    /// Of `zonemesh status`.
    exit: i32,
    /// In the finding's sentence or its reason.
    words: &'static str,
    /// In what it says is to be done.
    advice: &'static str,
    within: Duration,
}

impl FaultTold {
    const fn new(code: &'static str, words: &'static str) -> Self {
        Self { at: HERE, code, exit: 1, words, advice: "", within: SOON }
    }

    /// Somebody whom it does not concern.
    const fn nothing(zone: &'static str) -> Self {
        Self::new("", "").at(zone).exit(0)
    }

    const fn exit(self, exit: i32) -> Self {
        Self { exit, ..self }
    }

    const fn at(self, zone: &'static str) -> Self {
        Self { at: zone, ..self }
    }

    const fn advice(self, advice: &'static str) -> Self {
        Self { advice, ..self }
    }

    const fn within(self, within: Duration) -> Self {
        Self { within, ..self }
    }
}

/// All faults. The last ones leave something running.
#[must_use]
pub fn faults() -> Vec<CataloguedFault> {
    let all = [
        wan::faults(),
        wan::refused(),
        kernel::faults(),
        machine::faults(),
        disk::faults(),
        names::faults(),
        neighbours::faults(),
        configuration::faults(),
        harmless::faults(),
        vms::faults(),
        membership::faults(),
        superlink::faults(),
    ];
    all.into_iter().flatten().collect()
}

/// Nothing is to be undone.
#[expect(clippy::unnecessary_wraps, reason = "it stands in the place of what can fail")]
fn nothing(_: &mut FaultStage<'_>) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_fault_has_a_name_of_its_own_and_whatever_is_told_has_a_code_and_a_time() {
        let all = faults();
        let names: BTreeSet<_> = all.iter().map(|fault| fault.name).collect();
        assert_eq!(names.len(), all.len(), "a name stands twice");
        assert!(names.iter().all(|name| !name.contains(';')), "FAULTS has ; between names");
        for fault in &all {
            let FaultOutcome::Told(told) = &fault.outcome else { continue };
            assert!(told.iter().any(|one| !one.code.is_empty()), "{}: nobody tells", fault.name);
            for one in told {
                assert_eq!(one.code.is_empty(), one.words.is_empty(), "{}", fault.name);
                assert!(one.within <= MEASURED, "{}: {:?}", fault.name, one.within);
            }
        }
    }
}
