//! `config check`: every mistake of a configuration file, and of the key files it names.
//!
//! Key files that are not there, or that this user may not read, are no mistake: files are also
//! checked before they go to their gateway. The answer says what was left out.

use std::io;
use std::path::Path;

use zonemesh_config::{Config, ConfigErrors};
use zonemesh_core::key::{KeyError, PresharedKey, WireGuardPrivateKey, ZoneIdentity};

use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::secret_file;
use crate::view::config_check::{CheckView, Mistake};

const MADE: &str = "the daemon makes it on first start";
const NEEDED: &str = "the daemon does not start without it";

/// Reads and checks `file`; `-` is standard input.
pub(crate) fn check(file: &Path) -> Result<CheckView, CommandFailure> {
    let (name, text) = if file == Path::new("-") {
        ("standard input".to_owned(), io::read_to_string(io::stdin()))
    } else {
        (file.display().to_string(), std::fs::read_to_string(file))
    };
    let text = text.or_exit(Exit::Configuration, || format!("cannot read {name}"))?;
    Ok(match Config::parse(&text, &name) {
        Ok(config) => {
            let mut view = CheckView::valid(&name, &config);
            check_key_files(&config, &mut view);
            view
        }
        Err(errors) => CheckView::invalid(&name, mistakes(&errors)),
    })
}

fn mistakes(errors: &ConfigErrors) -> Vec<Mistake> {
    errors.iter().map(Mistake::from).collect()
}

fn check_key_files(config: &Config, view: &mut CheckView) {
    let wireguard = KeyFile { config, key: "tunnel.private_key_file", if_absent: MADE };
    let own_wireguard = wireguard.read(&config.tunnel.private_key_file, view, |text| {
        WireGuardPrivateKey::from_base64(text).map(|key| key.public_key())
    });
    let zone = KeyFile { config, key: "registry.identity_key_file", if_absent: MADE };
    let own_zone = zone.read(&config.registry.identity_key_file, view, |text| {
        ZoneIdentity::from_base64(text).map(|key| key.public_key())
    });
    if let (Some(wireguard), Some(zone)) = (own_wireguard, own_zone)
        && let Err(errors) = config.check_keys(wireguard, zone)
    {
        view.add(mistakes(&errors));
    }
    for (index, peer) in config.peers.iter().enumerate() {
        if let Some(path) = &peer.preshared_key_file {
            let key = format!("peer[{index}].preshared_key_file");
            KeyFile { config, key: &key, if_absent: NEEDED }.read(
                path,
                view,
                PresharedKey::from_base64,
            );
        }
    }
}

/// A key file and the setting that names it.
struct KeyFile<'c> {
    config: &'c Config,
    key: &'c str,
    /// What becomes of it where it is not there yet.
    if_absent: &'c str,
}

impl KeyFile<'_> {
    fn read<K>(
        &self,
        path: &Path,
        view: &mut CheckView,
        parse: impl FnOnce(&str) -> Result<K, KeyError>,
    ) -> Option<K> {
        let shown = path.display();
        if !path.exists() {
            // Also so below a folder that this user may not look into.
            let Self { key, if_absent, .. } = self;
            view.note(format!("{key}: {shown} is not there, or not for this user; {if_absent}"));
            return None;
        }
        let Ok(text) = secret_file::read(path) else {
            view.note(format!("{}: {shown} was not checked: this user may not read it", self.key));
            return None;
        };
        match parse(&text) {
            Ok(key) => Some(key),
            Err(error) => {
                let expected = "base64 of 32 bytes in one line";
                let fix = "write the file again, or name another";
                let found = format!("{shown} holds no key: {error}");
                view.add(vec![Mistake::at(self.config, self.key, found, expected, fix)]);
                None
            }
        }
    }
}
