//! An etcd cluster as it should be run: TLS both ways, and a user with a password who may touch
//! nothing but the mesh's keys. The mesh is one that is written by hand.
//!
//! ```text
//!   berlin ==== tunnel, no registry stream ==== madrid
//!      \---- https ---- etcd (on the WAN's router) ---- https ----/
//! ```

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::namespace;
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
/// The router's side of berlin's WAN; every gateway has a route to it.
const URL: &str = "https://198.51.100.254:2379";
/// Where the one who runs etcd sets it up, on its own machine.
const SETUP_URL: &str = "http://127.0.0.1:2379";

/// A CA, and certificates of it for etcd and for the gateways.
const CERTIFICATES: &str = "set -e; cd \"$0\"
make='openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
$make -x509 -days 1 -subj /CN=etcd-ca -keyout ca.key -out ca.pem
echo subjectAltName=IP:198.51.100.254 >names
for name in etcd gateway; do
    $make -subj /CN=$name -keyout $name.key -out $name.csr
    openssl x509 -req -days 1 -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out $name.pem
done
echo right-password >password
echo wrong-password >wrong";

fn start_etcd(lab: &Lab) -> Result<Process> {
    let file = |name: &str| lab.folder().join(name).display().to_string();
    let mut command = lab.router().command("etcd");
    command.args(["--listen-client-urls", &format!("{URL},{SETUP_URL}")]);
    command.args(["--advertise-client-urls", URL, "--client-cert-auth"]);
    command.args(["--listen-peer-urls", "http://127.0.0.1:2380"]);
    command.args(["--cert-file", &file("etcd.pem"), "--key-file", &file("etcd.key")]);
    command.args(["--trusted-ca-file", &file("ca.pem"), "--data-dir", &file("data")]);
    let process = Process::spawn("etcd", command, lab.folder())?;
    until("etcd to answer", patience(), || {
        let range = json!({ "key": "AA==", "limit": "1" });
        Ok(Look::retry(set_up(lab, "kv/range", &range)))
    })?;
    Ok(process)
}

/// One step of setting etcd up, over its JSON gateway.
fn set_up(lab: &Lab, path: &str, body: &Value) -> Result<()> {
    let (url, body) = (format!("{SETUP_URL}/v3/{path}"), body.to_string());
    lab.router().run(&["curl", "-sSf", "--max-time", "5", "-d", &body, &url]).map(drop)
}

/// From then on nobody is served without a login, and the gateways' user sees only what is theirs.
fn demand_passwords(lab: &Lab) -> Result<()> {
    let bytes = |key: &str| STANDARD.encode(key);
    let (begin, end) = (bytes("/zonemesh/"), bytes("/zonemesh0"));
    let perm = json!({ "permType": "READWRITE", "key": begin, "range_end": end });
    for (path, body) in [
        ("auth/user/add", json!({ "name": "root", "password": "roots-own" })),
        ("auth/user/grant", json!({ "user": "root", "role": "root" })),
        ("auth/role/add", json!({ "name": "mesh" })),
        ("auth/role/grant", json!({ "name": "mesh", "perm": perm })),
        ("auth/user/add", json!({ "name": "gateways", "password": "right-password" })),
        ("auth/user/grant", json!({ "user": "gateways", "role": "mesh" })),
        ("auth/enable", json!({})),
    ] {
        set_up(lab, path, &body)?;
    }
    Ok(())
}

/// `[registry.etcd]` with everything that this cluster asks for.
fn section(folder: &Path) -> toml::Table {
    let mut etcd = toml::Table::new();
    etcd.insert("endpoints".to_owned(), vec![URL].into());
    etcd.insert("streams".to_owned(), false.into());
    etcd.insert("user".to_owned(), "gateways".into());
    for (key, name) in [
        ("ca_file", "ca.pem"),
        ("certificate_file", "gateway.pem"),
        ("key_file", "gateway.key"),
        ("password_file", "password"),
    ] {
        etcd.insert(key.to_owned(), folder.join(name).display().to_string().into());
    }
    etcd
}

