//! A TLS handshake between two real rustls connections over memory, until both are quiet, and PEM.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Error, ServerConfig, ServerConnection};

/// Both ends after a handshake that passed.
pub(crate) struct Pair {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerConnection,
}

/// Who refused, and why.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) client: Option<Error>,
    pub(crate) server: Option<Error>,
}

impl Refused {
    pub(crate) fn text(&self) -> String {
        let of = |error: &Option<Error>| error.as_ref().map(ToString::to_string);
        format!("client: {:?}, server: {:?}", of(&self.client), of(&self.server))
    }
}

/// Dials `name`; passes only if both ends finished and neither complained afterwards.
pub(crate) fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<Pair, Box<Refused>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    let mut refused = Refused { client: None, server: None };
    for _round in 0..10 {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() && refused.server.is_none() {
            server.read_tls(&mut rest).unwrap();
            refused.server = server.process_new_packets().err();
        }
        bytes.clear();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() && refused.client.is_none() {
            client.read_tls(&mut rest).unwrap();
            refused.client = client.process_new_packets().err();
        }
    }
    let failed = refused.client.is_some() || refused.server.is_some();
    if failed || client.is_handshaking() || server.is_handshaking() {
        return Err(Box::new(refused));
    }
    Ok(Pair { client, server })
}

/// PEM by hand: the crate under test has no encoder of its own to offer.
pub(crate) fn pem_of(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for chunk in der.chunks(3) {
        let mut word = [0; 3];
        word[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, word[0], word[1], word[2]]);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            let letter = DIGITS[usize::try_from(index).unwrap()];
            text.push(if digit > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    text + &format!("\n-----END {label}-----\n")
}
