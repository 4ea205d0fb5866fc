//! Keys and tokens: made from the system's randomness, private halves never shown.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;
use zonemesh_core::key::{WireGuardPrivateKey, ZoneIdentity};
use zonemesh_core::membership::AuthorityIdentity;

use crate::arguments::{Generate, KeyKind};
use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::quantity::hex;
use crate::secret_file;
use crate::view::key::{KeyView, TokenView};

/// What was made.
pub(crate) enum Made {
    Key(KeyView),
    Token(TokenView),
}

pub(crate) fn generate(what: &Generate) -> Result<Made, CommandFailure> {
    match what {
        Generate::Wireguard { out } => {
            let key = WireGuardPrivateKey::from_bytes(*random()?);
            secret_file::create(out, &key.to_base64())?;
            let public_key = key.public_key().to_string();
            Ok(Made::Key(KeyView::new(KeyKind::Wireguard, public_key, out)))
        }
        Generate::Zone { out } => {
            let identity = ZoneIdentity::from_seed(&*random()?);
            secret_file::create(out, &identity.to_base64())?;
            let public_key = identity.public_key().to_string();
            Ok(Made::Key(KeyView::new(KeyKind::Zone, public_key, out)))
        }
        Generate::Authority { out } => {
            let identity = AuthorityIdentity::from_seed(&*random()?);
            secret_file::create(out, &identity.to_base64())?;
            let public_key = identity.public_key().to_string();
            Ok(Made::Key(KeyView::new(KeyKind::Authority, public_key, out)))
        }
        Generate::Token { out } => {
            // Base64url and not hexadecimal: so a token is never taken for its SHA-256.
            let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(*random()?));
            let sha256 = hex(&Sha256::digest(token.as_bytes()));
            if let Some(out) = out {
                secret_file::create(out, &token)?;
            }
            Ok(Made::Token(TokenView::new(token, sha256, out.as_deref())))
        }
    }
}

/// The public key that belongs to the key in `file`.
pub(crate) fn public(file: &Path, kind: Option<KeyKind>) -> Result<KeyView, CommandFailure> {
    let kind = match kind.or_else(|| kind_by_name(file)) {
        Some(kind) => kind,
        None => {
            let message =
                format!("the name of {} does not tell what kind of key it holds", file.display());
            let next = format!(
                "zonemesh key public {} --kind wireguard, or --kind zone, or --kind authority",
                file.display()
            );
            return Err(CommandFailure::message(Exit::Usage, message).next(next));
        }
    };
    let text = secret_file::read(file)?;
    let public_key = match kind {
        KeyKind::Wireguard => {
            WireGuardPrivateKey::from_base64(&text).map(|key| key.public_key().to_string())
        }
        KeyKind::Zone => ZoneIdentity::from_base64(&text).map(|key| key.public_key().to_string()),
        KeyKind::Authority => {
            AuthorityIdentity::from_base64(&text).map(|key| key.public_key().to_string())
        }
    };
    let public_key =
        public_key.or_exit(Exit::Configuration, || format!("{} holds no key", file.display()))?;
    Ok(KeyView::new(kind, public_key, file))
}

fn kind_by_name(file: &Path) -> Option<KeyKind> {
    let name = file.file_name()?.to_str()?.to_ascii_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    if begins(&["wireguard", "wg"]) {
        Some(KeyKind::Wireguard)
    } else {
        let authority = begins(&["authority"]).then_some(KeyKind::Authority);
        begins(&["zone"]).then_some(KeyKind::Zone).or(authority)
    }
}

fn random() -> Result<Zeroizing<[u8; 32]>, CommandFailure> {
    let mut bytes = Zeroizing::new([0; 32]);
    let filled = getrandom::fill(bytes.as_mut_slice());
    filled.or_exit(Exit::Negative, || "the system gives no random numbers".to_owned())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_name_tells_the_kind_of_key() {
        let kind = |name: &str| kind_by_name(Path::new(name));
        assert_eq!(kind("/var/lib/zonemesh/wireguard.key"), Some(KeyKind::Wireguard));
        assert_eq!(kind("wg0.key"), Some(KeyKind::Wireguard));
        assert_eq!(kind("/x/Zone.key"), Some(KeyKind::Zone));
        assert_eq!(kind("authority-2.key"), Some(KeyKind::Authority));
        assert_eq!(kind("/zone/private.key"), None);
        assert_eq!(kind("/"), None);
    }

    #[test]
    fn a_token_goes_with_its_hash_and_no_two_are_equal() {
        let token = || match generate(&Generate::Token { out: None }).unwrap() {
            Made::Token(view) => view,
            Made::Key(_) => unreachable!("a token was asked for"),
        };
        let (one, two) = (token(), token());
        let text = one.token().unwrap();
        assert_eq!(text.len(), 43);
        assert_eq!(one.sha256(), hex(&Sha256::digest(text.as_bytes())));
        assert_ne!(one.sha256(), two.sha256());
    }
}
