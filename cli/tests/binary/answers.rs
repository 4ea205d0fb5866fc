//! The shape of every answer: the lines for people, the keys for programs.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::daemon::{Answers, Daemon, PEM, PIN, Paris};
use crate::{ask, run, stdout};

/// Keys in alphabetical order, with the kinds of their values; of a list only its first element.
fn shape(value: &Value, indent: usize, lines: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            for (key, value) in sorted {
                let kind = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "bool",
                    Value::Number(_) => "number",
                    Value::String(_) => "string",
                    Value::Array(_) => "list",
                    Value::Object(_) => "object",
                };
                lines.push(format!("{}{key}: {kind}", "  ".repeat(indent)));
                shape(value, indent + 1, lines);
            }
        }
        Value::Array(list) => list.iter().take(1).for_each(|first| shape(first, indent, lines)),
        _ => {}
    }
}

#[track_caller]
pub(crate) fn has_shape(json: &str, schema: &str, expected: &str) {
    let first = format!("{{\n  \"schema\": \"{schema}\",\n");
    assert!(json.starts_with(&first), "the first key names the schema: {json}");
    let mut lines = Vec::new();
    shape(&serde_json::from_str(json).expect("the answer is JSON"), 0, &mut lines);
    assert_eq!(lines.join("\n"), expected.trim());
}

fn json(args: &[&str]) -> String {
    let daemon = Daemon::start(Paris::Up);
    stdout(&ask(&daemon.socket(), &[args, &["-o", "json"]].concat()))
}

fn text(args: &[&str]) -> String {
    let daemon = Daemon::start(Paris::Down);
    stdout(&ask(&daemon.socket(), args))
}

#[test]
fn the_status_is_one_screen() {
    let text = text(&["status"]);
    let lines: Vec<&str> = text.lines().collect();
    let heading = [
        "ZONE berlin (local)   gateway berlin-gw1",
        "  registry 2/3 zones, hash abababab, streams 1   up 2h 5m",
        "TUNNEL zm0 10.255.0.1   port 51820   MTU 1420",
        "  key 1JC3l+xQ0AmXB05r4mQGXPfKfLjad8ZEZLyftnFmkDw=",
    ];
    assert_eq!(lines[..4], heading);
    assert_eq!(lines[4], "ETCD https://10.10.10.9:2379   in step (since 2m 5s ago)   refused 2");
    assert_eq!(lines[5], format!("LOCAL API pin {PIN}"));
    assert!(
        lines[6].starts_with("ZONE    STATE  VIA                 RTT   LOSS  MTU   HANDSHAKE"),
        "{text}"
    );
    assert!(
        lines[7].starts_with("madrid  up     203.0.113.50:51820  31ms  0.4%  1420  "),
        "{text}"
    );
    assert!(
        lines[8].starts_with("paris   never  198.51.100.7:51820  -     -     1240  never"),
        "{text}"
    );
    assert_eq!(lines[9].split_whitespace().next(), Some("SUPERLINK"));
    let findings = [
        "! N209 paris: nothing above 1240 bytes passes",
        "  for 2m 5s  -> packets are kept below it",
        "! N206 paris: 12 handshake initiations unanswered (198.51.100.7:51820)",
        "  for 2m 5s  -> check the peer's endpoint, its UDP port and both public keys",
        "  N216 madrid: nothing was sent for longer than 25 s",
        "  for 2m 5s  -> nothing to do unless it repeats",
    ];
    assert_eq!(
        lines[11..13],
        [
            "VM          RUNS       FEDERATION  STATE              SESSION    FINDINGS",
            "10.10.10.7  supernode  health-eu   running, training  2m 5s ago  N201",
        ]
    );
    assert_eq!(lines[13..], findings);
}

#[test]
fn a_mesh_that_has_no_room_on_a_screen_is_counted_there() {
    let mut answers = Answers::new(Paris::Down);
    (answers.status.peers_total, answers.status.peers_up) = (1000, 990);
    answers.status.findings_total = 12;
    answers.status.companions_total = 60;
    let daemon = Daemon::saying(answers);
    let text = stdout(&ask(&daemon.socket(), &["status"]));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[9], "and 998 more, 989 of them up or degraded  -> zonemesh peers");
    assert_eq!(lines[14], "and 59 more companions  -> zonemesh status -o json");
    assert_eq!(lines.last(), Some(&"and 9 more findings  -> zonemesh status -o json"));
}

