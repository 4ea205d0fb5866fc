//! Which of our appliances runs in a role, and which keys it reads: the one place where a role's
//! inputs are compared with what the programs know.
//!
//! The keys stand in the sources of the companions; a test holds this table against those.

/// An appliance of Zonemesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appliance {
    /// `zonemeshd` with `zonemesh-gateway`.
    Gateway,
    /// Flower's SuperLink with its companion.
    SuperLink,
    /// Flower's SuperNode with its companion.
    SuperNode,
}

/// A key of CONTEXT that one of them reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApplianceKey {
    /// Its name.
    pub name: &'static str,
    /// Who reads it.
    pub readers: &'static [Appliance],
    /// Whether its value is nobody else's business.
    pub secret: bool,
}

use Appliance::{Gateway, SuperLink, SuperNode};

const OF_FLOWER: &[Appliance] = &[SuperLink, SuperNode];

/// What all names of keys begin with that are ours alone.
const OURS: &str = "ONEAPP_ZONEMESH_";

const fn key(name: &'static str, readers: &'static [Appliance]) -> ApplianceKey {
    ApplianceKey { name, readers, secret: false }
}

const fn secret(name: &'static str, readers: &'static [Appliance]) -> ApplianceKey {
    ApplianceKey { name, readers, secret: true }
}

const KEYS: &[ApplianceKey] = &[
    secret("ONEAPP_ZONEMESH_INVITATION", &[Gateway]),
    key("ONEAPP_ZONEMESH_ENDPOINT", &[Gateway]),
    key("ONEAPP_ZONEMESH_LISTEN", &[Gateway]),
    secret("ONEAPP_ZONEMESH_CONFIG", &[Gateway]),
    key("ONEAPP_ZONEMESH_FEDERATION", OF_FLOWER),
    key("ONEAPP_ZONEMESH_GATEWAY", OF_FLOWER),
    secret("ONEAPP_ZONEMESH_TOKEN", OF_FLOWER),
    key("ONEAPP_ZONEMESH_ADDRESS", &[SuperLink]),
    key("ONEAPP_ZONEMESH_IDENTITY", &[SuperLink]),
    key("ONEAPP_ZONEMESH_NODE_CONFIG", &[SuperNode]),
    key("ONEAPP_ZONEMESH_FLOWER_BIN", OF_FLOWER),
    key("ONEAPP_ZONEMESH_FLOWER_USER", OF_FLOWER),
    key("ONEAPP_ZONEMESH_FLOWER_VERSION", OF_FLOWER),
    key("ONEAPP_ZONEMESH_STATE_DIR", OF_FLOWER),
    key("ONEAPP_ZONEMESH_FLEET_PORT", &[SuperLink]),
    key("ONEAPP_ZONEMESH_CONTROL_PORT", &[SuperLink]),
    key("ONEAPP_ZONEMESH_SERVERAPPIO_PORT", &[SuperLink]),
    key("ONEAPP_ZONEMESH_HEALTH_PORT", &[SuperLink]),
    key("ONEAPP_ZONEMESH_CLIENTAPPIO_PORT", &[SuperNode]),
];

/// Ends of names that somebody chose for a secret of their own.
const SECRET_ENDS: [&str; 4] = ["_TOKEN", "_PASSWORD", "_SECRET", "_INVITATION"];

/// Words for what a key of ours is to a role.
pub(crate) enum KeyStanding {
    /// Its appliance reads it, or it is nothing of ours.
    Well,
    /// Another appliance reads it.
    OfAnother(&'static ApplianceKey),
    /// Nobody does; this one is like it.
    Unknown(Option<&'static str>),
}

impl Appliance {
    /// The keys that Zonemesh's appliances read.
    pub const KEYS: &'static [ApplianceKey] = KEYS;

    const ALL: [Self; 3] = [Gateway, SuperLink, SuperNode];

    /// What the appliance is called in files and roles.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Gateway => "gateway",
            SuperLink => "superlink",
            SuperNode => "supernode",
        }
    }

