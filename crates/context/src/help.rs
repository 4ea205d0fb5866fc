//! What `--help` says of the keys.

use std::fmt::Write as _;

use crate::key::Appliance;
use crate::keys;

/// What the short help says instead.
pub const SETTINGS: &str =
    "Settings: ONEAPP_ZONEMESH_* and others in the environment or the context; --help lists them.";

/// The keys that the program of this appliance reads, for the end of its `--help`.
#[must_use]
pub fn help(appliance: Appliance) -> String {
    let mut text = "Settings, in the environment or the context:\n".to_owned();
    for key in keys::of(appliance) {
        let meaning = key.documented().replace('`', "");
        let default = key.default.replace('`', "");
        // Writing into a String does not fail.
        let _ = write!(text, "\n  {}\n      {meaning} [default: {default}]\n", key.name);
    }
    text
}
