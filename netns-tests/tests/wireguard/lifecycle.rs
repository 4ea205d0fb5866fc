//! Start and end: files and their modes, SIGTERM, a deleted interface, `kill -9`, a planned restart.
//!
//! ```text
//!   left  ==== tunnel ====  right
//! ```

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netns_tests::wireguard::gateway::{WireGuardGateway, inner, letter};
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::pair::{Pair, PairPlan, configuration};
use netns_tests::wireguard::wan::{Family, Side, Wan};
use zonemesh_lab::conversation::Conversation;
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

const SOON: Duration = Duration::from_secs(10);

/// In a mount namespace of its own, with an empty /run: the folder is made by the process itself.
pub(crate) fn socket_is_for_its_owner_alone(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let program = by.find()?;
    let mut command = wan.namespace(Side::Left).command("unshare");
    let prepare = "mount -t tmpfs -o mode=755 private /run && umask 0 && exec \"$@\"";
    command.args(["--mount", "sh", "-c", prepare, "sh"]).arg(program);
    command.args(["-f", "wgmodes"]);
    let process = Process::spawn("private", command, wan.folder())?;
    let folder = PathBuf::from(format!("/proc/{}/root/run/wireguard", process.pid()));
    let socket = folder.join("wgmodes.sock");
    until("the socket", SOON, || Ok(Look::<()>::when(socket.exists(), "not there")))?;
    let mode = |path: &PathBuf| -> Result<u32> {
        Ok(std::fs::metadata(path)?.permissions().mode() & 0o777)
    };
    let (folder, socket) = (mode(&folder)?, mode(&socket)?);
    ensure!((folder, socket) == (0o700, 0o600), "folder {folder:o}, socket {socket:o}");
    wan.succeeded()
}

pub(crate) fn sigterm_ends_the_process_and_removes_socket_and_interface(
    by: Implementation,
) -> Result<()> {
    let wan = Wan::new()?;
    let mut gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    gateway.bring_up()?;
    let code = gateway.process().terminate(SOON)?;
    ensure!(code == 0, "exit code {code}");
    nothing_is_left(&gateway)?;
    wan.succeeded()
}

pub(crate) fn deleting_the_interface_ends_the_process(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let mut gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    gateway.bring_up()?;
    let name = gateway.interface().to_owned();
    gateway.namespace().ip(&["link", "del", &name])?;
    gateway.process().wait_for_end(SOON)?;
    nothing_is_left(&gateway)?;
    wan.succeeded()
}

fn nothing_is_left(gateway: &WireGuardGateway<'_>) -> Result<()> {
    let socket = gateway.socket();
    ensure!(!socket.exists(), "{} is still there", socket.display());
    let links = gateway.namespace().ip(&["-o", "link"])?;
    ensure!(!links.contains(gateway.interface()), "the interface is still there:\n{links}");
    Ok(())
}

pub(crate) fn kill_9_to_first_packet_takes_at_most_3_s(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let plan = PairPlan { keepalive: 25, ..PairPlan::default() };
    let mut pair = Pair::start(&wan, [by, by], plan)?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let start = Instant::now();
    pair.left.process().kill_9()?;
    pair.left.start_again()?;
    pair.configure(Side::Left, plan)?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let took = start.elapsed();
    writeln!(std::io::stderr(), "{by}: kill -9 to first packet {took:.2?}")?;
    ensure!(took <= Duration::from_secs(3), "{took:.2?}");
    wan.succeeded()
}

/// A persistent TUN, made by the administrator, outlives the process: addresses, routes and local
/// TCP connections are not lost when it is restarted.
pub(crate) fn planned_restart_on_a_persistent_tun_keeps_connections(
    by: Implementation,
) -> Result<()> {
    let wan = Wan::new()?;
    let plan = PairPlan { keepalive: 25, ..PairPlan::default() };
    let name = wan.interface(letter(Side::Left));
    let mut make = vec!["tuntap", "add", "dev", &name, "mode", "tun"];
    if by == Implementation::Zonemesh {
        make.push("vnet_hdr");
    }
    wan.namespace(Side::Left).ip(&make)?;
    let mut pair = Pair::start(&wan, [by, by], plan)?;
    pair.wait_for_ping(Side::Left, Family::V4, SOON)?;
    let left = wan.namespace(Side::Left);
    left.ip(&["route", "add", "10.77.0.0/16", "dev", &name])?;
    let mut conversation = connected(&wan)?;
    conversation.exchange(b"before")?;

    let start = Instant::now();
    let code = pair.left.process().terminate(SOON)?;
    ensure!(code == 0, "exit code {code}");
    pair.left.start_again()?;
    pair.left.load("setconf", &configuration(&wan, Side::Left, plan))?;
    conversation.exchange(b"after")?;
    let took = start.elapsed();
    let routes = left.ip(&["route"])?;
    ensure!(routes.contains("10.77.0.0/16"), "the route went:\n{routes}");
    writeln!(std::io::stderr(), "{by}: planned restart to first byte {took:.2?}")?;
    wan.succeeded()
}

fn connected(wan: &Wan) -> Result<Conversation> {
    let address = SocketAddr::new(inner(Side::Right, Family::V4), 7000);
    Conversation::begin(wan.namespace(Side::Left), wan.namespace(Side::Right), address)
}
