//! Which of our images a role's VM is made of, and what a key is to it: the one place where a role's
//! inputs are compared with what the programs know, which is the table of `zonemesh-context`.

use zonemesh_context::judged::judged;
use zonemesh_context::key::KeyEffect;
use zonemesh_context::keys::{KEYS, flower, gateway, mesh};
use zonemesh_context::{Appliance, ContextKey, Image, names};
use zonemesh_core::offered::without_secrets;

use crate::grammar::input::UserInput;
use crate::json::JsonNode;

/// Ends of names that somebody chose for a secret of their own.
const SECRET_ENDS: [&str; 4] = ["_TOKEN", "_PASSWORD", "_SECRET", "_INVITATION"];

/// What a key of ours is to a role.
pub(crate) enum KeyStanding {
    /// A program of its image reads it, or it is nothing of ours.
    Well,
    /// Another appliance reads it.
    OfAnother(&'static ContextKey),
    /// Its programs refuse it, for this reason.
    Refused(&'static str),
    /// Nobody does; this one is like it.
    Unknown(Option<&'static str>),
}

/// The image of a role: its name begins with the image's, else keys tell. A role that is asked for
/// the secrets of both a gateway and a SuperLink holds both.
pub(crate) fn of_role<'k>(role: &str, keys: impl Iterator<Item = &'k str>) -> Option<Image> {
    let role = role.to_ascii_lowercase();
    let named = Image::ALL.into_iter().find(|one| role.starts_with(one.role()));
    if named.is_some() {
        return named;
    }
    let readers = |key: &ContextKey| -> Vec<Appliance> {
        Appliance::ALL.into_iter().filter(|one| key.readers.has(*one)).collect()
    };
    // What OpenNebula writes into every CONTEXT tells nothing.
    let ours = keys.filter(|name| name.starts_with("ONEAPP_")).filter_map(known);
    let ours: Vec<&ContextKey> = ours.collect();
    let has = |wanted: ContextKey| ours.iter().any(|key| key.name == wanted.name);
    if has(mesh::TOKEN) && (has(gateway::INVITATION) || has(gateway::CONFIG)) {
        return Some(Image::SuperLinkGateway);
    }
    let known: Vec<Vec<Appliance>> = ours.into_iter().map(readers).collect();
    let telling = known.iter().find(|readers| readers.len() == 1);
    telling.or(known.first()).and_then(|readers| readers.last()).copied().map(Image::One)
}

/// What a key is to the image of a role.
pub(crate) fn standing(image: Image, name: &str) -> KeyStanding {
    match known(name) {
        Some(ContextKey { effect: KeyEffect::Refused(reason), .. }) => KeyStanding::Refused(reason),
        Some(key) if image.reads(key) => KeyStanding::Well,
        Some(key) => KeyStanding::OfAnother(key),
        None if names::is_ours(name) => {
            KeyStanding::Unknown(names::meant(name, image).map(|key| key.name))
        }
        None => KeyStanding::Well,
    }
}

pub(crate) fn known(name: &str) -> Option<&'static ContextKey> {
    KEYS.iter().find(|key| key.names().any(|known| known == name))
}

/// What is wrong with the value of a key of ours, with what is expected; never with a secret.
pub(crate) fn unfit(name: &str, value: &str) -> Option<UnfitInput> {
    let key = known(name)?;
    let why = judged(key, value).err()?.to_string();
    let shown = without_secrets(value);
    let why = match key.secret {
        true => why,
        // What is wrong may repeat a part of it.
        false if shown != value => format!("{shown:?} holds a secret"),
        false => format!("{value:?}: {why}"),
    };
    Some(UnfitInput { why, expected: key.expected, example: key.example })
}

/// What is wrong with a value.
pub(crate) struct UnfitInput {
    pub(crate) why: String,
    pub(crate) expected: &'static str,
    pub(crate) example: &'static str,
}

/// What a SuperNode finds its SuperLink by through a gateway: refused beside an address of its own.
pub(crate) const OF_MESH: [&str; 2] = [mesh::TOKEN.name, mesh::GATEWAY.name];
/// What the SuperLink at an address of its own is known by.
pub(crate) const CA_OF_ADDRESS: &str = flower::SSL_CA_CERTFILE.name;

/// Whether a role's SuperNodes find their SuperLink without a mesh: by an address that stands there, or
/// is the default of an input.
pub(crate) fn is_without_mesh(role: &JsonNode, image: Image) -> bool {
    let address = flower::SUPERLINK_ADDRESS.name;
    let value = |of: Option<&JsonNode>| Some(of?.get(address)?.as_text()?.trim().to_owned());
    let context = role.get("template_contents").and_then(|contents| contents.get("CONTEXT"));
    let input = value(role.get("user_inputs")).and_then(|text| UserInput::parse(&text).ok());
    let values =
        [value(role.get("user_inputs_values")), value(context), input.map(|input| input.default)];
    image == Image::One(Appliance::SuperNode)
        && values.into_iter().flatten().any(|value| !value.is_empty())
}

/// Whether the value of a key is nobody else's business.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    known(&name).map_or_else(|| SECRET_ENDS.iter().any(|end| name.ends_with(end)), |key| key.secret)
}

