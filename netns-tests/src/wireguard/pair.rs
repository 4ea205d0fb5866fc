//! Two gateways that are each other's only peer.
//!
//! Owns the usual configuration: key, port, one peer with its inner addresses as allowed IPs.
//! Refuses anything a test wants to vary beyond [`PairPlan`]: it does that with `wg` itself.

use std::time::Duration;

use anyhow::Result;

use super::gateway::{PORT, WireGuardGateway, inner, key};
use super::implementation::Implementation;
use super::key::base64;
use super::traffic;
use super::wan::{Family, Side, Wan};
use zonemesh_lab::wait::{Look, until};

/// What may differ between pairs.
#[derive(Debug, Clone, Copy)]
pub struct PairPlan {
    /// The IP that the tunnel runs over.
    pub outer: Family,
    /// With a preshared key.
    pub preshared: bool,
    /// Persistent keepalive of both, in seconds; 0 is off.
    pub keepalive: u16,
    /// Whether the right gateway knows where the left one is.
    pub right_knows_left: bool,
}

impl Default for PairPlan {
    fn default() -> Self {
        Self { outer: Family::V4, preshared: false, keepalive: 0, right_knows_left: true }
    }
}

/// Two gateways with addresses; dropping it kills both.
#[derive(Debug)]
pub struct Pair<'a> {
    /// The gateway on the left.
    pub left: WireGuardGateway<'a>,
    /// The gateway on the right.
    pub right: WireGuardGateway<'a>,
    wan: &'a Wan,
}

impl<'a> Pair<'a> {
    /// Starts and configures two gateways; with keepalive they begin to speak at once.
    ///
    /// # Errors
    /// When one does not start or `wg` refuses.
    pub fn start(wan: &'a Wan, [left, right]: [Implementation; 2], plan: PairPlan) -> Result<Self> {
        let pair = Self {
            left: WireGuardGateway::start(left, wan, Side::Left)?,
            right: WireGuardGateway::start(right, wan, Side::Right)?,
            wan,
        };
        pair.configure(Side::Right, plan)?;
        pair.configure(Side::Left, plan)?;
        Ok(pair)
    }

    /// Configures one gateway and brings its interface up, also after it was started again.
    ///
    /// # Errors
    /// When `wg` or `ip` refuses.
    pub fn configure(&self, side: Side, plan: PairPlan) -> Result<()> {
        let gateway = self.gateway(side);
        gateway.load("setconf", &configuration(self.wan, side, plan))?;
        gateway.bring_up()
    }

    /// One of the two.
    #[must_use]
    pub fn gateway(&self, side: Side) -> &WireGuardGateway<'a> {
        match side {
            Side::Left => &self.left,
            Side::Right => &self.right,
        }
    }

    /// Waits until pings from `side` are answered through the tunnel; returns how long it took.
    ///
    /// # Errors
    /// After `timeout`.
    pub fn wait_for_ping(&self, side: Side, family: Family, timeout: Duration) -> Result<Duration> {
        let target = inner(other(side), family);
        let namespace = self.wan.namespace(side);
        let what = format!("an answer from {target}");
        let ((), took) = until(&what, timeout, || {
            let answered = traffic::ping(namespace, target, 1, 0.1)?.received == 1;
            Ok(Look::<()>::when(answered, "no answer"))
        })?;
        Ok(took)
    }
}

/// The other gateway.
#[must_use]
pub fn other(side: Side) -> Side {
    match side {
        Side::Left => Side::Right,
        Side::Right => Side::Left,
    }
}

/// The configuration of one gateway, as `wg setconf` reads it.
#[must_use]
pub fn configuration(wan: &Wan, side: Side, plan: PairPlan) -> String {
    let peer = other(side);
    let mut text = format!(
        "[Interface]\nPrivateKey = {}\nListenPort = {PORT}\n{}",
        key(side).secret_base64(),
        peer_section(peer, plan.preshared),
    );
    if side == Side::Left || plan.right_knows_left {
        let endpoint = std::net::SocketAddr::new(wan.address(peer, plan.outer), PORT);
        text.push_str(&format!("Endpoint = {endpoint}\n"));
    }
    if plan.keepalive > 0 {
        text.push_str(&format!("PersistentKeepalive = {}\n", plan.keepalive));
    }
    text
}

fn peer_section(peer: Side, preshared: bool) -> String {
    let (v4, v6) = (inner(peer, Family::V4), inner(peer, Family::V6));
    let public = key(peer).public_base64();
    let mut text = format!("[Peer]\nPublicKey = {public}\nAllowedIPs = {v4}/32, {v6}/128\n");
    if preshared {
        text.push_str(&format!("PresharedKey = {}\n", preshared_key()));
    }
    text
}

/// The preshared key of every pair that has one.
#[must_use]
pub fn preshared_key() -> String {
    base64(&[0x77; 32])
}
