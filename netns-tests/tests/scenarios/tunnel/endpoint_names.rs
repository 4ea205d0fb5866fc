//! A gateway behind a DNS name: found at the start, followed when its address changes, and not lost
//! when DNS is.
//!
//! ```text
//!   berlin                       WAN                         madrid
//!   gw (knows a name only) ---- [ router: dnsmasq ] ---- gw 203.0.113.1, later .7 (knows nobody's endpoint)
//! ```

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, holds_for, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
const NAME: &str = "gw.madrid.example";
/// How long it may take until an address that DNS has is in use (docs/RELIABILITY.md).
const FOLLOWED_WITHIN: Duration = Duration::from_secs(45);

/// A DNS server on the router that gives these addresses for the name, for a second.
fn serve(lab: &Lab, addresses: &[&str]) -> Result<Process> {
    let hosts = lab.folder().join("hosts");
    let lines: Vec<String> = addresses.iter().map(|ip| format!("{ip} {NAME}\n")).collect();
    std::fs::write(&hosts, lines.concat())?;
    let mut command = lab.router().command("dnsmasq");
    command.args(["--keep-in-foreground", "--no-resolv", "--no-hosts", "--local-ttl=1"]);
    command.args([
        "--user=root",
        "--group=root",
        "--pid-file=",
        "--log-facility=-",
        "--log-queries",
    ]);
    command.arg("--conf-file=/dev/null").arg(format!("--addn-hosts={}", hosts.display()));
    let mut server = Process::spawn("dnsmasq", command, lab.folder())?;
    server.wait_for("started", patience())?;
    Ok(server)
}

fn endpoint(mesh: &mut Mesh) -> Result<String> {
    let peer = mesh.gateway("berlin")?.ask(&["show", "madrid"])?;
    Ok(peer["peer"]["endpoint"].as_str().unwrap_or("none").to_owned())
}

fn resolv_conf(folder: &Path, server: std::net::Ipv4Addr) -> Result<std::path::PathBuf> {
    let file = folder.join("resolv.conf");
    // Domains to search, as somebody has mistyped them, concern no endpoint.
    let search = "search a..b ..\noptions ndots:9";
    let text = format!("{search}\nnameserver {server}\noptions timeout:1 attempts:1\n");
    std::fs::write(&file, text)?;
    Ok(file)
}

#[test]
fn every_address_of_a_name_is_tried_and_a_change_followed_while_dns_may_be_away() -> Result<()> {
    let lab = &mut Lab::new(&ZONES)?;
    let [a, b, c, _] = lab.zone("berlin")?.wan_address.octets();
    let server = std::net::Ipv4Addr::new(a, b, c, 254);
    let mut mesh = Mesh::prepare(lab)?;
    let list = |items: Vec<toml::Value>| toml::Value::Array(items);
    let berlin = mesh.gateway("berlin")?;
    berlin.stand_ins.insert("/etc/resolv.conf", resolv_conf(lab.folder(), server)?);
    let name = format!("{NAME}:51820");
    berlin.peer("madrid")?.insert("endpoints".to_owned(), list(vec![name.into()]));
    mesh.gateway("madrid")?.peer("berlin")?.insert("endpoints".to_owned(), list(Vec::new()));

    // One address that nobody has, one of a family that this machine has not, one that answers.
    let dns = serve(lab, &["203.0.113.99", "2001:db8::1", "203.0.113.1"])?;
    mesh.start(lab)?;
    mesh.wait_until_connected(FOLLOWED_WITHIN)?;
    ensure!(endpoint(&mut mesh)? == "203.0.113.1:51820", "{}", endpoint(&mut mesh)?);

    drop(dns);
    let ping = ["ping", "-n", "-q", "-c", "1", "-W", "2", "10.255.0.2"];
    holds_for("the tunnel without DNS", Duration::from_secs(8), || {
        Ok(Look::<()>::when(lab.zone("berlin")?.gateway.run(&ping).is_ok(), "no answer"))
    })?;

    mesh.gateway("madrid")?.daemon()?.kill_9()?;
    let gateway = &lab.zone("madrid")?.gateway;
    gateway.ip(&["addr", "del", "203.0.113.1/24", "dev", "wan0"])?;
    gateway.ip(&["addr", "add", "203.0.113.7/24", "dev", "wan0"])?;
    gateway.ip(&["route", "replace", "default", "via", "203.0.113.254"])?;
    mesh.gateway("madrid")?.start(lab)?;
    let _dns = serve(lab, &["203.0.113.7"])?;
    until("the new address to be in use", FOLLOWED_WITHIN, || {
        let at = endpoint(&mut mesh)?;
        Ok(Look::<()>::when(at == "203.0.113.7:51820", at))
    })?;
    mesh.wait_until_connected(patience())?;
    lab.succeeded()
}
