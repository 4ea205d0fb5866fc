//! `make generate`: the Rust of the protobuf files, written anew into `../src/generated/`.
//!
//! Owns the generator's settings. The code is kept, so that nobody who builds or tests Zonemesh builds
//! a protobuf compiler first; with `--check`, as in `make lint`, it is compared and nothing is written.

use std::path::Path;
use std::process::ExitCode;

const GENERATED: [&str; 2] = ["zonemesh.v1.rs", "etcdserverpb.rs"];

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<ExitCode> {
    let check = std::env::args().nth(1).as_deref() == Some("--check");
    let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let fresh = tempfile::tempdir()?;
    generate(&api.join("proto"), fresh.path())?;
    let made = std::fs::read_dir(fresh.path())?.count();
    assert_eq!(made, GENERATED.len(), "a package of the protobuf files has no place");
    let mut code = ExitCode::SUCCESS;
    for name in GENERATED {
        let text = std::fs::read_to_string(fresh.path().join(name))?;
        let place = api.join("src/generated").join(name);
        if !check {
            std::fs::write(&place, text)?;
        } else if std::fs::read_to_string(&place).unwrap_or_default() != text {
            eprintln!("{} is not what proto/ says -> make generate", place.display());
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn generate(proto: &Path, into: &Path) -> Result<()> {
    let ours = ["registry.proto", "local.proto", "admin.proto", "join.proto", "mesh.proto"];
    tonic_prost_build::configure()
        .out_dir(into)
        .bytes(".zonemesh.v1.SignedItem.payload")
        .bytes(".zonemesh.v1.TrustItem.payload")
        .skip_debug([
            ".zonemesh.v1.VmProof",
            ".zonemesh.v1.OneGateProof",
            ".zonemesh.v1.RedeemRequest",
            ".zonemesh.v1.ZoneInviteReply",
            ".zonemesh.v1.ZoneJoinRequest",
        ])
        .compile_fds(protox::compile(ours, [proto])?)?;
    tonic_prost_build::configure()
        .out_dir(into)
        .build_server(false)
        .skip_debug([".etcdserverpb.AuthenticateRequest", ".etcdserverpb.AuthenticateResponse"])
        .compile_fds(protox::compile(["etcd.proto"], [proto])?)?;
    Ok(())
}
