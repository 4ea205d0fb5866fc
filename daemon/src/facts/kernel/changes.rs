//! News from the kernel: something about links, addresses, routes, rules or packet filters has changed.
//!
//! Says only that there is something new; what, the next look finds. News that come faster than they
//! are read are one. Without news (no such socket) the looks of every few seconds remain.

use std::sync::Arc;
use std::time::Duration;

use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, TokioSocket};
use tokio::sync::watch;
use zonemesh_netlink::news_of_routing;

/// NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h.
const NFTABLES: u32 = 7;

/// How long nobody listens after an error, so that one that lasts costs nothing.
const PAUSE: Duration = Duration::from_millis(200);

/// Tells `news` of each change until it is dropped.
pub(crate) async fn run(news: Arc<watch::Sender<u64>>) -> anyhow::Result<()> {
    tokio::join!(news_of_routing(&news), of_filters(&news));
    Ok(())
}

async fn of_filters(news: &watch::Sender<u64>) {
    let opened = TokioSocket::new(NETLINK_NETFILTER).and_then(|mut socket| {
        socket.socket_mut().bind_auto()?;
        socket.socket_mut().add_membership(NFTABLES)?;
        Ok(socket)
    });
    let socket = match opened {
        Ok(socket) => socket,
        Err(error) => {
            tracing::warn!(%error, "no news of packet filters: they are looked at now and then");
            return std::future::pending().await;
        }
    };
    loop {
        // Also when news were lost (ENOBUFS).
        if let Err(error) = socket.recv_from_full().await {
            tracing::debug!(%error, "news of packet filters were lost");
            tokio::time::sleep(PAUSE).await;
        }
        news.send_modify(|count| *count = count.wrapping_add(1));
    }
}
