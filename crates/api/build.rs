//! Generates Rust from the protobuf files, without a system protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["registry.proto", "local.proto", "admin.proto", "join.proto", "mesh.proto"];
    let descriptors = protox::compile(files, ["proto"])?;
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");
    tonic_prost_build::configure()
        .bytes(".zonemesh.v1.SignedItem.payload")
        .bytes(".zonemesh.v1.TrustItem.payload")
        .skip_debug([
            ".zonemesh.v1.RegisterRequest",
            ".zonemesh.v1.ReportRequest",
            ".zonemesh.v1.RedeemRequest",
            ".zonemesh.v1.ZoneInviteReply",
            ".zonemesh.v1.ZoneJoinRequest",
        ])
        .compile_fds(descriptors)?;
    let etcd = protox::compile(["etcd.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_server(false)
        .skip_debug([".etcdserverpb.AuthenticateRequest", ".etcdserverpb.AuthenticateResponse"])
        .compile_fds(etcd)?;
    Ok(())
}
