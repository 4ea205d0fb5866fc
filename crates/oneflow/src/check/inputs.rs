//! User inputs of the service and of its roles, and the values that stand there already.

use std::collections::BTreeMap;

use super::fields;
use super::role_keys::is_reference;
use crate::appliance::{self, UnfitInput};
use crate::given::ZoneOfMesh;
use crate::grammar::input::{InputKind, UserInput};
use crate::json::JsonValue;
use crate::mistake::{Spot, TemplateMistakes, TemplateRule};

/// Inputs of the service, which OneFlow gives to every role.
pub(super) fn of_service(
    body: &Spot<'_>,
    mistakes: &mut TemplateMistakes,
    notes: &mut Vec<String>,
) {
    grammar(body, mistakes, notes);
    values(body, mistakes);
    for place in ["user_inputs", "user_inputs_values"] {
        let members = body.get(place).into_iter().flat_map(|place| place.members());
        for (key, spot) in members.filter(|(key, _)| appliance::is_secret(key)) {
            let found = format!("{key}, which OneFlow gives to the VMs of every role");
            mistakes.add(TemplateRule::SecretElsewhere, &spot, found);
        }
    }
}

/// Inputs of a role.
pub(super) fn of_role(role: &Spot<'_>, mistakes: &mut TemplateMistakes, notes: &mut Vec<String>) {
    // OpenNebula's command line ends with a TypeError at an object without any key, and at null.
    let member = role.node.members().iter().rfind(|member| member.key == "user_inputs");
    if let Some(member) = member {
        let spot = role.child("user_inputs", &member.node);
        let none = match &member.node.value {
            JsonValue::Null => true,
            JsonValue::Object(members) => members.is_empty(),
            _ => false,
        };
        if none {
            let (found, fix) = (
                "an empty \"user_inputs\"",
                "take the key out: `oneflow-template instantiate` cannot ask",
            );
            mistakes.add_with_fix(TemplateRule::InputValue, &spot, found, fix);
        }
    }
    grammar(role, mistakes, notes);
    values(role, mistakes);
}

fn grammar(of: &Spot<'_>, mistakes: &mut TemplateMistakes, notes: &mut Vec<String>) {
    let values = fields::object(of, "user_inputs_values", mistakes);
    let Some(inputs) = fields::object(of, "user_inputs", mistakes) else { return };
    for (key, spot) in inputs.members() {
        let Some(text) = spot.node.as_text() else {
            mistakes.add(TemplateRule::UserInput, &spot, spot.node.kind());
            continue;
        };
        match UserInput::parse(text) {
            Err(error) => mistakes.add(TemplateRule::UserInput, &spot, error.to_string()),
            Ok(input) => check_input(key, &spot, &input, mistakes),
        }
        if values.as_ref().is_some_and(|values| values.node.get(key).is_some()) {
            notes.push(format!(
                "{}: it has a value and is an input too: `oneflow-template instantiate` asks for it again",
                spot.path
            ));
        }
        if text.split('|').nth(1).is_some_and(|kind| kind.trim() == "list-multiple") {
            notes.push(format!("{}: only Sunstone can ask for list-multiple", spot.path));
        }
    }
}

fn check_input(key: &str, spot: &Spot<'_>, input: &UserInput, mistakes: &mut TemplateMistakes) {
    // Several lines can be typed into text64 alone.
    let hidden = matches!(input.kind, InputKind::Password)
        || (key == "ONEAPP_ZONEMESH_CONFIG" && matches!(input.kind, InputKind::Text64));
    if appliance::is_secret(key) && !hidden {
        mistakes.add(TemplateRule::Secret, spot, format!("{key} as an input that is shown"));
    }
    if matches!(input.kind, InputKind::Password) && !input.default.is_empty() {
        let (found, fix) = (
            "a password with a default",
            "take the default out: whoever may read the template reads it",
        );
        mistakes.add_with_fix(TemplateRule::Secret, spot, found, fix);
    }
    // A form encodes what a text64 has, in its own way.
    let judged = matches!(input.kind, InputKind::Password | InputKind::Text64);
    if !judged && let Some(unfit) = appliance::unfit(key, &input.default) {
        let UnfitInput { why, expected, example } = unfit;
        let found = format!("the default {why}");
        let fix = format!("give {expected}, for example {example}; or no default");
        mistakes.add_with_fix(TemplateRule::InputValue, spot, found, fix);
    }
    if input.may_lack_value() {
        let found =
            "an input that has no value where nothing is typed: the server refuses to instantiate";
        mistakes.add(TemplateRule::InputValue, spot, found);
    }
}

