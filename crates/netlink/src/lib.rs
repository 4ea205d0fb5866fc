//! Routes of the kernel by netlink: read whole, written one by one, and news of changes.
//!
//! What a gateway's agent and the companions in its zone's VMs both do. Promises that an answer of
//! the kernel's is judged by its number, and that news which come faster than they are read are
//! one. Refuses to know which routes ought to be there, and whose a table or a protocol is.

mod news;
mod parts;
mod written;

use futures_util::TryStreamExt as _;
use rtnetlink::Handle;
use rtnetlink::packet_route::route::RouteMessage;

pub use news::news_of_routing;
pub use parts::{RouteParts, destination, of_all_families};
pub use rtnetlink;
pub use written::{to_prefix, with_mtu, with_own_mtu};

/// EPERM of Linux, as netlink answers it.
pub const NOT_PERMITTED: i32 = -1;
/// ENOENT.
pub const NONE: i32 = -2;
/// ESRCH: there is no such route.
pub const MISSING: i32 = -3;
/// EEXIST.
pub const EXISTS: i32 = -17;

/// True if the kernel has answered with this number.
#[must_use]
pub fn answers(error: &rtnetlink::Error, code: i32) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message) if message.raw_code() == code)
}

/// Every route of both families.
///
/// # Errors
/// The kernel's own.
pub async fn all_routes(netlink: &Handle) -> Result<Vec<RouteMessage>, rtnetlink::Error> {
    let mut all = Vec::new();
    for family in of_all_families() {
        let mut read = netlink.route().get(family).execute();
        while let Some(route) = read.try_next().await? {
            all.push(route);
        }
    }
    Ok(all)
}
