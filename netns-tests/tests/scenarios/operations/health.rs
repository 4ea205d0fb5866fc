//! What probes of a container engine see of a gateway, over HTTP and by `zonemesh health`.
//!
//! ```text
//!   berlin: [http] 127.0.0.1:9824        madrid: never started
//!    gw \ curl, zonemesh health
//! ```
//!
//! A peer that is down is no reason for anything; a port that is taken is one not to be ready, and a
//! process that stands still one not to live.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use zonemesh_lab::gateway::LabGateway;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::Mesh;
use zonemesh_lab::namespace::Namespace;
use zonemesh_lab::wait::{Look, until};

use super::start_with_what_works::hold_udp_port;

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
const AT: &str = "127.0.0.1:9824";
const SOON: Duration = Duration::from_secs(15);
/// More than are served at once.
const IDLE: usize = 12;

/// Status and text of an answer.
fn get(gateway: &Namespace, path: &str) -> Result<String> {
    let url = format!("http://{AT}{path}");
    let args =
        ["--silent", "--show-error", "--max-time", "10", "--write-out", "%{http_code}", &url];
    let output = gateway.command("curl").args(args).output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "{url}: {said}");
    Ok(said)
}

fn health(gateway: &LabGateway, question: &str) -> Result<Output> {
    let mut command = Command::new(gateway.program("zonemesh")?);
    command.arg("--socket").arg(gateway.socket()).args(["health", question]);
    Ok(command.output()?)
}

fn says(output: &Output, code: i32, words: &str) -> Result<()> {
    let said = String::from_utf8_lossy(&output.stderr);
    let is = output.status.code() == Some(code) && said.contains(words);
    ensure!(is && output.stdout.is_empty(), "{}: {said}", output.status);
    Ok(())
}

#[test]
fn a_gateway_without_a_single_peer_lives_and_one_without_its_port_is_not_ready() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let gateway = &lab.zone("berlin")?.gateway;
    let mut holder = hold_udp_port(&lab)?;
    let listen = toml::Value::from(AT);
    let berlin = mesh.gateway("berlin")?;
    berlin
        .config
        .insert("http".to_owned(), toml::Table::from_iter([("listen".to_owned(), listen)]).into());
    mesh.start_one(&lab, "berlin")?;
    until("the answer of a gateway that is not ready", SOON, || {
        let said = get(gateway, "/readyz").unwrap_or_default();
        let is = said.contains("cannot listen on UDP 51820") && said.ends_with("503");
        Ok(Look::<()>::when(is, said))
    })?;
    ensure!(get(gateway, "/livez")? == "ok\n200");
    let berlin = mesh.gateway("berlin")?;
    says(&health(berlin, "live")?, 0, "")?;
    says(&health(berlin, "ready")?, 1, "is not ready: cannot listen on UDP 51820")?;
    holder.kill_9()?;
    until("the gateway to be ready", SOON, || {
        Ok(Look::<()>::when(health(berlin, "ready")?.status.success(), "not yet"))
    })?;
    ensure!(get(gateway, "/readyz")? == "ok\n200", "madrid is down, and that is a reason");
    ensure!(get(gateway, "/")?.ends_with("404"), "something else is shown");
    // Those who say nothing are let go.
    let at: SocketAddr = AT.parse()?;
    let _idle: Vec<TcpStream> = gateway
        .inside(|| (0..IDLE).map(|_| Ok(TcpStream::connect(at)?)).collect::<Result<Vec<_>>>())?;
    ensure!(get(gateway, "/livez")? == "ok\n200", "idle callers keep a probe out");
    // One that stands still answers nobody.
    berlin.daemon()?.signal(Signal::SIGSTOP)?;
    let silent = health(berlin, "live");
    berlin.daemon()?.signal(Signal::SIGCONT)?;
    ensure!(silent?.status.code() == Some(9), "who stands still lives");
    lab.succeeded()
}

#[test]
fn the_socket_of_wg_is_where_it_is_wanted_or_nowhere() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    let folder = lab.folder().join("wg");
    for (zone, sockets) in [("berlin", folder.to_str().context("a path")?), ("madrid", "off")] {
        let interface = format!("zmh{}{}", &zone[..1], std::process::id());
        let gateway = mesh.gateway(zone)?;
        gateway.section("tunnel")?.insert("interface".to_owned(), interface.into());
        gateway.section("gateway")?.insert("wg_sockets".to_owned(), sockets.into());
    }
    mesh.start(&lab)?;
    let socket = folder.join(format!("zmhb{}.sock", std::process::id()));
    let mode =
        |path: &Path| -> Result<u32> { Ok(std::fs::metadata(path)?.permissions().mode() & 0o777) };
    until("the socket", SOON, || Ok(Look::<()>::when(socket.exists(), "none")))?;
    ensure!(mode(&folder)? == 0o700 && mode(&socket)? == 0o600);
    for zone in ["b", "m"] {
        let usual = format!("/var/run/wireguard/zmh{zone}{}.sock", std::process::id());
        ensure!(!Path::new(&usual).exists(), "{usual} is there");
    }
    lab.succeeded()
}
