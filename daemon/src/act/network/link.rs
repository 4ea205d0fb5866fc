//! The tunnel's interface: its name, mark, MTU, addresses, and that it is up.

use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::{Handle, LinkUnspec};
use zonemesh_core::kernel::LINK_ALIAS;
use zonemesh_netlink::answers;

/// EBUSY: before Linux 6.2 only a link that is down changes its name.
const BUSY: i32 = -16;
/// EADDRNOTAVAIL: there is no such address.
const NO_ADDRESS: i32 = -99;

/// Gives the interface its name back.
pub(super) async fn rename(netlink: &Handle, index: u32, name: &str) -> anyhow::Result<()> {
    let what = || format!("cannot call the tunnel's interface {name} again");
    let renamed = LinkUnspec::new_with_index(index).name(name).build();
    match set(netlink, renamed.clone()).await {
        Err(error) if answers(&error, BUSY) => {}
        set => return set.with_context(what),
    }
    let down = LinkUnspec::new_with_index(index).down().build();
    set(netlink, down).await.with_context(what)?;
    set(netlink, renamed).await.with_context(what)?;
    bring_up(netlink, index).await
}

/// Marks the interface as a gateway's.
pub(super) async fn mark(netlink: &Handle, index: u32) -> anyhow::Result<()> {
    let marked = LinkUnspec::new_with_index(index).alias(LINK_ALIAS).build();
    set(netlink, marked).await.context("cannot mark the tunnel's interface")
}

/// Sets the MTU.
pub(super) async fn set_mtu(netlink: &Handle, index: u32, mtu: u32) -> anyhow::Result<()> {
    let link = LinkUnspec::new_with_index(index).mtu(mtu).build();
    set(netlink, link).await.context("cannot set the MTU of the tunnel")
}

/// Brings the interface up.
pub(super) async fn bring_up(netlink: &Handle, index: u32) -> anyhow::Result<()> {
    let link = LinkUnspec::new_with_index(index).up().build();
    set(netlink, link).await.context("cannot bring the tunnel's interface up")
}

/// Adds a tunnel address. One that is there without its route in the table `local` is made anew.
pub(super) async fn add_address(netlink: &Handle, index: u32, net: IpNet) -> anyhow::Result<()> {
    remove_address(netlink, index, net).await?;
    let add = netlink.address().add(index, net.addr(), net.prefix_len()).replace();
    add.execute().await.with_context(|| format!("cannot set the tunnel address {net}"))
}

/// Removes an address that is none of the tunnel's.
pub(super) async fn remove_address(netlink: &Handle, index: u32, net: IpNet) -> anyhow::Result<()> {
    let mut all = netlink.address().get().set_link_index_filter(index).execute();
    while let Some(message) = all.try_next().await.context("cannot list the addresses")? {
        let is_meant = |attribute: &AddressAttribute| match attribute {
            AddressAttribute::Local(ip) | AddressAttribute::Address(ip) => *ip == net.addr(),
            _ => false,
        };
        let is_here =
            message.header.index == index && message.header.prefix_len == net.prefix_len();
        if !is_here || !message.attributes.iter().any(is_meant) {
            continue;
        }
        match netlink.address().del(message).execute().await {
            // Somebody else has removed it.
            Err(error) if answers(&error, NO_ADDRESS) => {}
            removed => removed.with_context(|| format!("cannot remove the address {net}"))?,
        }
    }
    Ok(())
}

async fn set(netlink: &Handle, link: LinkMessage) -> Result<(), rtnetlink::Error> {
    netlink.link().set(link).execute().await
}
