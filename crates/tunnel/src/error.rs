//! Why a tunnel cannot start, or a set of peers cannot be taken.
//!
//! Each message says what is wrong, where, and what to do about it. Nothing that a running tunnel
//! meets on the wire is an error of this kind: that is counted in [`crate::Dropped`].

use std::io;

use ipnet::IpNet;
use zonemesh_core::key::WireGuardPublicKey;

/// Why a tunnel cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The name of the interface is no valid one.
    #[error(
        "{name:?} cannot name an interface: use 1 to 15 bytes without '/', ':' and blanks, such as zm0"
    )]
    InterfaceName {
        /// The name that was asked for.
        name: String,
    },
    /// Another process holds the interface, or it is not a TUN device.
    #[error(
        "interface {name} exists already: stop the process that holds it, or remove it with `ip link delete {name}`"
    )]
    InterfaceExists {
        /// The name that was asked for.
        name: String,
        /// EBUSY for a TUN device that a process holds, EINVAL for another kind of interface.
        #[source]
        source: io::Error,
    },
    /// The kernel has no TUN driver, or the device node is missing.
    #[error(
        "/dev/net/tun is missing: load the driver with `modprobe tun` on the host; a container is given it: `--device /dev/net/tun`"
    )]
    NoTunDevice(#[source] io::Error),
    /// The process may not create a TUN device.
    #[error(
        "creating interface {name} needs CAP_NET_ADMIN: run as root, or set AmbientCapabilities=CAP_NET_ADMIN in the systemd unit; in a container: `--cap-add NET_ADMIN --device /dev/net/tun`"
    )]
    NotPermitted {
        /// The name that was asked for.
        name: String,
        /// EPERM or EACCES, from opening the device node or from creating the interface.
        #[source]
        source: io::Error,
    },
    /// The UDP port is taken.
    #[error(
        "UDP port {port} is in use: `ss -ulpn 'sport = :{port}'` shows by whom; choose another listen_port or stop that process"
    )]
    PortInUse {
        /// The port that was asked for.
        port: u16,
        /// EADDRINUSE, of either address family.
        #[source]
        source: io::Error,
    },
    /// Setting the mark of the sockets was refused.
    #[error("marking datagrams (fwmark {mark:#x}) needs CAP_NET_ADMIN")]
    FirewallMark {
        /// The mark that was asked for.
        mark: u32,
        /// EPERM, from setting SO_MARK on a socket.
        #[source]
        source: io::Error,
    },
    /// The MTU is too small for IP or too large for a datagram.
    #[error(
        "MTU {mtu} is out of range: use 576 to 65456 (1280 at least for IPv6), 1420 on most paths"
    )]
    Mtu {
        /// The MTU that was asked for.
        mtu: u16,
    },
    /// The peers contradict each other.
    #[error(transparent)]
    Peers(#[from] PeersError),
    /// Anything else the kernel refused.
    #[error("cannot {action}")]
    System {
        /// What was tried, in words that complete "cannot ...".
        action: &'static str,
        /// As the system call returned it.
        #[source]
        source: io::Error,
    },
}

/// Why a set of peers cannot be taken. The peers that were there stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeersError {
    /// A zone has nobody to send to.
    #[error("zone {name:?} has no gateway")]
    NoGateway {
        /// As the zone was told ([`crate::TunnelZone`]).
        name: String,
    },
    /// A peer has this gateway's own key.
    #[error("peer {name:?} has this gateway's own public key: each gateway needs its own")]
    OwnKey {
        /// Of the zone that the peer was told for.
        name: String,
    },
    /// Two peers have one key, of two zones or of one.
    #[error("peers {first:?} and {second:?} have the same public key {key:?}")]
    SameKey {
        /// Present or next, of whichever lane.
        key: WireGuardPublicKey,
        /// The zone of the peer that was named first.
        first: String,
        /// The zone of the other one.
        second: String,
    },
    /// One allowed IP stands on two zones.
    #[error(
        "{prefix} is an allowed IP of both {first:?} and {second:?}: it can lead to one peer only"
    )]
    SamePrefix {
        /// The prefix, as a network address.
        prefix: IpNet,
        /// The peer that was named first.
        first: String,
        /// The zone that was named after it.
        second: String,
    },
}
