//! A OneGate that is of no use for two minutes, at each moment at which a VM wants something of it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use zonemesh_lab::wait::{Look, holds_for};
use zonemesh_standin::OneGateFault;

use super::flowers::with_each_flower;
use super::life::Life;
use super::one_life::{ORDER, READY};

/// For how long, unless `ZONEMESH_AWAY_S` says it.
const AWAY: Duration = Duration::from_secs(120);
/// Who has been refused asks again within a minute.
const AGAIN: Duration = Duration::from_secs(90);

fn away() -> Result<Duration> {
    match std::env::var("ZONEMESH_AWAY_S") {
        Ok(seconds) => Ok(Duration::from_secs(seconds.parse().context("ZONEMESH_AWAY_S")?)),
        Err(_) => Ok(AWAY),
    }
}

/// One moment: what is wrong with the OneGate of a zone while a VM boots.
struct BadMoment {
    vm: &'static str,
    zone: &'static str,
    /// In the questions that fail.
    about: &'static str,
    fault: OneGateFault,
}

const MOMENTS: [BadMoment; 4] = [
    // From before the boot on, for everything: configure, publish and READY.
    BadMoment { vm: "berlin-gateway", zone: "berlin", about: "", fault: OneGateFault::Hang },
    // The search for the gateway.
    BadMoment {
        vm: "superlink",
        zone: "berlin",
        about: "GET /service",
        fault: OneGateFault::Garbage,
    },
    // The publication of its address.
    BadMoment {
        vm: "madrid-gateway",
        zone: "madrid",
        about: "ZONEMESH_GATEWAY",
        fault: OneGateFault::Error,
    },
    BadMoment { vm: "supernode", zone: "madrid", about: "READY%3DYES", fault: OneGateFault::Error },
];

#[test]
fn a_onegate_that_is_away_for_two_minutes_at_any_moment_is_waited_for() -> Result<()> {
    with_each_flower(|flower| {
        let away = away()?;
        let mut life = Life::new(flower)?;
        for BadMoment { vm, zone, about, fault } in MOMENTS {
            life.onegate(zone).fails_about(about, fault);
            life.make(vm)?;
            holds_for("nothing fails, and nobody is told", away, || {
                let one = life.vm(vm)?;
                let status = one.run("cat /etc/one-appliance/status").unwrap_or_default();
                let is_well = !status.contains("failure");
                // Publishing is another question than READY.
                let told = one.told("READY").filter(|_| about != "ZONEMESH_GATEWAY");
                Ok(Look::<()>::when(is_well && told.is_none(), format!("{vm}: {status} {told:?}")))
            })?;
            if about == "ZONEMESH_GATEWAY" {
                ensure!(life.vm(vm)?.told(about).is_none());
            }
            life.onegate(zone).fails(None);
            life.vm(vm)?.wait_until_ready(READY + AGAIN)?;
        }
        life.wait_until_all_are_ready(READY)?;
        for vm in ORDER {
            life.vm(vm)?.switch_off()?;
        }
        for zone in ["berlin", "madrid"] {
            life.onegate(zone).fails(Some(OneGateFault::Hang));
        }
        for vm in ORDER {
            life.vm(vm)?.switch_on()?;
        }
        std::thread::sleep(away);
        // It has not kept Flower from training.
        life.train()?;
        for zone in ["berlin", "madrid"] {
            life.onegate(zone).fails(None);
        }
        life.wait_until_all_are_ready(READY + AGAIN)?;
        life.train()?;
        life.succeeded()
    })
}
