//! Rows: how Flower is run.

use super::KEY;
use crate::input::InputType;
use crate::key::{ContextKey, KeyQuestion, KeyReaders};

/// What ClientApps are told.
pub const NODE_CONFIG: ContextKey = ContextKey {
    name: "ONEAPP_FL_NODE_CONFIG",
    old_name: Some("ONEAPP_ZONEMESH_NODE_CONFIG"),
    readers: KeyReaders::SuperNode,
    question: KeyQuestion::Optional(
        "Key=value pairs for the ClientApps (empty: the place in the role)",
    ),
    default: "the VM's part in its OneFlow role, if it has one",
    meaning: "`key=value` pairs for the ClientApps",
    expected: "key=value pairs with spaces between them; a value is a number, true, false or a quoted text",
    example: "partition-id=0 num-partitions=2 site='berlin'",
    since: "0.3.0",
    restarts_flower: true,
    ..KEY
};
/// Of the single-site appliances.
pub const TLS_ENABLED: ContextKey = ContextKey {
    name: "ONEAPP_FL_TLS_ENABLED",
    input: InputType::Boolean,
    default: "`YES`",
    meaning: "of the single-site appliances; `NO` is refused: SuperNodes of other zones are there",
    expected: "YES, or nothing: across zones Flower speaks TLS, and its certificates come by themselves",
    example: "YES",
    since: "0.2.0",
    ..KEY
};
/// Where Flower is.
pub const FLOWER_BIN: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_FLOWER_BIN",
    default: "`/opt/flower/bin`",
    meaning: "folder of Flower's programs",
    expected: "an absolute path: the folder with flwr, flower-superlink and flower-supernode",
    example: "/opt/flower/bin",
    restarts_flower: true,
    ..KEY
};
/// As whom it runs.
pub const FLOWER_USER: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_FLOWER_USER",
    default: "the companion's own",
    meaning: "user that Flower runs as",
    expected: "the name of a user of this VM",
    example: "flower",
    restarts_flower: true,
    ..KEY
};
/// Which it must be.
pub const FLOWER_VERSION: ContextKey = ContextKey {
    name: "ONEAPP_FLOWER_VERSION",
    old_name: Some("ONEAPP_ZONEMESH_FLOWER_VERSION"),
    question: KeyQuestion::Image("Version of Flower that must be installed (empty: any)"),
    default: "any that is supported",
    meaning: "the version that must be installed",
    expected: "the Flower version that must be installed",
    example: "1.25.0",
    since: "0.3.0",
    ..KEY
};
/// Where SuperNodes connect.
pub const FLEET_PORT: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_FLEET_PORT",
    default: "9092; 8000 from Flower 1.40 on",
    meaning: "port for SuperNodes",
    ..SUPERLINK_PORT
};
/// Where `flwr run` connects.
pub const CONTROL_PORT: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_CONTROL_PORT",
    default: "9093; none of its own from Flower 1.40 on",
    meaning: "port for `flwr run`",
    ..SUPERLINK_PORT
};
/// Where ServerApps connect.
pub const SERVERAPPIO_PORT: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_SERVERAPPIO_PORT",
    default: "9091; none of its own from Flower 1.40 on",
    meaning: "loopback port for ServerApps",
    ..SUPERLINK_PORT
};
/// Where Flower says how it is.
pub const HEALTH_PORT: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_HEALTH_PORT",
    default: "9099; none of its own from Flower 1.40 on",
    meaning: "loopback port of Flower's health service",
    ..SUPERLINK_PORT
};
/// Where ClientApps connect.
pub const CLIENTAPPIO_PORT: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_CLIENTAPPIO_PORT",
    readers: KeyReaders::SuperNode,
    default: "9094",
    meaning: "loopback port for ClientApps",
    ..SUPERLINK_PORT
};

const SUPERLINK_PORT: ContextKey = ContextKey {
    readers: KeyReaders::SuperLink,
    input: InputType::Number,
    expected: "a TCP port from 1 to 65535",
    example: "19092",
    restarts_flower: true,
    ..KEY
};
