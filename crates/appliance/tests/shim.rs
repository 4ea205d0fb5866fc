//! The keepalive shim in a real Python, with a stand-in for grpc that shows what it is called with.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use zonemesh_appliance::flower::{
    FlowerHome, GrpcFlower, InstalledFlower, KEEPALIVE, PREFERRED, SHIM,
};
use zonemesh_appliance::state_folder::StateFolder;

const GRPC: &str = "
def insecure_channel(target, options=None, compression=None): return dict(options or ())
def secure_channel(target, credentials, options=None, compression=None): return dict(options or ())
def server(pool, handlers=None, interceptors=None, options=None): return dict(options or ())
";

/// What a program sees that imports grpc, as JSON.
fn seen(changes: &[(&str, &str)]) -> serde_json::Value {
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::new(folder.path());
    std::fs::create_dir_all(state.shim()).unwrap();
    std::fs::write(state.shim().join("sitecustomize.py"), SHIM).unwrap();
    std::fs::write(state.shim().join("grpc.py"), GRPC).unwrap();
    let program = "import json, sys; early = 'grpc' in sys.modules; import grpc; print(json.dumps({
        'early': early,
        'secure': grpc.secure_channel('t', None, options=[('grpc.keepalive_time_ms', 1), ('own', 2)]),
        'positional': grpc.insecure_channel('t', [('own', 2)]),
        'server': grpc.server(None, None, None, [('grpc.max_concurrent_streams', 9)]),
        'name': grpc.secure_channel.__name__}))";
    let flower = InstalledFlower { version: PREFERRED, generation: &GrpcFlower };
    let home = FlowerHome::new(Path::new("/opt/flower/bin"), &state);
    let mut environment = flower.environment(&home);
    environment.extend(changes.iter().map(|(key, value)| ((*key).into(), (*value).into())));
    let output =
        Command::new("python3").args(["-c", program]).env_clear().envs(environment).output();
    let output = output.expect("python3 is installed: Flower needs it, and so does this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn clients_and_servers_get_the_keepalive_of_zonemesh() {
    let seen = seen(&[]);
    assert_eq!(seen["early"], false, "grpc is imported by the program, not by the shim");
    let figure = |side: &str, key: &str| seen[side][key].as_u64().map(Duration::from_millis);
    let told = |key| figure("server", key).unwrap();
    // What the gateway is told is what Flower does.
    assert_eq!(KEEPALIVE.grpc_interval, told("grpc.keepalive_time_ms"));
    assert_eq!(KEEPALIVE.grpc_timeout, told("grpc.keepalive_timeout_ms"));
    let minimum = "grpc.http2.min_recv_ping_interval_without_data_ms";
    assert_eq!(KEEPALIVE.server_min_interval, told(minimum));
    for side in ["secure", "positional", "server"] {
        assert_eq!(seen[side]["grpc.keepalive_time_ms"], 60_000, "{side}: {seen:#}");
        assert_eq!(seen[side]["grpc.keepalive_timeout_ms"], 20_000);
        assert_eq!(seen[side]["grpc.keepalive_permit_without_calls"], 1);
        assert_eq!(seen[side]["grpc.http2.max_pings_without_data"], 0);
    }
    assert_eq!(seen["server"]["grpc.http2.min_recv_ping_interval_without_data_ms"], 30_000);
    assert_eq!(seen["server"]["grpc.http2.max_ping_strikes"], 0);
}

#[test]
fn options_of_the_program_stay() {
    let seen = seen(&[]);
    assert_eq!((&seen["secure"]["own"], &seen["positional"]["own"]), (&2.into(), &2.into()));
    assert_eq!(seen["server"]["grpc.max_concurrent_streams"], 9);
    assert_eq!(seen["name"], "secure_channel");
}

#[test]
fn zero_turns_it_off() {
    let seen = seen(&[("ZONEMESH_GRPC_KEEPALIVE_TIME", "0")]);
    assert_eq!(seen["positional"], serde_json::json!({"own": 2}));
    assert_eq!(seen["server"], serde_json::json!({"grpc.max_concurrent_streams": 9}));
}
