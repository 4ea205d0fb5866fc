//! Any bytes as requests of the UAPI: read as a client's are read.

use std::io::{BufReader, Cursor};

use super::clients::read_set;
use super::request::{INVALID, TOO_LONG};

/// Reads requests until the bytes end.
///
/// # Panics
/// If a request is neither taken nor refused with an errno of the protocol.
pub fn uapi(bytes: &[u8]) {
    let mut reader = BufReader::new(Cursor::new(bytes));
    while let Ok(request) = read_set(&mut reader) {
        match request {
            Ok(request) => {
                assert!(request.peers.iter().all(|peer| peer.allowed_ips.len() < bytes.len()))
            }
            Err(TOO_LONG) => return,
            Err(errno) => assert_eq!(errno, INVALID),
        }
    }
}
