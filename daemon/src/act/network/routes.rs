//! The routes into the tunnel, one by one. A route that cannot be set is an error that names it.

use anyhow::Context as _;
use ipnet::IpNet;
use rtnetlink::Handle;

use super::{EXISTS, MISSING, answers, to};

/// Routes `prefix` into the interface.
pub(super) async fn add(netlink: &Handle, index: u32, prefix: IpNet) -> anyhow::Result<()> {
    let route = to(prefix).output_interface(index).build();
    match netlink.route().add(route).execute().await {
        Err(error) if answers(&error, EXISTS) => anyhow::bail!(
            "another route to {prefix} exists on this gateway; see it with: ip route show {prefix}"
        ),
        added => added.with_context(|| format!("cannot route {prefix}")),
    }
}

/// Takes the route to `prefix` out of the interface.
pub(super) async fn remove(netlink: &Handle, index: u32, prefix: IpNet) -> anyhow::Result<()> {
    let route = to(prefix).output_interface(index).build();
    match netlink.route().del(route).execute().await {
        // Somebody else has removed it.
        Err(error) if answers(&error, MISSING) => Ok(()),
        removed => removed.with_context(|| format!("cannot remove the route to {prefix}")),
    }
}
