//! A gateway whose VM was copied, and both run: its peers name the two hosts.
//!
//! ```text
//!   berlin ==== madrid
//!      \======= rome's place on the WAN: the copy of madrid
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use netns_tests::findings::{came, over, told};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};

const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: "berlin", vms: &[] },
    ZonePlan { name: "madrid", vms: &[] },
    ZonePlan { name: "rome", vms: &[] },
];

#[test]
fn two_hosts_with_one_key_are_named_within_a_minute() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    for (zone, other) in [("berlin", "madrid"), ("madrid", "berlin"), ("rome", "berlin")] {
        let peer = mesh.gateway(zone)?.peer(other)?.clone();
        mesh.gateway(zone)?.set_peers(vec![peer]);
    }
    for zone in ["berlin", "madrid"] {
        mesh.start_one(&lab, zone)?;
    }
    for zone in ["berlin", "madrid"] {
        mesh.gateway(zone)?.wait_until_connected(patience())?;
    }
    mesh.copy_disk("madrid", "rome")?;
    mesh.start_one(&lab, "rome")?;
    let [madrid, rome] = ["madrid", "rome"].map(|zone| lab.zone(zone).map(|one| one.wan_address));
    let (madrid, rome) = (madrid?.to_string(), rome?.to_string());
    let words = ["madrid", "two hosts use its WireGuard key", &madrid, &rome];
    told(mesh.gateway("berlin")?, "N235", &words, Duration::from_secs(60))?;
    mesh.gateway("rome")?.daemon()?.kill_9()?;
    over(mesh.gateway("berlin")?, "N235", Duration::from_secs(75))?;
    let alarms = came(mesh.gateway("berlin")?, &["N209"])?;
    ensure!(alarms.is_empty(), "a hole that is none: {alarms:?}");
    lab.succeeded()
}
