#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zonemesh_fuzz::text::service_template(bytes));
