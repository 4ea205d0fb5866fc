//! Which of our appliances runs in a role, and what a key is to it: the one place where a role's
//! inputs are compared with what the programs know, which is the table of `zonemesh-context`.

use zonemesh_context::judged::judged;
use zonemesh_context::key::KeyEffect;
use zonemesh_context::keys::KEYS;
use zonemesh_context::{Appliance, ContextKey, names};
use zonemesh_core::offered::without_secrets;

use crate::given::ZoneGiven;

/// Ends of names that somebody chose for a secret of their own.
const SECRET_ENDS: [&str; 4] = ["_TOKEN", "_PASSWORD", "_SECRET", "_INVITATION"];

/// What a key of ours is to a role.
pub(crate) enum KeyStanding {
    /// Its appliance reads it, or it is nothing of ours.
    Well,
    /// Another appliance reads it.
    OfAnother(&'static ContextKey),
    /// Its appliance refuses it, for this reason.
    Refused(&'static str),
    /// Nobody does; this one is like it.
    Unknown(Option<&'static str>),
}

/// The appliance of a role: its name begins with the appliance's, else a key tells.
pub(crate) fn of_role<'k>(role: &str, keys: impl Iterator<Item = &'k str>) -> Option<Appliance> {
    let role = role.to_ascii_lowercase();
    let named = Appliance::ALL.into_iter().find(|one| role.starts_with(one.role()));
    if named.is_some() {
        return named;
    }
    let readers = |key: &ContextKey| -> Vec<Appliance> {
        Appliance::ALL.into_iter().filter(|one| key.readers.has(*one)).collect()
    };
    // What OpenNebula writes into every CONTEXT tells nothing.
    let ours = keys.filter(|name| name.starts_with("ONEAPP_")).filter_map(known);
    let known: Vec<Vec<Appliance>> = ours.map(readers).collect();
    let telling = known.iter().find(|readers| readers.len() == 1);
    telling.or(known.first()).and_then(|readers| readers.last()).copied()
}

/// What a key is to the appliance of a role.
pub(crate) fn standing(appliance: Appliance, name: &str) -> KeyStanding {
    match known(name) {
        Some(ContextKey { effect: KeyEffect::Refused(reason), .. }) => KeyStanding::Refused(reason),
        Some(key) if key.readers.has(appliance) => KeyStanding::Well,
        Some(key) => KeyStanding::OfAnother(key),
        None if names::is_ours(name) => {
            KeyStanding::Unknown(names::meant(name, appliance).map(|key| key.name))
        }
        None => KeyStanding::Well,
    }
}

fn known(name: &str) -> Option<&'static ContextKey> {
    KEYS.iter().find(|key| key.names().any(|known| known == name))
}

/// What is wrong with the value of a key of ours, with what is expected; never with a secret.
pub(crate) fn unfit(name: &str, value: &str) -> Option<UnfitInput> {
    let key = known(name)?;
    let why = match key.name {
        "ONEAPP_ZONEMESH_INVITATION" if !value.trim().is_empty() => {
            ZoneGiven::parse(value).err().map(|error| error.to_string())
        }
        _ => judged(key, value).err().map(|error| error.to_string()),
    }?;
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

/// Whether the value of a key is nobody else's business.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    known(&name).map_or_else(|| SECRET_ENDS.iter().any(|end| name.ends_with(end)), |key| key.secret)
}

/// Whether a text of a template reaches for a secret of another role's VM, as `${ROLE.PATH}` does.
pub(crate) fn reaches_for_secret(text: &str) -> bool {
    let references = text.split("${").skip(1).filter_map(|behind| behind.split('}').next());
    references.filter_map(|path| path.rsplit('.').next()).any(is_secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Appliance::{Gateway, SuperLink, SuperNode};

    #[test]
    fn a_role_is_known_by_its_name_and_else_by_its_keys() {
        let of = |role: &str, keys: &[&str]| of_role(role, keys.iter().copied());
        assert_eq!(of("supernode_gpu", &[]), Some(SuperNode));
        assert_eq!(of("Gateway", &[]), Some(Gateway));
        let common = ["ONEAPP_ZONEMESH_FEDERATION", "ONEAPP_ZONEMESH_IDENTITY"];
        assert_eq!(of("server", &common), Some(SuperLink));
        assert_eq!(of("trainer", &common[..1]), Some(SuperNode));
        assert_eq!(of("database", &["ONEAPP_MYSQL_PASSWORD"]), None);
    }

    #[test]
    fn a_key_of_another_appliance_is_told_from_one_that_nobody_reads() {
        assert!(matches!(standing(SuperNode, "ONEAPP_ZONEMESH_TOKEN"), KeyStanding::Well));
        assert!(matches!(standing(SuperNode, "ONEAPP_MINE"), KeyStanding::Well));
        assert!(matches!(standing(Gateway, "ONEAPP_ZONEMESH_TOKEN"), KeyStanding::OfAnother(_)));
        let misspelled = standing(SuperNode, "ONEAPP_ZONEMESH_FEDERATOIN");
        assert!(matches!(misspelled, KeyStanding::Unknown(Some("ONEAPP_ZONEMESH_FEDERATION"))));
    }

    #[test]
    fn an_old_spelling_is_read_and_a_key_of_a_private_key_is_refused() {
        for name in ["ONEAPP_FL_NODE_CONFIG", "ONEAPP_ZONEMESH_NODE_CONFIG"] {
            assert!(matches!(standing(SuperNode, name), KeyStanding::Well), "{name}");
        }
        let private = standing(Gateway, "ONEAPP_WG_PRIVATE_KEY");
        assert!(matches!(private, KeyStanding::Refused(_)));
    }

    #[test]
    fn a_reference_to_a_secret_is_seen_whatever_its_case() {
        assert!(reaches_for_secret("${gateway.template.context.oneapp_zonemesh_invitation}"));
        assert!(!reaches_for_secret("${gateway.template.context.eth0_ip}"));
    }
}
