//! Nobody has anything to say, and the path is gone for 5 minutes: the tunnel returns by itself.
//!
//! ```text
//!   berlin              WAN                        madrid
//!   vm - gw ------- [ router ] -X 5 min- gw - vm      (no VM sends anything until the tunnel is back)
//! ```
//!
//! boringtun gives up after 90 s of failed handshakes and waits for payload; ours must not.

use std::time::{Duration, Instant};

use anyhow::Result;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::wait::{Look, holds_for, until};

const OUTAGE: Duration = Duration::from_secs(300);
const BACK_WITHIN: Duration = Duration::from_secs(10);
const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];

/// When the peer's last handshake was completed; `None` before the first.
fn latest_handshake(peers: &serde_json::Value) -> Result<Option<OffsetDateTime>> {
    let text = peers["peers"][0]["latest_handshake"].as_str();
    Ok(text.map(|text| OffsetDateTime::parse(text, &Rfc3339)).transpose()?)
}

#[test]
fn the_tunnel_is_back_within_10_s_of_the_paths_return_without_payload() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    lab.cut("madrid")?;
    holds_for("both daemons live through the outage", OUTAGE, || {
        for zone in ["berlin", "madrid"] {
            if let Some(status) = mesh.gateway(zone)?.daemon()?.ended()? {
                return Ok(Look::Not(format!("the one of {zone} ended with {status}")));
            }
        }
        Ok(Look::Done(()))
    })?;
    lab.heal("madrid")?;
    // Truncated to milliseconds in the answers, so compared a little earlier.
    let (healed_at, healed) =
        (Instant::now(), OffsetDateTime::now_utc() - Duration::from_millis(1));
    for zone in ["berlin", "madrid"] {
        let left = BACK_WITHIN.saturating_sub(healed_at.elapsed());
        until(&format!("a new handshake in {zone}"), left, || {
            let peers = mesh.gateway(zone)?.ask(&["peers"])?;
            let new = latest_handshake(&peers)?.is_some_and(|at| at >= healed);
            Ok(Look::<()>::when(new, &peers))
        })?;
    }
    let vm = &lab.zone("berlin")?.vm("vm")?.namespace;
    vm.run(&["ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "2", "10.10.11.5"])?;
    mesh.wait_until_connected(patience())?;
    lab.succeeded()
}