/// Whether it is a secret that a zone's folder has.
pub(crate) fn is_of_folder(name: &str) -> bool {
    [mesh::TOKEN.name, gateway::INVITATION.name].contains(&name)
}

/// Whether a text of a template reaches for a secret of another role's VM, as `${ROLE.PATH}` does.
pub(crate) fn reaches_for_secret(text: &str) -> bool {
    let references = text.split("${").skip(1).filter_map(|behind| behind.split('}').next());
    references.filter_map(|path| path.rsplit('.').next()).any(is_secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: Image = Image::One(Appliance::Gateway);
    const SUPERLINK: Image = Image::One(Appliance::SuperLink);
    const SUPERNODE: Image = Image::One(Appliance::SuperNode);

    #[test]
    fn a_role_is_known_by_its_name_and_else_by_its_keys() {
        let of = |role: &str, keys: &[&str]| of_role(role, keys.iter().copied());
        assert_eq!(of("supernode_gpu", &[]), Some(SUPERNODE));
        assert_eq!(of("Gateway", &[]), Some(GATEWAY));
        assert_eq!(of("superlink_2", &[]), Some(SUPERLINK));
        assert_eq!(of("Superlink_Gateway", &[]), Some(Image::SuperLinkGateway));
        let common = ["ONEAPP_ZONEMESH_FEDERATION", "ONEAPP_ZONEMESH_IDENTITY"];
        assert_eq!(of("server", &common), Some(SUPERLINK));
        assert_eq!(of("trainer", &common[..1]), Some(SUPERNODE));
        let secrets = ["ONEAPP_ZONEMESH_TOKEN", "ONEAPP_ZONEMESH_INVITATION"];
        assert_eq!(of("berlin", &secrets), Some(Image::SuperLinkGateway));
        assert_eq!(of("berlin", &secrets[1..]), Some(GATEWAY));
        assert_eq!(of("superlink", &secrets), Some(SUPERLINK), "its name tells");
        assert_eq!(of("database", &["ONEAPP_MYSQL_PASSWORD"]), None);
    }

    #[test]
    fn a_key_of_another_appliance_is_told_from_one_that_nobody_reads() {
        assert!(matches!(standing(SUPERNODE, "ONEAPP_ZONEMESH_TOKEN"), KeyStanding::Well));
        assert!(matches!(standing(SUPERNODE, "ONEAPP_MINE"), KeyStanding::Well));
        assert!(matches!(standing(GATEWAY, "ONEAPP_ZONEMESH_TOKEN"), KeyStanding::OfAnother(_)));
        for name in ["ONEAPP_ZONEMESH_TOKEN", "ONEAPP_ZONEMESH_INVITATION"] {
            assert!(matches!(standing(Image::SuperLinkGateway, name), KeyStanding::Well), "{name}");
        }
        let of_training = standing(Image::SuperLinkGateway, "ONEAPP_FL_NODE_CONFIG");
        assert!(matches!(of_training, KeyStanding::OfAnother(_)));
        let misspelled = standing(SUPERNODE, "ONEAPP_ZONEMESH_FEDERATOIN");
        assert!(matches!(misspelled, KeyStanding::Unknown(Some("ONEAPP_ZONEMESH_FEDERATION"))));
    }

    #[test]
    fn an_old_spelling_is_read_and_a_key_of_a_private_key_is_refused() {
        for name in ["ONEAPP_FL_NODE_CONFIG", "ONEAPP_ZONEMESH_NODE_CONFIG"] {
            assert!(matches!(standing(SUPERNODE, name), KeyStanding::Well), "{name}");
        }
        let private = standing(GATEWAY, "ONEAPP_WG_PRIVATE_KEY");
        assert!(matches!(private, KeyStanding::Refused(_)));
    }

    #[test]
    fn a_reference_to_a_secret_is_seen_whatever_its_case() {
        assert!(reaches_for_secret("${gateway.template.context.oneapp_zonemesh_invitation}"));
        assert!(!reaches_for_secret("${gateway.template.context.eth0_ip}"));
    }
}
