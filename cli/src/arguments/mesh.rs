//! The commands about who belongs to a mesh.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::founding::{FederationArgument, ZoneArgument};
use crate::quantity;

#[derive(Debug, Subcommand)]
pub(crate) enum MeshVerb {
    /// Make a managed mesh of this gateway's zone, with an authority key of its own.
    Init(Init),
    /// Become the founder of a mesh that `mesh init --out` has made.
    Found {
        /// The founding bundle, or - for standard input.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// A further authority's public key, as `zonemesh key generate authority` prints it.
    #[arg(long = "authority", value_name = "KEY")]
    pub(crate) authorities: Vec<String>,
    /// How many authorities must sign a grant or a revocation, the first grants too.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) threshold: u32,
    /// Grant the zones that are written in this gateway's configuration too.
    #[arg(long)]
    pub(crate) grant_configured: bool,
    #[command(flatten)]
    pub(crate) offline: Offline,
}

/// A mesh that is made here and now, for gateways that do not run yet.
#[derive(Debug, Args)]
pub(crate) struct Offline {
    /// Make the mesh in this new folder instead, without a gateway: for each zone what goes into its
    /// VM's CONTEXT. Secret.
    #[arg(
        long, value_name = "FOLDER", requires = "founder",
        conflicts_with_all = ["authorities", "threshold", "grant_configured"]
    )]
    pub(crate) out: Option<PathBuf>,
    /// The zone whose gateway the others call, and where: berlin=10.10.10.0/24@203.0.113.1:51820.
    #[arg(long, value_name = "ZONE", requires = "out")]
    pub(crate) founder: Option<ZoneArgument>,
    /// Another zone: madrid=10.10.11.0/24, with @ENDPOINT if it can be called too. Again for each.
    #[arg(long = "zone", value_name = "ZONE", requires = "out")]
    pub(crate) zones: Vec<ZoneArgument>,
    /// A federation, the zone of its SuperLink and those that train: health-eu=berlin:madrid,paris.
    /// Again for each.
    #[arg(long = "federation", value_name = "FEDERATION", requires = "out")]
    pub(crate) federations: Vec<FederationArgument>,
    /// Where the zones' tunnel addresses are taken from, the founder's first.
    #[arg(long, value_name = "PREFIX", default_value = "10.255.0.0/24")]
    pub(crate) tunnel_net: ipnet::IpNet,
    /// How long the invitations hold.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = quantity::duration)]
    pub(crate) valid_for: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ZoneVerb {
    /// The zones of the mesh. Exits with 1 if grants contradict each other.
    List,
    /// Invite a zone: writes one line, to be given to its engineer or into its CONTEXT. It is secret.
    Invite(Invite),
    /// Grant a zone whose key you know from somebody you trust; also: grant a member other prefixes.
    Grant(GrantZone),
    /// Join the mesh that an invitation is for.
    Join {
        /// The invitation, or - for standard input.
        file: PathBuf,
    },
    /// Sign the grant of a zone that has redeemed its invitation and waits.
    Approve {
        /// The zone's exact name.
        name: String,
        /// A new file for the grant, if other authorities must sign it too.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Put a zone's key out of the whole mesh, for ever. Its tunnels end at once, everywhere.
    Revoke {
        /// The zone's exact name.
        name: String,
        /// The name again, instead of typing it when asked.
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
        /// Why, for people.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// A new file for the revocation, if other authorities must sign it too.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Have nothing to do with a zone, at this gateway only, at once.
    Block {
        /// The zone's exact name.
        name: String,
    },
    /// Let a blocked zone in again.
    Unblock {
        /// The zone's exact name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Invite {
    /// The new zone's name.
    pub(crate) name: String,
    /// A subnet of that zone. Again for each.
    #[arg(long = "prefix", value_name = "PREFIX", required = true)]
    pub(crate) prefixes: Vec<ipnet::IpNet>,
    /// Its gateway's address inside the tunnels; without it the next free one.
    #[arg(long = "tunnel-ip", value_name = "IP")]
    pub(crate) tunnel_ips: Vec<IpAddr>,
    /// How long the invitation holds: 90s, 30m, 24h, 7d.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = quantity::duration)]
    pub(crate) valid_for: Duration,
    /// The new file, for its owner only. It must not be there yet.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct GrantZone {
    /// The zone's name.
    pub(crate) name: String,
    /// The zone's key, as `zonemesh key public` prints it of its `zone.key`.
    #[arg(long, value_name = "KEY")]
    pub(crate) zone_key: String,
    /// A subnet of that zone. Again for each.
    #[arg(long = "prefix", value_name = "PREFIX", required = true)]
    pub(crate) prefixes: Vec<ipnet::IpNet>,
    /// Its gateway's address inside the tunnels; without it the one it has, or the next free one.
    #[arg(long = "tunnel-ip", value_name = "IP")]
    pub(crate) tunnel_ips: Vec<IpAddr>,
    /// A new file for the grant, if other authorities must sign it too.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuthorityVerb {
    /// The authorities in force, and how many of them must sign.
    List,
    /// Let a further key sign.
    Add {
        /// Its public key, as `zonemesh key generate authority` prints it.
        key: String,
        #[command(flatten)]
        how: AuthorityChange,
    },
    /// Take a key's right to sign. What it has granted is signed anew, what it has revoked stays.
    Remove {
        /// Its public key.
        key: String,
        /// The key again, instead of typing it when asked.
        #[arg(long, value_name = "KEY")]
        confirm: Option<String>,
        #[command(flatten)]
        how: AuthorityChange,
    },
    /// Change how many authorities must sign.
    Threshold {
        /// How many.
        #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
        least: u32,
        /// A new file for the change, if other authorities must sign it too.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AuthorityChange {
    /// How many authorities must sign from then on; without it as many as before.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) threshold: Option<u32>,
    /// A new file for the change, if other authorities must sign it too.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustVerb {
    /// Write trust items into a file: all that are held, or the grant that a zone waits for.
    Export {
        /// Only the grant of this zone, which has redeemed its invitation.
        #[arg(long, value_name = "ZONE")]
        pending: Option<String>,
        /// The new file. It must not be there yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Say what is in a file of trust items. Needs no daemon.
    Show {
        /// The file.
        file: PathBuf,
    },
    /// Sign what lacks signatures in a file with an authority key. Needs no daemon. Look at it first.
    Sign {
        /// The file.
        file: PathBuf,
        /// The authority's key file.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Sign a change of the authorities too.
        #[arg(long)]
        authorities: bool,
        /// The new file for the signed items. It must not be there yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Give the items of a file to this gateway, which passes on what is valid. Exits with 1 if some
    /// still lack signatures.
    Import {
        /// The file.
        file: PathBuf,
    },
}
