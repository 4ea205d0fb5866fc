//! `networks` of the service, and the NICs that name them.

use std::net::IpAddr;

use super::fields;
use super::role_keys::is_reference;
use crate::json::JsonValue;
use crate::mistake::{Spot, TemplateMistakes, TemplateRule};

/// How a network comes to be.
const KINDS: [&str; 3] = ["id", "template_id", "reserve_from"];

pub(super) fn check(body: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    if let Some(networks) = fields::object(body, "networks", mistakes) {
        for (_name, network) in networks.members() {
            if !fields::is_unfilled(&network)
                && let Some(found) = network_mistake(&network)
            {
                mistakes.add(TemplateRule::Network, &network, found);
            }
        }
    }
    if let Some(values) = fields::list(body, "networks_values", mistakes) {
        values.items().for_each(|value| {
            fields::is_object(&value, mistakes);
        });
    }
}

/// What is wrong with a network. OneFlow takes the fifth field where nobody is asked, so it must be
/// there.
fn network_mistake(network: &Spot<'_>) -> Option<String> {
    let Some(text) = network.node.as_text() else {
        return Some(network.node.kind().to_owned());
    };
    let fields: Vec<&str> = text.split('|').map(str::trim).collect();
    let [first, kind, description, _options, default] = fields.as_slice() else {
        return Some(format!("{} fields between |, and not 5", fields.len()));
    };
    if !matches!(*first, "M" | "O") {
        return Some(format!("it begins with {first:?}, and neither with M nor with O"));
    }
    if *kind != "network" {
        return Some(format!("type {kind:?}, and not network"));
    }
    if description.is_empty() {
        return Some("no description".to_owned());
    }
    let mut parts = default.splitn(3, ':');
    let known = parts.next().is_some_and(|kind| KINDS.contains(&kind));
    let numbered = parts.next().is_some_and(is_id);
    (!known || !numbered).then(|| format!("the default {default:?}, and no id:N"))
}

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.parse::<u32>().is_ok()
        && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The NICs of a role.
pub(super) fn nics(body: &Spot<'_>, contents: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    let Some(nics) = contents.get("NIC") else { return };
    let all: Vec<_> = match nics.node.value {
        JsonValue::List(_) => nics.items().collect(),
        _ => vec![nics],
    };
    for nic in all.iter().filter(|nic| !fields::is_unfilled(nic)) {
        if fields::is_object(nic, mistakes) {
            check_nic(body, nic, mistakes);
        }
    }
}

/// An address of the wrong form is refused only when the VM is to be made.
fn check_addresses(nic: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    for spot in ["IP", "IP6"].iter().filter_map(|key| nic.get(key)) {
        let text = spot.node.as_given();
        let is_one = text.as_ref().is_some_and(|text| {
            is_reference(text) || text.is_empty() || text.parse::<IpAddr>().is_ok()
        });
        if !is_one && !fields::is_unfilled(&spot) {
            let kind = || spot.node.kind().to_owned();
            let found = text.map_or_else(kind, |text| format!("{text:?}, and no IP address"));
            let fix = "write an address of the network, or take the key out";
            mistakes.add_with_fix(TemplateRule::Nic, &spot, found, fix);
        }
    }
}

fn check_nic(body: &Spot<'_>, nic: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    check_addresses(nic, mistakes);
    let Some(id) = nic.get("NETWORK_ID") else {
        // A network's name, or the scheduler's choice, is OpenNebula's business.
        if ["NETWORK", "NETWORK_MODE", "NETWORK_UNAME"].iter().all(|key| nic.get(key).is_none()) {
            mistakes.add(TemplateRule::Nic, nic, "neither NETWORK_ID nor NETWORK");
        }
        return;
    };
    let networks = body.get("networks");
    let is_known = |name: &str| networks.as_ref().is_some_and(|all| all.node.get(name).is_some());
    let found = match id.node.as_text() {
        Some(text) if fields::is_unfilled(&id) || is_id(text) => return,
        Some(text) => match text.strip_prefix('$') {
            Some(name) if is_known(name) => return,
            Some(name) => format!("{name:?}, of which \"networks\" knows nothing"),
            None => format!("{text:?}"),
        },
        None if id.node.as_whole().is_some_and(|number| number >= 0) => return,
        None => id.node.kind().to_owned(),
    };
    mistakes.add(TemplateRule::Nic, &id, found);
}
