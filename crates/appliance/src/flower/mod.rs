//! Flower's versions, as far as a companion must know them: one table of those that were tried, one
//! file for each generation.
//!
//! It promises that a version which is not in the table is not run: arguments, ports and transports
//! change between versions, and a guess would give a federation that hangs. Ports are known only once
//! the version is. It refuses to run anything. From 1.40 on Flower speaks HTTP on one port with other
//! arguments: another file and another row, once it is needed.

mod grpc;
mod home;
mod ports;
mod version;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use zonemesh_api::keepalive::Keepalive;
use zonemesh_core::record::FlowerTransport;

pub use grpc::GrpcFlower;
pub use home::FlowerHome;
pub use ports::{FlowerPorts, GivenPorts};
pub use version::{FlowerVersion, FlowerVersionError};

/// The shim that gives gRPC of an unmodified Flower its keepalive.
pub const SHIM: &str = include_str!("sitecustomize.py");

/// What the shim makes Flower's gRPC do: `zonemesh_core::keepalive` says why. Its servers accept a ping
/// each half interval.
pub const KEEPALIVE: Keepalive = Keepalive::DEFAULT;

/// The program that tells Flower's version.
pub const VERSION_PROGRAM: &str = "flwr";

/// The supported versions, the preferred one last: texts, images, documents and tests take them from
/// here (`zonemesh-superlink flower-version` prints the preferred one).
pub const SUPPORTED: &[SupportedFlower] =
    &[SupportedFlower { tried: FlowerVersion::new(1, 25, 0), generation: &GrpcFlower }];

/// A release line of Flower that was tried, and how it is run.
#[derive(Debug, Clone, Copy)]
pub struct SupportedFlower {
    /// The release that was tried; the line's others differ in the last number.
    pub tried: FlowerVersion,
    /// How it is run.
    pub generation: &'static dyn FlowerGeneration,
}

/// How a version of Flower is run here, if its line was tried.
#[must_use]
pub fn generation_of(version: FlowerVersion) -> Option<&'static dyn FlowerGeneration> {
    let row = SUPPORTED.iter().find(|row| row.tried.is_of_line(version));
    row.map(|row| row.generation)
}

/// The version that new images get.
#[must_use]
pub fn preferred_version() -> FlowerVersion {
    SUPPORTED.last().expect("the table has a row").tried
}

/// The supported lines, for people: `1.25`.
#[must_use]
pub fn supported_lines() -> String {
    let line = |row: &SupportedFlower| format!("{}.{}", row.tried.major, row.tried.minor);
    SUPPORTED.iter().map(line).collect::<Vec<_>>().join(", ")
}

/// The Flower that is installed on this machine.
#[derive(Debug, Clone, Copy)]
pub struct InstalledFlower {
    /// What its programs told.
    pub version: FlowerVersion,
    /// How it is run.
    pub generation: &'static dyn FlowerGeneration,
}

impl InstalledFlower {
    /// The whole environment of one of its processes.
    #[must_use]
    pub fn environment(&self, home: &FlowerHome) -> BTreeMap<String, String> {
        let mut environment = home.environment();
        environment.extend(self.generation.environment());
        environment
    }
}

/// What differs between generations of Flower.
pub trait FlowerGeneration: fmt::Debug + Sync {
    /// How SuperNodes talk to the SuperLink.
    fn transport(&self) -> FlowerTransport;
    /// Name of the SuperLink's program.
    fn superlink_program(&self) -> &'static str;
    /// Name of the SuperNode's program.
    fn supernode_program(&self) -> &'static str;
    /// Name of the program that a SuperLink starts while an app runs.
    fn superlink_app(&self) -> &'static str;
    /// Name of the program that a SuperNode starts while it has work.
    fn supernode_app(&self) -> &'static str;
    /// The ports that are used if no others are given.
    fn ports(&self) -> FlowerPorts;
    /// What its processes need in their environment beside [`FlowerHome::environment`].
    fn environment(&self) -> BTreeMap<String, String>;
    /// Arguments of the SuperLink's program.
    fn superlink_arguments(&self, superlink: &SuperLinkArguments) -> Vec<String>;
    /// Arguments of the SuperNode's program.
    fn supernode_arguments(&self, supernode: &SuperNodeArguments) -> Vec<String>;
}

/// What a SuperLink is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperLinkArguments {
    /// Where SuperNodes connect.
    pub fleet: SocketAddr,
    /// Where `flwr run` connects.
    pub control: SocketAddr,
    /// On loopback.
    pub serverappio_port: u16,
    /// On loopback.
    pub health_port: u16,
    /// The federation's CA.
    pub ca_file: PathBuf,
    /// The SuperLink's certificate.
    pub certificate_file: PathBuf,
    /// The SuperLink's key.
    pub key_file: PathBuf,
    /// Without it a restart makes every SuperNode's ID unknown.
    pub database: PathBuf,
}

/// What a SuperNode is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuperNodeArguments {
    /// The SuperLink's Fleet address.
    pub superlink: SocketAddr,
    /// The federation's CA certificates.
    pub ca_file: PathBuf,
    /// On loopback.
    pub clientappio_port: u16,
    /// For the ClientApps, for example `partition-id=0 num-partitions=2`.
    pub node_config: Option<String>,
}

fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_that_were_tried_are_run() {
        let generation = |text: &str| generation_of(text.parse().unwrap());
        let known = generation("1.25.1").map(FlowerGeneration::transport);
        assert_eq!(known, Some(FlowerTransport::Grpc));
        for other in ["1.24.0", "1.26.1", "1.42.0", "2.25.0"] {
            assert!(generation(other).is_none(), "{other}");
        }
    }

    #[test]
    fn the_table_is_in_order_and_has_each_line_once() {
        let tried: Vec<FlowerVersion> = SUPPORTED.iter().map(|row| row.tried).collect();
        assert!(tried.is_sorted());
        assert!(tried.windows(2).all(|pair| !pair[0].is_of_line(pair[1])));
        assert_eq!(preferred_version(), tried[tried.len() - 1]);
        assert_eq!(supported_lines(), "1.25");
    }
}
