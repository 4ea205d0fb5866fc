//! What to do next, with settings by the name that all platforms share.
//!
//! In braces stand settings: `{keepalive.grpc_interval}` is one of a gateway, by its key in
//! `zonemesh.toml`; `{vm:address}` is one of a companion. In backticks stand commands. A renderer
//! spells the settings as the platform knows them.

use std::borrow::Cow;

/// What to do next, in one or two sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix(Cow<'static, str>);

/// How a platform knows the settings of its gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// Keys of `zonemesh.toml`.
    File,
    /// OpenNebula's CONTEXT, in appliances.
    Context,
}

/// Companions are configured by CONTEXT, or by environment variables of the same names.
const OF_A_VM: &str = "vm:";

impl Fix {
    /// As it was written, with its braces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text for a platform.
    #[must_use]
    pub fn spelled(&self, spelling: Spelling) -> String {
        let mut parts = self.0.split('{');
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (setting, after) = part.split_once('}').unwrap_or((part, ""));
            text.push_str(&spelling.of(setting));
            text.push_str(after);
        }
        text
    }
}

impl Spelling {
    /// A setting as this platform knows it.
    #[must_use]
    pub fn of(self, setting: &str) -> String {
        match (setting.strip_prefix(OF_A_VM), self) {
            (Some(of_a_vm), _) => context_key(of_a_vm),
            (None, Self::Context) => context_key(setting),
            (None, Self::File) => setting.to_owned(),
        }
    }
}

fn context_key(setting: &str) -> String {
    format!("ONEAPP_ZONEMESH_{}", setting.to_ascii_uppercase().replace('.', "_"))
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
            fix.spelled(Spelling::File),
            "set gateway.endpoints, or ONEAPP_ZONEMESH_ADDRESS in the VM; `zonemesh peers`"
        );
        assert_eq!(
            fix.spelled(Spelling::Context),
            "set ONEAPP_ZONEMESH_GATEWAY_ENDPOINTS, or ONEAPP_ZONEMESH_ADDRESS in the VM; `zonemesh peers`"
        );
    }
}
