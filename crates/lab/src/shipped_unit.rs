//! What a package's unit makes of a companion, as far as that is to be had without systemd.
//!
//! Owns the reading of `configs/zonemesh-*.service`: its mask of modes, its capabilities and that nobody
//! gains others. Promises that a companion of the Lab has no right that its unit takes from it.
//! Refuses to know the unit's sandbox: `netns-tests/tests/systemd/` runs it whole.
//! Specification: systemd.exec(5).

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::namespace::Namespace;
use crate::privilege::{self, Privilege};

const SUPERLINK: &str = include_str!("../../../configs/zonemesh-superlink.service");
const SUPERNODE: &str = include_str!("../../../configs/zonemesh-supernode.service");

/// The unit of a companion.
#[derive(Debug, Clone, Copy)]
pub struct ShippedUnit {
    text: &'static str,
}

impl ShippedUnit {
    /// That of a role.
    ///
    /// # Errors
    /// When no package has one.
    pub fn of(role: &str) -> Result<Self> {
        match role {
            "superlink" => Ok(Self { text: SUPERLINK }),
            "supernode" => Ok(Self { text: SUPERNODE }),
            _ => anyhow::bail!("no unit is shipped for {role}"),
        }
    }

    /// A command in a VM, under the unit's mask and with its capabilities. In a user namespace there is
    /// no root to take any from.
    ///
    /// # Errors
    /// When this process may not make a Lab, or the unit says nothing of them.
    pub fn command(self, place: &Namespace, program: &Path) -> Result<Command> {
        let mut command = place.command("sh");
        command.args(["-c", "umask \"$0\" && exec \"$@\"", self.value("UMask")?]);
        if privilege::current()? == Privilege::Root {
            let bounding = bounding_set(self.value("CapabilityBoundingSet")?);
            command.args(["setpriv", "--bounding-set", &bounding]);
            if self.value("NoNewPrivileges")? == "yes" {
                command.arg("--no-new-privs");
            }
            command.arg("--");
        }
        command.arg(program);
        Ok(command)
    }

    fn value(self, key: &str) -> Result<&'static str> {
        let found = self.text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.with_context(|| format!("the unit has no {key}="))
    }
}

/// In the words of setpriv(1).
fn bounding_set(names: &str) -> String {
    let names = names.split_whitespace().map(|name| name.trim_start_matches("CAP_"));
    names.fold("-all".to_owned(), |set, name| format!("{set},+{}", name.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_units_say_what_the_lab_makes_of_them() {
        for role in ["superlink", "supernode"] {
            let unit = ShippedUnit::of(role).expect("a unit");
            assert_eq!(unit.value("UMask").expect("a mask"), "0077");
            let bounding = bounding_set(unit.value("CapabilityBoundingSet").expect("a set"));
            assert!(bounding.starts_with("-all,+setuid,+setgid,+chown"), "{bounding}");
            assert!(bounding.ends_with(",+net_admin"), "for the routes: {bounding}");
            assert_eq!(unit.value("NoNewPrivileges").expect("a switch"), "yes");
        }
        assert!(ShippedUnit::of("gateway").is_err());
    }
}
