//! With which configuration a start begins: that of the file, or the last one that was in force.
//!
//! Promises: a file that can be used is used, whatever was in force before; one that cannot be is
//! replaced by what was kept of this very file, and told; where nothing was kept the peers that are
//! wrong in it are left out, and one that is wrong elsewhere fails the start.
//! A file that is not there, or may not be read, is nobody's mistake in it: that start fails.

use std::path::Path;

use zonemesh_config::{Config, ConfigErrors};
use zonemesh_core::key::{WireGuardPrivateKey, ZoneIdentity};

use crate::administration::reload::preshared;
use crate::facts::disk::config_file::{self, ConfigFile, in_brief};
use crate::facts::disk::regular;
use crate::failure::{Exit, Failure, OrExit as _};

/// What a start begins with.
pub struct StartConfig {
    /// The configuration.
    pub config: Config,
    /// Its text.
    pub(crate) text: Vec<u8>,
    pub(crate) file: ConfigFile,
    /// Why the file itself cannot be used.
    pub broken: Option<String>,
}

/// Reads `file`, or what was kept of it.
///
/// # Errors
/// When neither can be used.
pub fn read(file: &Path) -> Result<StartConfig, Failure> {
    let name = file.display().to_string();
    let text = config_file::read(file).or_exit(Exit::Configuration, || {
        format!("cannot read the configuration {name}; name another with --config FILE")
    })?;
    let config = Config::parse_bytes(&text, &name);
    let mistakes = match &config {
        Ok(config) => mistakes(config),
        Err(mistakes) => Some(mistakes.clone()),
    };
    if let Some(last) = mistakes.as_ref().and_then(|mistakes| last(file, &text, mistakes)) {
        return Ok(last);
    }
    // Nothing was kept: what is wrong with single peers is left out, if others are good. Mistakes of files
    // that it names are told where those are opened.
    let config = Config::parse_bytes_usable(&text, &name).or_exit(Exit::Configuration, || {
        format!("the configuration is not valid; after the fix run: zonemesh config check {name}")
    })?;
    Ok(StartConfig { config, text, file: ConfigFile::new(file, false), broken: None })
}

/// What is wrong beside the file: keys that it names, as far as they are there.
fn mistakes(config: &Config) -> Option<ConfigErrors> {
    let key = |file: &Path| regular::read_text(file).ok();
    let wireguard = key(&config.tunnel.private_key_file);
    let wireguard = wireguard.and_then(|text| WireGuardPrivateKey::from_base64(&text).ok());
    let zone = key(&config.registry.identity_key_file);
    let zone = zone.and_then(|text| ZoneIdentity::from_base64(&text).ok());
    let own =
        wireguard.zip(zone).map(|(wireguard, zone)| (wireguard.public_key(), zone.public_key()));
    let clash = own.and_then(|(wireguard, zone)| config.check_keys(wireguard, zone).err());
    clash.or_else(|| preshared(config).err().map(|unusable| unusable.mistakes))
}

/// What was kept of this file, if that can be used itself.
fn last(file: &Path, text: &[u8], mistakes: &ConfigErrors) -> Option<StartConfig> {
    let text = config_file::kept_of(file, &Config::state_dir_of(text))?;
    let config = Config::parse_bytes(&text, &file.display().to_string()).ok()?;
    let (file, broken) = (ConfigFile::new(file, true), Some(in_brief(mistakes)));
    self::mistakes(&config).is_none().then_some(StartConfig { config, text, file, broken })
}
