//! `wg` from wireguard-tools: show, showconf, set, setconf, addconf, syncconf.
//!
//! ```text
//!   wg -- /var/run/wireguard/IFACE.sock -- left
//! ```

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::wireguard::gateway::WireGuardGateway;
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::key::TunnelKey;
use netns_tests::wireguard::pair::{PairPlan, configuration};
use netns_tests::wireguard::wan::{Side, Wan};
use zonemesh_lab::wait::{Look, until};

pub(crate) fn showconf_and_setconf_are_each_others_inverse(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let name = gateway.interface();
    let plan = PairPlan { preshared: true, keepalive: 25, ..PairPlan::default() };
    gateway.load("setconf", &configuration(&wan, Side::Left, plan))?;
    gateway.set(&["fwmark", "0x10", "peer", &TunnelKey::of(7).public_base64()])?;
    let before = gateway.show()?;
    let shown = gateway.wg(&["showconf", name])?;
    gateway.load("setconf", "[Interface]\n")?;
    ensure!(gateway.show()?.peers.is_empty(), "setconf kept peers that its file does not have");
    gateway.load("setconf", &shown)?;
    ensure!(sorted(gateway.show()?) == sorted(before.clone()), "{:?}\n{before:?}", gateway.show()?);
    // What people read, not only what scripts do.
    let text = gateway.wg(&["show", name])?;
    for part in ["public key: ", "listening port: 51820", "fwmark: 0x10", "every 25 seconds"] {
        ensure!(text.contains(part), "no {part:?} in\n{text}");
    }
    ensure!(gateway.wg(&["show", "interfaces"])?.contains(name), "wg does not list it");
    wan.succeeded()
}

pub(crate) fn addconf_adds_and_syncconf_takes_away(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let usual = configuration(&wan, Side::Left, PairPlan::default());
    gateway.load("setconf", &usual)?;
    let before = gateway.show()?;
    let more = format!(
        "[Peer]\nPublicKey = {}\nAllowedIPs = 10.7.0.0/16\n",
        TunnelKey::of(7).public_base64()
    );
    gateway.load("addconf", &more)?;
    let both = gateway.show()?;
    ensure!(both.peers.len() == 2 && both.listen_port == before.listen_port, "{both:?}");
    gateway.load("syncconf", &usual)?;
    let after = gateway.show()?;
    ensure!(after == before, "{after:?}\n{before:?}");
    wan.succeeded()
}

/// What `wg-quick` expects of its userspace implementation: it returns when it can be configured,
/// serves in the background, and ends with the interface.
pub(crate) fn it_goes_into_the_background_for_wg_quick(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let name = wan.interface('q');
    let namespace = wan.namespace(Side::Left);
    let text = configuration(&wan, Side::Left, PairPlan::default());
    let text = text.replacen("[Interface]", "[Interface]\nAddress = 10.99.0.1/32", 1);
    let file = wan.folder().join(format!("{name}.conf"));
    std::fs::write(&file, text)?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    let quick = |verb: &str| -> Result<String> {
        let mut command = namespace.command("wg-quick");
        command.env("WG_QUICK_USERSPACE_IMPLEMENTATION", by.find()?);
        zonemesh_lab::namespace::run(command.arg(verb).arg(&file))
    };
    if Path::new("/sys/module/wireguard").exists() {
        // wg-quick would take the kernel's: the same, without it.
        zonemesh_lab::namespace::run(namespace.command(by.find()?).arg(&name))?;
    } else {
        quick("up")?;
        let routes = namespace.ip(&["route"])?;
        ensure!(routes.contains(&format!("10.99.0.2 dev {name}")), "{routes}");
    }
    let shown = zonemesh_lab::namespace::run(Command::new("wg").args(["show", &name]))?;
    ensure!(shown.contains(&name), "{shown}");
    if Path::new("/sys/module/wireguard").exists() {
        namespace.ip(&["link", "del", &name])?;
    } else {
        quick("down")?;
    }
    let socket = Path::new("/var/run/wireguard").join(format!("{name}.sock"));
    until("its end", Duration::from_secs(10), || {
        Ok(Look::<()>::when(!socket.exists(), "the socket is there"))
    })?;
    wan.succeeded()
}

fn sorted(
    mut shown: netns_tests::wireguard::gateway::Shown,
) -> netns_tests::wireguard::gateway::Shown {
    shown.peers.sort_by(|a, b| a.public_key.cmp(&b.public_key));
    shown
}
