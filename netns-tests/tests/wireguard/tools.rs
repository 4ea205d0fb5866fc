//! `wg` from wireguard-tools: show, showconf, set, setconf, addconf, syncconf.
//!
//! ```text
//!   wg -- /var/run/wireguard/IFACE.sock -- left
//! ```

use anyhow::{Result, ensure};
use netns_tests::wireguard::gateway::Gateway;
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::key::Key;
use netns_tests::wireguard::pair::{Plan, configuration};
use netns_tests::wireguard::wan::{Side, Wan};

pub(crate) fn showconf_and_setconf_are_each_others_inverse(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = Gateway::start(by, &wan, Side::Left)?;
    let name = gateway.interface();
    let plan = Plan { preshared: true, keepalive: 25, ..Plan::default() };
    gateway.load("setconf", &configuration(&wan, Side::Left, plan))?;
    gateway.set(&["fwmark", "0x10", "peer", &Key::of(7).public_base64()])?;
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
    let gateway = Gateway::start(by, &wan, Side::Left)?;
    let usual = configuration(&wan, Side::Left, Plan::default());
    gateway.load("setconf", &usual)?;
    let before = gateway.show()?;
    let more =
        format!("[Peer]\nPublicKey = {}\nAllowedIPs = 10.7.0.0/16\n", Key::of(7).public_base64());
    gateway.load("addconf", &more)?;
    let both = gateway.show()?;
    ensure!(both.peers.len() == 2 && both.listen_port == before.listen_port, "{both:?}");
    gateway.load("syncconf", &usual)?;
    let after = gateway.show()?;
    ensure!(after == before, "{after:?}\n{before:?}");
    wan.succeeded()
}

fn sorted(
    mut shown: netns_tests::wireguard::gateway::Shown,
) -> netns_tests::wireguard::gateway::Shown {
    shown.peers.sort_by(|a, b| a.public_key.cmp(&b.public_key));
    shown
}
