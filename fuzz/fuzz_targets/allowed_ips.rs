#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zonemesh_tunnel::fuzzing::allowed_ips(bytes));
