//! The table of the keys of CONTEXT: one row for each, in the order of the documents.
//!
//! A new key is a row here; then its use, where its readers' settings are read. `--help`,
//! docs/REFERENCE.md, packer/ and oneflow/ follow from the table, which tests hold, and
//! `UPDATE_REFERENCE=1` writes.

pub mod flower;
pub mod gateway;
pub mod mesh;
pub mod opennebula;

use crate::input::InputType;
use crate::key::{Appliance, ContextKey, KeyQuestion, KeyReaders};

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
};

/// The table.
pub const KEYS: &[ContextKey] = &[
    mesh::FEDERATION,
    mesh::GATEWAY,
    mesh::TOKEN,
    mesh::ADDRESS,
    mesh::IDENTITY,
    flower::NODE_CONFIG,
    flower::TLS_ENABLED,
    flower::FLOWER_BIN,
    flower::FLOWER_USER,
    flower::FLOWER_VERSION,
    mesh::STATE_DIR,
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
];

/// The keys that the program of an appliance reads.
pub fn of(appliance: Appliance) -> impl Iterator<Item = &'static ContextKey> {
    KEYS.iter().filter(move |key| key.readers.has(appliance))
}
