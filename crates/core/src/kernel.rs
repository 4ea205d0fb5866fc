//! What a gateway has in its machine's kernel, and what else stands there that concerns it.
//!
//! A vocabulary: who reads the kernel says what there is in these words, who plans says in the same
//! what should be, and who acts is told the changes between the two. Promises that each change can be
//! told as an event: kind, object, before, after. Decides nothing and knows no netlink.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// The routing table of the gateway's own, and the place of its rule: before `main`.
pub const TABLE: u32 = 9091;
/// The table of addresses that the tunnels' own datagrams go around, and the place of its rule.
pub const ASIDE_TABLE: u32 = 9090;
/// The routing protocol of all routes and rules of the gateway: no daemon of rt_protos has it.
pub const PROTOCOL: u8 = 90;
/// The routing protocol of the routes that a companion sets in its VM: of the same kind.
pub const VM_PROTOCOL: u8 = 91;
/// Their metric: an administrator's route to the same prefix wins.
pub const VM_METRIC: u32 = 9091;
/// The mark of the tunnels' own datagrams, which the gateway's routes do not concern.
pub const MARK: u32 = 0x7a6d;
/// The alias of the tunnel's interface: a gateway takes over no other.
pub const LINK_ALIAS: &str = "zonemesh gateway";

/// The metric of a local network: it wins for itself.
pub const LOCAL_METRIC: u32 = 512;
/// The metric of a route into the tunnel.
pub const TUNNEL_METRIC: u32 = 1024;
/// The metric of a route of last resort: worse than any that an administrator sets.
pub const LAST_METRIC: u32 = 4_278_198_272;
/// The same of what is barred because the configuration file says so, and no longer than it does.
pub const WRITTEN_METRIC: u32 = LAST_METRIC - 1;

/// Where a route stands: the kernel has one at most in each place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteSlot {
    /// The routing table.
    pub table: u32,
    /// Where it leads to.
    pub prefix: IpNet,
    /// The lower, the sooner it is taken.
    pub metric: u32,
}

/// Where packets go that take a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteWay {
    /// Into the tunnel, with this MTU, or that of the interface.
    Tunnel {
        /// In bytes.
        mtu: Option<u16>,
    },
    /// Nowhere: the sender is told.
    Unreachable,
    /// To a local network.
    Local {
        /// The interface's index.
        index: u32,
        /// What this machine sends from.
        source: Option<IpAddr>,
    },
    /// What no gateway has set there, in words.
    Other(String),
}

/// A policy rule that leads to one of the gateway's tables.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyRule {
    /// Of IPv4, else of IPv6.
    pub is_v4: bool,
    /// Whom it leads there.
    pub selects: RuleSelector,
}

/// Whom a rule leads to a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleSelector {
    /// All but the tunnels' own datagrams, to [`TABLE`].
    Unmarked,
    /// All but UDP of this machine, to [`ASIDE_TABLE`].
    NotLocalUdp,
    /// A rule that no gateway has set, in words.
    Other(String),
}

/// The tunnel's interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TunnelLink {
    /// Its name.
    pub name: String,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// True if it is up.
    pub is_up: bool,
    /// True if it carries [`LINK_ALIAS`].
    pub is_marked: bool,
    /// Its addresses, those of scope link left out.
    pub addresses: BTreeSet<IpNet>,
    /// Those for which the kernel takes no packets: their routes in the table `local` are gone.
    pub unheard: BTreeSet<IpNet>,
}

/// A network that this machine is part of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalNetwork {
    /// Its addresses.
    pub net: IpNet,
    /// The interface at which it is.
    pub interface: String,
    /// The interface's index.
    pub index: u32,
    /// What this machine sends from.
    pub source: Option<IpAddr>,
}

/// The packet filter that lets nothing for another zone leave but through the tunnel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// The tunnel's interface.
    pub interface: String,
    /// What belongs to other zones, without overlaps.
    pub zones: Vec<IpNet>,
    /// Networks at local interfaces that lie in these, by interface.
    pub local: BTreeSet<GuardException>,
}

/// What may leave by another interface than the tunnel's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuardException {
    /// By this interface alone.
    pub interface: String,
    /// To these addresses.
    pub net: IpNet,
}

/// What the kernel has of the guard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum GuardState {
    /// There can be none, and why.
    Unusable(String),
    /// There is none.
    #[default]
    Absent,
    /// There is one that this process has not set, or that somebody has changed since.
    Altered,
    /// There is this one.
    Set(Guard),
}

/// Whether the kernel has IPv6 for an interface.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ipv6State {
    /// It has.
    #[default]
    On,
    /// It is switched off: the interface takes no address and no route.
    Off,
    /// The kernel knows nothing of it.
    Absent,
}

/// What the kernel has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelState {
    /// Whether the tunnel's interface can have IPv6.
    pub ipv6: Ipv6State,
    /// The tunnel's interface, if it is there.
    pub link: Option<TunnelLink>,
    /// The routes in the gateway's tables.
    pub routes: BTreeMap<RouteSlot, RouteWay>,
    /// The rules that lead to the gateway's tables.
    pub rules: BTreeSet<PolicyRule>,
    /// The packet filter.
    pub guard: GuardState,
    /// Local networks that lie in other zones'.
    pub local: BTreeSet<LocalNetwork>,
    /// What the table `local`, which comes before all others, keeps here of other zones', in words.
    pub kept: BTreeMap<IpNet, String>,
    /// Routes of others to other zones' prefixes, with where they lead to in words.
    pub foreign: BTreeMap<IpNet, String>,
}

