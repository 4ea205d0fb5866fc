//! The Debian packages on a real systemd: each test boots a Debian in a container.
//!
//! ```text
//!   berlin: Debian, the package installed with dpkg ==== WAN ==== madrid: a daemon of the Lab
//! ```
//!
//! Not part of plain `cargo test` (`test = false` in Cargo.toml): needs root, systemd-nspawn and a
//! root file system. `make test` runs it on Debian 12, `make test-systemd` on 12, 13 and sid.

mod appliance;
mod boot;
mod companions;
mod confinement;
mod lives;
mod one_apps;
mod package;
mod service;
mod upgrade;

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use netns_tests::systemd::releases;

/// How long systemd may take to start something again on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The same on each release that is wanted; says which one failed.
pub(crate) fn on_each_release(test: impl Fn(&str) -> Result<()>) -> Result<()> {
    for release in releases() {
        test(&release).with_context(|| format!("on Debian {release}"))?;
    }
    Ok(())
}

pub(crate) fn say(text: std::fmt::Arguments<'_>) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{text}")?)
}
