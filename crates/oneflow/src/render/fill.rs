//! The changes to a template's tree, and what is missing for them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use zonemesh_context::{Appliance, Image};
use zonemesh_core::token::VmRole;

use super::gateway::{self, ToldGateway};
use super::inputs::{self, InputsLeft, KnownRole};
use super::zone_folder::{ContextLine, ZoneFolder};
use super::{InputGiven, PlaceholderValue, RenderLack, RenderValues};
use crate::appliance;
use crate::check::role_keys::{KeyProblem, RoleKeys};
use crate::given::ZoneGiven;
use crate::grammar::placeholder;
use crate::json::{JsonNode, JsonValue, NOWHERE};

const FEDERATION: &str = "ONEAPP_ZONEMESH_FEDERATION";

/// What has become of the inputs.
#[derive(Default)]
pub(super) struct Filled {
    pub(super) is_secret: bool,
    pub(super) asked: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Fills a template, or says all that is missing.
pub(super) fn fill(node: &mut JsonNode, values: &RenderValues) -> Result<Filled, Vec<RenderLack>> {
    let mut lacks = Vec::new();
    let mut filled = Filled::default();
    let given = values.zone.as_ref().and_then(ZoneFolder::given);
    let mut told = Vec::new();
    let known: Vec<KnownRole> = roles(node).iter().map(KnownRole::of).collect();
    lacks.extend(inputs::refused(&known, &values.inputs));
    for role in roles(node) {
        let of_zone = values.zone.as_ref().zip(image_of(role));
        let mut left = match of_zone {
            None => InputsLeft::Asked,
            Some(_) => InputsLeft::Settled,
        };
        give(role, &values.inputs);
        let without_mesh =
            image_of(role).is_some_and(|image| appliance::is_without_mesh(role, image));
        if without_mesh {
            ask_nothing_of_a_mesh(role, of_zone.map(|(zone, _)| zone), values);
        } else if let Some((zone, image)) = of_zone {
            let lines = zone.lines(image, values.federation.as_deref());
            let lines = lines.unwrap_or_else(|missing| {
                lacks.extend(missing);
                left = InputsLeft::Unknown;
                Vec::new()
            });
            filled.notes.extend(given.iter().flat_map(|given| refused(given, image, &lines)));
            for line in &lines {
                let twice = inputs::given_otherwise(&name_of(role), line, &values.inputs);
                lacks.extend(twice.or_else(|| held_otherwise(role, line)));
                set_value(role, &line.key, &line.value);
            }
            filled.is_secret = true;
        }
        give(role, &values.inputs);
        told.extend(told_gateway(role));
        inputs::settle(role, left, &mut filled, &mut lacks);
    }
    lacks.extend(of_peers(node));
    let mut placeholders = values.placeholders.clone();
    gateway::agree(&mut placeholders, &told, given.as_ref(), &mut lacks);
    fill_placeholders(node, &placeholders, &mut lacks);
    if let Some(zone) = &values.zone {
        name_networks(node);
        let name = node
            .get("name")
            .and_then(JsonNode::as_text)
            .map(|name| format!("{name} {}", zone.zone));
        if let Some(name) = name {
            node.put("name", JsonNode::text(name));
        }
    }
    // A template that was rendered before has them already.
    filled.is_secret |= roles(node).iter().any(holds_secret);
    let mut told = BTreeSet::new();
    lacks.retain(|lack| told.insert((lack.what.clone(), lack.give.clone())));
    if lacks.is_empty() { Ok(filled) } else { Err(lacks) }
}

/// What is wrong with plain WireGuard peers.
fn of_peers(node: &JsonNode) -> Vec<RenderLack> {
    let roles = node.get("roles").map(JsonNode::items).unwrap_or_default();
    let gateways = roles.iter().filter(|role| image_of(role).is_some_and(Image::has_gateway));
    let problems = gateways.flat_map(|role| {
        let of_role = move |KeyProblem { problem, fix, .. }| RenderLack {
            what: format!("role {}: {problem}", name_of(role)),
            give: fix,
        };
        RoleKeys::of(node, role).of_peer().into_iter().map(of_role)
    });
    problems.collect()
}

/// What VMs of this role are refused for.
fn refused(given: &ZoneGiven, image: Image, lines: &[ContextLine]) -> Vec<String> {
    let named = lines.iter().find(|line| line.key == FEDERATION);
    let Some(federation) = named.and_then(|line| line.value.parse().ok()) else {
        return Vec::new();
    };
    let roles = image.appliances().iter().filter_map(|appliance| match appliance {
        Appliance::Gateway => None,
        Appliance::SuperLink => Some(VmRole::SuperLink),
        Appliance::SuperNode => Some(VmRole::SuperNode),
    });
    roles.filter_map(|role| given.lacks_right(role, &federation)).collect()
}

/// What was rendered for one zone is not rendered once more for another.
fn held_otherwise(role: &JsonNode, line: &ContextLine) -> Option<RenderLack> {
    let held = role.get("user_inputs_values")?.get(&line.key)?.as_text()?;
    (!held.is_empty() && *held != **line.value).then(|| RenderLack {
        what: format!(
            "role {} has another {} already, as of another zone",
            name_of(role),
            line.key
        ),
        give: "the template, and not what was rendered of it".to_owned(),
    })
}

/// The address that the VMs of a role call, with the role.
fn told_gateway(role: &JsonNode) -> Option<ToldGateway> {
    let value = role.get("user_inputs_values")?.get(gateway::KEY)?.as_text()?;
    Some(ToldGateway { role: name_of(role), ip: gateway::ip_of(value)? })
}

fn holds_secret(role: &JsonNode) -> bool {
    let given = role.get("user_inputs_values").map(JsonNode::members).unwrap_or_default();
    given.iter().any(|member| {
        appliance::is_secret(&member.key)
            && member.node.as_text().is_some_and(|value| !value.is_empty())
    })
}

fn roles(node: &mut JsonNode) -> &mut [JsonNode] {
    node.get_mut("roles").map(JsonNode::items_mut).unwrap_or_default()
}

pub(super) fn name_of(role: &JsonNode) -> String {
    role.get("name").and_then(JsonNode::as_text).unwrap_or_default().to_owned()
}

pub(super) fn keys_of(role: &JsonNode) -> Vec<String> {
    let inputs = ["user_inputs", "user_inputs_values"].iter().filter_map(|key| role.get(key));
    inputs.flat_map(JsonNode::members).map(|member| member.key.clone()).collect()
}

pub(super) fn image_of(role: &JsonNode) -> Option<Image> {
    appliance::of_role(&name_of(role), keys_of(role).iter().map(String::as_str))
}

/// The value that an input has from now on: nobody is asked for it any more.
pub(super) fn set_value(role: &mut JsonNode, key: &str, value: &str) {
    if role.get("user_inputs_values").is_none() {
        role.put(
            "user_inputs_values",
            JsonNode { at: NOWHERE, value: JsonValue::Object(Vec::new()) },
        );
    }
    if let Some(values) = role.get_mut("user_inputs_values") {
        values.put(key, JsonNode::text(value));
    }
    if let Some(inputs) = role.get_mut("user_inputs") {
        inputs.remove(key);
    }
}

/// A SuperNode that finds its SuperLink by itself: nothing of a gateway, and the federation's name where
/// the zone's folder has one.
fn ask_nothing_of_a_mesh(role: &mut JsonNode, zone: Option<&ZoneFolder>, values: &RenderValues) {
    if let Some(inputs) = role.get_mut("user_inputs") {
        appliance::OF_MESH.iter().for_each(|key| inputs.remove(key));
    }
    let lines =
        zone.map(|zone| zone.lines(Image::One(Appliance::SuperNode), values.federation.as_deref()));
    let lines = lines.and_then(Result::ok).unwrap_or_default();
    let federation = lines.iter().find(|line| line.key == FEDERATION);
    if let Some(line) = federation.filter(|_| keys_of(role).iter().any(|key| key == FEDERATION)) {
        set_value(role, &line.key, &line.value);
    }
}

fn give(role: &mut JsonNode, inputs: &[InputGiven]) {
    let name = name_of(role);
    let own = inputs.iter().filter(|given| given.role == name);
    own.filter(|given| !appliance::is_secret(&given.key))
        .for_each(|given| set_value(role, &given.key, &given.value));
}

fn fill_placeholders(node: &mut JsonNode, given: &[PlaceholderValue], lacks: &mut Vec<RenderLack>) {
    let mut names = BTreeSet::new();
    node.for_each_text(&mut |text| {
        let found = text.as_text().map(placeholder::names).unwrap_or_default();
        names.extend(found.into_iter().map(str::to_owned));
    });
    let given_names: BTreeSet<&str> = given.iter().map(|given| given.name.as_str()).collect();
    for name in names.iter().filter(|name| !given_names.contains(name.as_str())) {
        lacks.push(RenderLack { what: format!("no value for @{name}@"), give: way_to_give(name) });
    }
    for (index, PlaceholderValue { name, value }) in given.iter().enumerate() {
        if given[..index].iter().any(|other| other.name == *name) {
            let what = format!("@{name}@ is given twice");
            lacks.push(RenderLack { what, give: "one of them".to_owned() });
            continue;
        }
        let of_folder = name == gateway::PLACEHOLDER && !names.contains(name);
        if !names.contains(name) && !of_folder {
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            let give = if known.is_empty() {
                "nothing: it has none".to_owned()
            } else {
                format!("one of: {}", known.join(", "))
            };
            lacks.push(RenderLack { what: format!("the template has no @{name}@"), give });
            continue;
        }
        if !fits(name, value) {
            let (what, give) = misfit(name, value);
            lacks.push(RenderLack { what, give });
            continue;
        }
        node.for_each_text(&mut |text| put_value(text, name, value));
    }
}

/// An ID is a number, wherever it stands.
fn fits(name: &str, value: &str) -> bool {
    match name.ends_with("_ip") {
        true => value.parse::<IpAddr>().is_ok(),
        false => value.bytes().all(|byte| byte.is_ascii_digit()) && value.parse::<u32>().is_ok(),
    }
}

/// A name where OneFlow takes the number alone; or something that is neither.
fn misfit(name: &str, value: &str) -> (String, String) {
    let is_name = !name.ends_with("_ip") && value.chars().any(char::is_alphabetic);
    if !is_name {
        return (format!("{name}={value:?}"), way_to_give(name));
    }
    let show = if name.ends_with("_network") { "onevnet show" } else { "onetemplate show" };
    let quoted = value.replace('\'', "'\\''");
    (
        format!("{name}={value:?} is a name, and OneFlow takes the number alone"),
        format!("--set {name}=ID, as `{show} '{quoted}'` says it"),
    )
}

fn way_to_give(name: &str) -> String {
    match name {
        gateway::PLACEHOLDER => format!(
            "--set {name}=ADDRESS: the gateway's address in the zone's network, through which its VMs route"
        ),
        _ if name.ends_with("_ip") => format!("--set {name}=ADDRESS"),
        _ if name.ends_with("_network") => format!("--set {name}=ID, a number of `onevnet list`"),
        _ => format!("--set {name}=ID, a number of `onetemplate list`"),
    }
}

fn put_value(node: &mut JsonNode, name: &str, value: &str) {
    let Some(text) = node.as_text() else { return };
    // A template's ID is a number without quotes; a network's stands inside a text.
    let number = value.parse::<u32>().ok().filter(|_| placeholder::whole(text) == Some(name));
    node.value = match number {
        Some(number) => JsonValue::Number(number.into()),
        None => JsonNode::text(placeholder::filled(text, name, value)).value,
    };
}

/// Puts the networks' IDs into the NICs: whoever instantiates would be asked for each of them.
fn name_networks(node: &mut JsonNode) {
    let networks = node.get("networks").map(JsonNode::members).unwrap_or_default();
    let ids: Vec<(String, Option<String>)> = networks
        .iter()
        .map(|member| {
            let default = member.node.as_text().and_then(|text| text.split('|').nth(4));
            let id = default.and_then(|default| default.trim().strip_prefix("id:"));
            (format!("${}", member.key), id.map(str::to_owned))
        })
        .collect();
    let known = |name: &str| ids.iter().find(|(network, _)| network == name)?.1.clone();
    if ids.iter().any(|(_, id)| id.is_none()) {
        return;
    }
    for role in roles(node) {
        let nics = role.get_mut("template_contents").and_then(|contents| contents.get_mut("NIC"));
        for nic in nics.map(JsonNode::items_mut).unwrap_or_default() {
            let id = nic.get("NETWORK_ID").and_then(JsonNode::as_text).and_then(known);
            if let Some(id) = id {
                nic.put("NETWORK_ID", JsonNode::text(id));
            }
        }
    }
    node.remove("networks");
}
