//! Nobody has anything to say, and the path is gone for 5 minutes: the tunnel returns by itself.
//!
//! ```text
//!   berlin              WAN                        madrid
//!   vm - gw ------- [ router ] -X 5 min- gw - vm      (no VM sends anything until the tunnel is back)
//! ```
//!
//! boringtun gives up after 90 s of failed handshakes and waits for payload; ours must not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use netns_tests::lab::{Lab, ZonePlan};
use netns_tests::mesh::{Mesh, patience};
use netns_tests::wait::{Look, holds_for, until};

const OUTAGE: Duration = Duration::from_secs(300);
const BACK_WITHIN: Duration = Duration::from_secs(10);
const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &["vm"] }, ZonePlan { name: "madrid", vms: &["vm"] }];

fn now_unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
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
    let healed = now_unix_ms();
    for zone in ["berlin", "madrid"] {
        let spent = Duration::from_millis(now_unix_ms() - healed);
        until(&format!("a new handshake in {zone}"), BACK_WITHIN.saturating_sub(spent), || {
            let peers = mesh.gateway(zone)?.ask(&["peers"])?;
            let latest = peers["peers"][0]["latest_handshake_unix_ms"].as_u64().unwrap_or(0);
            Ok(Look::<()>::when(latest >= healed, &peers))
        })?;
    }
    let vm = &lab.zone("berlin")?.vm("vm")?.namespace;
    vm.run(&["ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "2", "10.10.11.5"])?;
    mesh.wait_until_connected(patience())?;
    lab.succeeded()
}
