//! The WireGuard implementations that can be put under test, and how each is started.
//!
//! Owns the command lines. Promises that a missing program is named with the command that installs
//! it. Refuses to configure anything: that is `wg`'s business.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use zonemesh_lab::binaries;
use zonemesh_lab::namespace::Namespace;

/// A userspace WireGuard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Implementation {
    /// `zonemesh-wg`, the data plane of this repository.
    Zonemesh,
    /// The same with one kind of bulk work turned off: `TSO`, `USO`, `GSO`, `GRO` or `MERGE`.
    ZonemeshWithout(&'static str),
    /// `wireguard-go`, as Debian packages it.
    WireguardGo,
    /// `boringtun-cli`, Cloudflare's.
    Boringtun,
    /// `gotatun`, Mullvad's.
    Gotatun,
}

impl Implementation {
    /// The name of its program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Zonemesh | Self::ZonemeshWithout(_) => "zonemesh-wg",
            Self::WireguardGo => "wireguard-go",
            Self::Boringtun => "boringtun-cli",
            Self::Gotatun => "gotatun",
        }
    }

    /// Where its program is.
    ///
    /// # Errors
    /// When it is not installed, with the command that installs it.
    pub fn find(self) -> Result<PathBuf> {
        let name = self.program();
        match self {
            Self::Zonemesh | Self::ZonemeshWithout(_) => binaries::find(name),
            Self::WireguardGo => {
                let path = std::env::var_os("PATH").context("PATH is not set")?;
                let found = std::env::split_paths(&path).map(|dir| dir.join(name));
                let mut found = found.filter(|path| path.is_file());
                found.next().context("wireguard-go is missing -> apt-get install wireguard-go")
            }
            Self::Boringtun | Self::Gotatun => {
                let path = peers_folder()?.join("bin").join(name);
                if !path.is_file() {
                    bail!("{} is missing -> netns-tests/bench/setup.sh", path.display());
                }
                Ok(path)
            }
        }
    }

    /// The command that serves `interface` in the foreground, inside `namespace`.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn command(self, namespace: &Namespace, interface: &str) -> Result<Command> {
        let mut command = namespace.command(self.find()?);
        match self {
            Self::Zonemesh => {
                command.arg("-f");
            }
            Self::ZonemeshWithout(kind) => {
                command.arg("-f").env(format!("ZONEMESH_DEBUG_NO_{kind}"), "1");
            }
            Self::WireguardGo => {
                command.arg("-f").env("LOG_LEVEL", "error");
            }
            // Its sockets that are connected to a peer keep a source address that was removed.
            Self::Boringtun => {
                command.args(["-f", "--disable-drop-privileges", "--disable-connected-udp"]);
            }
            Self::Gotatun => {
                command.args(["-f", "--disable-drop-privileges", "--verbosity", "error"]);
            }
        }
        command.arg(interface);
        Ok(command)
    }
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// Where `netns-tests/bench/setup.sh` installs the implementations that are no Debian packages.
fn peers_folder() -> Result<PathBuf> {
    let cache = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => bail!("neither XDG_CACHE_HOME nor HOME is set"),
    };
    Ok(cache.join("zonemesh").join("peers"))
}
