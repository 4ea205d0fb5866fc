//! Answers as people read them: lines and tables of what `zonemesh_api::view` holds, and views of
//! what only this tool knows, such as files.
//!
//! Pure: a view and `now` in, text out. Of the views that stand here too the JSON keys are the names
//! of the fields; a change of shape takes a new number at the end of the schema's name.

pub(crate) mod authorities;
pub(crate) mod certificates;
mod companions;
pub(crate) mod config_check;
pub(crate) mod findings;
pub(crate) mod items;
pub(crate) mod key;
pub(crate) mod mesh;
pub(crate) mod oneflow;
pub(crate) mod peer;
pub(crate) mod peers;
pub(crate) mod records;
pub(crate) mod reload;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod superlinks;
mod tokens;
pub(crate) mod zones;

use std::collections::BTreeMap;

/// The counters that are not zero: `foreign-source 3, no-session 1`.
fn counted(counters: &BTreeMap<String, u64>) -> String {
    crate::table::plain(&zonemesh_api::view::counted(counters))
}

fn addresses(ips: &[String], port: u32) -> Vec<String> {
    ips.iter()
        .map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") })
        .collect()
}
