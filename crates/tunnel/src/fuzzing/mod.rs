//! What the fuzz targets of `fuzz/` call: each parser of the data plane with any bytes.
//!
//! Compiled for tests and under `cfg(fuzzing)` only. Promises that a function here panics if, and
//! only if, the data plane breaks a promise on these bytes: it panicked, changed what it had to
//! leave, or stopped to work. Each property is checked against something slower and plainer than
//! the code in question. Refuses to know how inputs are found.

mod headers;
mod merging;
mod packets;
mod script;
mod seen;

pub use headers::{allowed_ips, ecn, mss_clamp, vnet};
pub use merging::merge;

/// Datagrams of the Internet, to a gateway with an established tunnel.
pub use crate::engine::fuzzed::datagrams;
/// Packets of the local network, through two gateways.
pub use crate::engine::fuzzed::packets;
/// Requests of the WireGuard UAPI.
pub use crate::uapi::fuzzed::uapi;

pub(crate) use packets::{Given, ScriptMemory, next_packet, super_packet};
pub(crate) use script::Script;
pub(crate) use seen::assert_same_flows;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 8] = [
        ("datagrams", datagrams),
        ("packets", packets),
        ("vnet", vnet),
        ("mss_clamp", mss_clamp),
        ("ecn", ecn),
        ("merge", merge),
        ("uapi", uapi),
        ("allowed_ips", allowed_ips),
    ];

    #[test]
    fn every_kept_input_of_the_data_plane_is_taken() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
        for (name, target) in TARGETS {
            let files = fs::read_dir(seeds.join(name)).unwrap();
            let taken = files.map(|file| target(&fs::read(file.unwrap().path()).unwrap())).count();
            assert!(taken > 0, "{name} has seeds");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_script_is_taken(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
            for (_, target) in TARGETS {
                target(&bytes);
            }
        }
    }
}
