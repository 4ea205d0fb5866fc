//! Where one Flower process lives, and what it sees of this machine.
//!
//! It promises that no Flower process asks the Internet for anything. It refuses to know what runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::path_text;
use crate::state_folder::StateFolder;

/// Where one Flower process lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowerHome {
    /// The folder of Flower's programs.
    pub programs: PathBuf,
    /// The process's own folder: HOME, and FLWR_HOME below it.
    pub folder: PathBuf,
    /// The folder of the shim.
    pub shim: PathBuf,
}

impl FlowerHome {
    /// The home of a companion's Flower.
    #[must_use]
    pub fn new(programs: &Path, state: &StateFolder) -> Self {
        Self { programs: programs.to_owned(), folder: state.flower(), shim: state.shim() }
    }

    /// The environment that every Flower process has, whatever its generation.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let path = format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            path_text(&self.programs)
        );
        [
            ("PATH", path),
            ("HOME", path_text(&self.folder)),
            ("FLWR_HOME", path_text(&self.folder.join(".flwr"))),
            ("LANG", "C.UTF-8".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
            ("PYTHONPATH", path_text(&self.shim)),
            ("FLWR_TELEMETRY_ENABLED", "0".to_owned()),
            ("FLWR_DISABLE_UPDATE_CHECK", "1".to_owned()),
            ("FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION", "1".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flower_process_asks_the_internet() {
        let home = FlowerHome {
            programs: "/opt/flower/bin".into(),
            folder: "/var/lib/zonemesh-supernode/flower".into(),
            shim: "/var/lib/zonemesh-supernode/shim".into(),
        };
        let environment = home.environment();
        assert_eq!(environment["FLWR_TELEMETRY_ENABLED"], "0");
        assert_eq!(environment["FLWR_DISABLE_UPDATE_CHECK"], "1");
        assert_eq!(environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"], "1");
        assert_eq!(environment["FLWR_HOME"], "/var/lib/zonemesh-supernode/flower/.flwr");
        assert_eq!(environment["PYTHONPATH"], "/var/lib/zonemesh-supernode/shim");
        assert!(environment["PATH"].starts_with("/opt/flower/bin:"));
    }
}
