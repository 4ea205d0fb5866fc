//! From sights to findings: each trouble in its own words, and nothing where all is well.

use std::time::Duration;

use zonemesh_core::path::{PathReason, PathState, SendRefusal};

use super::*;
use crate::plan::peers::KeyDispute;

fn paris() -> PeerSight {
    PeerSight {
        subject: Subject::Zone("paris".parse().unwrap()),
        rests: false,
        is_plain: false,
        calls: false,
        state: PathState::Up,
        reason: None,
        in_state_for: Duration::from_secs(60),
        endpoint: Some("198.51.100.7:51820".parse().unwrap()),
        is_unresolved: false,
        unanswered: 0,
        unused: 0,
        is_link_down: false,
        refused: None,
        mtu: 1420,
        black_hole: false,
        mtu_back: None,
        two_places: None,
        one_way: false,
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
fn a_plain_peer_that_calls_and_is_away_is_a_note_and_one_that_is_called_is_down() {
    let id = zonemesh_core::gateway::GatewayId::wireguard_peer("office".parse().unwrap());
    let stream = StreamSight::default();
    let subject = Subject::Gateway(id);
    let up = PeerSight { subject, stream, lanes: Vec::new(), clock_offset_ms: None, ..paris() };
    says(&up, &[]);
    let away = PeerSight { state: PathState::Never, endpoint: None, calls: true, ..up.clone() };
    let line = "N207 office/wireguard_peer: no endpoint is known, and it has not called";
    says(&away, &[line]);
    assert_eq!(of_peer(&away)[0].severity, Severity::Note);
    let reason =
        Some(PathReason::Silence { probes: 0, time: Duration::from_secs(190), is_heard: false });
    let gone = PeerSight { state: PathState::Down, reason, endpoint: up.endpoint, ..away.clone() };
    let found = of_peer(&gone);
    assert_eq!((found[0].code, found[0].severity), (Code::TunnelSilent, Severity::Note));
    let silent = PeerSight { state: PathState::Down, unanswered: 4, ..up.clone() };
    let line =
        "N206 office/wireguard_peer: 4 handshake initiations unanswered (198.51.100.7:51820)";
    says(&silent, &[line]);
    assert_eq!(of_peer(&silent)[0].severity, Severity::Down);
    let unused = "N241 office/wireguard_peer: it has asked 3 times for a session and used none (198.51.100.7:51820)";
    for one in [
        PeerSight { is_plain: true, unused: 3, ..silent.clone() },
        PeerSight { is_plain: true, unused: 3, unanswered: 0, rests: true, ..silent.clone() },
    ] {
        says(&one, &[unused]);
        says(&PeerSight { state: PathState::Up, ..one }, &[]);
    }
    // Without a keepalive there is a session only while there is something to carry.
    says(&PeerSight { unanswered: 0, rests: true, ..silent }, &[]);
}

#[test]
fn a_tunnel_that_is_not_up_is_one_finding_with_its_cause() {
    let broken = StreamSight { is_open: false, error: "gone".into(), ..paris().stream };
    let down = PeerSight { state: PathState::Down, stream: broken, ..paris() };
    let reason =
        Some(PathReason::Silence { probes: 10, time: Duration::from_secs(10), is_heard: false });
    let cut = PeerSight { reason, ..down.clone() };
    let line =
        "N205 paris: 10 probes without an answer in 10 s, nothing arrives (198.51.100.7:51820)";
    says(&cut, &[line]);
    // Its keys were right: what helps against wrong ones is not what helps here.
    says(&PeerSight { unanswered: 12, ..cut }, &[line]);
    says(
        &PeerSight { unanswered: 12, ..down.clone() },
        &["N206 paris: 12 handshake initiations unanswered (198.51.100.7:51820)"],
    );
    let nowhere = PeerSight { endpoint: None, unanswered: 3, ..down };
    says(&PeerSight { is_unresolved: true, ..nowhere.clone() }, &[]);
    says(&nowhere, &["N207 paris: no endpoint is known, and it has not called"]);
}

#[test]
fn a_hole_is_told_with_the_way_it_is_on_at_both_ends() {
    let there = PeerSight { black_hole: true, mtu: 1240, ..paris() };
    for (back, words) in [
        (Some(1240), "1240 bytes passes either way"),
        (Some(1300), "1240 bytes passes on the way there, 1300 bytes on the way back"),
    ] {
        let found = of_peer(&PeerSight { mtu_back: back, ..there.clone() });
        assert!(found[0].to_string().contains(words), "{}", found[0]);
    }
    let back = PeerSight { mtu_back: Some(1240), ..paris() };
    says(&back, &["N209 paris: nothing above 1240 bytes passes on the way back"]);
}

#[test]
fn a_cut_of_the_way_there_is_told_apart() {
    let one_way = PeerSight { state: PathState::Down, one_way: true, unanswered: 4, ..paris() };
    let line = "N232 paris: what is sent there does not arrive, what comes from there does \
        (198.51.100.7:51820)";
    says(&one_way, &[line]);
}

#[test]
fn two_hosts_with_one_key_are_the_cause_of_all_that_follows() {
    let places = ["198.51.100.7:51820", "198.51.100.9:51820"].map(|at| at.parse().unwrap());
    let cloned = PeerSight {
        two_places: Some(places),
        state: PathState::Degraded,
        black_hole: true,
        ..paris()
    };
    let line =
        "N235 paris: two hosts use its WireGuard key: 198.51.100.7:51820, 198.51.100.9:51820";
    says(&cloned, &[line]);
}

#[test]
fn what_this_machine_refuses_to_send_is_the_cause_and_not_the_silence() {
    let refused = PeerSight {
        state: PathState::Down,
        refused: Some(SendRefusal(101)),
        unanswered: 7,
        ..paris()
    };
    let line = "N231 paris: what is sent to it is refused here: no route to it (ENETUNREACH) \
        (198.51.100.7:51820)";
    says(&refused, &[line]);
    says(&PeerSight { state: PathState::Never, ..refused }, &[line]);
}

#[test]
fn this_machines_own_link_is_told_once_and_not_for_each_zone_behind_it() {
    let refused = Some(SendRefusal(101));
    let cut = PeerSight { state: PathState::Down, is_link_down: true, refused, ..paris() };
    says(&cut, &[]);
    says(&PeerSight { state: PathState::Never, unanswered: 9, ..cut }, &[]);
    let wan_down = ["eth0 is down", "eth1 has no carrier"].map(str::to_owned).into();
    let found = of_machine(&MachineSight { wan_down, ..MachineSight::default() });
    let line = "N237 eth0 is down, eth1 has no carrier: zones behind it are cut off";
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [line]);
    assert!(CODES.contains(&found[0].code));
}

#[test]
fn a_gateway_that_was_stopped_is_said_so_unless_it_is_back_at_once() {
    let stopped = PeerSight {
        state: PathState::Stopped,
        reason: Some(PathReason::Goodbye),
        unanswered: 7,
        ..paris()
    };
    let line = "N230 paris: its gateway said goodbye: it was stopped";
    says(&stopped, &[line]);
    assert!(of_peer(&stopped)[0].severity.is_alarming());
    // It is shown as stopped meanwhile: that is explained, and calls nobody.
    let just_now = PeerSight { in_state_for: Duration::from_secs(4), ..stopped };
    says(&just_now, &[line]);
    assert!(!of_peer(&just_now)[0].severity.is_alarming());
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
        reason: Some(PathReason::Loss(43, None)),
        black_hole: true,
        mtu: 1240,
        clock_offset_ms: Some(9_400),
        ..paris()
    };
    says(
        &lossy,
        &[
            "N209 paris: nothing above 1240 bytes passes on the way there, though the underlay has 1500",
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
        refusal: Some(StreamRefusal::Stated),
        error: "your certificate is not of a known zone".into(),
    };
    let line = "T413 paris: registry stream refused: your certificate is not of a known zone";
    says(&PeerSight { stream: refused.clone(), ..paris() }, &[line]);
    let broken = StreamSight { refusal: None, error: "gone".into(), ..refused.clone() };
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
fn a_stream_that_is_refused_for_a_clock_is_mended_by_a_clock() {
    let error = "its certificate ended".to_owned();
    let refusal = Some(StreamRefusal::Clock);
    let refused = StreamSight { is_open: false, refusal, error, ..paris().stream };
    let found = of_peer(&PeerSight { stream: refused, ..paris() });
    assert_eq!(found[0].code, Code::StreamRefused);
    let fix = found[0].fix.spelled();
    assert!(fix.contains("timedatectl") && !fix.contains("zone key"), "{fix}");
}

#[test]
fn a_stream_that_is_refused_for_a_zone_key_says_whose_file_is_to_be_mended() {
    let key = zonemesh_core::key::ZoneIdentity::from_seed(&[9; 32]).public_key();
    let fix = |refusal| {
        let (error, refusal) = ("not of the zone_key".to_owned(), Some(refusal));
        let refused = StreamSight { is_open: false, refusal, error, ..paris().stream };
        let found = of_peer(&PeerSight { stream: refused, ..paris() });
        assert_eq!(found[0].code, Code::StreamRefused);
        found[0].fix.spelled()
    };
    for before in [None, Some(key)] {
        let fix = fix(StreamRefusal::KeyHere { before });
        assert!(fix.contains("section here") && !fix.contains("both ends"), "{fix}");
        assert_eq!(fix.contains(&key.to_string()), before.is_some(), "{fix}");
    }
    let fix = fix(StreamRefusal::KeyThere { own: key });
    assert!(fix.contains("there is wrong") && fix.contains(&key.to_string()), "{fix}");
}

#[test]
fn keys_that_are_anothers_are_one_finding_for_each_zone() {
    let taken = |what, why| TakenKey { zone: "rome".parse().unwrap(), what, why };
    let taken = vec![
        taken("its next WireGuard key", KeyDispute::Anothers),
        taken("a lane's WireGuard key", KeyDispute::Unproven),
        taken("its WireGuard key", KeyDispute::Shared("paris".parse().unwrap())),
    ];
    let found = of_plan(&MeshPlan { taken, ..MeshPlan::default() }, &KernelState::default());
    let line = "T414 rome: its next WireGuard key is another peer's or this gateway's own, \
        a lane's WireGuard key is not proved: the zone's record has no signature by it, \
        its WireGuard key is zone paris's too, and both have proved it";
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [line]);
}

#[test]
fn the_machine_is_told_of_its_clock_its_bulk_work_and_etcd() {
    assert!(of_machine(&MachineSight::default()).is_empty());
    let machine = MachineSight {
        clock_behind: Some(Duration::from_secs(60)),
        not_forwarded: vec!["net.ipv4.ip_forward".to_owned()],
        lan_down: vec!["lan0 is down".to_owned()],
        wan_down: BTreeSet::new(),
        without_ipv6: Some(Ipv6Sight {
            switch: "net.ipv6.conf.zm0.disable_ipv6".to_owned(),
            left_out: 3,
        }),
        bulk_work_missing: vec!["uso refused".to_owned()],
        etcd_lost: None,
        state_folder: FolderSight {
            path: "/var/lib/zonemesh".to_owned(),
            unwritable: "Read-only file system".to_owned(),
            open_to: "group 1000".to_owned(),
            set_aside: ["clock.bad1", "records/a.bad1", "b.bad1", "c.bad1"]
                .map(str::to_owned)
                .into(),
        },
    };
    let found = of_machine(&machine);
    assert_eq!(found[0].code, Code::ClockWentBack);
    let off = "N214 net.ipv4.ip_forward is off: packets of this zone's VMs end here";
    assert_eq!(found[1].to_string(), off);
    assert_eq!(found[2].to_string(), "N233 lan0 is down: this zone's VMs are cut off");
    let found = &found[1..];
    let without = "N229 net.ipv6.conf.zm0.disable_ipv6 is 1: IPv4 goes on without IPv6 \
        (addresses and networks left out: 3)";
    assert_eq!(found[2].to_string(), without);
    assert_eq!(found[3].to_string(), "N217 more CPU for each packet: uso refused");
    assert!(!found[3].severity.is_alarming());
    let unwritable = "C104 /var/lib/zonemesh: nothing can be written there: \
        Read-only file system; tunnels run on, and no change is kept";
    assert_eq!(found[4].to_string(), unwritable);
    assert_eq!(found[5].to_string(), "C105 /var/lib/zonemesh: it is open to group 1000");
    let aside = "C106 /var/lib/zonemesh: 4 stored files could not be used and were set aside: \
        clock.bad1, records/a.bad1, b.bad1";
    assert_eq!(found[6].to_string(), aside);
    assert!(!found[6].severity.is_alarming());
    assert!(found[4].severity.is_alarming() && !found[5].severity.is_alarming());
}

/// A zone that was revoked may be in again: no note.
#[test]
fn an_item_of_the_mesh_that_was_set_aside_is_more_than_a_note() {
    let set_aside = ["trust/a7.item.bad1", "trust/drafts/b.item.bad1"].map(str::to_owned).into();
    let state_folder = FolderSight { path: "/x".to_owned(), set_aside, ..FolderSight::default() };
    let machine = MachineSight { state_folder, ..MachineSight::default() };
    let found = of_machine(&machine);
    let told: Vec<_> = found.iter().map(ToString::to_string).collect();
    let expected = [
        "C107 /x: 1 stored item could not be used and was set aside: trust/a7.item.bad1; a \
         revocation that is lost lets its zone in until a neighbour brings it",
        "C106 /x: 1 stored file could not be used and was set aside: trust/drafts/b.item.bad1",
    ];
    assert_eq!(told, expected);
    assert!(found[0].severity.is_alarming() && !found[1].severity.is_alarming());
    assert!(CODES.contains(&Code::TrustSetAside));
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
    let decided = [decided, include_str!("peer.rs")];
    let named = |text: &'static str| {
        let names = text.split("Code::").skip(1);
        names.map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default())
    };
    // What the plan leaves out is found here for the reconciler, which raises and ends it.
    let reconciler = ["OuterAddressCovered", "WireGuardKeyTaken", "WireGuardPeerRefused"];
    let reconciler = reconciler.map(str::to_owned);
    let listed = CODES.iter().map(|code| format!("{code:?}")).chain(reconciler);
    let listed: Vec<_> = listed.collect();
    let raised: Vec<_> = decided.into_iter().flat_map(named).collect();
    assert!(raised.len() > 20);
    let missing = raised.iter().filter(|name| !listed.contains(&name.to_string()));
    assert_eq!(missing.collect::<Vec<_>>(), [&""; 0]);
}
