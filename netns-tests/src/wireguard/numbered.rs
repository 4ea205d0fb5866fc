//! A WireGuard session whose messages bear the numbers that the test chooses.
//!
//! Owns the keys of one session, from the initiator's end: no noise layer gives them away, and none
//! counts to 2^64 in a test's time. Promises messages that are authentic whatever their number.
//! Refuses sockets: a [`super::puppet::Puppet`] carries the bytes.
//! Protocol: WireGuard paper, section 5.4.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use blake2::digest::consts::U16;
use blake2::digest::{KeyInit, Mac as _};
use blake2::{Blake2s256, Blake2sMac, Digest as _};
use boringtun::x25519::{PublicKey, StaticSecret};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead as _, Payload};
use hmac::SimpleHmac;

use super::puppet::PuppetKeys;

const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";
/// Our index of the session.
const INDEX: [u8; 4] = [7, 0, 0, 0];
/// A response (WireGuard paper, section 5.4.3).
const RESPONSE: usize = 92;
/// From which on no message is accepted: Reject-After-Messages (section 6.1).
pub const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);

/// The symmetric state of the handshake.
struct SymmetricState {
    chain: [u8; 32],
    hash: [u8; 32],
}

/// A handshake that waits for its response.
pub struct NumberedHandshake {
    own: StaticSecret,
    ephemeral: StaticSecret,
    state: SymmetricState,
}

/// A session that is made.
pub struct NumberedSession {
    /// The gateway's index of it.
    receiver: [u8; 4],
    key: [u8; 32],
}

impl SymmetricState {
    fn mix_hash(&mut self, bytes: &[u8]) {
        self.hash = hash(&[&self.hash, bytes]);
    }

    /// Takes input into the chaining key; returns the key for what comes next.
    fn mix_key(&mut self, input: &[u8]) -> [u8; 32] {
        let [chain, key, _] = derive(&self.chain, input);
        self.chain = chain;
        key
    }

    fn mix_public(&mut self, public: &PublicKey) {
        self.mix_hash(public.as_bytes());
        self.mix_key(public.as_bytes());
    }

    fn seal(&mut self, key: &[u8; 32], plain: &[u8]) -> Result<Vec<u8>> {
        let sealed = seal(key, 0, plain, &self.hash)?;
        self.mix_hash(&sealed);
        Ok(sealed)
    }
}

impl NumberedHandshake {
    /// Begins a handshake: the initiation to send.
    ///
    /// # Errors
    /// When the clock stands before 1970.
    pub fn begin(keys: &PuppetKeys<'_>) -> Result<(Self, Vec<u8>)> {
        let own = keys.own.secret();
        let chain = hash(&[CONSTRUCTION]);
        let mut state = SymmetricState { chain, hash: hash(&[&chain, IDENTIFIER]) };
        state.mix_hash(keys.peer.as_bytes());
        let time = SystemTime::now().duration_since(UNIX_EPOCH)?;
        // Nobody has to be kept from guessing it.
        let ephemeral = StaticSecret::from(hash(&[&time.as_nanos().to_be_bytes()]));
        let public = PublicKey::from(&ephemeral);
        state.mix_public(&public);
        let mut message = vec![1, 0, 0, 0];
        message.extend_from_slice(&INDEX);
        message.extend_from_slice(public.as_bytes());
        let key = state.mix_key(ephemeral.diffie_hellman(&keys.peer).as_bytes());
        message.extend_from_slice(&state.seal(&key, PublicKey::from(&own).as_bytes())?);
        let key = state.mix_key(own.diffie_hellman(&keys.peer).as_bytes());
        let mut stamp = (0x4000_0000_0000_000a_u64 + time.as_secs()).to_be_bytes().to_vec();
        stamp.extend_from_slice(&time.subsec_nanos().to_be_bytes());
        message.extend_from_slice(&state.seal(&key, &stamp)?);
        let mac_key = hash(&[b"mac1----", keys.peer.as_bytes()]);
        let mac = <Blake2sMac<U16> as KeyInit>::new_from_slice(&mac_key)?;
        message.extend_from_slice(&mac.chain_update(&message).finalize().into_bytes());
        message.extend_from_slice(&[0; 16]);
        Ok((Self { own, ephemeral, state }, message))
    }

    /// Takes the response.
    ///
    /// # Errors
    /// When it is none.
    pub fn finish(mut self, response: &[u8]) -> Result<NumberedSession> {
        ensure!(response.len() == RESPONSE && response[0] == 2, "{} bytes", response.len());
        let receiver = *response[4..].first_chunk().context("no index")?;
        let remote = PublicKey::from(*response[12..].first_chunk::<32>().context("no key")?);
        let state = &mut self.state;
        state.mix_public(&remote);
        state.mix_key(self.ephemeral.diffie_hellman(&remote).as_bytes());
        state.mix_key(self.own.diffie_hellman(&remote).as_bytes());
        // The preshared key: none.
        let [chain, ..] = derive(&state.chain, &[0; 32]);
        let [key, ..] = derive(&chain, &[]);
        Ok(NumberedSession { receiver, key })
    }
}

impl NumberedSession {
    /// A data message with this number, whatever went before.
    ///
    /// # Errors
    /// None that a packet can bring about.
    pub fn seal(&self, number: u64, packet: &[u8]) -> Result<Vec<u8>> {
        let mut padded = packet.to_vec();
        padded.resize(packet.len().next_multiple_of(16), 0);
        let mut message = vec![4, 0, 0, 0];
        message.extend_from_slice(&self.receiver);
        message.extend_from_slice(&number.to_le_bytes());
        message.extend_from_slice(&seal(&self.key, number, &padded, &[])?);
        Ok(message)
    }
}

fn seal(key: &[u8; 32], number: u64, plain: &[u8], aad: &[u8]) -> Result<Vec<u8>> {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    let sealed =
        ChaCha20Poly1305::new(key.into()).encrypt(&nonce.into(), Payload { msg: plain, aad });
    sealed.map_err(|error| anyhow::anyhow!("cannot seal: {error}"))
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Blake2s256::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

/// The three keys of the paper's KDF.
fn derive(chain: &[u8; 32], input: &[u8]) -> [[u8; 32]; 3] {
    let first = authenticate(chain, &[input]);
    let secret = first;
    let one = authenticate(&secret, &[&[1]]);
    let two = authenticate(&secret, &[&one, &[2]]);
    let three = authenticate(&secret, &[&two, &[3]]);
    [one, two, three]
}

fn authenticate(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // A key is filled up to a block (RFC 2104).
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let mac = <SimpleHmac<Blake2s256> as KeyInit>::new(&block.into());
    parts.iter().fold(mac, |mac, part| mac.chain_update(part)).finalize().into_bytes().into()
}
