//! One role: its form, its VM template, and which of our images its VMs are made of.

use std::collections::BTreeSet;

use zonemesh_context::{Appliance, Image};

use super::role_keys::{KeyProblem, RoleKeys};
use super::{context, fields, inputs, networks, policies, service, without_mesh};
use crate::appliance::{self, KeyStanding};
use crate::json::JsonValue;
use crate::mistake::{Spot, TemplateMistakes, TemplateRule};

/// `$ROLE_NAME_$VM_NUMBER_(service_$SERVICE_ID)` stays under 60 characters with numbers of six and
/// seven digits: a longer name is cut where it becomes the VM's host name.
const NAME_MAX: usize = 34;

/// What OneFlow reads or writes in a role.
const KEYS: [&str; 18] = [
    "name",
    "type",
    "cardinality",
    "template_id",
    "template_contents",
    "user_inputs",
    "user_inputs_values",
    "parents",
    "shutdown_action",
    "min_vms",
    "max_vms",
    "cooldown",
    "on_hold",
    "elasticity_policies",
    "scheduled_policies",
    "nodes",
    "state",
    "last_vmname",
];

/// Keys of OpenNebula 6.
const OLD: [&str; 4] =
    ["vm_template", "vm_template_contents", "custom_attrs", "custom_attrs_values"];

/// Checks it; true if an appliance of ours runs in it.
pub(super) fn check(
    body: &Spot<'_>,
    role: &Spot<'_>,
    mistakes: &mut TemplateMistakes,
    notes: &mut Vec<String>,
) -> bool {
    for old in OLD.iter().filter_map(|key| role.get(key)) {
        let key = old.path.rsplit('.').next().unwrap_or_default();
        mistakes.add(TemplateRule::OldForm, &old, format!("{key}, of OpenNebula 6"));
    }
    let known: Vec<&str> = KEYS.into_iter().chain(OLD).collect();
    fields::misspelled(role, &known, mistakes);
    template_id(role, mistakes);
    fields::boolean(role, "on_hold", mistakes);
    match kind(role, mistakes) {
        Some("vr") => virtual_router(role, mistakes),
        _ => {
            policies::bounds(role, mistakes);
            policies::elasticity(role, mistakes);
            fields::choice(role, "shutdown_action", &service::SHUTDOWN, mistakes);
        }
    }
    policies::scheduled(role, mistakes);
    inputs::of_role(role, mistakes, notes);
    if let Some(contents) = fields::object(role, "template_contents", mistakes) {
        networks::nics(body, &contents, mistakes);
        context::reaches(&contents, mistakes);
    }
    let Some(image) = image_of(role) else { return false };
    context::check(role, mistakes);
    keys(role, image, mistakes);
    together(body, role, image, mistakes);
    without_mesh::check(role, image, &places(role), mistakes);
    let is_router = role.node.get("type").and_then(|kind| kind.as_text()) == Some("vr");
    if image.has_gateway() && !is_router {
        one_gateway(role, mistakes);
    }
    true
}

/// An invitation is good for one gateway, and its address for one VM.
fn one_gateway(role: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    for spot in ["cardinality", "max_vms"].iter().filter_map(|key| role.get(key)) {
        if spot.node.as_whole().is_some_and(|count| count > 1) {
            let fix = "write 1: an invitation is good for one gateway, and so is its address";
            mistakes.add_with_fix(TemplateRule::Cardinality, &spot, "several gateways", fix);
        }
    }
}

/// The image of a role.
fn image_of(role: &Spot<'_>) -> Option<Image> {
    let name = role.node.get("name").and_then(|name| name.as_text()).unwrap_or_default();
    let places = places(role);
    let keys: Vec<&str> =
        places.iter().flat_map(|place| place.members().map(|(key, _)| key)).collect();
    appliance::of_role(name, keys.into_iter())
}

/// Wherever a key of CONTEXT may stand.
fn places<'n>(role: &Spot<'n>) -> Vec<Spot<'n>> {
    let inputs = ["user_inputs", "user_inputs_values"].iter().filter_map(|key| role.get(key));
    let context = role.get("template_contents").and_then(|contents| contents.get("CONTEXT"));
    inputs.chain(context).collect()
}

