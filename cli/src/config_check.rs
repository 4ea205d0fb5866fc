//! `config check`: every mistake of a configuration file, and of the key files it names.
//!
//! Key files that this user may not read are no mistake; nor are those that are not there on a
//! machine without the gateway's key: files are also checked before they go to their gateway. The
//! answer says what was left out.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::SystemTime;

use zonemesh_config::{Config, ConfigErrors};
use zonemesh_core::key::{KeyError, PresharedKey, WireGuardPrivateKey, ZoneIdentity};

use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::secret_file::{self, UnusableKey};
use crate::view::config_check::{CheckView, Mistake};

/// The file that is checked where none is named.
const USUAL: &str = "/etc/zonemesh/zonemesh.toml";

/// A file that was checked.
pub(crate) struct Checked {
    pub(crate) view: CheckView,
    pub(crate) text: Vec<u8>,
}

/// Reads and checks `file`; `-` is standard input.
pub(crate) fn check(file: &Path) -> Result<Checked, CommandFailure> {
    let (name, bytes) = if file == Path::new("-") {
        ("standard input".to_owned(), read(io::stdin()))
    } else {
        (file.display().to_string(), File::open(file).and_then(read))
    };
    let bytes = bytes.or_exit(Exit::Configuration, || format!("cannot read {name}"));
    // Where nobody has typed a path, it is the configuration that is missing.
    let bytes = bytes.map_err(|failure| match failure.exit {
        Exit::Usage if file == Path::new(USUAL) => failure.with_exit(Exit::Configuration),
        _ => failure,
    })?;
    let view = match Config::parse_bytes(&bytes, &name) {
        Ok(config) => {
            let mut view = CheckView::valid(&name, &config);
            config.notes().into_iter().for_each(|note| view.note(note));
            note_expired_tokens(&config, SystemTime::now(), &mut view);
            check_key_files(&config, &mut view);
            view
        }
        Err(errors) => CheckView::invalid(&name, mistakes(&errors)),
    };
    Ok(Checked { view, text: bytes })
}

/// The zone that `file` is for, if it is a configuration that this user may read.
pub(crate) fn zone_of(file: &Path) -> Option<String> {
    let bytes = read(std::fs::File::open(file).ok()?).ok()?;
    let config = Config::parse_bytes(&bytes, &file.display().to_string()).ok()?;
    Some(config.zone.name.to_string())
}

/// Enough of `source` to see that it is too long: a device may have no end.
fn read(source: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(Config::MAX_BYTES + 1).unwrap_or(u64::MAX);
    source.take(most).read_to_end(&mut bytes).map(|_length| bytes)
}

fn mistakes(errors: &ConfigErrors) -> Vec<Mistake> {
    errors.iter().map(Mistake::from).collect()
}

fn note_expired_tokens(config: &Config, now: SystemTime, view: &mut CheckView) {
    let tokens = config.local_api.iter().flat_map(|local_api| &local_api.tokens);
    for (index, token) in tokens.enumerate() {
        if token.expires.is_some_and(|end| end <= now) {
            view.note(format!(
                "local_api.token[{index}].expires: the token is over: no VM gets in"
            ));
        }
    }
}

fn check_key_files(config: &Config, view: &mut CheckView) {
    let wireguard = KeyFile { config, key: "tunnel.private_key_file", is_made: true };
    let own_wireguard = wireguard.read(&config.tunnel.private_key_file, view, |text| {
        WireGuardPrivateKey::from_base64(text).map(|key| key.public_key())
    });
    let zone = KeyFile { config, key: "registry.identity_key_file", is_made: true };
    let own_zone = zone.read(&config.registry.identity_key_file, view, |text| {
        ZoneIdentity::from_base64(text).map(|key| key.public_key())
    });
    if let (Some(wireguard), Some(zone)) = (own_wireguard, own_zone)
        && let Err(errors) = config.check_keys(wireguard, zone)
    {
        view.add(mistakes(&errors));
    }
    let zones = config.peers.iter().map(|peer| &peer.preshared_key_file);
    let plain = config.wireguard_peers.iter().map(|peer| &peer.preshared_key_file);
    let secrets = zones.enumerate().map(|(index, file)| ("peer", index, file));
    let secrets =
        secrets.chain(plain.enumerate().map(|(index, file)| ("wireguard_peer", index, file)));
    for (section, index, file) in secrets {
        let Some(path) = file else { continue };
        let key = format!("{section}[{index}].preshared_key_file");
        let file = KeyFile { config, key: &key, is_made: false };
        file.read(path, view, PresharedKey::from_base64);
    }
}

/// A key file and the setting that names it.
struct KeyFile<'c> {
    config: &'c Config,
    key: &'c str,
    /// Whether the daemon makes it where it is not there yet.
    is_made: bool,
}

impl KeyFile<'_> {
    fn read<K>(
        &self,
        path: &Path,
        view: &mut CheckView,
        parse: impl FnOnce(&str) -> Result<K, KeyError>,
    ) -> Option<K> {
        let shown = path.display();
        self.find(path, view);
        if path.try_exists().is_ok_and(|is_there| !is_there) {
            return None;
        }
        let found = match secret_file::read_regular(path) {
            Ok(text) => match parse(&text) {
                Ok(key) => return Some(key),
                Err(error) => format!("{shown} holds no key: {error}"),
            },
            Err(UnusableKey::Denied) => {
                let key = self.key;
                view.note(format!("{key}: {shown} was not checked: this user may not read it"));
                return None;
            }
            Err(UnusableKey::Unfit(what)) => format!("{shown} {what}"),
        };
        let expected = "a file with base64 of 32 bytes in one line";
        let fix = "write the file again, or name another";
        view.add(vec![Mistake::at(self.config, self.key, found, expected, fix)]);
        None
    }

    /// Notes, or complains, that there is no such file.
    fn find(&self, path: &Path, view: &mut CheckView) {
        let (key, shown) = (self.key, path.display());
        match path.try_exists() {
            // Whoever reads it says why it cannot be.
            Ok(true) | Err(_) => {}
            Ok(false) if self.is_made => {
                view.note(format!("{key}: {shown} is not there yet; the daemon makes it"));
            }
            // The gateway's own key is where the gateway is.
            Ok(false) if !self.config.tunnel.private_key_file.exists() => {
                view.note(format!("{key}: {shown} is not here; the daemon needs it"));
            }
            Ok(false) => {
                let found = format!("{shown} is not there");
                let (expected, fix) = ("a key file", "put the key there, or take this line out");
                view.add(vec![Mistake::at(self.config, key, found, expected, fix)]);
            }
        }
    }
}
