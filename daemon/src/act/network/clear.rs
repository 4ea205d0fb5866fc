//! Takes away all that gateways have in a kernel: for the end of a gateway, not of its process.

use std::collections::BTreeSet;

use anyhow::Context as _;
use rtnetlink::Handle;
use zonemesh_netlink::{MISSING, all_routes, answers};

use super::guard::GuardTable;
use super::{earlier, routes};
use crate::facts::kernel;
use crate::facts::kernel::routes::{ReadRoute, read};

/// The interfaces with the gateway's mark, its rules and tables, what earlier releases have left in
/// `main`, and the packet filter last: until then nothing leaves in the clear.
pub(crate) async fn clear_all(netlink: &Handle) -> anyhow::Result<()> {
    for (name, link) in kernel::marked_links(netlink).await? {
        earlier::clear(netlink, Some(link.index)).await?;
        let removed = netlink.link().del(link.index).execute().await;
        removed.with_context(|| format!("cannot remove the interface {name}"))?;
    }
    earlier::clear(netlink, None).await?;
    let none = BTreeSet::new();
    let left = kernel::read(netlink, None, &none, &BTreeSet::new()).await?;
    for rule in &left.rules {
        routes::remove_rule(netlink, rule).await?;
    }
    for route in all_routes(netlink).await.context("cannot list the routes")? {
        if !matches!(read(&route, None, &none), Some(ReadRoute::Own(..))) {
            continue;
        }
        match netlink.route().del(route).execute().await {
            Err(error) if answers(&error, MISSING) => {}
            removed => removed.context("cannot remove a route")?,
        }
    }
    GuardTable::clear()
}
