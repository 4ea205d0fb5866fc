//! The command line, as clap reads it. Wrong usage ends here, with exit code 2.

mod founding;
mod mesh;
mod oneflow;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use zonemesh_core::key::ZonePublicKey;
use zonemesh_core::name::ZoneName;
use zonemesh_core::token::ZonePin;

use crate::quantity;

pub(crate) use founding::{FederationArgument, LanArgument, Written, ZoneArgument};
pub(crate) use mesh::{
    AuthorityChange, AuthorityVerb, Init, Invite, MeshVerb, Offline, TokenVerb, TrustVerb, ZoneVerb,
};
pub(crate) use oneflow::{OneflowVerb, Render};

/// Look at a Zonemesh gateway: its tunnels, its registry, its certificates; say who belongs to its mesh.
///
/// Exit codes: 0 ok, 1 degraded or negative answer, 2 usage, 3 daemon unreachable, 4 trust, 5 network,
/// 6 policy, 7 configuration, 8 version skew, 9 timeout.
#[derive(Debug, Parser)]
#[command(name = "zonemesh", version, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: ToolCommand,

    /// How to print the answer.
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    pub(crate) output: Format,

    /// Leave out the lines above the columns.
    #[arg(long, global = true)]
    pub(crate) no_header: bool,

    /// All columns: without it, tables fit a terminal of 80.
    #[arg(short, long, global = true)]
    pub(crate) wide: bool,

    /// The daemon's admin socket.
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "ZONEMESH_SOCKET",
        default_value = "/run/zonemesh/admin.sock"
    )]
    pub(crate) socket: PathBuf,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns; relative times.
    Table,
    /// One JSON object, whose first key names its schema; times in RFC 3339.
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ToolCommand {
    /// One screen about this gateway. Exits with 1 beside a line with `!`.
    Status,
    /// The tunnels to the other zones.
    Peers,
    /// The tunnel to one gateway, with everything that is known of it. Exits with 1 if something is wrong with it.
    Show {
        /// The zone's name, or ZONE/GATEWAY if it has several gateways.
        zone: String,
    },
    /// Wait until the tunnels to all zones are up. Exits with 9 if they are not in time.
    Wait(Wait),
    /// Whether the gateway on this machine lives, or is ready. Exits with 1 if not, and says why.
    /// Another zone that is down is a reason for neither.
    Health {
        /// Which of the two.
        question: HealthQuestion,
    },
    /// Take the configuration file as it is now: what differs, and nothing else. A file with a mistake,
    /// or with a key that takes a restart, is refused whole; exits with 7 then.
    Reload,
    /// The SuperLinks of all zones.
    Superlink {
        #[command(subcommand)]
        verb: ListVerb,
    },
    /// The zone records that this gateway holds.
    Registry {
        #[command(subcommand)]
        verb: ListVerb,
    },
    /// A managed mesh: one whose zones are invited.
    Mesh {
        #[command(subcommand)]
        verb: MeshVerb,
    },
    /// The zones of the mesh: invite, join, list, revoke, block.
    Zone {
        #[command(subcommand)]
        verb: ZoneVerb,
    },
    /// Who may sign for the mesh: list, add, remove.
    Authority {
        #[command(subcommand)]
        verb: AuthorityVerb,
    },
    /// Grants and revocations as files, for authorities that are offline.
    Trust {
        #[command(subcommand)]
        verb: TrustVerb,
    },
    /// Certificates.
    Cert {
        #[command(subcommand)]
        verb: CertVerb,
    },
    /// Keys and tokens.
    Key {
        #[command(subcommand)]
        verb: KeyVerb,
    },
    /// The tokens of this zone's VMs that the gateway takes.
    Token {
        #[command(subcommand)]
        verb: TokenVerb,
    },
    /// Configuration files.
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// OneFlow service templates for OpenNebula. Needs no daemon and no OpenNebula.
    Oneflow {
        #[command(subcommand)]
        verb: OneflowVerb,
    },
    /// A gateway's state folder as one file, and back. Needs no daemon.
    State {
        #[command(subcommand)]
        verb: StateVerb,
    },
}

