//! Flower up to 1.39, which speaks gRPC: programs, ports, arguments, keepalive.
//!
//! It promises that the APIs that never speak TLS (ServerAppIo, ClientAppIo, health) stay on loopback.
//! Specification: `flower-superlink --help` and `flower-supernode --help` of 1.25.0; the apps, of its
//! default isolation: supercore/superexec/plugin.

use std::collections::BTreeMap;

use zonemesh_core::record::FlowerTransport;

use super::{
    FlowerGeneration, FlowerPorts, KEEPALIVE, SuperLinkArguments, SuperNodeArguments, path_text,
};

/// The generation that speaks gRPC.
#[derive(Debug, Clone, Copy)]
pub struct GrpcFlower;

/// Flower's own.
const PORTS: FlowerPorts =
    FlowerPorts { fleet: 9092, control: 9093, serverappio: 9091, clientappio: 9094, health: 9099 };

impl FlowerGeneration for GrpcFlower {
    fn transport(&self) -> FlowerTransport {
        FlowerTransport::Grpc
    }

    fn superlink_program(&self) -> &'static str {
        "flower-superlink"
    }

    fn supernode_program(&self) -> &'static str {
        "flower-supernode"
    }

    fn superlink_app(&self) -> &'static str {
        "flwr-serverapp"
    }

    fn supernode_app(&self) -> &'static str {
        "flwr-clientapp"
    }

    fn ports(&self) -> FlowerPorts {
        PORTS
    }

    /// The shim reads them; Flower itself sets no keepalive.
    fn environment(&self) -> BTreeMap<String, String> {
        [
            ("ZONEMESH_GRPC_KEEPALIVE_TIME", KEEPALIVE.grpc_interval),
            ("ZONEMESH_GRPC_KEEPALIVE_TIMEOUT", KEEPALIVE.grpc_timeout),
        ]
        .map(|(key, period)| (key.to_owned(), period.as_secs().to_string()))
        .into()
    }

    fn superlink_arguments(&self, superlink: &SuperLinkArguments) -> Vec<String> {
        pairs(&[
            ("--fleet-api-address", superlink.fleet.to_string()),
            ("--control-api-address", superlink.control.to_string()),
            ("--serverappio-api-address", loopback(superlink.serverappio_port)),
            ("--health-server-address", loopback(superlink.health_port)),
            ("--ssl-ca-certfile", path_text(&superlink.ca_file)),
            ("--ssl-certfile", path_text(&superlink.certificate_file)),
            ("--ssl-keyfile", path_text(&superlink.key_file)),
            ("--database", path_text(&superlink.database)),
        ])
    }

    fn supernode_arguments(&self, supernode: &SuperNodeArguments) -> Vec<String> {
        let mut arguments = vec![
            ("--superlink", supernode.superlink.to_string()),
            ("--root-certificates", path_text(&supernode.ca_file)),
            ("--clientappio-api-address", loopback(supernode.clientappio_port)),
        ];
        if let Some(config) = &supernode.node_config {
            arguments.push(("--node-config", config.clone()));
        }
        pairs(&arguments)
    }
}

fn pairs(arguments: &[(&str, String)]) -> Vec<String> {
    arguments.iter().flat_map(|(flag, value)| [(*flag).to_owned(), value.clone()]).collect()
}

fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_speaks_no_tls_listens_on_loopback_only() {
        let superlink = GrpcFlower.superlink_arguments(&SuperLinkArguments {
            fleet: "10.10.10.5:9092".parse().unwrap(),
            control: "[fd00::5]:9093".parse().unwrap(),
            serverappio_port: 9091,
            health_port: 9099,
            ca_file: "/s/ca.pem".into(),
            certificate_file: "/s/server.pem".into(),
            key_file: "/s/server.key".into(),
            database: "/s/superlink.db".into(),
        });
        let after = |flag: &str| {
            let at = superlink.iter().position(|word| word == flag).unwrap();
            superlink[at + 1].as_str()
        };
        assert_eq!(after("--serverappio-api-address"), "127.0.0.1:9091");
        assert_eq!(after("--health-server-address"), "127.0.0.1:9099");
        assert_eq!(after("--fleet-api-address"), "10.10.10.5:9092");
        assert_eq!(after("--control-api-address"), "[fd00::5]:9093");
        assert_eq!(after("--database"), "/s/superlink.db");
        assert!(!superlink.iter().any(|word| word == "--insecure"));
    }
}
