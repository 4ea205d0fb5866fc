//! Names in a CONTEXT that look like ours and do nothing: mistyped, of another VM, of another time.
//!
//! It promises that a name which people wrote for Zonemesh or its Flower is never without effect in
//! silence. It refuses to look at values.

use zonemesh_core::offered::without_secrets;
use zonemesh_core::suggestion::{but_for_letters, nearest};
use zonemesh_core::visible::brief_lines;

use crate::image::Image;
use crate::key::{Appliance, ContextKey, KeyEffect};
use crate::keys::KEYS;
use crate::keys::flower::{FLEET_API_ADDRESS, FLEET_PORT};

/// Beginnings of names that somebody wrote for us.
pub const OURS: [&str; 5] =
    ["ONEAPP_ZONEMESH_", "ONEAPP_FL_", "ONEAPP_FLOWER_", "ONEAPP_ML_", "ONEAPP_WG_"];

/// How the names of every appliance's settings begin.
const ALL_APPLIANCES: &str = "ONEAPP";
/// More characters than any key has.
const LONGEST: usize = 80;

/// A key that once did something.
struct OldKey {
    name: &'static str,
    /// What does it now.
    now: &'static str,
}

const OLD: [OldKey; 2] = [
    OldKey {
        name: "ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT",
        now: "ONEAPP_ZONEMESH_TOKEN says which zone's gateway is talked to",
    },
    OldKey {
        name: "ONEAPP_ZONEMESH_FOUNDING",
        now: "ONEAPP_ZONEMESH_INVITATION takes the founding bundle, too, in the founding zone",
    },
];

/// True if one of our programs reads the key, or the name was written for one.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    OURS.iter().any(|begin| name.starts_with(begin)) || known(name).is_some()
}

fn known(name: &str) -> Option<&'static ContextKey> {
    KEYS.iter().find(|key| key.names().any(|known| known == name))
}

/// What to say of each of these names that is read here, and has another that is preferred.
#[must_use]
pub fn outdated<'a>(names: impl Iterator<Item = &'a str>, appliance: Appliance) -> Vec<String> {
    let outdated = names.filter_map(|name| {
        let key = known(name).filter(|key| key.readers.has(appliance))?;
        if name == FLEET_PORT.name {
            let preferred = FLEET_API_ADDRESS.name;
            return Some(format!("{name} is read; {preferred}=0.0.0.0:PORT is the preferred form"));
        }
        if name == key.name {
            return None;
        }
        Some(format!("{name} is read as {}, which is the preferred name", key.name))
    });
    outdated.collect()
}

/// What to say of each of these names that is ours and does nothing in a VM of this image.
#[must_use]
pub fn strangers<'a>(names: impl Iterator<Item = &'a str>, image: Image) -> Vec<String> {
    let said = names.filter_map(|name| match is_ours(name) {
        true => stranger(name, image),
        false => almost_ours(name, image),
    });
    said.map(|line| brief_lines(&without_secrets(&line))).collect()
}

/// A name with a mistake in its beginning, or in another case, is no less written for us.
fn almost_ours(name: &str, image: Image) -> Option<String> {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let spelled: String = name.chars().map(upper).take(LONGEST).collect();
    let names = image.keys().flat_map(ContextKey::names);
    let names: Vec<&str> = names.filter(|name| name.starts_with(ALL_APPLIANCES)).collect();
    let meant = but_for_letters(&spelled, &names, 2)?;
    Some(format!("{name} has no effect: it is no key; did you mean {meant}?"))
}

fn stranger(name: &str, image: Image) -> Option<String> {
    if let Some(key) = known(name) {
        return match key.effect {
            KeyEffect::Later { today, .. } if image.reads(key) => Some(format!(
                "{name} has no effect until a later release; today: {}",
                today.replace('`', "")
            )),
            _ => elsewhere(name, key, image),
        };
    }
    if let Some(old) = OLD.iter().find(|old| old.name == name) {
        return Some(format!("{name} has no effect any more: {}", old.now));
    }
    Some(match meant(name, image) {
        Some(key) => format!("{name} has no effect: it is no key; did you mean {}?", key.name),
        None => format!("{name} has no effect: it is no key of this release"),
    })
}