/// What a probe asks of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HealthQuestion {
    /// Does it stand still? Then it is started anew.
    Live,
    /// Has it all its doors open? Else wait.
    Ready,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Wait for these zones alone; they need not be known yet.
    #[arg(value_name = "ZONE")]
    pub(crate) zones: Vec<ZoneName>,
    /// How long, in seconds.
    #[arg(
        long, value_name = "SECONDS", default_value_t = 60,
        value_parser = quantity::whole::<u64, 0, 4_294_967_295>
    )]
    pub(crate) timeout: u64,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ListVerb {
    /// List them.
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CertVerb {
    /// Describe the certificates of this gateway, or those in a PEM file.
    Show {
        /// A PEM file, or - for standard input. Without it the daemon is asked.
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Make a new key or token.
    Generate {
        #[command(subcommand)]
        what: Generate,
    },
    /// Print the public key that belongs to a key file.
    Public {
        /// The key file.
        file: PathBuf,
        /// What the file holds. Without it the file's name tells: wireguard*, wg*, zone*, authority*.
        #[arg(long)]
        kind: Option<KeyKind>,
    },
    /// Change this gateway's WireGuard key without cutting a connection. Exits with 1 while it is
    /// under way.
    Rotate(Rotate),
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// Say how far it is and change nothing.
    #[arg(long)]
    pub(crate) show: bool,
    /// Give the old key up now. Zones that have not used the new one are cut off until they hear of
    /// it from others.
    #[arg(long, conflicts_with = "show")]
    pub(crate) finish: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Generate {
    /// A WireGuard key (X25519) for a gateway. Prints its public key only.
    Wireguard {
        /// The new file for the private key. It must not be there yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// A zone's identity (Ed25519). Prints its public key only.
    Zone {
        /// The new file for the private key. It must not be there yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// A key of a mesh authority (Ed25519), to be kept offline. Prints its public key only.
    Authority {
        /// The new file for the private key. It must not be there yet.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// A token for a VM, which pins the zone that it may talk to, and its SHA-256 for the gateway's
    /// configuration. Which zone is asked of the daemon on this machine, unless it is named.
    Token(NewToken),
}

/// A new token, and the zone that it pins.
#[derive(Debug, Default, Args)]
pub(crate) struct NewToken {
    /// The zone's key, in a mesh that is written by hand.
    #[arg(long, value_name = "ed25519:KEY", conflicts_with_all = ["pin", "mesh"])]
    pub(crate) zone_key: Option<ZonePublicKey>,
    /// What tokens of that zone pin, as `zonemesh status` shows it on its gateway.
    #[arg(long, value_name = "PIN", conflicts_with = "mesh")]
    pub(crate) pin: Option<ZonePin>,
    /// The mesh id, in a managed mesh.
    #[arg(long, value_name = "ID", requires = "zone")]
    pub(crate) mesh: Option<String>,
    /// The zone's name there; it need not have a gateway yet.
    #[arg(long, value_name = "NAME", requires = "mesh")]
    pub(crate) zone: Option<ZoneName>,
    /// The hash of the authority set in force there. Without it: the first one.
    #[arg(long, value_name = "HASH", requires = "mesh")]
    pub(crate) set: Option<String>,
    /// A new file for the token, which is then not printed. It must not be there yet.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// The kinds of key files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyKind {
    /// A gateway's key for its tunnels.
    Wireguard,
    /// A zone's identity.
    Zone,
    /// A mesh authority.
    Authority,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Find every mistake in a configuration file, and what it has otherwise than what is in force if
    /// this gateway's daemon runs. Exits with 7 if there is a mistake.
    Check {
        /// The file, or - for standard input.
        #[arg(default_value = "/etc/zonemesh/zonemesh.toml", env = "ZONEMESH_CONFIG")]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateVerb {
    /// Save the state folder: keys, own counter, CAs, trust items, records. The daemon may run.
    Backup {
        /// The new file, for its owner only. It must not be there yet.
        file: PathBuf,
        #[command(flatten)]
        folder: StateFolderOption,
    },
    /// Write a saved state into a state folder that is missing or empty, before the daemon starts.
    Restore {
        /// The file that `backup` has made.
        file: PathBuf,
        #[command(flatten)]
        folder: StateFolderOption,
        /// The configuration whose zone the state must be of; it is told if it is not.
        #[arg(long, value_name = "FILE", default_value = "/etc/zonemesh/zonemesh.toml")]
        config: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct StateFolderOption {
    /// The state folder, as gateway.state_dir names it.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/zonemesh")]
    pub(crate) state_dir: PathBuf,
}
