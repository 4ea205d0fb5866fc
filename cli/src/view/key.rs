//! `zonemesh key`: public keys, and tokens with their hashes. Private keys have no view.

use std::path::Path;

use serde::{Serialize, Serializer};
use zonemesh_api::view::RotationView;
use zonemesh_core::token::VmToken;

use crate::arguments::KeyKind;
use crate::output::{Page, Rendered};
use crate::table::plain;

/// A public key and the file of its private half.
#[derive(Debug, Serialize)]
pub(crate) struct KeyView {
    schema: &'static str,
    kind: &'static str,
    public_key: String,
    file: String,
}

impl KeyView {
    pub(crate) fn new(kind: KeyKind, public_key: String, file: &Path) -> Self {
        let kind = match kind {
            KeyKind::Wireguard => "wireguard",
            KeyKind::Zone => "zone",
            KeyKind::Authority => "authority",
        };
        Self { schema: "zonemesh/key/v1", kind, public_key, file: file.display().to_string() }
    }
}

impl Rendered for KeyView {
    fn text(&self, _page: Page) -> String {
        format!("{}\n", self.public_key)
    }
}

impl Rendered for RotationView {
    fn text(&self, _page: Page) -> String {
        let key = plain(&self.public_key);
        let Some(next) = &self.next_key else {
            return format!("key   {key}\nnext  none is on its way\n");
        };
        let none = |zones: &[String]| match zones {
            [] => "nobody".to_owned(),
            zones => plain(&zones.join(", ")),
        };
        format!(
            "key           {key}\nnext          {}\nnot used by   {}\nold sessions  {}\nnext: zonemesh key rotate --show; it ends by itself when nobody is left\n",
            plain(next),
            none(&self.waiting_for),
            none(&self.old_sessions),
        )
    }
}

/// A new token: shown once, unless it went into a file.
#[derive(Serialize)]
pub(crate) struct TokenView {
    schema: &'static str,
    #[serde(serialize_with = "token_text")]
    token: Option<VmToken>,
    sha256: String,
    pin: String,
    file: Option<String>,
}

impl TokenView {
    pub(crate) fn new(token: VmToken, file: Option<&Path>) -> Self {
        let file = file.map(|file| file.display().to_string());
        let (sha256, pin) = (token.hash().to_string(), token.pin().to_string());
        let token = file.is_none().then_some(token);
        Self { schema: "zonemesh/token/v1", token, sha256, pin, file }
    }
}

fn token_text<S: Serializer>(token: &Option<VmToken>, serializer: S) -> Result<S::Ok, S::Error> {
    token.as_ref().map(VmToken::reveal).serialize(serializer)
}

impl Rendered for TokenView {
    fn text(&self, _page: Page) -> String {
        let token = match (&self.token, &self.file) {
            (Some(token), _) => token.reveal(),
            (None, Some(file)) => &format!("in {file}"),
            (None, None) => "not shown",
        };
        format!(
            "token   {token}\nsha256  {}\npins    {}\nnext: the token into the VM's CONTEXT as ONEAPP_ZONEMESH_TOKEN, the sha256 into [[local_api.token]] of its gateway\n",
            self.sha256, self.pin
        )
    }
}

#[cfg(test)]
impl TokenView {
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(VmToken::reveal)
    }

    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }
}