/// What OpenNebula writes into every CONTEXT is nobody's mistake.
fn elsewhere(name: &str, key: &ContextKey, image: Image) -> Option<String> {
    let is_silent = image.reads(key) || !name.starts_with("ONEAPP_");
    let readers = Appliance::ALL.into_iter().filter(|other| key.readers.has(*other));
    let readers: Vec<&str> = readers.map(Appliance::program).collect();
    (!is_silent).then(|| {
        let verb = if readers.len() == 1 { "reads" } else { "read" };
        format!("{name} has no effect here: {} {verb} it", readers.join(" and "))
    })
}

/// The key that is read here and was probably meant, also with another beginning.
#[must_use]
pub fn meant(name: &str, image: Image) -> Option<&'static ContextKey> {
    let parts: Vec<&str> = image.keys().filter_map(|key| last_part(key.name)).collect();
    let part = nearest(last_part(name)?, &parts)?;
    image.keys().find(|key| last_part(key.name) == Some(part))
}

/// What tells keys apart.
fn last_part(name: &str) -> Option<&str> {
    OURS.iter().find_map(|begin| name.strip_prefix(begin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_ours_that_does_nothing_is_named_with_what_was_meant() {
        use Appliance::{Gateway, SuperLink, SuperNode};
        let said =
            |name, appliance| strangers([name].into_iter(), Image::One(appliance)).join("; ");
        for (name, appliance, expected) in [
            (
                "ONEAPP_ZONEMESH_FEDERATOIN",
                SuperNode,
                "it is no key; did you mean ONEAPP_ZONEMESH_FEDERATION?",
            ),
            ("ONEAPP_FL_NODE_CONFG", SuperNode, "did you mean ONEAPP_FL_NODE_CONFIG?"),
            (
                "ONEAPP_FL_NUM_ROUNDS",
                SuperLink,
                "no effect until a later release; today: the app's own configuration",
            ),
            ("ONEAPP_FL_NUM_ROUNDS", SuperNode, "no effect here: zonemesh-superlink reads it"),
            ("ONEAPP_FL_ML_FRAMEWORK", SuperNode, "did you mean ONEAPP_ML_FRAMEWORK?"),
            ("ONEAPP_WG_PEER_ENDPOINT", SuperNode, "no effect here: zonemesh-gateway reads it"),
            ("ONEAPP_WG_PEER_ALLOWEDIPS", Gateway, "did you mean ONEAPP_WG_PEER_ALLOWED_IPS?"),
            ("ONEAPP_FL_QQQQ", SuperNode, "it is no key of this release"),
            (
                "ONEAPP_ZONEMESH_FLEET_PORT",
                SuperNode,
                "no effect here: zonemesh-superlink reads it",
            ),
            ("ONEAPP_ZONEMESH_INVITATION", SuperNode, "zonemesh-gateway reads it"),
            ("ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT", SuperNode, "has no effect any more"),
            ("ONEAPP_ZONEMESH_INVITATON", Gateway, "did you mean ONEAPP_ZONEMESH_INVITATION?"),
            (
                "ONEAPP_ZONEMESH_TOKEN",
                Gateway,
                "has no effect here: zonemesh-superlink and zonemesh-supernode read it",
            ),
            ("ONEAPP_ZONEMESH_FOUNDING", Gateway, "any more: ONEAPP_ZONEMESH_INVITATION takes the"),
        ] {
            let said = said(name, appliance);
            assert!(said.contains(expected), "{name}: {said}");
        }
        for (silent, appliance) in [
            ("ONEAPP_ZONEMESH_FEDERATION", SuperNode),
            ("ONEAPP_FL_TLS_ENABLED", SuperNode),
            ("SSH_PUBLIC_KEY", SuperNode),
            ("VMID", SuperNode),
            ("ETH0_IP", Gateway),
            ("ONEAPP_ZONEMESH_ENDPOINT", Gateway),
            ("ONEAPP_WG_PEER_ENDPOINT", Gateway),
            ("ONEAPP_FL_NODE_CONFIG", SuperNode),
            ("ONEAPP_ZONEMESH_NODE_CONFIG", SuperNode),
        ] {
            assert_eq!(said(silent, appliance), "");
        }
    }

    #[test]
    fn a_name_with_a_mistake_in_its_beginning_or_in_another_case_is_no_less_ours() {
        use Appliance::{Gateway, SuperNode};
        let said =
            |name, appliance| strangers([name].into_iter(), Image::One(appliance)).join("; ");
        for (name, appliance, expected) in [
            ("ONEAPP_ZONEMSH_FEDERATION", SuperNode, "did you mean ONEAPP_ZONEMESH_FEDERATION?"),
            ("ONEAPPZONEMESH_FEDERATION", SuperNode, "did you mean ONEAPP_ZONEMESH_FEDERATION?"),
            ("oneapp_zonemesh_federation", SuperNode, "did you mean ONEAPP_ZONEMESH_FEDERATION?"),
            ("ONEAPP-ZONEMESH-TOKEN", SuperNode, "did you mean ONEAPP_ZONEMESH_TOKEN?"),
            ("ONEAP_FL_NODE_CONFIG", SuperNode, "did you mean ONEAPP_FL_NODE_CONFIG?"),
            ("OENAPP_FL_LOG_LEVEL", SuperNode, "did you mean ONEAPP_FL_LOG_LEVEL?"),
            ("ONE_APP_FL_LOG_LEVEL", SuperNode, "did you mean ONEAPP_FL_LOG_LEVEL?"),
            ("ONAPP_ZONEMESH_GATEWAY", SuperNode, "did you mean ONEAPP_ZONEMESH_GATEWAY?"),
            ("ONEAPP_LF_NODE_CONFIG", SuperNode, "did you mean ONEAPP_FL_NODE_CONFIG?"),
            ("ONEAPP_ZONEMESH_\u{202e}", SuperNode, "ONEAPP_ZONEMESH_\\u{202e} has no effect"),
        ] {
            let said = said(name, appliance);
            assert!(said.contains(expected), "{name}: {said}");
        }
        for (silent, appliance) in [
            ("ETH9_IP", Gateway),
            ("ONEAPP_VNF_TOKEN", SuperNode),
            ("ONEAPP_ZOOKEEPER_TOKEN", SuperNode),
            ("ZONEMESH_CONFIG", Gateway),
        ] {
            assert_eq!(said(silent, appliance), "");
        }
        let long = format!("ONEAPP_FL_{}", "Z".repeat(1 << 20));
        let said = said(&long, SuperNode);
        assert!(said.len() < 1200 && said.contains("has no effect"), "{} bytes", said.len());
    }

    #[test]
    fn where_gateway_and_superlink_share_a_vm_the_keys_of_the_other_are_no_strangers() {
        let names = ["ONEAPP_ZONEMESH_INVITATION", "ONEAPP_ZONEMESH_TOKEN"];
        let both = |names: &[&'static str]| {
            strangers(names.iter().copied(), Image::SuperLinkGateway).join("; ")
        };
        assert_eq!(both(&names), "");
        assert!(both(&["ONEAPP_FL_NODE_CONFIG"]).contains("zonemesh-supernode reads it"));
        let misspelled = both(&["ONEAPP_ZONEMESH_INVITATON"]);
        assert!(misspelled.contains("did you mean ONEAPP_ZONEMESH_INVITATION?"), "{misspelled}");
    }

    #[test]
    fn an_old_spelling_is_said_with_the_preferred_one_where_it_is_read() {
        let names = ["ONEAPP_ZONEMESH_FLOWER_VERSION", "ONEAPP_FLOWER_VERSION", "VMID"];
        let said = outdated(names.into_iter(), Appliance::SuperLink);
        let expected = "ONEAPP_ZONEMESH_FLOWER_VERSION is read as ONEAPP_FLOWER_VERSION, which is the preferred name";
        assert_eq!(said, [expected]);
        assert!(outdated(names.into_iter(), Appliance::Gateway).is_empty());
    }
}
