//! Where one Flower process lives, and what it sees of this machine.
//!
//! It promises that no Flower process asks the Internet for anything, and that of the companion's own
//! environment Flower sees what says which accelerators and libraries it may use, and nothing else.
//! It refuses to know what runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::path_text;
use crate::state_folder::StateFolder;

/// What reaches Flower from the companion's own environment (a drop-in of its unit sets it).
pub const PASSED_ON: [&str; 4] =
    ["CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "ROCR_VISIBLE_DEVICES"];

/// Where one Flower process lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowerHome {
    /// The folder of Flower's programs.
    pub programs: PathBuf,
    /// The process's own folder: HOME, and FLWR_HOME below it.
    pub folder: PathBuf,
    /// The folder of the shim.
    pub shim: PathBuf,
    /// What is passed on to it.
    pub passed_on: BTreeMap<String, String>,
}

impl FlowerHome {
    /// The home of a companion's Flower.
    #[must_use]
    pub fn new(programs: &Path, state: &StateFolder) -> Self {
        let (folder, shim) = (state.flower(), state.shim());
        Self { programs: programs.to_owned(), folder, shim, passed_on: BTreeMap::new() }
    }

    /// The same, with what `environment` has of [`PASSED_ON`].
    #[must_use]
    pub fn passing_on(self, environment: impl Fn(&str) -> Option<String>) -> Self {
        let known = |name: &str| {
            let value = environment(name).filter(|value| !value.is_empty())?;
            Some((name.to_owned(), value))
        };
        Self { passed_on: PASSED_ON.into_iter().filter_map(known).collect(), ..self }
    }

    /// The environment that every Flower process has, whatever its generation.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let path = format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            path_text(&self.programs)
        );
        let own = [
            ("PATH", path),
            ("HOME", path_text(&self.folder)),
            ("FLWR_HOME", path_text(&self.folder.join(".flwr"))),
            ("LANG", "C.UTF-8".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
            ("FLWR_TELEMETRY_ENABLED", "0".to_owned()),
            ("FLWR_DISABLE_UPDATE_CHECK", "1".to_owned()),
            ("FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION", "1".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value));
        self.passed_on.clone().into_iter().chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> FlowerHome {
        FlowerHome::new(
            Path::new("/opt/flower/bin"),
            &StateFolder::new(Path::new("/var/lib/zonemesh-supernode")),
        )
    }

    #[test]
    fn no_flower_process_asks_the_internet() {
        let environment = home().environment();
        assert_eq!(environment["FLWR_TELEMETRY_ENABLED"], "0");
        assert_eq!(environment["FLWR_DISABLE_UPDATE_CHECK"], "1");
        assert_eq!(environment["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"], "1");
        assert_eq!(environment["FLWR_HOME"], "/var/lib/zonemesh-supernode/flower/.flwr");
        assert!(environment["PATH"].starts_with("/opt/flower/bin:"));
    }

    #[test]
    fn accelerators_and_libraries_are_passed_on_and_nothing_else_is() {
        let home = home().passing_on(|name| match name {
            "CUDA_VISIBLE_DEVICES" => Some("0,1".to_owned()),
            "LD_LIBRARY_PATH" => Some("/usr/local/cuda/lib64".to_owned()),
            "HIP_VISIBLE_DEVICES" => Some(String::new()),
            "ROCR_VISIBLE_DEVICES" => None,
            other => panic!("{other} is none of Flower's business"),
        });
        let environment = home.environment();
        assert_eq!(environment["CUDA_VISIBLE_DEVICES"], "0,1");
        assert_eq!(environment["LD_LIBRARY_PATH"], "/usr/local/cuda/lib64");
        assert!(!environment.contains_key("HIP_VISIBLE_DEVICES"));
    }
}
