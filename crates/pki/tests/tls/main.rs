//! The crate from outside: real handshakes, real OpenSSL, bytes that nobody meant.

#[cfg(test)]
mod federation;
#[cfg(test)]
mod garbage;
#[cfg(test)]
mod local_api;
#[cfg(test)]
mod pipe;
#[cfg(test)]
mod unpinned;
#[cfg(test)]
mod zones;
