//! Inputs of roles: which values given for them are refused, and what becomes of those that have none.
//!
//! Promises that each refusal says the way that works, and that nothing is told of an input which only
//! follows from another mistake. Refuses to know what a zone's folder holds.

use zonemesh_context::key::KeyEffect;
use zonemesh_context::keys::gateway as keys;
use zonemesh_context::{ContextKey, Image};
use zonemesh_core::offered::without_secrets;

use super::fill::{Filled, image_of, keys_of, name_of, set_value};
use super::zone_folder::ContextLine;
use super::{InputGiven, RenderLack};
use crate::appliance::{self, UnfitInput};
use crate::check::role_keys::input_line;
use crate::grammar::input::UserInput;
use crate::json::JsonNode;

/// What a folder gives that is no secret.
const OPEN_OF_FOLDER: [&str; 2] = ["ONEAPP_ZONEMESH_FEDERATION", "ONEAPP_ZONEMESH_GATEWAY"];

/// A role as the template has it.
pub(super) struct KnownRole {
    name: String,
    keys: Vec<String>,
    image: Option<Image>,
}

/// What becomes of the inputs that have no value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum InputsLeft {
    /// They are asked for: no folder of a zone is given, or the role is somebody else's.
    Asked,
    /// A zone's folder has given what there is.
    Settled,
    /// The folder lacks something, which is told already.
    Unknown,
}

impl KnownRole {
    pub(super) fn of(role: &JsonNode) -> Self {
        Self { name: name_of(role), keys: keys_of(role), image: image_of(role) }
    }

    /// What to do where the role does not ask for a key.
    fn without(&self, key: &str) -> String {
        let read = |known: &&ContextKey| self.image.is_some_and(|image| image.reads(known));
        match appliance::known(key).filter(read) {
            Some(known) => format!(
                "add to \"user_inputs\" of role {}, in a copy of the template, the line {}; what is \
                 rendered without --zone and --value is such a copy; then render that file",
                self.name,
                input_line(known)
            ),
            None => format!("one of: {}", self.keys.join(", ")),
        }
    }
}

/// Every value that no role can have.
pub(super) fn refused(roles: &[KnownRole], inputs: &[InputGiven]) -> Vec<RenderLack> {
    let refused = inputs.iter().enumerate().filter_map(|(index, given)| {
        let InputGiven { role, key, .. } = given;
        if inputs[..index].iter().any(|other| (&other.role, &other.key) == (role, key)) {
            let what = format!("{role}.{key} is given twice");
            return Some(RenderLack { what, give: "one of them".to_owned() });
        }
        refusal(roles, given)
    });
    refused.collect()
}

fn refusal(roles: &[KnownRole], given: &InputGiven) -> Option<RenderLack> {
    let InputGiven { role, key, value } = given;
    let of_role = roles.iter().find(|known| known.name == *role);
    let has_input = of_role.is_some_and(|known| known.keys.contains(key));
    let lack = |what: String, give: String| Some(RenderLack { what, give });
    if let Some(ContextKey { effect: KeyEffect::Refused(why), .. }) = appliance::known(key) {
        return lack(format!("{key} is refused by every VM: {why}"), "nothing".to_owned());
    }
    if appliance::is_secret(key) {
        let what = format!("{key} is a secret, and whoever sees the process list would see it");
        let give = match of_role {
            _ if appliance::is_of_folder(key) => {
                "--zone FOLDER, or nothing: it is asked for at the instantiate".to_owned()
            }
            Some(known) if !has_input => {
                format!("nothing, and {}: it is asked for at the instantiate", known.without(key))
            }
            _ => "nothing: it is asked for at the instantiate, beside --zone too".to_owned(),
        };
        return lack(what, give);
    }
    let Some(known) = of_role else {
        let names: Vec<&str> = roles.iter().map(|known| known.name.as_str()).collect();
        let what = format!("the template has no role {role:?}");
        return lack(what, format!("one of: {}", names.join(", ")));
    };
    if !has_input {
        return lack(format!("role {role} has no input {key:?}"), known.without(key));
    }
    let UnfitInput { why, expected, example } = appliance::unfit(key, value)?;
    let give = format!("{expected}, for example --value {role}.{key}={example:?}");
    lack(format!("{role}.{key}={why}"), give)
}

/// A value that the zone's folder gives, too, and another one.
pub(super) fn given_otherwise(
    role: &str,
    line: &ContextLine,
    inputs: &[InputGiven],
) -> Option<RenderLack> {
    let of_key = |given: &&InputGiven| given.role == role && given.key == line.key;
    let given = inputs.iter().find(of_key).filter(|given| !appliance::is_secret(&given.key))?;
    (*given.value != **line.value).then(|| RenderLack {
        what: format!(
            "{role}.{} is {:?} by --value and {:?} by --zone",
            line.key,
            without_secrets(&given.value),
            without_secrets(&line.value)
        ),
        give: format!("one of them: leave --value out, or the line {} in {}", line.key, line.file),
    })
}

/// What is still an input. Without a zone's folder it stays one, and so does a secret that no folder
/// has. With it, an optional one is left at its default, and one that must be given is missing.
pub(super) fn settle(
    role: &mut JsonNode,
    how: InputsLeft,
    filled: &mut Filled,
    lacks: &mut Vec<RenderLack>,
) {
    let name = name_of(role);
    let inputs = role.get("user_inputs").map(JsonNode::members).unwrap_or_default();
    let left: Vec<(String, Option<UserInput>)> = inputs
        .iter()
        .map(|member| {
            let text = member.node.as_text().unwrap_or_default();
            (member.key.clone(), UserInput::parse(text).ok())
        })
        .collect();
    for (key, input) in left {
        // A wrong input is the check's business.
        let Some(input) = input.filter(|_| how != InputsLeft::Asked && !is_typed(&key)) else {
            filled.asked.push(format!("{name}.{key}"));
            continue;
        };
        if !input.default.is_empty() {
            set_value(role, &key, &input.default);
        } else if !input.mandatory {
            if let Some(inputs) = role.get_mut("user_inputs") {
                inputs.remove(&key);
            }
        } else if how == InputsLeft::Settled || !is_of_folder(&key) {
            lacks.push(RenderLack {
                what: format!("role {name}: no value for {key}"),
                give: way_to_give(&name, &key),
            });
        }
    }
    // OpenNebula's command line cannot ask for nothing.
    if role.get("user_inputs").is_some_and(|inputs| inputs.members().is_empty()) {
        role.remove("user_inputs");
    }
}

fn is_of_folder(key: &str) -> bool {
    appliance::is_of_folder(key) || OPEN_OF_FOLDER.contains(&key)
}

/// A secret that no folder has. A whole configuration is none: it stands in the place of what one has.
fn is_typed(key: &str) -> bool {
    appliance::is_secret(key) && !appliance::is_of_folder(key) && key != keys::CONFIG.name
}

fn way_to_give(role: &str, key: &str) -> String {
    match key {
        _ if key == keys::CONFIG.name => {
            format!("no --zone, whose {} it cannot stand beside", keys::INVITATION.name)
        }
        _ if appliance::is_secret(key) => {
            "a folder of `zonemesh mesh init --out` that has it".to_owned()
        }
        _ => format!("--value {role}.{key}=VALUE"),
    }
}
