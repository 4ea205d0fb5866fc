//! From sights to findings: each trouble in its own words, and nothing where all is well.

use std::time::Duration;

use super::*;
use crate::plan::peers::KeyDispute;

fn paris() -> PeerSight {
    PeerSight {
        subject: Subject::Zone("paris".parse().unwrap()),
        rests: false,
        state: PathState::Up,
        reason: None,
        endpoint: Some("198.51.100.7:51820".parse().unwrap()),
        unanswered: 0,
        mtu: 1420,
        black_hole: false,
        underlay_mtu: Some(1500),
        stream: StreamSight { is_wanted: true, is_open: true, ..StreamSight::default() },
        clock_offset_ms: Some(-12),
        lanes: vec![0, 0],
    }
}

#[track_caller]
fn says(peer: &PeerSight, lines: &[&str]) {
    let found = of_peer(peer);
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), lines);
    assert!(found.iter().all(|finding| CODES.contains(&finding.code)));
}

#[test]
fn a_sound_peer_is_no_finding() {
    says(&paris(), &[]);
}

#[test]
fn of_several_gateways_each_has_findings_of_its_own() {
    let subject = Subject::Gateway("paris/paris-gw2".parse().unwrap());
    let second = PeerSight { subject, state: PathState::Never, unanswered: 4, ..paris() };
    let line = "N206 paris/paris-gw2: 4 handshake initiations unanswered (198.51.100.7:51820)";
    says(&second, &[line]);
}

#[test]
fn a_tunnel_that_is_not_up_is_one_finding_with_its_cause() {
    let broken = StreamSight { is_open: false, error: "gone".into(), ..paris().stream };
    let down = PeerSight { state: PathState::Down, stream: broken, ..paris() };
    let reason = Some(PathReason::Silence { probes: 10, time: Duration::from_secs(10) });
    says(
        &PeerSight { reason, ..down.clone() },
        &["N205 paris: 10 probes without an answer in 10 s (198.51.100.7:51820)"],
    );
    says(
        &PeerSight { unanswered: 12, ..down.clone() },
        &["N206 paris: 12 handshake initiations unanswered (198.51.100.7:51820)"],
    );
    let nowhere = PeerSight { endpoint: None, unanswered: 3, ..down };
    says(&nowhere, &["N207 paris: no endpoint is known, and it has not called"]);
}

#[test]
fn a_peer_that_rests_is_missed_only_when_it_is_called_in_vain() {
    let rests = PeerSight { rests: true, state: PathState::Never, ..paris() };
    says(&rests, &[]);
    let called = PeerSight { unanswered: 2, ..rests };
    says(&called, &["N206 paris: 2 handshake initiations unanswered (198.51.100.7:51820)"]);
}

#[test]
fn loss_holes_lanes_and_clocks_are_told_with_their_figures() {
    let lossy = PeerSight {
        state: PathState::Degraded,
        reason: Some(PathReason::Loss(43)),
        black_hole: true,
        mtu: 1240,
        clock_offset_ms: Some(9_400),
        ..paris()
    };
    says(
        &lossy,
        &[
            "N209 paris: nothing above 1240 bytes passes, though the underlay has 1500",
            "N208 paris: tunnel degraded, loss of 4.3 % (198.51.100.7:51820)",
            "T416 paris: its clock is 9 s ahead of this gateway's",
        ],
    );
    assert_eq!(of_peer(&lossy)[1].seen("loss_permille").as_deref(), Some("4.3 %"));
    let lanes = PeerSight { lanes: vec![3, 0, 7], ..paris() };
    says(&lanes, &["N210 paris: lane 1, 3 is not answered, the first carries its flows"]);
}

#[test]
fn a_stream_is_missed_only_of_a_neighbour() {
    let refused = StreamSight {
        is_wanted: true,
        is_open: false,
        is_refused: true,
        error: "your certificate is not of a known zone".into(),
    };
    let line = "T413 paris: registry stream refused: your certificate is not of a known zone";
    says(&PeerSight { stream: refused.clone(), ..paris() }, &[line]);
    let broken = StreamSight { is_refused: false, error: "gone".into(), ..refused.clone() };
    says(&PeerSight { stream: broken, ..paris() }, &["N211 paris: registry stream not up: gone"]);
    let unwanted = StreamSight { is_wanted: false, ..refused };
    says(&PeerSight { stream: unwanted, ..paris() }, &[]);
}

