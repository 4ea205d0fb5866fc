//! A policy rule of the kernel in the words of `zonemesh_core::kernel`, and the other way round.
//!
//! Rules that lead to a table of the gateway's are its own, whoever has set them; no other is looked at.

use rtnetlink::packet_route::route::RouteProtocol;
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::packet_route::{AddressFamily, IpProtocol};
use zonemesh_core::kernel::{ASIDE_TABLE, MARK, PROTOCOL, PolicyRule, RuleSelector, TABLE};

/// The rule, if it leads to a table of the gateway's.
pub(crate) fn read(message: &RuleMessage) -> Option<PolicyRule> {
    let is_v4 = match message.header.family {
        AddressFamily::Inet => true,
        AddressFamily::Inet6 => false,
        _ => return None,
    };
    let table = message.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Table(table) => Some(*table),
        _ => None,
    });
    let table = table.unwrap_or(u32::from(message.header.table));
    if table != TABLE && table != ASIDE_TABLE {
        return None;
    }
    let selectors = [RuleSelector::Unmarked, RuleSelector::NotLocalUdp];
    let mut own = selectors.map(|selects| PolicyRule { is_v4, selects }).into_iter();
    let words = || RuleSelector::Other(format!("lookup {table}, as others have it: {message:?}"));
    let found = own.find(|rule| is_same(&to_message(rule), message));
    Some(found.unwrap_or_else(|| PolicyRule { is_v4, selects: words() }))
}

/// The message that adds one of the gateway's own rules.
pub(crate) fn to_message(rule: &PolicyRule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let family = if rule.is_v4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.family = family;
    message.header.action = RuleAction::ToTable;
    message.header.flags = RuleFlags::Invert;
    message.attributes = match rule.selects {
        // It asks for the protocol and no mark, so that a strict reverse path filter, which looks in
        // the other direction, finds the same.
        RuleSelector::NotLocalUdp => vec![
            RuleAttribute::Iifname("lo".to_owned()),
            RuleAttribute::IpProtocol(IpProtocol::Udp),
        ],
        RuleSelector::Unmarked | RuleSelector::Other(_) => {
            vec![RuleAttribute::FwMark(MARK), RuleAttribute::FwMask(u32::MAX)]
        }
    };
    message.attributes.extend([
        RuleAttribute::Priority(rule.table()),
        RuleAttribute::Table(rule.table()),
        RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
    ]);
    message
}

/// True if `seen` asks for the same; the kernel says more of a rule than it is told.
fn is_same(own: &RuleMessage, seen: &RuleMessage) -> bool {
    let asks = |attribute: &&RuleAttribute| {
        !matches!(
            attribute,
            RuleAttribute::SuppressPrefixLen(u32::MAX)
                | RuleAttribute::SuppressIfGroup(u32::MAX)
                | RuleAttribute::Other(_)
        )
    };
    let seen_attributes: Vec<_> = seen.attributes.iter().filter(asks).collect();
    own.header.action == seen.header.action
        && seen.header.flags.contains(RuleFlags::Invert)
        && [seen.header.src_len, seen.header.dst_len, seen.header.tos] == [0; 3]
        && seen_attributes.len() == own.attributes.len()
        && own.attributes.iter().all(|attribute| seen_attributes.contains(&attribute))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_rules_are_known_again_and_no_other_is() {
        for selects in [RuleSelector::Unmarked, RuleSelector::NotLocalUdp] {
            for is_v4 in [true, false] {
                let rule = PolicyRule { is_v4, selects: selects.clone() };
                let mut message = to_message(&rule);
                message.attributes.push(RuleAttribute::SuppressPrefixLen(u32::MAX));
                assert_eq!(read(&message), Some(rule));
                message.header.flags = RuleFlags::empty();
                let other = read(&message).map(|rule| rule.selects);
                assert!(matches!(other, Some(RuleSelector::Other(_))), "{other:?}");
            }
        }
        let mut foreign = to_message(&PolicyRule { is_v4: true, selects: RuleSelector::Unmarked });
        foreign.attributes.retain(|attribute| !matches!(attribute, RuleAttribute::Table(_)));
        assert_eq!(read(&foreign), None);
    }
}
