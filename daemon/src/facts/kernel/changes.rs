//! News from the kernel: something about links, addresses, routes, rules or packet filters has changed.
//!
//! Says only that there is something new; what, the next look finds. News that come faster than they
//! are read are one. Without news (no such socket) the looks of every few seconds remain.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{AsyncSocket as _, AsyncSocketExt as _, TokioSocket};
use rtnetlink::MulticastGroup;
use tokio::sync::watch;

/// NFNLGRP_NFTABLES of linux/netfilter/nfnetlink.h.
const NFTABLES: u32 = 7;

/// How long nobody listens after an error, so that one that lasts costs nothing.
const PAUSE: Duration = Duration::from_millis(200);

const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// Tells `news` of each change until it is dropped.
pub(crate) async fn run(news: Arc<watch::Sender<u64>>) -> anyhow::Result<()> {
    tokio::join!(of_routing(&news), of_filters(&news));
    Ok(())
}

async fn of_routing(news: &watch::Sender<u64>) {
    let (connection, _handle, mut messages) = match rtnetlink::new_multicast_connection(&GROUPS) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(%error, "no news of routes and links: they are looked at now and then");
            return std::future::pending().await;
        }
    };
    let listen = async {
        while messages.next().await.is_some() {
            news.send_modify(|count| *count = count.wrapping_add(1));
        }
    };
    tokio::join!(connection, listen);
    std::future::pending().await
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
