//! News of links, addresses, routes and rules.

use futures_util::StreamExt as _;
use rtnetlink::MulticastGroup;
use tokio::sync::watch;

const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// Counts each change in `news` until it is dropped. Says only that there is something new; what,
/// the next look finds. Without such a socket it says so once and no more.
pub async fn news_of_routing(news: &watch::Sender<u64>) {
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
