//! What a running SuperLink owes its gateway, from what the gateway shows. Pure.
//!
//! A gateway may have lost its memory, or never have heard a report. It promises that what the
//! gateway shows is compared with what is true, so nothing depends on remembering what was said. It
//! refuses to decide about Flower: a gateway that is away or wrong stops nothing.

use std::net::IpAddr;

use zonemesh_appliance::gateway::Seen;
use zonemesh_appliance::view::Readiness;

/// What is true here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) address: IpAddr,
    pub(crate) fleet_port: u16,
    pub(crate) flower_version: String,
    pub(crate) ca_pem: String,
    pub(crate) readiness: Readiness,
}

/// What to tell the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// It shows the truth, or cannot be asked.
    Nothing,
    /// It shows another readiness.
    Report(Readiness),
    /// It does not know this SuperLink, or knows another state of it.
    Register,
}

pub(crate) fn duty(seen: &Seen, truth: &Truth) -> Duty {
    let Some(shown) = seen.view.as_ref().filter(|_| seen.connected) else {
        return Duty::Nothing;
    };
    let Some(view) = shown else {
        return Duty::Register;
    };
    if view.conflict {
        // The other zone's SuperLink is shown; registering again and again would not change that.
        return Duty::Nothing;
    }
    let target = &view.target;
    let known = target.addresses.contains(&truth.address)
        && target.fleet_port == truth.fleet_port
        && target.flower_version == truth.flower_version
        && target.ca_pems.iter().any(|pem| pem.trim() == truth.ca_pem.trim());
    if !known {
        return Duty::Register;
    }
    if view.readiness == truth.readiness { Duty::Nothing } else { Duty::Report(truth.readiness) }
}

#[cfg(test)]
mod tests {
    use zonemesh_appliance::flower::Transport;
    use zonemesh_appliance::view::{Target, View};

    use super::*;

    fn truth() -> Truth {
        Truth {
            address: [10, 10, 10, 5].into(),
            fleet_port: 9092,
            flower_version: "1.25.0".into(),
            ca_pem: "CA\n".into(),
            readiness: Readiness::Ready,
        }
    }

    fn seen(change: impl FnOnce(&mut View)) -> Seen {
        let mut view = View {
            zone: "berlin".into(),
            target: Target {
                addresses: vec![[10, 10, 10, 5].into()],
                fleet_port: 9092,
                ca_pems: vec!["CA".into()],
                flower_version: "1.25.0".into(),
                transport: Transport::Grpc,
            },
            readiness: Readiness::Ready,
            superlink_clock_offset_ms: None,
            zone_reachable: true,
            conflict: false,
        };
        change(&mut view);
        Seen { view: Some(Some(view)), lost: None, connected: true, misfit: None }
    }

    #[test]
    fn a_gateway_that_shows_the_truth_is_owed_nothing() {
        assert_eq!(duty(&seen(|_| {}), &truth()), Duty::Nothing);
    }

    #[test]
    fn a_gateway_that_forgot_or_shows_something_else_gets_a_registration() {
        let forgot = Seen { view: Some(None), lost: None, connected: true, misfit: None };
        assert_eq!(duty(&forgot, &truth()), Duty::Register);
        let others: [fn(&mut View); 4] = [
            |view| view.target.addresses = vec![[10, 10, 10, 6].into()],
            |view| view.target.fleet_port = 1,
            |view| view.target.ca_pems = vec!["OTHER".into()],
            |view| view.target.flower_version = "1.24.0".into(),
        ];
        for other in others {
            assert_eq!(duty(&seen(other), &truth()), Duty::Register);
        }
    }

    #[test]
    fn another_readiness_is_reported() {
        let shown = seen(|view| view.readiness = Readiness::Starting);
        assert_eq!(duty(&shown, &truth()), Duty::Report(Readiness::Ready));
    }

    #[test]
    fn a_gateway_that_is_away_or_in_conflict_is_left_alone() {
        assert_eq!(duty(&Seen::default(), &truth()), Duty::Nothing);
        let away = Seen { connected: false, ..Seen { view: Some(None), ..Seen::default() } };
        assert_eq!(duty(&away, &truth()), Duty::Nothing);
        let conflict = seen(|view| {
            view.conflict = true;
            view.target.addresses = vec![[10, 9, 9, 9].into()];
        });
        assert_eq!(duty(&conflict, &truth()), Duty::Nothing);
    }
}
