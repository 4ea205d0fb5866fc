//! What a SuperNode does next, from what its gateway shows. Pure.
//!
//! It promises that nothing but another address, port, CA set or version of the SuperLink touches a
//! Flower that runs: not a lost gateway, not an unreachable zone, not a SuperLink that restarts
//! (Flower connects again by itself, the SuperLink keeps its database). It refuses to check anything.

use zonemesh_appliance::gateway::Seen;
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::view::{Readiness, Target, View};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Flower runs and shall go on; or nothing is known yet.
    Keep,
    /// Flower does not run, and cannot: say why.
    Wait(Reason),
    /// Check, then start Flower for this SuperLink; stop the one that runs before.
    Start(Box<View>),
}

/// `running` is what the present Flower was started for.
pub(crate) fn decide(seen: &Seen, running: Option<&Target>, federation: &str) -> Decision {
    let view = seen.view.as_ref().and_then(Option::as_ref);
    if running.is_some() {
        return match view {
            Some(view) if view.readiness == Readiness::Ready && Some(&view.target) != running => {
                Decision::Start(Box::new(view.clone()))
            }
            _ => Decision::Keep,
        };
    }
    match (view, &seen.lost) {
        // The last view is still the best there is while the gateway is away.
        (Some(view), _) if view.readiness == Readiness::Ready => {
            Decision::Start(Box::new(view.clone()))
        }
        (_, Some(reason)) => Decision::Wait(reason.clone()),
        (Some(view), None) => Decision::Wait(Reason::SuperLinkNotReady {
            zone: view.zone.clone(),
            readiness: view.readiness.text(),
        }),
        (None, None) if seen.view.is_some() => {
            Decision::Wait(Reason::NoSuperLink { federation: federation.to_owned() })
        }
        (None, None) => Decision::Keep,
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_appliance::flower::Transport;

    use super::*;

    fn view() -> View {
        View {
            zone: "berlin".into(),
            target: Target {
                addresses: vec![[10, 10, 10, 5].into()],
                fleet_port: 9092,
                ca_pems: vec!["CA".into()],
                flower_version: "1.25.0".into(),
                transport: Transport::Grpc,
            },
            readiness: Readiness::Ready,
            superlink_clock_offset_ms: Some(0),
            zone_reachable: true,
            conflict: false,
        }
    }

    fn shown(view: Option<View>) -> Seen {
        Seen { view: Some(view), lost: None, connected: true, misfit: None }
    }

    fn lost() -> Reason {
        let gateway = "10.10.10.1:51822".parse().unwrap();
        Reason::GatewayUnreachable { gateway, problem: "refused".into() }
    }

    fn decided(seen: &Seen, running: Option<&Target>) -> Decision {
        decide(seen, running, "health-eu")
    }

    #[test]
    fn flower_is_started_for_a_superlink_that_is_ready_and_for_no_other() {
        assert_eq!(decided(&shown(Some(view())), None), Decision::Start(Box::new(view())));
        for readiness in [Readiness::Starting, Readiness::Stopped] {
            let not_ready = View { readiness, ..view() };
            let Decision::Wait(reason) = decided(&shown(Some(not_ready)), None) else { panic!() };
            assert_eq!(reason.code(), "F511");
        }
        let Decision::Wait(reason) = decided(&shown(None), None) else { panic!() };
        assert_eq!(reason.code(), "F510");
    }

    #[test]
    fn before_the_first_answer_nothing_is_said() {
        assert_eq!(decided(&Seen::default(), None), Decision::Keep);
        let first_try_failed = Seen { lost: Some(lost()), ..Seen::default() };
        assert_eq!(decided(&first_try_failed, None), Decision::Wait(lost()));
    }

    #[test]
    fn nothing_but_another_target_touches_a_flower_that_runs() {
        let running = view().target;
        let harmless = [
            shown(Some(view())),
            shown(None),
            shown(Some(View { readiness: Readiness::Starting, ..view() })),
            shown(Some(View { readiness: Readiness::Stopped, ..view() })),
            shown(Some(View { zone_reachable: false, ..view() })),
            shown(Some(View { superlink_clock_offset_ms: Some(90_000), ..view() })),
            Seen { lost: Some(lost()), connected: false, ..shown(Some(view())) },
        ];
        for seen in harmless {
            assert_eq!(decided(&seen, Some(&running)), Decision::Keep, "{seen:?}");
        }
    }

    #[test]
    fn another_address_port_or_ca_restarts_it_once_that_superlink_is_ready() {
        let running = view().target;
        let changes: [fn(&mut Target); 3] = [
            |target| target.addresses = vec![[10, 10, 10, 6].into()],
            |target| target.fleet_port = 19092,
            |target| target.ca_pems.push("NEXT".into()),
        ];
        for change in changes {
            let mut changed = view();
            change(&mut changed.target);
            let starting = View { readiness: Readiness::Starting, ..changed.clone() };
            assert_eq!(decided(&shown(Some(starting)), Some(&running)), Decision::Keep);
            let start = Decision::Start(Box::new(changed.clone()));
            assert_eq!(decided(&shown(Some(changed)), Some(&running)), start);
        }
    }

    #[test]
    fn with_the_gateway_away_the_last_view_is_good_enough() {
        let away = Seen { lost: Some(lost()), connected: false, ..shown(Some(view())) };
        assert_eq!(decided(&away, None), Decision::Start(Box::new(view())));
        let starting = View { readiness: Readiness::Starting, ..view() };
        let away = Seen { lost: Some(lost()), connected: false, ..shown(Some(starting)) };
        assert_eq!(decided(&away, None), Decision::Wait(lost()));
    }
}