#[test]
fn tables_fit_a_terminal_of_80_columns_unless_all_is_asked_for() {
    for args in [&["status"][..], &["peers"], &["registry", "list"]] {
        let text = text(args);
        // Findings and the lines above the tables are sentences.
        let starts = ["ZONE  ", "madrid  ", "paris  ", "berlin (local)  ", "VM  ", "10.10.10.7  "];
        let is_row = |line: &&str| starts.iter().any(|start| line.starts_with(start));
        let rows: Vec<&str> = text.lines().filter(is_row).collect();
        assert!(rows.len() >= 3, "{text}");
        for row in rows {
            assert!(row.chars().count() <= 80, "{} columns: {row}", row.chars().count());
        }
    }
    let wide = text(&["status", "-w"]);
    assert!(wide.contains("  PREFIXES\n") && wide.contains("  10.10.11.0/24\n"), "{wide}");
}

#[test]
fn lists_are_columns_and_may_go_without_a_header() {
    let peers = text(&["peers", "--wide"]);
    assert!(peers.starts_with("ZONE    GATEWAY     STATE  VIA "), "{peers}");
    assert!(
        peers.contains("  88 MiB  12 MiB  up          -12ms  10.255.0.2  10.10.11.0/24\n"),
        "{peers}"
    );
    assert!(peers.ends_with("events: tunnel_up 2\ndropped packets: foreign-source 3\n"), "{peers}");
    assert!(text(&["peers", "--no-header"]).starts_with("madrid  up "));
    assert_eq!(
        text(&["superlink", "list", "--no-header"]),
        "health-eu  berlin  10.10.10.5:9092, [fd00::5]:9092  1.25.0  grpc  ready  active\n"
    );
    let records = text(&["registry", "list"]);
    assert!(records.contains("berlin (local)  2.41 "), "{records}");
    assert!(records.contains("paris           -  "), "{records}");
    assert!(
        text(&["cert", "show"])
            .starts_with("zone leaf of berlin\n  subject  CN=superlink, O=health-eu\n")
    );
}

