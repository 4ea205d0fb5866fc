//! What the gateway of a SuperLink must be told, from what it shows. Pure.
//!
//! A gateway may have lost its memory, or never have heard a report. It promises that what the
//! gateway shows is compared with what is served here, so nothing depends on remembering what was said.
//! It refuses to decide about Flower: a gateway that is away or wrong stops nothing.

use std::net::IpAddr;

use zonemesh_appliance::gateway::{ShownFederation, WatchedFederation};
use zonemesh_core::record::Readiness;

/// What is served here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServedSuperLink {
    pub(crate) address: IpAddr,
    pub(crate) fleet_port: u16,
    pub(crate) flower_version: String,
    pub(crate) ca_pem: String,
    pub(crate) readiness: Readiness,
    pub(crate) authenticates: bool,
}

/// What to tell the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextReport {
    /// It shows what is served, or cannot be asked.
    Nothing,
    /// It shows another readiness.
    Readiness(Readiness),
    /// It does not know this SuperLink, or knows another state of it.
    Registration,
}

/// Whether the gateway shows exactly what is served.
pub(crate) fn shows_it(watched: &WatchedFederation, served: &ServedSuperLink) -> bool {
    watched.connected
        && matches!(&watched.shown, ShownFederation::SuperLink(shown) if !shown.conflict)
        && next_report(watched, served) == NextReport::Nothing
}

pub(crate) fn next_report(watched: &WatchedFederation, served: &ServedSuperLink) -> NextReport {
    // A gateway whose zone is out registers nobody.
    if !watched.connected || watched.out.is_some() {
        return NextReport::Nothing;
    }
    let shown = match &watched.shown {
        ShownFederation::Unknown => return NextReport::Nothing,
        ShownFederation::NoSuperLink => return NextReport::Registration,
        ShownFederation::SuperLink(shown) => shown,
    };
    if shown.conflict {
        // The other zone's SuperLink is shown; registering again and again would not change that.
        return NextReport::Nothing;
    }
    let known = shown.addresses.contains(&served.address)
        && shown.fleet_port == served.fleet_port
        && shown.flower_version == served.flower_version
        && shown.authenticates == served.authenticates
        && shown.cas.iter().any(|ca| ca.pem.trim() == served.ca_pem.trim());
    if !known {
        return NextReport::Registration;
    }
    if shown.readiness == served.readiness {
        NextReport::Nothing
    } else {
        NextReport::Readiness(served.readiness)
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_api::wire::local::{RegisteredSuperLink, TrustedCa};
    use zonemesh_appliance::reason::Reason;
    use zonemesh_core::record::{CaState, FlowerTransport};
    use zonemesh_core::time::UnixMillis;

    use super::*;

    fn ca(pem: &str) -> TrustedCa {
        TrustedCa { pem: pem.to_owned(), state: CaState::Active }
    }

    fn served() -> ServedSuperLink {
        ServedSuperLink {
            address: [10, 10, 10, 5].into(),
            fleet_port: 9092,
            flower_version: "1.25.0".into(),
            ca_pem: "CA\n".into(),
            readiness: Readiness::Ready,
            authenticates: true,
        }
    }

    fn shown(change: impl FnOnce(&mut RegisteredSuperLink)) -> WatchedFederation {
        let mut superlink = RegisteredSuperLink {
            zone: "berlin".parse().unwrap(),
            addresses: vec![[10, 10, 10, 5].into()],
            fleet_port: 9092,
            control_port: 9093,
            flower_version: "1.25.0".into(),
            transport: FlowerTransport::Grpc,
            readiness: Readiness::Ready,
            tls_name: String::new(),
            cas: vec![ca("CA")],
            clock_offset_ms: None,
            zone_reachable: true,
            conflict: false,
            authenticates: true,
            node: None,
        };
        change(&mut superlink);
        connected(ShownFederation::SuperLink(Box::new(superlink)))
    }

    fn connected(shown: ShownFederation) -> WatchedFederation {
        WatchedFederation { shown, connected: true, ..WatchedFederation::default() }
    }

    #[test]
    fn a_gateway_that_shows_what_is_served_is_told_nothing() {
        assert_eq!(next_report(&shown(|_| {}), &served()), NextReport::Nothing);
        assert!(shows_it(&shown(|_| {}), &served()));
    }

    #[test]
    fn a_gateway_that_forgot_or_shows_something_else_gets_a_registration() {
        let forgot = connected(ShownFederation::NoSuperLink);
        assert_eq!(next_report(&forgot, &served()), NextReport::Registration);
        let others: [fn(&mut RegisteredSuperLink); 5] = [
            |shown| shown.authenticates = false,
            |shown| shown.addresses = vec![[10, 10, 10, 6].into()],
            |shown| shown.fleet_port = 1,
            |shown| shown.cas = vec![ca("OTHER")],
            |shown| shown.flower_version = "1.24.0".into(),
        ];
        for other in others {
            assert_eq!(next_report(&shown(other), &served()), NextReport::Registration);
        }
    }

    #[test]
    fn another_readiness_is_reported() {
        for readiness in [Readiness::Starting, Readiness::Lost] {
            let other = shown(|superlink| superlink.readiness = readiness);
            assert_eq!(next_report(&other, &served()), NextReport::Readiness(Readiness::Ready));
        }
    }

    #[test]
    fn a_gateway_that_is_away_out_or_in_conflict_is_left_alone() {
        assert_eq!(next_report(&WatchedFederation::default(), &served()), NextReport::Nothing);
        let unknown = connected(ShownFederation::Unknown);
        assert_eq!(next_report(&unknown, &served()), NextReport::Nothing);
        let forgot = connected(ShownFederation::NoSuperLink);
        let away = WatchedFederation { connected: false, ..forgot };
        assert_eq!(next_report(&away, &served()), NextReport::Nothing);
        let at = UnixMillis(1);
        let out = WatchedFederation {
            out: Some(Reason::ZoneLeft { at }),
            ..connected(ShownFederation::NoSuperLink)
        };
        assert_eq!(next_report(&out, &served()), NextReport::Nothing);
        let conflict = shown(|superlink| {
            superlink.conflict = true;
            superlink.addresses = vec![[10, 9, 9, 9].into()];
        });
        assert_eq!(next_report(&conflict, &served()), NextReport::Nothing);
        for nothing in [WatchedFederation::default(), unknown, away, out, conflict] {
            assert!(!shows_it(&nothing, &served()), "{nothing:?}");
        }
    }
}