#[test]
fn a_stream_that_is_not_up_is_tried_again_and_its_fix_says_so_first() {
    let broken = StreamSight { is_open: false, error: "gone".into(), ..paris().stream };
    let found = of_peer(&PeerSight { stream: broken, ..paris() });
    let fix = found[0].fix.spelled();
    assert!(fix.starts_with("it is tried again by itself; if it lasts"), "{fix}");
}

#[test]
fn keys_that_are_anothers_are_one_finding_for_each_zone() {
    let taken = |what, why| TakenKey { zone: "rome".parse().unwrap(), what, why };
    let taken = vec![
        taken("its next WireGuard key", KeyDispute::Anothers),
        taken("a lane's WireGuard key", KeyDispute::Unproven),
        taken("its WireGuard key", KeyDispute::Shared("paris".parse().unwrap())),
    ];
    let found = of_plan(&MeshPlan { taken, ..MeshPlan::default() });
    let line = "T414 rome: its next WireGuard key is another zone's or this gateway's own, \
        a lane's WireGuard key is not proved: the zone's record has no signature by it, \
        its WireGuard key is zone paris's too, and both have proved it";
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [line]);
}

#[test]
fn the_machine_is_told_of_its_clock_its_bulk_work_and_etcd() {
    assert!(of_machine(&MachineSight::default()).is_empty());
    let machine = MachineSight {
        clock_behind: Some(Duration::from_secs(60)),
        not_forwarded: vec!["net.ipv4.ip_forward"],
        bulk_work_missing: vec!["uso refused".to_owned()],
        etcd_lost: None,
        state_folder: FolderSight {
            path: "/var/lib/zonemesh".to_owned(),
            unwritable: "Read-only file system".to_owned(),
            open_to: "group 1000".to_owned(),
        },
    };
    let found = of_machine(&machine);
    assert_eq!(found[0].code, Code::ClockWentBack);
    let off = "N214 net.ipv4.ip_forward is off: packets of this zone's VMs end here";
    assert_eq!(found[1].to_string(), off);
    assert_eq!(found[2].to_string(), "N217 more CPU for each packet: uso refused");
    assert!(!found[2].severity.is_alarming());
    let unwritable = "C104 /var/lib/zonemesh: nothing can be written there: \
        Read-only file system; tunnels run on, and no change is kept";
    assert_eq!(found[3].to_string(), unwritable);
    assert_eq!(found[4].to_string(), "C105 /var/lib/zonemesh: it is open to group 1000");
    assert!(found[3].severity.is_alarming() && !found[4].severity.is_alarming());
}

#[test]
fn who_has_no_place_in_the_mesh_is_told_why() {
    assert_eq!(standing(Standing::Member), None);
    let codes = [Standing::Stranger, Standing::Revoked, Standing::OtherKey].map(standing);
    assert!(codes.iter().flatten().all(|code| CODES.contains(code)));
    let alarm = Alarm::SameKey { kept: "paris".parse().unwrap(), refused: "rome".parse().unwrap() };
    assert_eq!(
        contradiction(&alarm).to_string(),
        "P304 rome: zone rome is not admitted, as it was granted with zone paris's key"
    );
}

/// A code that is raised and not listed never ends.
#[test]
fn every_code_that_is_decided_here_is_listed_here() {
    let (_, decided) = include_str!("mod.rs").split_once("];").unwrap();
    let named = |text: &'static str| {
        let names = text.split("Code::").skip(1);
        names.map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default())
    };
    // What the plan leaves out is found here for the reconciler, which raises and ends it.
    let reconciler = ["OuterAddressCovered", "WireGuardKeyTaken"].map(str::to_owned);
    let listed = CODES.iter().map(|code| format!("{code:?}")).chain(reconciler);
    let listed: Vec<_> = listed.collect();
    let raised: Vec<_> = named(decided).collect();
    assert!(raised.len() > 20);
    let missing = raised.iter().filter(|name| !listed.contains(&name.to_string()));
    assert_eq!(missing.collect::<Vec<_>>(), [&""; 0]);
}