    /// The appliance of a role: its name begins with the appliance's, else a key tells.
    pub(crate) fn of_role<'k>(role: &str, keys: impl Iterator<Item = &'k str>) -> Option<Self> {
        let role = role.to_ascii_lowercase();
        if let Some(named) = Self::ALL.into_iter().find(|one| role.starts_with(one.as_str())) {
            return Some(named);
        }
        let known: Vec<&[Self]> = keys
            .filter_map(known)
            .filter(|key| key.name.starts_with(OURS))
            .map(|key| key.readers)
            .collect();
        let telling = known.iter().find(|readers| readers.len() == 1);
        telling.or(known.first()).and_then(|readers| readers.last()).copied()
    }

    /// What a key is to this appliance.
    pub(crate) fn standing(self, name: &str) -> KeyStanding {
        match known(name) {
            Some(key) if key.readers.contains(&self) => KeyStanding::Well,
            Some(key) => KeyStanding::OfAnother(key),
            None if name.starts_with(OURS) => {
                let all: Vec<&str> = KEYS.iter().filter_map(|key| last_part(key.name)).collect();
                let like =
                    last_part(name).and_then(|part| zonemesh_core::suggestion::nearest(part, &all));
                let like =
                    like.and_then(|like| KEYS.iter().find(|key| last_part(key.name) == Some(like)));
                KeyStanding::Unknown(like.map(|key| key.name))
            }
            None => KeyStanding::Well,
        }
    }
}

/// What tells a key from the others.
fn last_part(name: &str) -> Option<&str> {
    name.strip_prefix(OURS)
}

fn known(name: &str) -> Option<&'static ApplianceKey> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether the value of a key is nobody else's business.
pub(crate) fn is_secret(name: &str) -> bool {
    known(name).map_or_else(
        || SECRET_ENDS.iter().any(|end| name.to_ascii_uppercase().ends_with(end)),
        |key| key.secret,
    )
}

/// Whether a text of a template reaches for a secret of another role's VM, as `${ROLE.PATH}` does.
pub(crate) fn reaches_for_secret(text: &str) -> bool {
    let references = text.split("${").skip(1).filter_map(|behind| behind.split('}').next());
    references.filter_map(|path| path.rsplit('.').next()).any(is_secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_known_by_its_name_and_else_by_its_keys() {
        let of = |role: &str, keys: &[&str]| Appliance::of_role(role, keys.iter().copied());
        assert_eq!(of("supernode_gpu", &[]), Some(SuperNode));
        assert_eq!(of("Gateway", &[]), Some(Gateway));
        let common = ["ONEAPP_ZONEMESH_FEDERATION", "ONEAPP_ZONEMESH_IDENTITY"];
        assert_eq!(of("server", &common), Some(SuperLink));
        assert_eq!(of("trainer", &common[..1]), Some(SuperNode));
        assert_eq!(of("database", &["ONEAPP_MYSQL_PASSWORD"]), None);
    }

    #[test]
    fn a_key_of_another_appliance_is_told_from_one_that_nobody_reads() {
        assert!(matches!(SuperNode.standing("ONEAPP_ZONEMESH_TOKEN"), KeyStanding::Well));
        assert!(matches!(SuperNode.standing("ONEAPP_MINE"), KeyStanding::Well));
        assert!(matches!(Gateway.standing("ONEAPP_ZONEMESH_TOKEN"), KeyStanding::OfAnother(_)));
        let misspelled = SuperNode.standing("ONEAPP_ZONEMESH_FEDERATOIN");
        assert!(matches!(misspelled, KeyStanding::Unknown(Some("ONEAPP_ZONEMESH_FEDERATION"))));
    }

    #[test]
    fn a_reference_to_a_secret_is_seen_whatever_its_case() {
        assert!(reaches_for_secret("${gateway.template.context.oneapp_zonemesh_invitation}"));
        assert!(!reaches_for_secret("${gateway.template.context.eth0_ip}"));
    }
}
