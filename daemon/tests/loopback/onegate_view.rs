//! The view for scripts over real sockets: what is answered, what is refused, and what is bounded.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::local_api::{granted_for, right, serving_with};
use crate::zone::{Place, Zone, until};
use crate::{founding, place};

const SOON: Duration = Duration::from_secs(20);
/// Two callers: a VM is known by its address.
const VM: [u8; 4] = [127, 0, 0, 1];
const OTHER_VM: [u8; 4] = [127, 0, 0, 9];

fn view(place: Place) -> SocketAddr {
    (place.local_api().ip(), 28130).into()
}

/// A zone that serves the view, with two federations.
async fn viewed(mesh: u8) -> (Zone, SocketAddr) {
    let place = place(mesh, 1);
    let at = view(place);
    (serving_with(place, &[], &format!("onegate_view = \"{at}\"")).await, at)
}

async fn connect(from: impl Into<IpAddr>, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from.into(), 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// A reply as it came.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.text).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// Reads one reply; `None` if the connection ends instead. `body` is false behind a HEAD.
async fn reply(line: &mut TcpStream, body: bool) -> Option<Reply> {
    let read = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(line.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1)?.parse().unwrap();
        let mut reply = Reply { status, head, text: String::new() };
        let length = reply.header("content-length").map_or(0, |text| text.parse().unwrap());
        let mut text = vec![0; if body { length } else { 0 }];
        line.read_exact(&mut text).await.ok()?;
        reply.text = String::from_utf8(text).unwrap();
        Some(reply)
    };
    tokio::time::timeout(SOON, read).await.expect("an answer, or an end")
}

/// One request on a connection, which may lie about its host.
async fn ask(line: &mut TcpStream, request: &str, more: &str, body: &str) -> Option<Reply> {
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nHost: evil.example\r\nContent-Length: {length}\r\n{more}\r\n{body}"
    );
    line.write_all(text.as_bytes()).await.ok()?;
    reply(line, !request.starts_with("HEAD ")).await
}

/// Has the gateway counted a refusal of this name?
async fn is_refused(zone: &Zone, name: &str) -> bool {
    zone.status().await.refused.iter().any(|counter| counter.name == name)
}

