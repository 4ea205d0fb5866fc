//! What becomes of the federation's SuperLink, as its gateway and the others see it.
//!
//! It runs from the first of these faults on until the stage is taken down.

use std::time::Duration;

use super::FaultOutcome::Told;
use super::companions::{SUPERLINK, SUPERNODE};
use super::{CataloguedFault, FaultTold, HERE, MEASURED, VM};

/// 30 s without a word, looks of 2 s, and a record of readiness each 5 s.
const LOST: Duration = Duration::from_secs(40);

pub(super) fn faults() -> Vec<CataloguedFault> {
    let not_ready = |words| {
        let told = move || FaultTold::new("F511", words).advice("zonemesh-superlink");
        move |within| vec![told().within(within), told().within(within).at("madrid")]
    };
    vec![
        CataloguedFault {
            name: "the SuperLink is stopped",
            make: |stage| {
                stage.with_superlink()?;
                stage.begins_now();
                stage.end(SUPERLINK)
            },
            undo: |stage| stage.with_superlink(),
            outcome: Told(not_ready("is stopped")(super::SOON)),
        },
        CataloguedFault {
            name: "the SuperLink's VM loses its power",
            make: |stage| {
                stage.with_superlink()?;
                stage.begins_now();
                stage.cut_power(HERE, SUPERLINK)
            },
            undo: |stage| stage.with_superlink(),
            outcome: Told(not_ready("is lost")(LOST)),
        },
        CataloguedFault {
            name: "the Fleet port is filtered in the SuperLink's VM",
            make: |stage| {
                stage.with_superlink()?;
                let rules = "table inet fleet { chain c { type filter hook input priority 0; \
                             iif eth0 tcp dport 9092 drop; }; }";
                stage.lab.zone(HERE)?.vm(VM)?.namespace.run(&["nft", rules])?;
                stage.with_supernode("madrid")?;
                stage.begins_now();
                Ok(())
            },
            undo: |stage| {
                let vm = stage.lab.zone(HERE)?.vm(VM)?;
                vm.namespace.run(&["nft", "delete table inet fleet"])?;
                stage.end(SUPERNODE)
            },
            outcome: Told(vec![
                FaultTold::new("F512", "N202").advice("listening").at("madrid").within(MEASURED),
            ]),
        },
    ]
}
