//! Which of our programs share a VM, and so its CONTEXT: an image holds one appliance, or the gateway
//! with the SuperLink.
//!
//! It promises that a key which one program of a VM reads is nothing strange to the other. It refuses
//! to know where images come from, and what is in them besides.

use crate::key::{Appliance, ContextKey};
use crate::keys::{KEYS, mesh};

/// What a VM is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// The gateway and the SuperLink in one VM.
    SuperLinkGateway,
    /// One appliance.
    One(Appliance),
}

impl Image {
    /// All of them. A role's name that begins with an earlier one's is not a later one's.
    pub const ALL: [Self; 4] = [
        Self::SuperLinkGateway,
        Self::One(Appliance::Gateway),
        Self::One(Appliance::SuperLink),
        Self::One(Appliance::SuperNode),
    ];

    /// The image of a VM in which the program of this appliance runs, by the keys that have a value
    /// there.
    #[must_use]
    pub fn of_vm<'k>(appliance: Appliance, mut given: impl Iterator<Item = &'k str>) -> Self {
        let reads = mesh::GATEWAY_STATUS.readers.has(appliance);
        match reads && given.any(|name| name == mesh::GATEWAY_STATUS.name) {
            true => Self::SuperLinkGateway,
            false => Self::One(appliance),
        }
    }

    /// The role's name in service templates.
    #[must_use]
    pub const fn role(self) -> &'static str {
        match self {
            Self::SuperLinkGateway => "superlink_gateway",
            Self::One(appliance) => appliance.role(),
        }
    }

    /// What is in it, in the order in which it is set up.
    #[must_use]
    pub const fn appliances(self) -> &'static [Appliance] {
        match self {
            Self::SuperLinkGateway => &[Appliance::Gateway, Appliance::SuperLink],
            Self::One(Appliance::Gateway) => &[Appliance::Gateway],
            Self::One(Appliance::SuperLink) => &[Appliance::SuperLink],
            Self::One(Appliance::SuperNode) => &[Appliance::SuperNode],
        }
    }

    /// True if it has the gateway of a zone.
    #[must_use]
    pub fn has_gateway(self) -> bool {
        self.appliances().contains(&Appliance::Gateway)
    }

    /// True if a program in it reads the key.
    #[must_use]
    pub fn reads(self, key: &ContextKey) -> bool {
        self.appliances().iter().any(|appliance| key.readers.has(*appliance))
    }

    /// True if people are asked for the key, where it is asked for at all. A VM that is the gateway
    /// knows where that is.
    #[must_use]
    pub fn asks(self, key: &ContextKey) -> bool {
        let knows_it = self == Self::SuperLinkGateway && key.name == mesh::GATEWAY.name;
        self.reads(key) && !knows_it
    }

    /// The keys that its programs read, each once.
    pub fn keys(self) -> impl Iterator<Item = &'static ContextKey> {
        KEYS.iter().filter(move |key| self.reads(key))
    }
}

impl From<Appliance> for Image {
    fn from(appliance: Appliance) -> Self {
        Self::One(appliance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Appliance::{Gateway, SuperLink, SuperNode};

    #[test]
    fn a_vm_is_of_the_image_that_its_context_tells_of() {
        let status = || std::iter::once("ONEAPP_ZONEMESH_GATEWAY_STATUS");
        for appliance in [Gateway, SuperLink] {
            assert_eq!(Image::of_vm(appliance, status()), Image::SuperLinkGateway);
            assert_eq!(Image::of_vm(appliance, std::iter::empty()), Image::One(appliance));
        }
        assert_eq!(Image::of_vm(SuperNode, status()), Image::One(SuperNode));
    }

    #[test]
    fn the_image_of_both_reads_each_key_of_either_once_and_knows_its_own_gateway() {
        let both = Image::SuperLinkGateway;
        let names: Vec<&str> = both.keys().map(|key| key.name).collect();
        for name in ["ONEAPP_ZONEMESH_INVITATION", "ONEAPP_ZONEMESH_TOKEN", "ETH0_IP"] {
            assert_eq!(names.iter().filter(|other| **other == name).count(), 1, "{name}");
        }
        assert!(!names.contains(&"ONEAPP_FL_NODE_CONFIG"));
        assert!(both.reads(&mesh::GATEWAY) && !both.asks(&mesh::GATEWAY));
        assert!(both.asks(&mesh::TOKEN) && Image::One(SuperLink).asks(&mesh::GATEWAY));
    }
}