#[test]
fn a_pem_file_is_described_also_from_standard_input() {
    use std::io::Write as _;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/superlink.pem");
    let from_file = run(&["cert", "show", file]);
    assert_eq!(from_file.status.code(), Some(0));
    assert!(stdout(&from_file).contains(
        "  names    DNS:superlink.health-eu.zonemesh.internal, IP:10.10.10.5, IP:fd00::5\n"
    ));
    let mut command = crate::zonemesh();
    command.args(["cert", "show", "-"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(PEM.as_bytes()).unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, from_file.stdout);
}

#[test]
fn peers_keep_their_shape() {
    has_shape(&json(&["peers"]), "zonemesh/peers/v1", PEERS);
}

#[test]
fn one_peer_keeps_its_shape() {
    has_shape(&json(&["show", "madrid"]), "zonemesh/peer/v1", PEER);
}

#[test]
fn a_tunnel_is_shown_with_its_quality_or_with_what_is_wrong() {
    let daemon = Daemon::start(Paris::Down);
    let madrid = ask(&daemon.socket(), &["show", "madrid"]);
    assert_eq!(madrid.status.code(), Some(0));
    let text = stdout(&madrid);
    assert!(text.contains("state      up (probes are answered, "), "{text}");
    assert!(text.contains("quality    RTT 31ms, jitter 0.2ms, loss 0.4%\n"), "{text}");
    assert!(text.contains("mtu        1420 bytes (underlay 1500)\n"), "{text}");
    let bulk = "bulk work  gro in_use, gso paused, merge in_use, tso in_use, uso refused; fell\n           back: gso_refused 2\n";
    assert!(text.contains(bulk), "{text}");
    let there = "way there  3.0 KiB sent, 2.0 KiB received, 1.0 KiB missing\n";
    let here = "way here   4.0 KiB sent, 4.0 KiB received, 0 B missing\n";
    assert!(text.contains(there) && text.contains(here), "{text}");
    assert!(text.contains("0 unanswered; nothing dropped\n"), "{text}");
    let paris = ask(&daemon.socket(), &["show", "paris"]);
    assert_eq!(paris.status.code(), Some(1));
    let text = stdout(&paris);
    assert!(text.contains("mtu        nothing above 1240 bytes passes, though"), "{text}");
    assert!(text.contains("quality    unknown: "), "{text}");
    assert!(text.contains("gso in_use, merge in_use, tso in_use, uso refused\n"), "{text}");
    let nobody = ask(&daemon.socket(), &["show", "atlantis"]);
    assert_eq!(nobody.status.code(), Some(1));
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(
        said.contains("no peer is called \"atlantis\"; see those that are with: zonemesh peers"),
        "{said}"
    );
}

#[test]
fn the_status_names_who_waits_for_approval_and_what_to_type() {
    let mut answers = Answers::new(Paris::Up);
    let line = |answers: &Answers| {
        let daemon = Daemon::saying(answers.clone());
        let text = stdout(&ask(&daemon.socket(), &["status"]));
        text.lines().find(|line| line.starts_with("waiting")).map(str::to_owned)
    };
    assert_eq!(line(&answers), None);
    answers.status.pending_zones = vec!["rome".into()];
    let one = "waiting for approval: rome  -> zonemesh zone approve rome";
    assert_eq!(line(&answers).as_deref(), Some(one));
    answers.status.pending_zones.push("oslo".into());
    let two = "waiting for approval: rome, oslo  -> zonemesh zone approve NAME";
    assert_eq!(line(&answers).as_deref(), Some(two));
}

#[test]
fn the_status_keeps_its_shape() {
    has_shape(&json(&["status"]), "zonemesh/status/v1", STATUS);
}

#[test]
fn superlinks_keep_their_shape() {
    has_shape(&json(&["superlink", "list"]), "zonemesh/superlinks/v1", SUPERLINKS);
}

#[test]
fn records_keep_their_shape() {
    has_shape(&json(&["registry", "list"]), "zonemesh/records/v1", RECORDS);
}

#[test]
fn certificates_keep_their_shape() {
    has_shape(&json(&["cert", "show"]), "zonemesh/certificates/v1", CERTIFICATES);
}

#[test]
fn times_are_absolute_in_json_and_never_is_null() {
    let daemon = Daemon::start(Paris::Down);
    let peers = stdout(&ask(&daemon.socket(), &["peers", "-o", "json"]));
    let peers: Value = serde_json::from_str(&peers).unwrap();
    assert_eq!(peers["peers"][0]["latest_handshake"], "2027-01-15T08:00:00Z");
    assert_eq!(peers["peers"][1]["latest_handshake"], Value::Null);
    assert_eq!(peers["peers"][1]["state"], "never");
    assert_eq!(peers["dropped"]["foreign-source"], 3);
}

const PEERS: &str = "
dropped: object
  foreign-source: number
  no-session: number
events: object
  tunnel_down: number
  tunnel_up: number
peers: list
  black_hole: bool
  clock_offset_ms: number
  endpoint: string
  fallbacks: object
    gso_refused: number
    merge_refused: number
  gateway: string
  jitter_ms: number
  lanes: list
    endpoint: string
    latest_handshake: string
    rx_bytes: number
    tx_bytes: number
    unanswered_initiations: number
    usable: bool
  latest_handshake: string
  loss_percent: number
  mtu: number
  offloads: object
    gro: string
    gso: string
    merge: string
    tso: string
    uso: string
  prefixes: list
  public_key: string
  reason: string
  rtt_ms: number
  rx_bytes: number
  since: string
  source_port: null
  state: string
  stream: string
  stream_error: null
  tunnel_addresses: list
  tx_bytes: number
  unanswered_initiations: number
  underlay_mtu: number
  zone: string
schema: string
";
const PEER: &str = "
findings: list
  code: string
  count: number
  evidence: list
    name: string
    value: number
  fix: string
  seen_at: string
  sentence: string
  severity: string
  since: string
  subject: object
    kind: string
    name: string
  title: string
pair: object
  answered_at: string
  dropped_there: object
  latest_handshake_there: string
  lost_on_the_way_here: number
  lost_on_the_way_there: number
  received_here: number
  received_there: number
  sent_here: number
  sent_there: number
  since: string
  unanswered_initiations_there: number
peer: object
  black_hole: bool
  clock_offset_ms: number
  endpoint: string
  fallbacks: object
    gso_refused: number
    merge_refused: number
  gateway: string
  jitter_ms: number
  lanes: list
    endpoint: string
    latest_handshake: string
    rx_bytes: number
    tx_bytes: number
    unanswered_initiations: number
    usable: bool
  latest_handshake: string
  loss_percent: number
  mtu: number
  offloads: object
    gro: string
    gso: string
    merge: string
    tso: string
    uso: string
  prefixes: list
  public_key: string
  reason: string
  rtt_ms: number
  rx_bytes: number
  since: string
  source_port: null
  state: string
  stream: string
  stream_error: null
  tunnel_addresses: list
  tx_bytes: number
  unanswered_initiations: number
  underlay_mtu: number
  zone: string
schema: string
";
const STATUS: &str = "
companions: list
  activity: string
  cas: list
    fingerprint: string
    state: string
  connected: bool
  federation: string
  findings: list
    code: string
    text: string
  flower_version: string
  node_id: string
  public_key: string
  release: string
  reported_at: string
  role: string
  since: string
  state: string
  vm: string
dropped: object
  foreign-source: number
  no-session: number
federations: list
  conflict: bool
  held_here: bool
  name: string
  readiness: string
  zone: string
findings: list
  code: string
  count: number
  evidence: list
    name: string
    value: number
  fix: string
  seen_at: string
  sentence: string
  severity: string
  since: string
  subject: object
    kind: string
    name: string
  title: string
gateway: string
local_api_pin: string
now: string
peers: list
  black_hole: bool
  clock_offset_ms: number
  endpoint: string
  fallbacks: object
    gso_refused: number
    merge_refused: number
  gateway: string
  jitter_ms: number
  lanes: list
    endpoint: string
    latest_handshake: string
    rx_bytes: number
    tx_bytes: number
    unanswered_initiations: number
    usable: bool
  latest_handshake: string
  loss_percent: number
  mtu: number
  offloads: object
    gro: string
    gso: string
    merge: string
    tso: string
    uso: string
  prefixes: list
  public_key: string
  reason: string
  rtt_ms: number
  rx_bytes: number
  since: string
  source_port: null
  state: string
  stream: string
  stream_error: null
  tunnel_addresses: list
  tx_bytes: number
  unanswered_initiations: number
  underlay_mtu: number
  zone: string
pending: list
prefixes: list
refused: object
  vm_writes: number
registry: object
  accepted: object
    newer: number
  bytes: number
  clone_alarms: number
  etcd: object
    error: null
    refused: number
    since: string
    state: string
    url: string
  missing: list
  records: number
  rejected: object
    bad-signature: number
  root_hash: string
  streams: number
schema: string
started_at: string
state: string
superlinks: list
  addresses: list
  cas: list
    fingerprint: string
    pem: string
    state: string
  control_port: number
  federation: string
  fleet_port: number
  flower_version: string
  readiness: string
  shadowed: bool
  tls_name: string
  transport: string
  zone: string
tunnel: object
  addresses: list
  interface: string
  listen_port: number
  mtu: number
  offloads: object
    gro: string
    gso: string
    merge: string
    tso: string
    uso: string
  public_key: string
version: string
zone: string
zone_key: string
";
const SUPERLINKS: &str = "
schema: string
superlinks: list
  addresses: list
  cas: list
    fingerprint: string
    pem: string
    state: string
  control_port: number
  federation: string
  fleet_port: number
  flower_version: string
  readiness: string
  shadowed: bool
  tls_name: string
  transport: string
  zone: string
";
const RECORDS: &str = "
missing: list
records: list
  gateway: string
  incarnation: number
  issued_at: string
  own: bool
  received_at: null
  release: string
  seq: number
  size: number
  verified: bool
  zone: string
schema: string
";
const CERTIFICATES: &str = "
certificates: list
  is_ca: bool
  issuer: string
  key_algorithm: string
  kind: string
  name: string
  not_after: string
  not_before: string
  sans: list
  sha256: string
  subject: string
schema: string
";