async fn get(at: SocketAddr, path: &str) -> Option<Reply> {
    ask(&mut connect(VM, at).await, &format!("GET {path}"), "", "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_reads_on_one_connection_in_onegates_form_and_writes_nothing() {
    const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
    let (mut zone, at) = viewed(80).await;
    let line = &mut connect(VM, at).await;
    let index = ask(line, "GET /", "", "").await.unwrap();
    assert_eq!(index.json()["vm_info"], format!("http://{at}/vm"), "the host is not believed");
    assert_eq!(index.header("content-type"), Some("application/json;charset=utf-8"));

    let which = ask(line, "GET /vm", "", "").await.unwrap();
    let text = "several federations: name one with ?federation=NAME: health-eu, weather-eu";
    assert_eq!((which.status, which.text.as_str()), (400, text));
    let none = ask(line, "GET /vm?federation=health-eu", "", "").await.unwrap();
    let text = "no SuperLink of the federation health-eu is registered in any zone yet";
    assert_eq!((none.status, none.text.as_str()), (404, text));

    let service = ask(line, "GET /service?federation=health-eu", "", "").await.unwrap();
    let roles = service.json()["SERVICE"]["roles"].clone();
    assert_eq!(roles[0]["nodes"], serde_json::json!([]));
    assert_eq!(roles[1]["nodes"][0]["vm_info"]["VM"]["NAME"], "z1-gw1");
    assert_eq!(service.header("x-zonemesh-revision"), none.header("x-zonemesh-revision"));
    // As the stock client asks for more.
    let form = ask(line, "GET /service?federation=health-eu", FORM, "extended=true").await.unwrap();
    let node = &form.json()["SERVICE"]["roles"][1]["nodes"][0]["vm_info"]["VM"];
    assert_eq!(node["TEMPLATE"]["NIC"][0]["IP"], at.ip().to_string());
    assert_eq!(node["USER_TEMPLATE"]["FL_ROLE"], "gateway");
    let head = ask(line, "HEAD /service?federation=health-eu", "", "").await.unwrap();
    assert_eq!(head.header("content-length"), service.header("content-length"));

    for (request, more, body) in [
        ("PUT /vm", FORM, "data=READY%3DYES&type=1"),
        ("PUT /vm", "", "READY=YES"),
        ("PUT /vms/0", FORM, "data=READY&type=2"),
        ("POST /vms/0/action", "", "{\"action\":{\"perform\":\"READY=YES\"}}"),
        ("PUT /service/role/superlink", "", "{\"cardinality\":9}"),
        ("DELETE /vm?READY=YES", "", ""),
        ("OPTIONS /READY=YES", "", ""),
    ] {
        let refused = ask(line, request, more, body).await.unwrap();
        assert_eq!(
            (refused.status, refused.header("allow")),
            (405, Some("GET, HEAD")),
            "{request}"
        );
        assert!(refused.text.contains("view for reading"), "{refused:?}");
        assert!(!format!("{refused:?}").contains("READY"), "{refused:?}");
    }
    for path in ["/vms/0", "/vrouter", "/vnet/0", "/livez", "/vm/../vm", "/READY=YES"] {
        let other = ask(line, &format!("GET {path}"), "", "").await.unwrap();
        let text = "OneGate server doesn't support this feature";
        assert_eq!((other.status, other.text.as_str()), (400, text), "{path}");
    }
    let unknown = ask(line, "GET /service?federation=other-eu", "", "").await.unwrap();
    assert_eq!(unknown.json()["SERVICE"]["name"], "other-eu", "a mesh by hand allows all");
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_view_is_off_unless_it_is_named_and_a_reload_opens_and_closes_it() {
    let place = place(81, 1);
    let mut zone = serving_with(place, &[], "").await;
    let (at, off) = (view(place), zone.more.clone());
    let is_open = async || TcpStream::connect(at).await.is_ok();
    assert!(!is_open().await);
    let on = format!("[local_api]\nonegate_view = \"{at}\"");
    zone.more = off.replace("[local_api]", &on);
    zone.write();
    let reply = zone.reload().await;
    assert!(reply.applied && !reply.starts_anew, "{reply:?}");
    assert_eq!(reply.changed[0].key, "local_api.onegate_view");
    until("the view", is_open).await;
    let line = &mut connect(VM, at).await;
    assert!(ask(line, "GET /", "", "").await.is_some());
    zone.more = off;
    zone.write();
    assert!(zone.reload().await.applied);
    until("no view", async || !is_open().await).await;
    assert!(ask(line, "GET /", "", "").await.is_none(), "who was connected is served still");
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_a_finding_and_stops_nothing_else() {
    let place = place(82, 1);
    let at = view(place);
    let holder = tokio::net::TcpListener::bind(at).await.unwrap();
    let mut zone = serving_with(place, &[], &format!("onegate_view = \"{at}\"")).await;
    let told = zone.findings().await;
    let deaf = told.iter().find(|finding| finding.code == "N226").expect("a finding");
    assert!(format!("{deaf:?}").contains("local_api.onegate_view"), "{deaf:?}");
    assert!(TcpStream::connect(place.local_api()).await.is_ok());
    drop(holder);
    until("the view", async || TcpStream::connect(at).await.is_ok()).await;
    until("no finding", async || zone.findings().await.iter().all(|one| one.code != "N226")).await;
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_questions_are_answered_in_order_and_garbage_ends_its_own_connection_only() {
    let (mut zone, at) = viewed(83).await;
    let line = &mut connect(VM, at).await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let all = [request("/"), request("/nothing"), request("/service?federation=health-eu")];
    line.write_all(all.concat().as_bytes()).await.unwrap();
    for status in [200, 400, 200] {
        assert_eq!(reply(line, true).await.unwrap().status, status);
    }
    let long = "a".repeat(20_000);
    let many: String = (0..100).map(|n| format!("X-{n}: 1\r\n")).collect();
    for (garbage, status) in [
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"), 431),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 431),
        (format!("PUT /vm HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n{long}"), 413),
        ("GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n".to_owned(), 400),
    ] {
        let (other, begun) = (&mut connect(VM, at).await, Instant::now());
        // It may be cut off in the middle of what it says.
        let _cut = other.write_all(garbage.as_bytes()).await;
        let shown: String = garbage.chars().take(40).collect();
        if let Some(said) = reply(other, true).await {
            assert_eq!(said.status, status, "{shown}: {said:?}");
            assert!(reply(other, true).await.is_none(), "{shown}: the connection stays");
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{shown}: {:?}", begun.elapsed());
    }
    assert_eq!(ask(line, "GET /", "", "").await.unwrap().status, 200, "nobody else is touched");
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_callers_are_left_after_ten_seconds_and_hold_up_no_other_vm() {
    let (mut zone, at) = viewed(84).await;
    let begun = Instant::now();
    let mut slow = Vec::new();
    for said in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\n"].into_iter().cycle().take(16) {
        let mut line = connect(VM, at).await;
        line.write_all(said.as_bytes()).await.unwrap();
        slow.push(line);
    }
    let one_more = &mut connect(VM, at).await;
    assert!(reply(one_more, true).await.is_none(), "a VM has 16 connections");
    let other = &mut connect(OTHER_VM, at).await;
    assert_eq!(ask(other, "GET /", "", "").await.unwrap().status, 200);
    assert!(is_refused(&zone, "view_connections").await);
    for line in &mut slow {
        assert!(reply(line, true).await.is_none(), "half a question is answered");
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(9) && took < Duration::from_secs(16), "{took:?}");
    // A body that does not come.
    let late = &mut connect(VM, at).await;
    late.write_all(b"PUT /vm HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nREADY").await.unwrap();
    assert_eq!(reply(late, true).await.unwrap().status, 408);
    assert!(reply(late, true).await.is_none());
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_waits_for_news_and_a_vm_has_four_that_wait() {
    let (mut zone, at) = viewed(85).await;
    let path = "/service?federation=health-eu";
    let now = get(at, path).await.unwrap();
    let revision = now.header("x-zonemesh-revision").unwrap().to_owned();
    let asked = |wait: u64, known: &str| format!("{path}&wait={wait}&revision={known}");
    let begun = Instant::now();
    assert_eq!(get(at, &asked(60, "0123")).await.unwrap().text, now.text);
    assert_eq!(get(at, &format!("{path}&wait=60")).await.unwrap().text, now.text);
    assert!(begun.elapsed() < Duration::from_secs(2), "there is news already");
    assert_eq!(get(at, &asked(2, &revision)).await.unwrap().text, now.text);
    assert!(begun.elapsed() >= Duration::from_secs(2), "it did not wait");
    // Another federation is another answer.
    let other = get(at, &path.replace("health", "weather")).await.unwrap();
    assert_ne!(other.header("x-zonemesh-revision"), Some(revision.as_str()));

    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut line = connect(VM, at).await;
        let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", asked(60, &revision));
        line.write_all(request.as_bytes()).await.unwrap();
        waiting.push(line);
    }
    let fifth = async || get(at, &asked(60, &revision)).await.unwrap().status == 429;
    until("four that wait", fifth).await;
    assert!(is_refused(&zone, "view_waits").await);
    let line = &mut connect(OTHER_VM, at).await;
    let request = format!("GET {}", asked(0, &revision));
    assert_eq!(ask(line, &request, "", "").await.unwrap().status, 200);
    // Who goes away waits no more.
    waiting.clear();
    let free = async || get(at, &asked(1, &revision)).await.unwrap().status == 200;
    until("room for one that waits", free).await;
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vm_that_asks_too_often_waits_and_no_other_does() {
    let (mut zone, at) = viewed(86).await;
    let line = &mut connect(VM, at).await;
    let mut statuses = Vec::new();
    for _ in 0..300 {
        statuses.push(ask(line, "GET /", "", "").await.unwrap().status);
    }
    assert!(statuses[..60].iter().all(|status| *status == 200), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    let other = &mut connect(OTHER_VM, at).await;
    assert_eq!(ask(other, "GET /", "", "").await.unwrap().status, 200);
    assert!(is_refused(&zone, "view_reads").await);
    zone.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_grant_of_the_zone_does_not_name_is_not_told_and_who_waits_hears_it_at_once() {
    let (mut zone, at) = viewed(87).await;
    zone.mesh().await.mesh_init(founding()).await.unwrap();
    let path = "/service?federation=weather-eu";
    let now = get(at, path).await.unwrap();
    let revision = now.header("x-zonemesh-revision").unwrap();
    let mut line = connect(VM, at).await;
    let request = format!("GET {path}&wait=60&revision={revision} HTTP/1.1\r\nHost: x\r\n\r\n");
    line.write_all(request.as_bytes()).await.unwrap();
    granted_for(&zone, &[right("health-eu", true, false)]).await;
    let heard = reply(&mut line, true).await.unwrap();
    for refused in [heard, get(at, path).await.unwrap()] {
        assert_eq!(refused.status, 403, "{refused:?}");
        assert!(refused.text.contains("take part in the federation weather-eu"), "{refused:?}");
    }
    let mistyped = get(at, "/service?federation=helth-eu").await.unwrap();
    assert_eq!(mistyped.status, 404, "{mistyped:?}");
    let text =
        "no zone of the mesh has a federation of this name; there is, for this zone: health-eu";
    assert_eq!(mistyped.text, text, "and not the other one");
    let only = get(at, "/vm").await.unwrap();
    assert_eq!(only.status, 404, "the other federation is not named: {only:?}");
    assert!(only.text.contains("no SuperLink of the federation health-eu"), "{only:?}");
    zone.stop().await;
}
