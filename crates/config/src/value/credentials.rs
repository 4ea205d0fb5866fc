//! Public keys, hashes of tokens, and what a token is good for.
//!
//! What stands there is never repeated in a message, because people paste the secret where the
//! public half belongs.

use toml::de::DeValue;
use zonemesh_core::key::{KeyError, WireGuardPublicKey, ZonePublicKey};
use zonemesh_core::token::{TokenHash, TokenHashError, VmRole};

use super::text;
use crate::complaint::Complaint;

pub(crate) fn wireguard_key(value: &DeValue<'_>) -> Result<WireGuardPublicKey, Complaint> {
    let ask = "ask the peer for what `zonemesh key public /var/lib/zonemesh/wireguard.key` prints";
    wireguard_public_key(value, ask)
}

/// Of a peer that has no `zonemesh`.
pub(crate) fn peer_public_key(value: &DeValue<'_>) -> Result<WireGuardPublicKey, Complaint> {
    wireguard_public_key(value, "take what `wg show INTERFACE public-key` prints there")
}

fn wireguard_public_key(value: &DeValue<'_>, ask: &str) -> Result<WireGuardPublicKey, Complaint> {
    let expected = "the peer's WireGuard public key, 44 characters of base64";
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

pub(crate) fn token_hash(value: &DeValue<'_>) -> Result<TokenHash, Complaint> {
    let expected = "the token's SHA-256, \"zmt1:\" and 64 hexadecimal digits";
    let text = text(value, expected)?;
    text.parse().map_err(|error| match error {
        TokenHashError::OldForm => Complaint::new(
            "found the hash of a token of 0.1.0, which pins no zone and is taken no more",
            expected,
            "make a new token with `zonemesh key generate token`, for the VM's CONTEXT too",
        ),
        TokenHashError::Form => Complaint::new(
            format!("found {} other characters", text.chars().count()),
            expected,
            "`zonemesh key generate token` prints both the token and its SHA-256",
        ),
    })
}

pub(crate) fn vm_role(value: &DeValue<'_>) -> Result<VmRole, Complaint> {
    let expected = "\"superlink\" or \"supernode\"";
    let text = text(value, expected)?;
    let role =
        [VmRole::SuperLink, VmRole::SuperNode].into_iter().find(|role| role.as_str() == text);
    let fix = "name what runs in the VM that has the token";
    role.ok_or_else(|| Complaint::new(format!("found {text:?}"), expected, fix))
}
