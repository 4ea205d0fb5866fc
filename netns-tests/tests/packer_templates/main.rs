//! The appliance images: their scripts run against stand-ins, their templates are validated.
//!
//! Promises that every script is valid bash, that what the appliances ask is what our programs
//! read, and that Debian's Packer (1.6) accepts each folder without its `required_plugins` block,
//! which that release does not know. A real `packer build` is not done here: it needs KVM.
//! Specification: one-apps' service framework; packer/README.md.

use std::path::{Path, PathBuf};

#[cfg(test)]
mod both;
#[cfg(test)]
mod build;
#[cfg(test)]
mod images;
#[cfg(test)]
mod install;
#[cfg(test)]
mod parts;
#[cfg(test)]
mod stages;
#[cfg(test)]
mod waiting;

pub(crate) const APPLIANCES: [(&str, &str); 4] = [
    ("service_ZonemeshGateway", "ZonemeshGateway"),
    ("service_FlowerSuperLink", "FlowerSuperLink"),
    ("service_FlowerSuperNode", "FlowerSuperNode"),
    ("service_FlowerSuperLinkGateway", "FlowerSuperLinkGateway"),
];

pub(crate) fn packer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packer")
}

pub(crate) fn read(file: &Path) -> String {
    std::fs::read_to_string(file).expect("a file of the project")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
