//! A gateway that has much to carry runs first by turns and has a larger share between, unless its
//! configuration says otherwise.
//!
//! ```text
//!   berlin ==== 400 MB ==== madrid (realtime = false)
//! ```

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use netns_tests::wireguard::traffic::transfer;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::priority::{SeenRank, is_expected, ranks_during};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
const BYTES: u64 = 400_000_000;

#[test]
fn a_busy_gateway_runs_first_unless_it_is_told_not_to() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = Mesh::prepare(&lab)?;
    mesh.gateway("madrid")?.section("tunnel")?.insert("realtime".to_owned(), false.into());
    mesh.start(&lab)?;
    mesh.wait_until_connected(patience())?;
    let (berlin, madrid) = (lab.zone("berlin")?, lab.zone("madrid")?);
    let address = SocketAddr::from((madrid.tunnel_address, 7000));
    for (zone, wanted) in [("berlin", is_expected()?), ("madrid", false)] {
        let daemon = mesh.gateway(zone)?.daemon()?;
        let ranks = ranks_during(daemon, "zm-both", || {
            transfer(&berlin.gateway, &madrid.gateway, address, BYTES).map(drop)
        })?;
        let wanted = SeenRank { first: wanted, favoured: wanted };
        ensure!(ranks == wanted, "{zone} ranked {ranks:?}");
    }
    lab.succeeded()
}
