//! The service itself, and everything below it in its turn.

use super::{fields, inputs, networks, parents, policies, role};
use crate::document;
use crate::grammar::placeholder;
use crate::json::JsonValue;
use crate::mistake::{Spot, TemplateMistakes, TemplateRule};

/// More than OpenNebula's database keeps of a document's name.
const NAME_MAX: usize = 128;
/// What OneFlow and OpenNebula's tools read or write in a service.
const KEYS: [&str; 18] = [
    "name",
    "description",
    "deployment",
    "shutdown_action",
    "roles",
    "user_inputs",
    "user_inputs_values",
    "ready_status_gate",
    "automatic_deletion",
    "networks",
    "networks_values",
    "on_hold",
    "registration_time",
    "start_time",
    "state",
    "log",
    "custom_attrs",
    "scheduled_policies",
];
pub(super) const SHUTDOWN: [&str; 4] = ["terminate", "terminate-hard", "shutdown", "shutdown-hard"];

pub(super) fn check(body: &Spot<'_>, mistakes: &mut TemplateMistakes, notes: &mut Vec<String>) {
    unfilled(body, mistakes);
    name(body, mistakes);
    fields::misspelled(body, &KEYS, mistakes);
    policies::scheduled(body, mistakes);
    fields::text(body, "description", mistakes);
    fields::choice(body, "deployment", &["straight", "none"], mistakes);
    fields::choice(body, "shutdown_action", &SHUTDOWN, mistakes);
    for key in ["ready_status_gate", "automatic_deletion", "on_hold"] {
        fields::boolean(body, key, mistakes);
    }
    if body.get("custom_attrs").is_some() {
        let spot = body.get("custom_attrs").unwrap_or_else(|| body.clone());
        mistakes.add(TemplateRule::OldForm, &spot, "custom_attrs, of OpenNebula 6");
    }
    inputs::of_service(body, mistakes, notes);
    networks::check(body, mistakes);
    let Some(roles) = roles(body, mistakes) else { return };
    let mut of_ours = false;
    for spot in &roles {
        of_ours |= role::check(body, spot, mistakes, notes);
    }
    role::names(&roles, mistakes);
    parents::check(body, &roles, mistakes);
    inputs::shared_values(&roles, mistakes);
    inputs::of_one_zone(&roles, mistakes);
    ready_gate(body, of_ours, mistakes);
}

fn name(body: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    let named = body.get("name");
    let spot = named.clone().unwrap_or_else(|| body.clone());
    let found = match named.as_ref().map(|name| (name.node.kind(), name.node.as_text())) {
        None => "no name".to_owned(),
        Some((_, Some(text))) if text.trim().is_empty() => "an empty name".to_owned(),
        Some((_, Some(text))) if text.chars().count() > NAME_MAX => {
            format!("{} characters", text.chars().count())
        }
        Some((_, Some(_well))) => return,
        Some((kind, None)) => kind.to_owned(),
    };
    mistakes.add(TemplateRule::Name, &spot, found);
}

fn roles<'n>(body: &Spot<'n>, mistakes: &mut TemplateMistakes) -> Option<Vec<Spot<'n>>> {
    let Some(list) = body.get("roles") else {
        let rule = if document::is_printed(body.node) {
            TemplateRule::Document
        } else {
            TemplateRule::Roles
        };
        mistakes.add(rule, body, "no \"roles\"");
        return None;
    };
    if !matches!(list.node.value, JsonValue::List(_)) {
        mistakes.add(TemplateRule::Roles, &list, list.node.kind());
        return None;
    }
    let roles: Vec<_> = list.items().filter(|role| fields::is_object(role, mistakes)).collect();
    if list.node.items().is_empty() {
        mistakes.add(TemplateRule::Roles, &list, "an empty list");
    }
    Some(roles)
}

/// A role of ours waits for its parents' READY, which only a gate hears.
fn ready_gate(body: &Spot<'_>, of_ours: bool, mistakes: &mut TemplateMistakes) {
    let gate = body.get("ready_status_gate");
    let off = gate.as_ref().is_none_or(|gate| matches!(gate.node.value, JsonValue::Bool(false)));
    if of_ours && off {
        let found = if gate.is_some() { "false" } else { "no such key" };
        mistakes.add(TemplateRule::ReadyGate, &gate.unwrap_or_else(|| body.clone()), found);
    }
}

/// Every placeholder that nobody has filled in.
fn unfilled(spot: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    if let Some(text) = spot.node.as_text() {
        for name in placeholder::names(text) {
            let fix = format!("zonemesh oneflow render TEMPLATE --set {name}=VALUE");
            mistakes.add_with_fix(TemplateRule::Placeholder, spot, format!("@{name}@"), fix);
        }
    }
    spot.items().for_each(|item| unfilled(&item, mistakes));
    spot.members().for_each(|(_key, member)| unfilled(&member, mistakes));
}
