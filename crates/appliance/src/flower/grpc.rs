//! Flower up to 1.39, which speaks gRPC: programs, ports, arguments, keepalive.
//!
//! It promises that the APIs that never speak TLS (ServerAppIo, ClientAppIo, health) stay on loopback.
//! Specification: `flower-superlink --help` and `flower-supernode --help` of 1.25.0 and 1.26.1; the
//! apps, of its default isolation: supercore/superexec/plugin.

use std::net::SocketAddr;

use zonemesh_api::keepalive::Keepalive;
use zonemesh_core::record::FlowerTransport;

use super::{
    AUTHENTICATES, FlowerGeneration, FlowerPorts, KEEPALIVE, NODE_KEY, SuperLinkArguments,
    SuperNodeArguments, pairs, path_text,
};

/// The generation that speaks gRPC.
#[derive(Debug, Clone, Copy)]
pub struct GrpcFlower;

/// Flower's own.
const PORTS: FlowerPorts = FlowerPorts {
    fleet: 9092,
    control: Some(9093),
    serverappio: Some(9091),
    clientappio: 9094,
    health: Some(9099),
};

impl FlowerGeneration for GrpcFlower {
    fn transport(&self) -> FlowerTransport {
        FlowerTransport::Grpc
    }

    fn ports(&self) -> FlowerPorts {
        PORTS
    }

    /// Flower itself sets none: the shim does.
    fn keepalive(&self) -> Option<Keepalive> {
        Some(KEEPALIVE)
    }

    fn superlink_arguments(&self, superlink: &SuperLinkArguments) -> Vec<String> {
        let ports = superlink.ports;
        let mut arguments = vec![
            ("--fleet-api-address", at(superlink, ports.fleet)),
            ("--control-api-address", at(superlink, ports.for_runs())),
        ];
        arguments
            .extend(ports.serverappio.map(|port| ("--serverappio-api-address", loopback(port))));
        arguments.extend(ports.health.map(|port| ("--health-server-address", loopback(port))));
        arguments.extend([
            ("--ssl-ca-certfile", path_text(&superlink.ca_file)),
            ("--ssl-certfile", path_text(&superlink.certificate_file)),
            ("--ssl-keyfile", path_text(&superlink.key_file)),
            ("--database", path_text(&superlink.database)),
        ]);
        let flag = superlink.authenticates.then(|| AUTHENTICATES.to_owned());
        pairs(&arguments).into_iter().chain(flag).collect()
    }

    fn supernode_arguments(&self, supernode: &SuperNodeArguments) -> Vec<String> {
        let mut arguments = vec![
            ("--superlink", supernode.superlink.clone()),
            ("--root-certificates", path_text(&supernode.ca_file)),
            ("--clientappio-api-address", loopback(supernode.clientappio_port)),
        ];
        if let Some(config) = &supernode.node_config {
            arguments.push(("--node-config", config.clone()));
        }
        if let Some(key) = &supernode.key_file {
            arguments.push((NODE_KEY, path_text(key)));
        }
        pairs(&arguments)
    }
}

fn at(superlink: &SuperLinkArguments, port: u16) -> String {
    SocketAddr::new(superlink.address, port).to_string()
}

fn loopback(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flower::tests::after;

    #[test]
    fn what_speaks_no_tls_listens_on_loopback_only() {
        for (address, fleet, control) in [
            ("10.10.10.5", "10.10.10.5:9092", "10.10.10.5:9093"),
            ("fd00::5", "[fd00::5]:9092", "[fd00::5]:9093"),
        ] {
            let superlink = GrpcFlower.superlink_arguments(&SuperLinkArguments {
                address: address.parse().unwrap(),
                ports: PORTS,
                ca_file: "/s/ca.pem".into(),
                certificate_file: "/s/server.pem".into(),
                key_file: "/s/server.key".into(),
                database: "/s/superlink.db".into(),
                authenticates: true,
            });
            assert!(superlink.iter().any(|word| word == "--enable-supernode-auth"));
            assert_eq!(after(&superlink, "--serverappio-api-address"), "127.0.0.1:9091");
            assert_eq!(after(&superlink, "--health-server-address"), "127.0.0.1:9099");
            assert_eq!(after(&superlink, "--fleet-api-address"), fleet);
            assert_eq!(after(&superlink, "--control-api-address"), control);
            assert_eq!(after(&superlink, "--database"), "/s/superlink.db");
            assert!(!superlink.iter().any(|word| word == "--insecure"));
        }
    }
}