/// A change that brings the kernel nearer to what is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelChange {
    /// The tunnel's interface is gone and is made anew.
    MakeLink {
        /// Its name.
        name: String,
    },
    /// It gets its name back.
    RenameLink {
        /// What it is called now.
        from: String,
        /// What it is to be called.
        to: String,
    },
    /// It gets the gateway's mark.
    MarkLink,
    /// It gets its MTU.
    LinkMtu {
        /// What it has.
        from: u32,
        /// What it gets.
        to: u32,
    },
    /// It is brought up.
    LinkUp,
    /// It gets an address.
    AddAddress(IpNet),
    /// It loses an address that is not its own.
    RemoveAddress(IpNet),
    /// A route is set, in the place of another one perhaps.
    SetRoute {
        /// Where it stands.
        slot: RouteSlot,
        /// What stood there.
        from: Option<RouteWay>,
        /// Where it leads to.
        to: RouteWay,
    },
    /// A route is removed.
    RemoveRoute {
        /// Where it stands.
        slot: RouteSlot,
        /// Where it leads to.
        way: RouteWay,
    },
    /// A rule is added.
    AddRule(PolicyRule),
    /// A rule is removed.
    RemoveRule(PolicyRule),
    /// The packet filter is replaced as a whole.
    SetGuard {
        /// What was there, in words.
        from: &'static str,
        /// What it is to be.
        to: Guard,
    },
}

/// A change in words: what was it that somebody else had changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeInWords {
    /// `link`, `address`, `mtu`, `route`, `rule` or `guard`.
    pub kind: &'static str,
    /// Which of these.
    pub object: String,
    /// As it was found.
    pub before: String,
    /// As it is now.
    pub after: String,
}

impl KernelChange {
    /// The change in words.
    #[must_use]
    pub fn in_words(&self) -> ChangeInWords {
        let none = || "none".to_owned();
        let say = |kind, object: String, before: String, after: String| ChangeInWords {
            kind,
            object,
            before,
            after,
        };
        let own = || "the tunnel's".to_owned();
        match self {
            Self::MakeLink { name } => say("link", name.clone(), "gone".into(), "there".into()),
            Self::RenameLink { from, to } => say("link", own(), from.clone(), to.clone()),
            Self::MarkLink => say("link", own(), "not marked".into(), LINK_ALIAS.into()),
            Self::LinkMtu { from, to } => say("mtu", own(), from.to_string(), to.to_string()),
            Self::LinkUp => say("link", own(), "down".into(), "up".into()),
            Self::AddAddress(net) => say("address", net.to_string(), none(), "there".into()),
            Self::RemoveAddress(net) => say("address", net.to_string(), "there".into(), none()),
            Self::SetRoute { slot, from, to } => {
                let before = from.as_ref().map_or_else(none, ToString::to_string);
                say("route", slot.to_string(), before, to.to_string())
            }
            Self::RemoveRoute { slot, way } => {
                say("route", slot.to_string(), way.to_string(), none())
            }
            Self::AddRule(rule) => say("rule", rule.to_string(), none(), "there".into()),
            Self::RemoveRule(rule) => say("rule", rule.to_string(), "there".into(), none()),
            Self::SetGuard { from, to } => {
                say("guard", "table inet zonemesh".into(), (*from).to_owned(), to.to_string())
            }
        }
    }
}

impl fmt::Display for KernelChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ChangeInWords { kind, object, before, after } = self.in_words();
        write!(f, "{kind} {object}: {before} -> {after}")
    }
}

impl fmt::Display for RouteSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} table {} metric {}", self.prefix, self.table, self.metric)
    }
}

impl fmt::Display for RouteWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tunnel { mtu: None } => f.write_str("into the tunnel"),
            Self::Tunnel { mtu: Some(mtu) } => write!(f, "into the tunnel, mtu {mtu}"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Local { index, .. } => write!(f, "to the local network at interface {index}"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl PolicyRule {
    /// The table to which the gateway's own rule leads, and the rule's place.
    #[must_use]
    pub fn table(&self) -> u32 {
        match self.selects {
            RuleSelector::NotLocalUdp => ASIDE_TABLE,
            RuleSelector::Unmarked | RuleSelector::Other(_) => TABLE,
        }
    }
}

impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_v4 { "IPv4 " } else { "IPv6 " })?;
        match &self.selects {
            RuleSelector::Unmarked => write!(f, "not fwmark {MARK:#x} lookup {TABLE}"),
            RuleSelector::NotLocalUdp => write!(f, "not local UDP lookup {ASIDE_TABLE}"),
            RuleSelector::Other(words) => f.write_str(words),
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} networks barred outside of {}", self.zones.len(), self.interface)
    }
}

impl GuardState {
    /// It in a word or two.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unusable(_) => "unusable",
            Self::Absent => "none",
            Self::Altered => "altered",
            Self::Set(_) => "another one",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_as_kind_object_before_and_after() {
        let slot = RouteSlot {
            table: TABLE,
            prefix: "10.10.11.0/24".parse().unwrap(),
            metric: TUNNEL_METRIC,
        };
        let to = RouteWay::Tunnel { mtu: Some(1380) };
        let change = KernelChange::SetRoute { slot, from: None, to };
        let text = "route 10.10.11.0/24 table 9091 metric 1024: none -> into the tunnel, mtu 1380";
        assert_eq!(change.to_string(), text);
        let renamed = KernelChange::RenameLink { from: "eth9".into(), to: "zm0".into() };
        assert_eq!(renamed.to_string(), "link the tunnel's: eth9 -> zm0");
    }
}
