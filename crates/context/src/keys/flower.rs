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
/// Where the SuperLink is, without a mesh.
pub const SUPERLINK_ADDRESS: ContextKey = ContextKey {
    name: "ONEAPP_FL_SUPERLINK_ADDRESS",
    readers: KeyReaders::SuperNode,
    question: KeyQuestion::Image("ADDRESS:PORT of a SuperLink, without a mesh and a token"),
    default: "the gateway says it",
    meaning: "`ADDRESS:PORT` or `NAME:PORT` of a SuperLink, without a mesh: with `ONEAPP_FL_SSL_CA_CERTFILE`, and without a token",
    expected: "ADDRESS:PORT or NAME:PORT (an IPv6 address stands in brackets)",
    example: "10.10.10.5:9092",
    since: "0.3.0",
    restarts_flower: true,
    ..KEY
};
/// Which CA it is known by.
pub const SSL_CA_CERTFILE: ContextKey = ContextKey {
    name: "ONEAPP_FL_SSL_CA_CERTFILE",
    readers: KeyReaders::SuperNode,
    input: InputType::Text64,
    question: KeyQuestion::Image("CA certificate of that SuperLink: PEM in base64"),
    default: "the gateway gives it",
    meaning: "the CA certificate of the SuperLink that `ONEAPP_FL_SUPERLINK_ADDRESS` names: PEM in base64",
    expected: "base64 of the PEM certificate of the CA that signed the SuperLink's certificate: Flower speaks TLS there too",
    example: "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t....",
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
/// Who takes part.
pub const SUPERNODE_AUTH: ContextKey = ContextKey {
    name: "ONEAPP_FL_SUPERNODE_AUTH",
    readers: KeyReaders::SuperLink,
    input: InputType::Boolean,
    default: "`YES`",
    meaning: "SuperNodes take part by their registered keys only; `NO` lets every VM of a training zone in",
    expected: "YES or NO",
    example: "YES",
    since: "0.3.0",
    restarts_flower: true,
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
/// How apps are run.
pub const ISOLATION: ContextKey = ContextKey {
    name: "ONEAPP_FL_ISOLATION",
    input: InputType::List(&["subprocess", "process"]),
    default: "`subprocess`",
    meaning: "of the single-site appliances; `process` is refused: nobody here starts the apps' processes",
    expected: "subprocess, or nothing: Flower starts the processes of its apps itself",
    example: "subprocess",
    since: "0.3.0",
    ..KEY
};
/// What a SuperLink remembers.
pub const DATABASE: ContextKey = ContextKey {
    name: "ONEAPP_FL_DATABASE",
    readers: KeyReaders::SuperLink,
    default: "`superlink.db`",
    meaning: "file of the SuperLink's database, in Flower's folder in the state folder; folders before its name count only in an absolute path, of which Flower's user must be able to write the folder, and a drop-in of the unit say `ReadWritePaths=`",
    expected: "a file's name, or its absolute path",
    example: "superlink.db",
    since: "0.3.0",
    restarts_flower: true,
    ..KEY
};
/// Which GPUs.
pub const CUDA_VISIBLE_DEVICES: ContextKey = ContextKey {
    name: "ONEAPP_FL_CUDA_VISIBLE_DEVICES",
    readers: KeyReaders::SuperNode,
    question: KeyQuestion::Image("GPUs that Flower may use, such as 0,1 (empty or all: each)"),
    default: "`all`",
    meaning: "`CUDA_VISIBLE_DEVICES` of Flower and its apps; `all`, or nothing, leaves what the companion's environment says",
    expected: "all, or numbers or UUIDs of GPUs with commas between",
    example: "0,1",
    since: "0.3.0",
    restarts_flower: true,
    ..KEY
};
/// How often Flower's connections are pinged.
pub const GRPC_KEEPALIVE_TIME: ContextKey = ContextKey {
    name: "ONEAPP_FL_GRPC_KEEPALIVE_TIME",
    default: "60",
    meaning: "seconds between pings of Flower's connections: 60, and any other is refused, as all ends must agree; without effect from Flower 1.40 on",
    expected: "60, or nothing",
    example: "60",
    ..KEEPALIVE
};
/// When an unanswered ping is a dead connection.
pub const GRPC_KEEPALIVE_TIMEOUT: ContextKey = ContextKey {
    name: "ONEAPP_FL_GRPC_KEEPALIVE_TIMEOUT",
    default: "20",
    meaning: "seconds until an unanswered ping ends a connection: 20, and any other is refused; without effect from Flower 1.40 on",
    expected: "20, or nothing",
    example: "20",
    ..KEEPALIVE
};
/// How much the companion says.
pub const LOG_LEVEL: ContextKey = ContextKey {
    name: "ONEAPP_FL_LOG_LEVEL",
    readers: KeyReaders::All,
    input: InputType::List(&["DEBUG", "INFO", "WARNING", "ERROR"]),
    default: "`INFO`",
    meaning: "how much the companion writes into its log; `ZONEMESH_LOG` comes first",
    expected: "DEBUG, INFO, WARNING or ERROR",
    example: "INFO",
    since: "0.3.0",
    ..KEY
};
/// In which form.
pub const LOG_FORMAT: ContextKey = ContextKey {
    name: "ONEAPP_FL_LOG_FORMAT",
    readers: KeyReaders::All,
    input: InputType::List(&["text", "json"]),
    default: "`text`",
    meaning: "in which form; `ZONEMESH_LOG_FORMAT` comes first",
    expected: "text or json",
    example: "json",
    since: "0.3.0",
    ..KEY
};
/// Where SuperNodes connect.
pub const FLEET_API_ADDRESS: ContextKey = ContextKey {
    name: "ONEAPP_FL_FLEET_API_ADDRESS",
    readers: KeyReaders::SuperLink,
    default: "this VM's address and Flower's port",
    meaning: "ADDRESS:PORT for SuperNodes; the address is this VM's in its zone, and `0.0.0.0` stands for it",
    expected: "ADDRESS:PORT with this VM's address in its zone, or 0.0.0.0:PORT",
    example: "0.0.0.0:9092",
    since: "0.3.0",
    restarts_flower: true,
    ..KEY
};
/// The port alone.
pub const FLEET_PORT: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_FLEET_PORT",
    default: "9092; 8000 from Flower 1.40 on",
    meaning: "port for SuperNodes; `ONEAPP_FL_FLEET_API_ADDRESS` is the preferred name",
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

const KEEPALIVE: ContextKey = ContextKey { input: InputType::Number, since: "0.3.0", ..KEY };

const SUPERLINK_PORT: ContextKey = ContextKey {
    readers: KeyReaders::SuperLink,
    input: InputType::Number,
    expected: "a TCP port from 1 to 65535",
    example: "19092",
    restarts_flower: true,
    ..KEY
};
