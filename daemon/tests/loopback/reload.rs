//! A gateway whose configuration file changes while it runs.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use zonemesh_api::clients::local::LocalSession;
use zonemesh_api::v1;
use zonemesh_api::wire::local::CompanionHello;
use zonemesh_core::token::{VmRole, ZonePin};

use crate::local_api::{pinned, serving, token};
use crate::told::managed;
use crate::zone::{FILE, Place, Zone, until};
use crate::{knows_both, place};

fn keys(reply: &v1::ReloadReply) -> Vec<String> {
    reply.changed.iter().map(|one| format!("{} {}", one.key, one.change)).collect()
}

async fn codes(zone: &Zone) -> Vec<String> {
    zone.findings().await.into_iter().map(|finding| finding.code).collect()
}

/// Waits until exactly this is told of the file.
async fn told(zone: &Zone, code: Option<&str>) -> Option<v1::Finding> {
    let ours = ["C115", "C116", "C117"];
    let what = format!("{code:?} to be told of the file");
    until(&what, async || {
        let told = codes(zone).await;
        let told: Vec<_> = told.iter().filter(|one| ours.contains(&one.as_str())).collect();
        told == code.iter().collect::<Vec<_>>()
    })
    .await;
    zone.findings().await.into_iter().find(|one| Some(one.code.as_str()) == code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_a_reload_brings_is_in_step_and_one_that_it_takes_is_gone() {
    let [a, b] = [place(61, 1), place(61, 2)];
    let mut one = Zone::start(a, &[]).await;
    let mut other = Zone::start(b, &[a]).await;
    one.peers = vec![b];
    one.write();
    let reply = one.reload().await;
    assert!(reply.applied && !reply.starts_anew, "{reply:?}");
    assert_eq!(keys(&reply), ["peer[z2] added"]);
    assert_eq!(one.tunnel.names(), ["z2"], "the tunnel has it when that is told");
    until("both records", async || knows_both(&one).await).await;
    until("the stream", async || one.streams().await > 0).await;
    one.peers.clear();
    one.write();
    assert_eq!(keys(&one.reload().await), ["peer[z2] removed"]);
    assert_eq!(one.tunnel.names(), [] as [&str; 0]);
    until("one record", async || one.records().await.len() == 1).await;
    until("no stream", async || one.streams().await == 0).await;
    // What it had said is on disk still.
    one.peers = vec![b];
    one.write();
    one.reload().await;
    assert!(knows_both(&one).await);
    for zone in [&mut one, &mut other] {
        zone.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reload_changes_of_this_zone_reaches_the_others_and_the_tunnel() {
    let [a, b] = [place(62, 1), place(62, 2)];
    let mut one = Zone::start(a, &[b]).await;
    let mut other = Zone::start(b, &[a]).await;
    until("both records", async || knows_both(&one).await && knows_both(&other).await).await;
    let streams = one.settled_streams().await;
    let before = version(&other, a).await;
    one.more =
        "[[federation]]\nname = \"health-eu\"\n[keepalive]\nwireguard = \"20s\"\n".to_owned();
    one.write();
    assert_eq!(
        keys(&one.reload().await),
        ["keepalive.wireguard changed", "federation[health-eu] added"]
    );
    until("the newer record", async || version(&other, a).await > before).await;
    assert!(one.path("federations/health-eu/ca.pem").exists(), "its CA was made");
    let held = other.status().await.federations;
    assert_eq!(held.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["health-eu"]);
    assert_eq!(one.streams().await, streams, "nobody was dialled anew");
    for zone in [&mut one, &mut other] {
        zone.stop().await;
    }
}

async fn version(zone: &Zone, of: Place) -> u64 {
    let records = zone.records().await.into_iter();
    records.filter(|(name, _)| *name == of.name()).map(|(_, seq)| seq).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_taken_is_refused_whole_and_told_until_it_can_be() {
    let [a, b] = [place(63, 1), place(63, 2)];
    let mut one = Zone::start(a, &[b]).await;
    told(&one, None).await;
    let good = one.file(FILE);
    let write = |text: &str| std::fs::write(one.path(FILE), text).unwrap();
    // A change that nobody has asked for is a note.
    write(&format!("{good}[log]\nlevel = \"debug\"\n"));
    let note = told(&one, Some("C116")).await.unwrap();
    assert_eq!(note.severity(), v1::FindingSeverity::Note);
    assert!(note.sentence.contains("log.level"), "{}", note.sentence);
    // Two keys, of which one is opened once: none of both is taken.
    let interface = good.replace("[tunnel]\n", "[tunnel]\ninterface = \"zm7\"\n");
    write(&format!("{interface}[mesh]\nneighbours = 9\n"));
    let reply = one.reload().await;
    assert!(!reply.applied && reply.mistakes.is_empty(), "{reply:?}");
    assert_eq!(keys(&reply), ["tunnel.interface changed"]);
    assert!(reply.reason.contains("tunnel.interface cannot change"), "{}", reply.reason);
    let finding = told(&one, Some("C115")).await.unwrap();
    assert_eq!(finding.severity(), v1::FindingSeverity::Degraded);
    assert!(finding.sentence.contains("tunnel.interface"), "{}", finding.sentence);
    // A mistake is told with its place, all of them.
    write(&format!("{good}[mesh]\nneighbours = 1000\n[log]\nlevel = \"loud\"\n"));
    let reply = one.reload().await;
    let places: Vec<_> = reply.mistakes.iter().map(|one| (one.key.as_str(), one.column)).collect();
    assert_eq!(places, [("mesh.neighbours", 14), ("log.level", 9)]);
    assert!(told(&one, Some("C115")).await.unwrap().sentence.contains("mesh.neighbours"));
    assert_eq!(one.tunnel.names(), ["z2"], "what was in force stays");
    // Restored it is over, and so it is with a good one.
    write(&good);
    told(&one, None).await;
    write("[zone\n");
    assert!(!one.reload().await.applied);
    told(&one, Some("C115")).await;
    write(&format!("{good}[mesh]\nneighbours = 9\n"));
    assert_eq!(keys(&one.reload().await), ["mesh.neighbours changed"]);
    told(&one, None).await;
    let audit = one.file("audit");
    assert!(audit.contains("reload") && audit.contains("mesh.neighbours"), "{audit}");
    assert!(!audit.contains("tunnel.interface"), "what was refused is no change: {audit}");
    let kept = one.path("in-force.toml");
    assert!(std::fs::read_to_string(&kept).unwrap().ends_with("neighbours = 9\n"));
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o400);
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_whose_preshared_key_is_not_there_is_refused_with_its_place() {
    let [a, b] = [place(64, 1), place(64, 2)];
    let mut one = Zone::start(a, &[b]).await;
    one.more = format!("preshared_key_file = \"{}\"\n", one.path("psk").display());
    one.write();
    let reply = one.reload().await;
    assert_eq!(reply.mistakes[0].key, "peer[0].preshared_key_file");
    assert!(reply.mistakes[0].found.contains("No such file"), "{:?}", reply.mistakes);
    let psk = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n";
    std::fs::write(one.path("psk"), psk).unwrap();
    assert_eq!(keys(&one.reload().await), ["peer[z2].preshared_key_file changed"]);
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_api_listens_where_the_configuration_in_force_says() {
    let a = place(65, 1);
    let mut one = Zone::start(a, &[]).await;
    let at = |port: u16| std::net::SocketAddr::new(a.local_api().ip(), port);
    let answers = |port| std::net::TcpStream::connect(at(port)).is_ok();
    assert!(!answers(28122));
    for (port, other) in [(28122, 28123), (28123, 28122)] {
        one.more = format!("[local_api]\nlisten = \"{}\"\n", at(port));
        one.write();
        assert!(one.reload().await.applied);
        until("the new address", async || answers(port) && !answers(other)).await;
    }
    one.more.clear();
    one.write();
    assert_eq!(keys(&one.reload().await), ["local_api removed"]);
    until("nobody to listen", async || !answers(28123)).await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_compared_with_what_is_in_force() {
    let mut one = Zone::start(place(66, 1), &[]).await;
    let good = one.file(FILE);
    let compared = async |text: String| {
        let question = v1::CompareConfigRequest { text: text.into_bytes() };
        one.admin().await.compare_config(question).await.unwrap().into_inner()
    };
    let same = compared(format!("# mine\n{good}")).await;
    assert!(same.is_own && same.changed.is_empty());
    let other = compared(good.replace("[tunnel]\n", "[tunnel]\nlanes = 2\nmtu = 1400\n")).await;
    let told: Vec<_> =
        other.changed.iter().map(|one| (one.key.as_str(), one.takes_effect.as_str())).collect();
    assert_eq!(told, [("tunnel.mtu", "reload"), ("tunnel.lanes", "anew")]);
    assert!(!compared(good.replace("name = \"z1\"", "name = \"z7\"")).await.is_own);
    assert!(!compared("[zone\n".to_owned()).await.is_own);
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_managed_mesh_grants_go_before_what_a_reload_brings() {
    let [mut one, mut two] = managed(67).await;
    let streams = one.settled_streams().await;
    // A granted zone needs no section; one that is written by hand counts until it is granted.
    one.peers = vec![place(67, 3)];
    one.write();
    assert_eq!(keys(&one.reload().await), ["peer[z2] removed", "peer[z3] added"]);
    assert_eq!(one.tunnel.names(), ["z2", "z3"]);
    assert_eq!(one.streams().await, streams, "nobody was dialled anew");
    // What this zone has beyond its grant is served here, told, and announced to nobody.
    let granted = one.file(FILE);
    let more = "prefixes = [\"10.20.1.0/24\", \"10.77.0.0/16\"]";
    let wider = granted.replacen("prefixes = [\"10.20.1.0/24\"]", more, 1);
    assert_ne!(wider, granted);
    std::fs::write(one.path(FILE), wider).unwrap();
    let before = version(&two, place(67, 1)).await;
    assert_eq!(keys(&one.reload().await), ["zone.prefixes changed"]);
    let reached = one.tunnel.reached.lock().unwrap().clone();
    assert!(reached.contains(&"10.77.0.0/16".parse().unwrap()), "{reached:?}");
    until("P319", async || codes(&one).await.contains(&"P319".to_owned())).await;
    assert_eq!(version(&two, place(67, 1)).await, before);
    std::fs::write(one.path(FILE), granted).unwrap();
    assert!(one.reload().await.applied);
    until("no P319", async || !codes(&one).await.contains(&"P319".to_owned())).await;
    one.stop().await;
    two.stop().await;
}

/// True if the session ends within that time.
async fn ends(session: &mut LocalSession, within: Duration) -> bool {
    let all = async { while let Ok(Some(_)) = session.inbound.message().await {} };
    tokio::time::timeout(within, all).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_connected_to_the_local_api_stays_so_until_its_token_is_taken_out() {
    let a = place(68, 1);
    let mut one = serving(a, &[("superlink", ""), ("superlink", "")]).await;
    let key = a.identity().public_key();
    let mut gateway = pinned(a, &key).await;
    let (federation, shown) = ("health-eu".parse().unwrap(), token(ZonePin::Key(key), 0));
    let hello = CompanionHello::by(&federation, &shown, VmRole::SuperLink);
    let mut session = LocalSession::open(&mut gateway, hello, &[]).await.unwrap();
    one.more = one.more.replace(":28122", ":28123");
    one.write();
    assert_eq!(keys(&one.reload().await), ["local_api.listen changed"]);
    let is_closed = async || std::net::TcpStream::connect(a.local_api()).is_err();
    until("the old address to be closed", is_closed).await;
    // Longer than the time in which a session is looked at.
    assert!(!ends(&mut session, Duration::from_secs(3)).await);
    let (before, rest) = one.more.split_once("[[local_api.token]]\n").unwrap();
    let (_, rest) = rest.split_once("[[local_api.token]]\n").unwrap();
    one.more = format!("{before}[[local_api.token]]\n{rest}");
    one.write();
    assert_eq!(keys(&one.reload().await), ["local_api.token[0] removed"]);
    assert!(ends(&mut session, Duration::from_secs(10)).await, "its token is known no more");
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_socket_moves_under_those_who_are_connected() {
    let [a, b] = [place(69, 1), place(69, 2)];
    let mut one = Zone::start(a, &[b]).await;
    let mut other = Zone::start(b, &[a]).await;
    until("both records", async || knows_both(&one).await).await;
    let mut connected = one.admin().await;
    let moved = one.file(FILE).replace("admin.sock", "new/other.sock");
    // A place that cannot be had is told, and the old one serves on.
    std::fs::write(one.path("new"), "a file").unwrap();
    let more = "[keepalive]\ngrpc_interval = \"45s\"\n[log]\nformat = \"json\"\n";
    std::fs::write(one.path(FILE), format!("{moved}{more}")).unwrap();
    let changed = keys(&one.reload().await);
    let expected = ["gateway.admin_socket", "keepalive.grpc_interval", "log.format"];
    assert_eq!(changed, expected.map(|key| format!("{key} changed")));
    until("C102", async || codes(&one).await.contains(&"C102".to_owned())).await;
    std::fs::remove_file(one.path("new")).unwrap();
    until("the new socket", async || one.admin_at("new/other.sock").await.is_some()).await;
    until("no old socket", async || !one.path("admin.sock").exists()).await;
    let status = connected.status(v1::StatusRequest::default()).await.unwrap().into_inner();
    assert!(status.findings.iter().all(|one| one.code != "C102"), "{:?}", status.findings);
    // Streams are as they were, and whoever calls the registry anew is let in.
    assert!(status.registry.is_some_and(|registry| registry.streams > 0));
    other.stop().await;
    other.start_again().await;
    until("the stream again", async || other.streams().await > 0).await;
    one.stop().await;
    other.stop().await;
}
