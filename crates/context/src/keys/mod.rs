//! The table of the keys of CONTEXT: one row for each, in the order of the documents.
//!
//! A new key is a row here; then its use, where its readers' settings are read. `--help`,
//! docs/REFERENCE.md, packer/ and oneflow/ follow from the table, which tests hold, and
//! `UPDATE_REFERENCE=1` writes.

pub mod flower;
pub mod gateway;
pub mod later;
pub mod mesh;
pub mod opennebula;

use crate::input::InputType;
use crate::key::{Appliance, ContextKey, KeyEffect, KeyQuestion, KeyReaders};

/// What most keys have in common: each row says the rest.
const KEY: ContextKey = ContextKey {
    name: "",
    old_name: None,
    readers: KeyReaders::Both,
    input: InputType::Text,
    question: KeyQuestion::None,
    default: "none",
    meaning: "",
    expected: "",
    example: "",
    secret: false,
    since: "0.1.0",
    restarts_flower: false,
    effect: KeyEffect::Full,
};

/// What takes effect.
const ACTIVE: [ContextKey; 41] = [
    mesh::FEDERATION,
    mesh::GATEWAY,
    mesh::GATEWAY_STATUS,
    mesh::TOKEN,
    mesh::ADDRESS,
    mesh::IDENTITY,
    mesh::STATE_DIR,
    flower::SUPERLINK_ADDRESS,
    flower::SSL_CA_CERTFILE,
    flower::NODE_CONFIG,
    flower::FLOWER_VERSION,
    flower::FLOWER_BIN,
    flower::FLOWER_USER,
    flower::TLS_ENABLED,
    flower::SUPERNODE_AUTH,
    flower::ISOLATION,
    flower::DATABASE,
    flower::CUDA_VISIBLE_DEVICES,
    flower::GRPC_KEEPALIVE_TIME,
    flower::GRPC_KEEPALIVE_TIMEOUT,
    flower::LOG_LEVEL,
    flower::LOG_FORMAT,
    flower::FLEET_API_ADDRESS,
    flower::FLEET_PORT,
    flower::CONTROL_PORT,
    flower::SERVERAPPIO_PORT,
    flower::HEALTH_PORT,
    flower::CLIENTAPPIO_PORT,
    opennebula::ETH0_IP,
    opennebula::ONEGATE_ENDPOINT,
    opennebula::VMID,
    opennebula::TOKENTXT,
    gateway::INVITATION,
    gateway::ENDPOINT,
    gateway::LISTEN,
    gateway::CONFIG,
    gateway::WG_PEER_PUBLIC_KEY,
    gateway::WG_PEER_ENDPOINT,
    gateway::WG_PEER_ALLOWED_IPS,
    gateway::WG_PEER_PRESHARED_KEY,
    gateway::WG_PEER_PERSISTENT_KEEPALIVE,
];

/// The table.
pub const KEYS: &[ContextKey] = &{
    let mut all = [KEY; ACTIVE.len() + later::LATER.len()];
    let mut at = 0;
    while at < all.len() {
        let of_later = at.checked_sub(ACTIVE.len());
        all[at] = match of_later {
            None => ACTIVE[at],
            Some(at) => later::LATER[at],
        };
        at += 1;
    }
    all
};

/// The keys that the program of an appliance reads.
pub fn of(appliance: Appliance) -> impl Iterator<Item = &'static ContextKey> {
    KEYS.iter().filter(move |key| key.readers.has(appliance))
}
