//! What the VMs of a role are given of each key, wherever that stands: in the service or the role, as a
//! value, in CONTEXT, or as an input; and what values mean beside each other.
//!
//! Promises that an input which may stay empty is neither told as there nor as missing, and that no
//! problem repeats a secret. Refuses to judge one value alone: `zonemesh-context` does.

use zonemesh_context::judged::wireguard_peer;
use zonemesh_context::keys::{flower, gateway, mesh};
use zonemesh_context::{Appliance, ContextKey, Image};

use crate::given::ZoneGiven;
use crate::grammar::input::UserInput;
use crate::json::JsonNode;

/// The keys of one role.
pub(crate) struct RoleKeys<'n> {
    values: Vec<&'n JsonNode>,
    inputs: Vec<&'n JsonNode>,
}

/// What is wrong with keys beside each other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyProblem {
    pub(crate) key: &'static str,
    pub(crate) problem: String,
    pub(crate) fix: String,
}

impl<'n> RoleKeys<'n> {
    /// Those of a role; OneFlow gives what the service has to every role.
    pub(crate) fn of(body: &'n JsonNode, role: &'n JsonNode) -> Self {
        let context = role.get("template_contents").and_then(|contents| contents.get("CONTEXT"));
        let both = |key: &str| [role.get(key), body.get(key)].into_iter().flatten();
        Self {
            values: both("user_inputs_values").chain(context).collect(),
            inputs: both("user_inputs").collect(),
        }
    }

    /// The value that stands there, or is taken where nothing is typed.
    pub(crate) fn value(&self, key: &ContextKey) -> Option<String> {
        let inputs = self.inputs_of(key).map(|input| input.default);
        let known = |text: &String| !text.trim().is_empty() && !is_reference(text);
        self.values_of(key).chain(inputs).find(known)
    }

    /// Whether the VM has a value for certain.
    fn is_there(&self, key: &ContextKey) -> bool {
        self.value(key).is_some() || self.inputs_of(key).any(|input| input.mandatory)
    }

    /// Whether the VM can have a value.
    fn may_come(&self, key: &ContextKey) -> bool {
        self.values_of(key).any(|text| !text.trim().is_empty())
            || self.inputs_of(key).next().is_some()
    }

    fn values_of(&self, key: &ContextKey) -> impl Iterator<Item = String> {
        let names: Vec<&str> = key.names().collect();
        let found = self.values.iter().flat_map(move |place| {
            names.clone().into_iter().filter_map(|name| place.get(name)?.as_given())
        });
        found.collect::<Vec<_>>().into_iter()
    }

    fn inputs_of(&self, key: &ContextKey) -> impl Iterator<Item = UserInput> {
        let names: Vec<&str> = key.names().collect();
        let found = self.inputs.iter().flat_map(move |place| {
            names
                .clone()
                .into_iter()
                .filter_map(|name| UserInput::parse(place.get(name)?.as_text()?).ok())
        });
        found.collect::<Vec<_>>().into_iter()
    }

    /// What is wrong with a plain WireGuard peer.
    pub(crate) fn of_peer(&self) -> Vec<KeyProblem> {
        let lacks = wireguard_peer::lacks(|key| self.is_there(key), |key| self.may_come(key));
        let mut problems: Vec<KeyProblem> = lacks
            .into_iter()
            .map(|lack| KeyProblem {
                key: lack.key.name,
                problem: format!("{} {}", lack.key.name, lack.problem),
                fix: format!("give it too, or take {} out", wireguard_peer::WG_PEER_WORDS),
            })
            .collect();
        let key = gateway::WG_PEER_ALLOWED_IPS;
        let zone = self.value(&gateway::INVITATION).and_then(|text| ZoneGiven::parse(&text).ok());
        let nets = self.value(&key).and_then(|text| wireguard_peer::allowed_ips(&text).ok());
        let own = zone.map(|zone| zone.own()).unwrap_or_default();
        if let Err(shared) = wireguard_peer::foreign(&nets.unwrap_or_default(), &own) {
            problems.push(KeyProblem {
                key: key.name,
                problem: format!("{}: {shared}", key.name),
                fix: format!("give {}", key.expected),
            });
        }
        problems
    }

    /// Without what no program of the image starts.
    pub(crate) fn missing(&self, image: Image) -> Vec<KeyProblem> {
        let (mut needed, mut problems) = (Vec::new(), Vec::new());
        for appliance in image.appliances() {
            match appliance {
                Appliance::Gateway => needed.push(gateway::INVITATION),
                Appliance::SuperLink | Appliance::SuperNode => {
                    needed.extend([mesh::FEDERATION, mesh::TOKEN]);
                }
            }
        }
        for key in needed {
            let instead = match key.name {
                name if name == gateway::INVITATION.name => Some(gateway::CONFIG),
                name if name != mesh::TOKEN.name => None,
                _ => {
                    (image == Image::One(Appliance::SuperNode)).then_some(flower::SUPERLINK_ADDRESS)
                }
            };
            let is_met = self.may_come(&key) || instead.is_some_and(|key| self.may_come(&key));
            if is_met {
                continue;
            }
            let nor = instead.map(|key| format!(", nor {}", key.name)).unwrap_or_default();
            problems.push(KeyProblem {
                key: key.name,
                problem: format!("no {}{nor}: a {} does not start without", key.name, image.role()),
                fix: format!(
                    "add to its \"user_inputs\": {} (what only its VM template has is not seen here)",
                    input_line(&key)
                ),
            });
        }
        problems
    }
}

/// Whether OpenNebula or OneFlow put another text in the place of this one: `$USER[NAME]`,
/// `${ROLE.PATH}`.
pub(crate) fn is_reference(text: &str) -> bool {
    let mut behind = text.split('$').skip(1);
    behind.any(|behind| behind.starts_with(|c: char| c == '{' || c.is_ascii_alphabetic()))
}

/// The line of a template that asks for a key.
pub(crate) fn input_line(key: &ContextKey) -> String {
    format!("\"{}\": \"{}\"", key.name, key.added_input())
}

#[cfg(test)]
mod tests {
    use zonemesh_context::key::KeyEffect;
    use zonemesh_context::keys::KEYS;

    use super::*;

    #[test]
    fn the_line_that_asks_for_a_key_is_json_and_an_input_that_may_stay_empty() {
        for key in KEYS.iter().filter(|key| !matches!(key.effect, KeyEffect::Refused(_))) {
            let line = format!("{{{}}}", input_line(key));
            let node = crate::json::parse(&line).expect("it is JSON");
            let input = UserInput::parse(node.get(key.name).unwrap().as_text().unwrap());
            assert!(!input.unwrap().may_lack_value(), "{line}");
            let is_hidden = line.contains("|password|") || line.contains("|text64|");
            assert_eq!(
                key.secret && key.name.starts_with("ONEAPP_"),
                is_hidden && key.secret,
                "{line}"
            );
        }
    }

    #[test]
    fn what_opennebula_puts_in_later_is_no_value() {
        for text in ["$NAME", "${gateway.template.context.eth0_ip}:51822", "$USER[X]"] {
            assert!(is_reference(text), "{text}");
        }
        for text in ["note='5$'", "price='$5'", ""] {
            assert!(!is_reference(text), "{text}");
        }
    }
}
