//! `config check`: every mistake of a configuration file, and of the key files it names.
//!
//! Key files that are not there yet are no mistake, because the daemon makes them on first start.
//! Those that this user may not read are left out, and the answer says so.

use std::io;
use std::path::Path;

use zonemesh_config::{Config, ConfigErrors};
use zonemesh_core::key::{KeyError, PresharedKey, WireGuardPrivateKey, ZoneIdentity};

use crate::failure::{Exit, Failure, OrExit as _};
use crate::secret_file;
use crate::view::config_check::{CheckView, Mistake};

/// Reads and checks `file`; `-` is standard input.
pub(crate) fn check(file: &Path) -> Result<CheckView, Failure> {
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
    let wireguard = KeyFile { config, key: "tunnel.private_key_file", made_on_start: true };
    let own_wireguard = wireguard.read(&config.tunnel.private_key_file, view, |text| {
        WireGuardPrivateKey::from_base64(text).map(|key| key.public_key())
    });
    let zone = KeyFile { config, key: "registry.identity_key_file", made_on_start: true };
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
            KeyFile { config, key: &key, made_on_start: false }.read(
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
    made_on_start: bool,
}

impl KeyFile<'_> {
    fn read<K>(
        &self,
        path: &Path,
        view: &mut CheckView,
        parse: impl FnOnce(&str) -> Result<K, KeyError>,
    ) -> Option<K> {
        let shown = path.display();
        if !path.exists() && self.made_on_start {
            // Also so below a folder that this user may not look into.
            view.note(format!("{}: {shown} is not there, or not for this user", self.key));
            return None;
        }
        match secret_file::read(path) {
            Ok(text) => match parse(&text) {
                Ok(key) => return Some(key),
                Err(error) => view.add(vec![self.mistake(
                    format!("{shown} holds no key: {error}"),
                    "base64 of 32 bytes in one line",
                    "write the file again, or name another",
                )]),
            },
            Err(_) if self.made_on_start => {
                view.note(format!(
                    "{}: {shown} was not checked: this user may not read it",
                    self.key
                ));
            }
            Err(_) => view.add(vec![self.mistake(
                format!("{shown} cannot be read"),
                "a file that is there on start",
                "make it with `wg genpsk`, with mode 0600, or run this check as root",
            )]),
        }
        None
    }

    fn mistake(&self, found: String, expected: &str, fix: &str) -> Mistake {
        Mistake::at(self.config, self.key, [found, expected.to_owned(), fix.to_owned()])
    }
}