/// Compares each key with what the programs of the image read.
fn keys(role: &Spot<'_>, image: Image, mistakes: &mut TemplateMistakes) {
    for (key, spot) in places(role).iter().flat_map(Spot::members) {
        match appliance::standing(image, key) {
            KeyStanding::Well => {}
            KeyStanding::OfAnother(known) => {
                let readers = Appliance::ALL.into_iter().filter(|one| known.readers.has(*one));
                let readers: Vec<_> = readers.map(Appliance::role).collect();
                let secret = known.secret;
                let rule =
                    if secret { TemplateRule::SecretElsewhere } else { TemplateRule::UnknownKey };
                let found =
                    format!("{key}, which {} reads, in a {}", readers.join(" or "), image.role());
                mistakes.add(rule, &spot, found);
            }
            KeyStanding::Refused(reason) => {
                let found = format!("{key}, which is refused: {reason}");
                let fix = "take it out".to_owned();
                mistakes.add_with_fix(TemplateRule::UnknownKey, &spot, found, fix);
            }
            KeyStanding::Unknown(like) => {
                let fix =
                    like.map_or_else(|| "take it out".to_owned(), |like| format!("write {like}"));
                mistakes.add_with_fix(
                    TemplateRule::UnknownKey,
                    &spot,
                    format!("{key}, which nobody reads"),
                    fix,
                );
            }
        }
    }
}

/// What values mean beside each other, and which are not there.
fn together(body: &Spot<'_>, role: &Spot<'_>, image: Image, mistakes: &mut TemplateMistakes) {
    let keys = RoleKeys::of(body.node, role.node);
    let of_key = |key: &str| {
        let mut spots = places(role).into_iter().filter_map(|place| place.get(key));
        spots.next_back().unwrap_or_else(|| role.clone())
    };
    for KeyProblem { problem, fix, .. } in keys.missing(image) {
        mistakes.add_with_fix(TemplateRule::MissingKey, role, problem, fix);
    }
    if image.has_gateway() {
        for KeyProblem { key, problem, fix } in keys.of_peer() {
            mistakes.add_with_fix(TemplateRule::InputValue, &of_key(key), problem, fix);
        }
    }
}

/// The type of a role; without one it is judged as one of VMs.
fn kind<'n>(role: &Spot<'n>, mistakes: &mut TemplateMistakes) -> Option<&'n str> {
    let spot = role.get("type");
    match spot.as_ref().map(|spot| (spot.node.as_text(), spot.node.kind())) {
        Some((Some(kind @ ("vm" | "vr")), _)) => return Some(kind),
        Some((Some(other), _)) => {
            mistakes.add(
                TemplateRule::RoleType,
                &spot.unwrap_or_else(|| role.clone()),
                format!("{other:?}"),
            );
        }
        Some((None, kind)) => {
            mistakes.add(TemplateRule::RoleType, &spot.unwrap_or_else(|| role.clone()), kind)
        }
        None => mistakes.add(TemplateRule::RoleType, role, "no type"),
    }
    None
}

fn template_id(role: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    let Some(spot) = role.get("template_id") else {
        mistakes.add(TemplateRule::TemplateId, role, "no template_id");
        return;
    };
    if spot.node.as_whole().is_some_and(|id| id >= 0) || fields::is_unfilled(&spot) {
        return;
    }
    let found =
        spot.node.as_text().map_or_else(|| spot.node.kind().to_owned(), |text| format!("{text:?}"));
    mistakes.add(TemplateRule::TemplateId, &spot, found);
}

/// Several VMs of one virtual router share an address.
fn virtual_router(role: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    let count = fields::whole(role, "cardinality", 0, mistakes).unwrap_or_default();
    let nics = role.get("template_contents").and_then(|contents| contents.get("NIC"));
    let Some(nics) = nics.filter(|nics| matches!(nics.node.value, JsonValue::List(_))) else {
        return;
    };
    let floats = |nic: &Spot<'_>| nic.members().any(|(key, _)| key.starts_with("FLOATING"));
    if count > 1 && !nics.items().any(|nic| floats(&nic)) {
        let found = format!("a virtual router of {count} VMs without a floating address");
        let fix = "write \"FLOATING_IP\": \"YES\" into one of its NICs, or cardinality 1";
        mistakes.add_with_fix(TemplateRule::Cardinality, &nics, found, fix);
    }
}

/// The names of the roles.
pub(super) fn names(roles: &[Spot<'_>], mistakes: &mut TemplateMistakes) {
    let mut seen = BTreeSet::new();
    for role in roles {
        let spot = role.get("name");
        let here = spot.clone().unwrap_or_else(|| role.clone());
        let found = match spot.as_ref().and_then(|spot| spot.node.as_text()) {
            None => "no name".to_owned(),
            Some(name) if !is_word(name) => format!("{name:?}"),
            Some(name) if name.len() > NAME_MAX => format!("{} characters", name.len()),
            Some(name) if !seen.insert(name) => format!("{name:?} for the second time"),
            Some(_well) => continue,
        };
        mistakes.add(TemplateRule::RoleName, &here, found);
    }
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
