//! Keys and tokens: made from the system's randomness, private halves never shown.

use std::path::Path;

use zeroize::Zeroizing;
use zonemesh_core::key::{WireGuardPrivateKey, ZoneIdentity};
use zonemesh_core::membership::AuthorityIdentity;
use zonemesh_core::token::{SECRET_BYTES, VmToken, ZonePin};

use crate::arguments::{Generate, KeyKind, NewToken};
use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::secret_file;
use crate::view::key::{KeyView, TokenView};

/// What was made.
pub(crate) enum Made {
    Key(KeyView),
    Token(TokenView),
}

/// Makes a key; `pin` says which zone a token is for: nothing else asks it.
pub(crate) fn generate(
    what: &Generate,
    pin: impl FnOnce(&NewToken) -> Result<ZonePin, CommandFailure>,
) -> Result<Made, CommandFailure> {
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
        Generate::Token(wanted) => {
            let token = VmToken::new(pin(wanted)?, &*random::<SECRET_BYTES>()?);
            if let Some(out) = &wanted.out {
                secret_file::create(out, token.reveal())?;
            }
            Ok(Made::Token(TokenView::new(token, wanted.out.as_deref())))
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

/// What the name of a file says that it holds.
pub(crate) fn kind_by_name(file: &Path) -> Option<KeyKind> {
    let name = file.file_name()?.to_str()?.to_ascii_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    if name.contains("authority") || name.contains("owner") {
        // `mesh init` writes zonemesh-owner.key.
        Some(KeyKind::Authority)
    } else if begins(&["wireguard", "wg"]) {
        Some(KeyKind::Wireguard)
    } else {
        begins(&["zone"]).then_some(KeyKind::Zone)
    }
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, CommandFailure> {
    let mut bytes = Zeroizing::new([0; N]);
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
        assert_eq!(kind("zonemesh-owner.key"), Some(KeyKind::Authority));
        assert_eq!(kind("mesh-owner-2.key"), Some(KeyKind::Authority));
        assert_eq!(kind("/x/Zone.key"), Some(KeyKind::Zone));
        assert_eq!(kind("authority-2.key"), Some(KeyKind::Authority));
        assert_eq!(kind("zone-berlin-authority.key"), Some(KeyKind::Authority));
        assert_eq!(kind("/zone/private.key"), None);
        assert_eq!(kind("/"), None);
    }

    #[test]
    fn a_token_pins_its_zone_goes_with_its_hash_and_no_two_are_equal() {
        let pin = || ZonePin::Key(ZoneIdentity::from_seed(&[7; 32]).public_key());
        let token = || match generate(&Generate::Token(NewToken::default()), |_| Ok(pin())) {
            Ok(Made::Token(view)) => view,
            _ => unreachable!("a token was asked for"),
        };
        let (one, two) = (token(), token());
        let read: VmToken = one.token().unwrap().parse().unwrap();
        assert_eq!(read.pin(), &pin());
        assert_eq!(one.sha256(), read.hash().to_string());
        assert_ne!(one.sha256(), two.sha256());
    }
}
