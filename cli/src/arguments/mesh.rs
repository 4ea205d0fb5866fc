//! The commands about who belongs to a mesh.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use clap::{Args, Subcommand};

use zonemesh_core::membership::FederationRight;
use zonemesh_core::prefix;
use zonemesh_core::token::{KnownToken, TokenHash};

use super::founding::{FederationArgument, LanArgument, Written, ZoneArgument, written};

use crate::quantity;

#[derive(Debug, Subcommand)]
pub(crate) enum MeshVerb {
    /// Make a managed mesh of this gateway's zone, with an authority key of its own.
    Init(Box<Init>),
    /// Become the founder of a mesh that `mesh init --out` has made.
    Found {
        /// The founding bundle, or - for standard input.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// How many owner keys to make, each in a file of its own: a strict majority of the owners may
    /// change who signs. 1, or none beside --owner.
    #[arg(long, value_name = "N", value_parser = quantity::whole::<u8, 0, 16>)]
    pub(crate) owners: Option<u8>,
    /// The new file for the owner key, zonemesh-owner.key if it is not said, FOLDER-owner.key beside
    /// --out; of several -1, -2 and so on go in front of its suffix. Put it away: no gateway needs it.
    #[arg(long, value_name = "FILE")]
    pub(crate) owner_key: Option<PathBuf>,
    /// The public key of an owner who keeps the secret one elsewhere. Again for each.
    #[arg(long = "owner", value_name = "KEY")]
    pub(crate) owner_keys: Vec<String>,
    /// A further authority's public key, as `zonemesh key generate authority` prints it.
    #[arg(long = "authority", value_name = "KEY")]
    pub(crate) authorities: Vec<String>,
    /// How many authorities must sign a grant or a revocation, the first grants too.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = quantity::whole::<u32, 1, 16>)]
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
    /// Make the mesh in this new folder instead, without a gateway: for each zone what goes into the
    /// CONTEXT of its gateway's VM, and of its SuperLink's and SuperNodes'. Secret.
    #[arg(
        long, value_name = "FOLDER", requires = "founder",
        conflicts_with_all = ["authorities", "threshold", "grant_configured"]
    )]
    pub(crate) out: Option<PathBuf>,
    /// The zone whose gateway the others call, and where: berlin=10.10.10.0/24@203.0.113.1:51820.
    #[arg(long, value_name = "ZONE", requires = "out", value_parser = written(ZoneArgument::from_str))]
    pub(crate) founder: Option<Written<ZoneArgument>>,
    /// Another zone: madrid=10.10.11.0/24, with @ENDPOINT if it can be called too. Again for each.
    #[arg(
        long = "zone", value_name = "ZONE", requires = "out",
        value_parser = written(ZoneArgument::from_str)
    )]
    pub(crate) zones: Vec<Written<ZoneArgument>>,
    /// A federation, the zone of its SuperLink and those that train: health-eu=berlin:madrid,paris. Each
    /// of them is granted its part, configured for it, and gets tokens for its VMs. Again for each; a
    /// zone that none names is granted a part in none. Without any, each zone may do all.
    #[arg(
        long = "federation", value_name = "FEDERATION", requires = "out",
        value_parser = written(FederationArgument::from_str)
    )]
    pub(crate) federations: Vec<Written<FederationArgument>>,
    /// The address of a zone's gateway in its LAN, which its VMs call: madrid=10.10.11.254. Again for
    /// each; without it the first one of the zone's first subnet.
    #[arg(
        long = "lan", value_name = "ZONE=ADDRESS", requires = "out",
        value_parser = written(LanArgument::from_str)
    )]
    pub(crate) lan: Vec<Written<LanArgument>>,
    /// Where the zones' tunnel addresses are taken from, the founder's first.
    #[arg(
        long, value_name = "PREFIX", default_value = "10.255.0.0/24",
        value_parser = written(prefix::parse)
    )]
    pub(crate) tunnel_net: Written<ipnet::IpNet>,
    /// How long the invitations hold.
    #[arg(
        long, value_name = "TIME", default_value = "7d",
        value_parser = written(quantity::duration)
    )]
    pub(crate) valid_for: Written<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ZoneVerb {
    /// The zones of the mesh. Exits with 1 if grants or used invitations contradict each other, or
    /// a zone waits for approval.
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
        /// The name again, where the zone is granted with another key, which this revokes.
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
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
    /// Have this gateway's own zone leave the mesh: all others take their tunnels to it down.
    Leave {
        /// The name of this zone, instead of typing it when asked.
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
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
    #[arg(long = "prefix", value_name = "PREFIX", required = true, value_parser = prefix::parse)]
    pub(crate) prefixes: Vec<ipnet::IpNet>,
    /// Its gateway's address inside the tunnels; without it the next free one.
    #[arg(long = "tunnel-ip", value_name = "IP", value_parser = quantity::address)]
    pub(crate) tunnel_ips: Vec<IpAddr>,
    /// What it may do for a federation: health-eu=host, health-eu=train, health-eu=host,train, or
    /// health-eu=none. Again for each; without it what it may now, which at first is everything.
    #[arg(long = "federation", value_name = "FEDERATION")]
    pub(crate) federations: Vec<FederationRight>,
    /// A token of its VMs, as `zonemesh key generate token` prints its sha256, and what it is good for:
    /// superlink:health-eu=zmt1:..., or supernode@2027-01-01T00:00:00Z=zmt1:... Again for each, at most
    /// 64. Its gateway takes them when it has joined, in the place of those of an earlier invitation.
    #[arg(long = "token-hash", value_name = "TOKEN")]
    pub(crate) tokens: Vec<KnownToken>,
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
    #[arg(long = "prefix", value_name = "PREFIX", required = true, value_parser = prefix::parse)]
    pub(crate) prefixes: Vec<ipnet::IpNet>,
    /// Its gateway's address inside the tunnels; without it the one it has, or the next free one.
    #[arg(long = "tunnel-ip", value_name = "IP", value_parser = quantity::address)]
    pub(crate) tunnel_ips: Vec<IpAddr>,
    /// What it may do for a federation: health-eu=host, health-eu=train, health-eu=host,train, or
    /// health-eu=none. Again for each; without it what it may now, which at first is everything.
    #[arg(long = "federation", value_name = "FEDERATION")]
    pub(crate) federations: Vec<FederationRight>,
    /// A new file for the grant, if other authorities must sign it too.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// The tokens that this gateway takes, and where each is known from.
    List,
    /// Give up a token that came with the invitation or the founding bundle: it is refused at once.
    Remove {
        /// Its hash, as `zonemesh token list` shows it.
        sha256: TokenHash,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuthorityVerb {
    /// The authorities in force, and how many of them must sign.
    List,
    /// Let a further key sign, or with --owner change who may sign.
    Add {
        /// Its public key, as `zonemesh key generate authority` prints it.
        key: String,
        /// As an owner key.
        #[arg(long)]
        owner: bool,
        #[command(flatten)]
        how: AuthorityChange,
    },
    /// Take a key's rights. The zones that it has granted stay, what it has revoked stays revoked.
    Remove {
        /// Its public key.
        key: String,
        /// As an owner key.
        #[arg(long)]
        owner: bool,
        /// It was stolen: zones that only it has revoked come back, but for those that it has granted.
        #[arg(long)]
        stolen: bool,
        /// The public key that takes its place in the same step. Again for each.
        #[arg(long, value_name = "KEY")]
        add: Vec<String>,
        /// The key again, instead of typing it when asked.
        #[arg(long, value_name = "KEY")]
        confirm: Option<String>,
        #[command(flatten)]
        how: AuthorityChange,
    },
    /// Change how many signing keys must sign.
    Threshold {
        /// How many.
        #[arg(value_name = "N", value_parser = quantity::whole::<u32, 1, 16>)]
        least: u32,
        #[command(flatten)]
        how: AuthorityChange,
    },
    /// Make the set anew with the same keys: a new list of zones, fresh serial numbers.
    Renew {
        #[command(flatten)]
        how: AuthorityChange,
    },
    /// Follow an authority set at this gateway only, whoever has signed it: where two contradict each
    /// other, after a restored backup, or when owner keys are lost.
    Pin {
        /// SHA-256 of the set: 64 hexadecimal digits.
        set: String,
        /// A file with the set and what it lists, if this gateway has not heard of it.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The set again, instead of typing it when asked.
        #[arg(long, value_name = "SET")]
        confirm: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AuthorityChange {
    /// How many signing keys must sign from then on; without it as many as before.
    #[arg(long = "and-threshold", value_name = "N", value_parser = quantity::whole::<u32, 1, 16>)]
    pub(crate) threshold: Option<u32>,
    /// A zone that is to be out. Again for each.
    #[arg(long, value_name = "ZONE")]
    pub(crate) without: Vec<String>,
    /// A zone that comes back although a stolen key has granted it. Again for each.
    #[arg(long, value_name = "ZONE")]
    pub(crate) bring_back: Vec<String>,
    /// The file of a key that signs the change: owner keys, and each key that is added. Again for each.
    #[arg(long = "key", value_name = "FILE")]
    pub(crate) keys: Vec<PathBuf>,
    /// A new file for the change, if keys that lie elsewhere must sign it too.
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