fn use_etcd(mesh: &mut Mesh, zone: &str, etcd: toml::Table) -> Result<()> {
    let registry = mesh.gateway(zone)?.section("registry")?;
    registry.insert("etcd".to_owned(), toml::Value::Table(etcd));
    Ok(())
}

fn etcd_of(mesh: &mut Mesh, zone: &str) -> Result<Value> {
    Ok(mesh.gateway(zone)?.ask(&["status"])?["registry"]["etcd"].clone())
}

/// Starts berlin's gateway with a section that etcd does not take; returns the reason that is shown.
fn why_not(lab: &Lab, mesh: &mut Mesh, etcd: toml::Table) -> Result<String> {
    use_etcd(mesh, "berlin", etcd)?;
    mesh.start_one(lab, "berlin")?;
    let berlin = mesh.gateway("berlin")?;
    berlin.daemon()?.wait_for("etcd is out of reach", patience())?;
    let shown = etcd_of(mesh, "berlin")?;
    ensure!(shown["state"] == "out_of_reach" && shown["url"] == URL, "{shown}");
    let screen = mesh.gateway("berlin")?.show(&["status"])?;
    ensure!(
        screen.contains("! N212 etcd is out of reach at https://198.51.100.254:2379: "),
        "{screen}"
    );
    let daemon = mesh.gateway("berlin")?.daemon()?;
    ensure!(!daemon.output()?.contains("etcd reached"), "it was let in");
    daemon.terminate(patience())?;
    Ok(shown["error"].to_string())
}

#[test]
fn etcd_is_reached_with_its_ca_a_certificate_and_a_password_and_with_nothing_less() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let folder = lab.folder().to_owned();
    namespace::run(Command::new("sh").args(["-c", CERTIFICATES]).arg(&folder))?;
    let _etcd = start_etcd(&lab)?;
    demand_passwords(&lab)?;
    let mut mesh = Mesh::prepare(&lab)?;

    let (right, file) = (section(&folder), |name: &str| folder.join(name).display().to_string());
    let mut other_ca = right.clone();
    other_ca.insert("ca_file".to_owned(), file("gateway.pem").into());
    let error = why_not(&lab, &mut mesh, other_ca)?;
    ensure!(error.contains("certificate"), "{error}");
    let mut nameless = right.clone();
    nameless.retain(|key, _| !["certificate_file", "key_file"].contains(&key));
    eprintln!("without a certificate: {}", why_not(&lab, &mut mesh, nameless)?);
    let mut wrong_password = right.clone();
    wrong_password.insert("password_file".to_owned(), file("wrong").into());
    let error = why_not(&lab, &mut mesh, wrong_password)?;
    ensure!(error.contains("authentication failed"), "{error}");

    for zone in ["berlin", "madrid"] {
        use_etcd(&mut mesh, zone, right.clone())?;
        mesh.start_one(&lab, zone)?;
    }
    until("both records at both ends", patience(), || {
        let berlin = mesh.gateway("berlin")?.ask(&["status"])?["registry"].clone();
        let madrid = mesh.gateway("madrid")?.ask(&["status"])?["registry"].clone();
        let same = berlin["root_hash"] == madrid["root_hash"] && berlin["records"] == 2;
        Ok(Look::<()>::when(same, format!("{berlin} {madrid}")))
    })?;
    for zone in ["berlin", "madrid"] {
        let shown = etcd_of(&mut mesh, zone)?;
        ensure!(shown["state"] == "in_step" && shown["error"].is_null(), "{shown}");
        ensure!(shown["refused"] == 0, "{shown}");
        let peers = mesh.gateway(zone)?.ask(&["peers"])?;
        ensure!(peers["peers"][0]["stream"] == "none", "it went over a stream: {peers}");
    }
    lab.succeeded()
}
