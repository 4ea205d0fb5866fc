//! Names in a CONTEXT that look like ours and do nothing: mistyped, of another VM, of another time.
//!
//! It promises that a name which people wrote for Zonemesh or its Flower is never without effect in
//! silence. It refuses to look at values.

use zonemesh_core::suggestion::nearest;
use zonemesh_core::token::VmRole;

use super::KEYS;
use zonemesh_context::source::KeyReaders;

/// Beginnings of names that somebody wrote for us.
const OURS: [&str; 3] = ["ONEAPP_ZONEMESH_", "ONEAPP_FL_", "ONEAPP_FLOWER_"];
/// Keys that `zonemesh-gateway` reads, and the companions of Flower do not.
pub const OF_GATEWAYS: [&str; 4] = [
    "ONEAPP_ZONEMESH_INVITATION",
    "ONEAPP_ZONEMESH_ENDPOINT",
    "ONEAPP_ZONEMESH_LISTEN",
    "ONEAPP_ZONEMESH_CONFIG",
];
/// Keys that once did something, and what does it now.
pub const OLD: [(&str, &str); 2] = [
    (
        "ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT",
        "ONEAPP_ZONEMESH_TOKEN says which zone's gateway is talked to",
    ),
    (
        "ONEAPP_ZONEMESH_FOUNDING",
        "ONEAPP_ZONEMESH_INVITATION takes the founding bundle, too, in the founding zone",
    ),
];

/// True if a companion reads the key, or the name was written for one.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    OURS.iter().any(|begin| name.starts_with(begin)) || KEYS.iter().any(|key| key.name == name)
}

/// What to say of each of these names that is ours and does nothing in a VM of this role.
#[must_use]
pub fn strangers<'a>(names: impl Iterator<Item = &'a str>, role: VmRole) -> Vec<String> {
    names.filter(|name| is_ours(name)).filter_map(|name| stranger(name, role)).collect()
}

fn stranger(name: &str, role: VmRole) -> Option<String> {
    let (reader, other) = match role {
        VmRole::SuperLink => (KeyReaders::SuperLink, "zonemesh-supernode"),
        VmRole::SuperNode => (KeyReaders::SuperNode, "zonemesh-superlink"),
    };
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        let is_read = key.readers == KeyReaders::Both || key.readers == reader;
        return (!is_read).then(|| format!("{name} has no effect here: {other} reads it"));
    }
    if OF_GATEWAYS.contains(&name) {
        return Some(format!("{name} has no effect here: zonemesh-gateway reads it"));
    }
    if let Some((_, now)) = OLD.iter().find(|(old, _)| *old == name) {
        return Some(format!("{name} has no effect any more: {now}"));
    }
    let keys: Vec<&str> = KEYS.iter().filter_map(|key| last_part(key.name)).collect();
    let meant = last_part(name).and_then(|part| nearest(part, &keys));
    let meant = KEYS.iter().find(|key| meant.is_some() && last_part(key.name) == meant);
    Some(match meant {
        Some(key) => format!("{name} has no effect: it is no key; did you mean {}?", key.name),
        None => format!("{name} has no effect: it is no key of this release"),
    })
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
        let said = |name| strangers([name].into_iter(), VmRole::SuperNode).join("; ");
        for (name, expected) in [
            (
                "ONEAPP_ZONEMESH_FEDERATOIN",
                "it is no key; did you mean ONEAPP_ZONEMESH_FEDERATION?",
            ),
            ("ONEAPP_FL_NODE_CONFIG", "did you mean ONEAPP_ZONEMESH_NODE_CONFIG?"),
            ("ONEAPP_FL_QQQQ", "it is no key of this release"),
            ("ONEAPP_ZONEMESH_FLEET_PORT", "has no effect here: zonemesh-superlink reads it"),
            ("ONEAPP_ZONEMESH_INVITATION", "zonemesh-gateway reads it"),
            ("ONEAPP_ZONEMESH_GATEWAY_FINGERPRINT", "has no effect any more"),
        ] {
            assert!(said(name).contains(expected), "{name}: {}", said(name));
        }
        for silent in
            ["ONEAPP_ZONEMESH_FEDERATION", "ONEAPP_FL_TLS_ENABLED", "SSH_PUBLIC_KEY", "VMID"]
        {
            assert_eq!(said(silent), "");
        }
    }
}
