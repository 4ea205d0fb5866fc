//! What to do next, with settings by their names.
//!
//! In braces stand settings: `{keepalive.grpc_interval}` is one of a gateway, by its key in
//! `zonemesh.toml`; `{vm:address}` is one of a companion. In backticks stand commands. A renderer
//! spells the settings as people set them.

use std::borrow::Cow;

/// What to do next, in one or two sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix(Cow<'static, str>);

/// Companions are configured by CONTEXT, or by environment variables of the same names.
const OF_A_VM: &str = "vm:";

impl Fix {
    /// As it was written, with its braces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, with each setting by the name that people set it by.
    #[must_use]
    pub fn spelled(&self) -> String {
        let mut parts = self.0.split('{');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (setting, after) = part.split_once('}').unwrap_or((part, ""));
            text.push_str(&spelled(setting));
            text.push_str(after);
        }
        text
    }
}

/// A setting of a gateway is a key of its file, also in an appliance: CONTEXT holds that file whole.
/// What the single-site appliances have, too, has their names.
fn spelled(setting: &str) -> String {
    match setting.strip_prefix(OF_A_VM) {
        Some("flower_version") => "ONEAPP_FLOWER_VERSION".to_owned(),
        Some("node_config") => "ONEAPP_FL_NODE_CONFIG".to_owned(),
        Some(of_a_vm) => format!("ONEAPP_ZONEMESH_{}", of_a_vm.to_ascii_uppercase()),
        None => setting.to_owned(),
    }
}

impl From<&'static str> for Fix {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Fix {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_spelled_as_the_platform_knows_them() {
        let fix = Fix::from("set {gateway.endpoints}, or {vm:address} in the VM; `zonemesh peers`");
        assert_eq!(
            fix.spelled(),
            "set gateway.endpoints, or ONEAPP_ZONEMESH_ADDRESS in the VM; `zonemesh peers`"
        );
        let fix = Fix::from("{vm:flower_version}, {vm:node_config}").spelled();
        assert_eq!(fix, "ONEAPP_FLOWER_VERSION, ONEAPP_FL_NODE_CONFIG");
    }
}
