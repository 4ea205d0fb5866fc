//! WireGuard implementations as black boxes: two gateways, a WAN between them, and what is done to
//! both.
//!
//! Owns the ground that the behaviour suite, the interop matrix, the soak and the flood stand on.
//! Every implementation is started as its users start it and configured by the real `wg`. Refuses
//! to know anything inside them: it sees their sockets, their output and the wire.
//! Protocol: <https://www.wireguard.com/papers/wireguard.pdf>, <https://www.wireguard.com/xplatform/>.

pub mod bounce;
pub mod flood;
pub mod garbage;
pub mod gateway;
pub mod implementation;
pub mod key;
pub mod machine;
pub mod numbered;
pub mod pair;
pub mod puppet;
pub mod storm;
pub mod traffic;
pub mod wan;