/// Values that stand there already are what the program in the VM would take.
fn values(of: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    let given = of.get("user_inputs_values").into_iter().flat_map(|values| values.members());
    for (key, spot) in given {
        if spot.node.as_text().is_none() && appliance::is_secret(key) {
            mistakes.add(TemplateRule::InputValue, &spot, spot.node.kind());
            continue;
        }
        value(key, &spot, mistakes);
    }
    let context = of.get("template_contents").and_then(|contents| contents.get("CONTEXT"));
    for (key, spot) in context.into_iter().flat_map(|context| context.members()) {
        if !spot.node.as_text().is_some_and(is_reference) {
            value(key, &spot, mistakes);
        }
    }
}

fn value(key: &str, spot: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    let Some(text) = spot.node.as_given() else {
        if appliance::known(key).is_some() && !matches!(spot.node.value, JsonValue::Null) {
            mistakes.add(TemplateRule::InputValue, spot, spot.node.kind());
        }
        return;
    };
    let wrong = appliance::unfit(key, &text).filter(|_| !fields::is_unfilled(spot));
    if let Some(UnfitInput { why, expected, example }) = wrong {
        let fix = match appliance::is_of_folder(key) {
            true => format!("give the value of {key} that the zone's folder has"),
            false => format!("give {expected}, for example {example}"),
        };
        mistakes.add_with_fix(TemplateRule::InputValue, spot, why, fix);
    }
}

/// A token of one zone beside an invitation of another: the VM would look for its gateway for ever.
pub(super) fn of_one_zone(roles: &[Spot<'_>], mistakes: &mut TemplateMistakes) {
    let mut first: Option<ZoneOfMesh> = None;
    for values in roles.iter().filter_map(|role| role.get("user_inputs_values")) {
        for (key, spot) in values.members() {
            let text = spot.node.as_text().unwrap_or_default();
            let of = match key {
                "ONEAPP_ZONEMESH_INVITATION" => ZoneOfMesh::of_gateway(text),
                "ONEAPP_ZONEMESH_TOKEN" => ZoneOfMesh::of_token(text),
                _ => None,
            };
            let Some(of) = of else { continue };
            let known = first.get_or_insert_with(|| of.clone());
            if *known != of {
                let found = format!(
                    "{key} of {}, in a service with values of zone {}",
                    of.beside(known),
                    known.zone
                );
                let fix = "give the values of one zone's folder";
                mistakes.add_with_fix(TemplateRule::InputValue, &spot, found, fix);
            }
        }
    }
}

/// A secret that stands in two roles is in one of them too many.
pub(super) fn shared_values(roles: &[Spot<'_>], mistakes: &mut TemplateMistakes) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, role) in roles.iter().enumerate() {
        let members =
            role.get("user_inputs_values").into_iter().flat_map(|values| values.members());
        for (key, spot) in members.filter(|(key, _)| appliance::is_secret(key)) {
            let Some(value) = spot.node.as_text().filter(|value| !value.is_empty()) else {
                continue;
            };
            let first = *seen.entry(value).or_insert(index);
            if first != index {
                let found = format!("{key} with the value that a secret of roles[{first}] has");
                mistakes.add(TemplateRule::SecretElsewhere, &spot, found);
            }
        }
    }
}
