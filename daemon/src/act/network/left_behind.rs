//! The tunnel's interface of a start before, under a name that is configured no more.
//!
//! A planned restart keeps it for the next process, which looks for its own by name. Under another name
//! its address would be one that this machine has outside. Promises: what a process holds, what carries
//! no mark of a gateway, and what has no tunnel address of this one, is another's and stays.

use std::collections::BTreeMap;

use anyhow::Context as _;
use ipnet::IpNet;
use rtnetlink::Handle;
use zonemesh_config::Config;

use crate::facts::kernel::{FoundLink, marked_links};

/// Takes it away. That it cannot be stops no start: what is in the way of one is told by that.
pub(crate) async fn clear(config: &Config) {
    let cleared = match rtnetlink::new_connection() {
        Ok((connection, netlink, _)) => tokio::select! {
            cleared = clear_links(&netlink, config) => cleared,
            () = connection => Err(anyhow::anyhow!("the netlink socket has ended")),
        },
        Err(error) => Err(error.into()),
    };
    if let Err(error) = cleared {
        let error = format!("{error:#}");
        tracing::warn!(error, "an interface of an earlier start may be left");
    }
}

async fn clear_links(netlink: &Handle, config: &Config) -> anyhow::Result<()> {
    for (name, index) in left_behind(marked_links(netlink).await?, config) {
        let removed = netlink.link().del(index).execute().await;
        removed.with_context(|| format!("cannot remove the interface {name}"))?;
        let interface = &config.tunnel.interface;
        tracing::info!("removed {name}: this gateway's interface is {interface} from now on");
    }
    Ok(())
}

/// Those of `marked` that are this gateway's own of before.
fn left_behind(marked: BTreeMap<String, FoundLink>, config: &Config) -> Vec<(String, u32)> {
    let tunnel = &config.tunnel;
    let own: Vec<_> = tunnel.addresses.iter().copied().map(IpNet::from).collect();
    let is_left = |name: &String, link: &FoundLink| {
        let has_ours = own.iter().any(|net| link.addresses.contains(net));
        *name != tunnel.interface && link.is_marked && !link.is_held && has_ours
    };
    let left = marked.into_iter().filter(|(name, link)| is_left(name, link));
    left.map(|(name, link)| (name, link.index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_this_gateways_own_is_left_behind() {
        let text = "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.10.0/24\"]\n\
            [tunnel]\ninterface = \"zm1\"\naddresses = [\"10.255.0.1\"]\n";
        let config = Config::parse(text, "zm.toml").unwrap();
        let own = FoundLink {
            index: 7,
            is_marked: true,
            is_held: false,
            addresses: ["10.255.0.1/32".parse().unwrap()].into(),
        };
        let left =
            |name: &str, link: FoundLink| left_behind([(name.to_owned(), link)].into(), &config);
        assert_eq!(left("zm0", own.clone()), [("zm0".to_owned(), 7)]);
        assert!(left("zm1", own.clone()).is_empty(), "it is taken over");
        assert!(left("zm0", FoundLink { is_held: true, ..own.clone() }).is_empty());
        assert!(left("zm0", FoundLink { is_marked: false, ..own.clone() }).is_empty());
        let addresses = ["10.255.0.2/32".parse().unwrap()].into();
        assert!(left("zm0", FoundLink { addresses, ..own }).is_empty(), "another gateway's");
    }
}
