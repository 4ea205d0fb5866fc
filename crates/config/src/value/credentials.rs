//! Public keys and hashes of tokens.
//!
//! What stands there is never repeated in a message, because people paste the secret where the
//! public half belongs.

use toml::de::DeValue;
use zonemesh_core::key::{KeyError, WireGuardPublicKey, ZonePublicKey};

use super::text;
use crate::complaint::Complaint;

pub(crate) fn wireguard_key(value: &DeValue<'_>) -> Result<WireGuardPublicKey, Complaint> {
    let expected = "the peer's WireGuard public key, 44 characters of base64";
    let ask = "ask the peer for what `zonemesh key public /var/lib/zonemesh/wireguard.key` prints";
    let key: WireGuardPublicKey = public_key(value, expected, ask)?;
    if key.0 == [0; 32] {
        let found = "found 32 zero bytes: the key is a placeholder";
        return Err(Complaint::new(found, expected, ask));
    }
    Ok(key)
}

pub(crate) fn zone_key(value: &DeValue<'_>) -> Result<ZonePublicKey, Complaint> {
    let expected = "the peer's zone public key, \"ed25519:\" and 44 characters of base64";
    let ask = "ask the peer for what `zonemesh key public /var/lib/zonemesh/zone.key` prints";
    public_key(value, expected, ask)
}

fn public_key<K: std::str::FromStr<Err = KeyError>>(
    value: &DeValue<'_>,
    expected: &str,
    ask: &str,
) -> Result<K, Complaint> {
    let text = text(value, expected)?;
    text.parse().map_err(|error: KeyError| {
        let found = format!("found {} characters: {error}", text.chars().count());
        Complaint::new(found, expected, ask)
    })
}

pub(crate) fn sha256(value: &DeValue<'_>) -> Result<[u8; 32], Complaint> {
    let expected = "the token's SHA-256, 64 hexadecimal digits";
    let text = text(value, expected)?;
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let bytes: Option<[u8; 32]> = digits
        .filter(|digits| digits.len() == 64)
        .map(|digits| std::array::from_fn(|i| digits[2 * i] << 4 | digits[2 * i + 1]));
    bytes.ok_or_else(|| {
        Complaint::new(
            format!("found {} other characters", text.chars().count()),
            expected,
            "`zonemesh key generate token` prints both the token and its SHA-256",
        )
    })
}
