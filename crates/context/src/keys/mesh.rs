//! Rows: how a companion of Flower finds its gateway, and what it proves there.

use super::KEY;
use crate::input::InputType;
use crate::key::{ContextKey, KeyQuestion, KeyReaders};

/// The federation.
pub const FEDERATION: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_FEDERATION",
    question: KeyQuestion::Mandatory("Name of the federation"),
    default: "required",
    meaning: "the federation",
    expected: "a federation's name: a-z, 0-9 and '-', 1 to 63 characters",
    example: "health-eu",
    restarts_flower: true,
    ..KEY
};
/// Where the gateway's local API is.
pub const GATEWAY: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_GATEWAY",
    question: KeyQuestion::Optional("IP:PORT of the local API of the gateway (empty: ask OneGate)"),
    default: "asked of OneGate",
    meaning: "IP or IP:PORT of the gateway's local API",
    expected: "IP:PORT of the gateway's local API",
    example: "10.10.10.1:51822",
    ..KEY
};
/// Where the gateway in the same VM says how it goes.
pub const GATEWAY_STATUS: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_GATEWAY_STATUS",
    readers: KeyReaders::GatewayAndSuperLink,
    default: "none: the two are in VMs of their own",
    meaning: "where gateway and SuperLink run in one VM, the file in which the gateway's companion says how it goes: the SuperLink's finds its gateway in it, and tells OneGate `READY` for both. The image for both sets it",
    expected: "an absolute path",
    example: "/run/zonemesh-gateway/status.json",
    since: "0.3.0",
    ..KEY
};
/// What proves the VM, and pins its gateway.
pub const TOKEN: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_TOKEN",
    input: InputType::Password,
    question: KeyQuestion::MandatoryInService("Token of this VM (zonemesh key generate token)"),
    default: "required, but beside `ONEAPP_FL_SUPERLINK_ADDRESS`",
    meaning: "this VM's token: says which zone's gateway is talked to, and proves this VM there; secret",
    expected: "the token that `zonemesh key generate token` printed",
    example: "zmt1.key:....",
    secret: true,
    ..KEY
};
/// Where a SuperLink is reached.
pub const ADDRESS: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_ADDRESS",
    readers: KeyReaders::SuperLink,
    question: KeyQuestion::Image("Address of this VM in its zone (empty: ETH0_IP)"),
    default: "`ETH0_IP`",
    meaning: "this VM's address in its zone",
    expected: "the IP address of this VM in its zone (without it, ETH0_IP is taken)",
    example: "10.10.10.5",
    restarts_flower: true,
    ..KEY
};
/// What else proves the VM.
pub const IDENTITY: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_IDENTITY",
    readers: KeyReaders::SuperLink,
    question: KeyQuestion::Image("onegate: the gateway is shown the OneGate token of this VM"),
    meaning: "`onegate`: the gateway, once pinned, is shown this VM's OneGate token, for `local_api.onegate`",
    expected: "onegate, in a VM with TOKEN=YES",
    example: "onegate",
    since: "0.2.0",
    ..KEY
};
/// The companion's folder.
pub const STATE_DIR: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_STATE_DIR",
    default: "`/var/lib/zonemesh-superlink`, `/var/lib/zonemesh-supernode`",
    meaning: "the companion's own folder",
    expected: "an absolute path",
    example: "/var/lib/zonemesh-supernode",
    restarts_flower: true,
    ..KEY
};
