//! Keepalive: a pair that was idle through an outage comes back by itself.
//!
//! ```text
//!   left ----  x router  ---- right       cut from before the first packet, for 100 s
//! ```
//!
//! 100 s are more than the 90 s after which handshakes are given up (WireGuard paper, section 6.4).
//! The outage of ten minutes is `make soak`.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::pair::{Pair, PairPlan};
use netns_tests::wireguard::wan::{Side, Wan};
use zonemesh_lab::wait::{Look, holds_for, until};

const OUTAGE: Duration = Duration::from_secs(100);

pub(crate) fn an_idle_pair_is_back_10_s_after_an_outage_of_100_s(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    wan.cut(Side::Left, true)?;
    let pair = Pair::start(&wan, [by, by], PairPlan { keepalive: 25, ..PairPlan::default() })?;
    holds_for("the outage", OUTAGE, || {
        let handshake = pair.left.peer()?.latest_handshake;
        Ok(Look::<()>::when(handshake == 0, "a handshake through a cut path"))
    })?;
    wan.cut(Side::Left, false)?;
    let (_, took) = until("a handshake", Duration::from_secs(60), || {
        let (left, right) = (pair.left.peer()?, pair.right.peer()?);
        let both = left.latest_handshake > 0 && right.latest_handshake > 0;
        Ok(Look::<()>::when(both, format!("{left:?} {right:?}")))
    })?;
    writeln!(std::io::stderr(), "{by}: back {took:.1?} after an idle outage of {OUTAGE:?}")?;
    ensure!(took <= Duration::from_secs(10), "back after {took:.1?}");
    wan.succeeded()
}
