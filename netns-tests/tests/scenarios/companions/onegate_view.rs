//! The view for scripts: curl in a VM of another zone finds the SuperLink, and hears when that changes.
//!
//! ```text
//!   berlin                         WAN                  madrid
//!   superlink 10.10.10.5 - gw [ router: a cut ] gw - supernode 10.10.11.5: curl
//!                                               \ 10.10.11.1:5030, HTTP
//! ```

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use netns_tests::markdown::{blocks, read, section};
use serde_json::Value;
use zonemesh_lab::federation::{HOME, LabFederation, SUPERLINK, SUPERNODE};
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{FEDERATION, patience};
use zonemesh_lab::namespace::{Namespace, run};
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: HOME, vms: &[SUPERLINK] }, ZonePlan { name: AWAY, vms: &[SUPERNODE] }];
const AWAY: &str = "madrid";
/// OneGate's usual port.
const PORT: u16 = 5030;
const SOON: Duration = Duration::from_secs(20);

/// A federation whose other zone serves the view; and where.
pub(super) fn viewed() -> Result<(LabFederation, SocketAddr)> {
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    let at = SocketAddr::from((federation.zone(AWAY)?.lan_address, PORT));
    let api = federation.mesh.gateway(AWAY)?.section("local_api")?;
    api.insert("onegate_view".to_owned(), at.to_string().into());
    federation.connect()?;
    Ok((federation, at))
}

/// The VM in which scripts run.
pub(super) fn script_vm(federation: &LabFederation) -> Result<&Namespace> {
    Ok(&federation.zone(AWAY)?.vm(SUPERNODE)?.namespace)
}

fn curl(at: &Namespace, url: &str) -> Command {
    let mut command = at.command("curl");
    command.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "70", url]);
    command
}

fn get(federation: &LabFederation, url: &str) -> Result<Value> {
    let text = run(&mut curl(script_vm(federation)?, url))?;
    serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))
}

/// The attributes of the SuperLink's VM.
fn attributes(vm: &Value) -> &Value {
    &vm["VM"]["USER_TEMPLATE"]
}

/// What a question says that waits until something is other than in `vm`.
struct Waiting(Process);

impl Waiting {
    fn begin(federation: &LabFederation, url: &str, vm: &Value) -> Result<Self> {
        let revision = attributes(vm)["FL_REVISION"].as_str().context("no revision")?;
        let url = format!("{url}?wait=60&revision={revision}");
        let command = curl(script_vm(federation)?, &url);
        Ok(Self(Process::spawn("waiting-curl", command, federation.lab.folder())?))
    }

    fn news(mut self, within: Duration) -> Result<Value> {
        let (code, said) = self.0.wait_for_end(within)?;
        ensure!(code == 0, "curl ended with {code}: {said}");
        serde_json::from_str(said.trim()).with_context(|| format!("no JSON: {said}"))
    }
}

/// The script of OPERATIONS that waits for the SuperLink.
fn documented_script(federation: &LabFederation) -> Result<Process> {
    let text = read("docs/OPERATIONS.md");
    let all = blocks(section(&text, "## A script that waits for the SuperLink"));
    let script = all.iter().find(|block| block.text.contains("until vm="));
    let script = &script.context("OPERATIONS has no such script")?.text;
    let mut command = script_vm(federation)?.command("bash");
    command.args(["-euc", script]).current_dir(federation.lab.folder());
    Process::spawn("documented-script", command, federation.lab.folder())
}

#[test]
fn a_script_in_another_zone_finds_the_superlink_with_curl_and_hears_of_a_cut_path() -> Result<()> {
    let (mut federation, at) = viewed()?;
    let (url, service) = (format!("http://{at}/vm"), format!("http://{at}/service"));
    until("the federation to be known", patience(), || {
        let said = curl(script_vm(&federation)?, &url).output()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        Ok(Look::<()>::when(said.starts_with("no SuperLink of the federation "), said))
    })?;
    ensure!(get(&federation, &service)?["SERVICE"]["roles"][0]["nodes"] == serde_json::json!([]));

    let mut script = documented_script(&federation)?;
    federation.start_superlink()?;
    federation.wait_for_superlink(AWAY, "ready", Duration::from_secs(180))?;
    let (ready, _) = until("the SuperLink to be ready in the view", SOON, || {
        let shown = get(&federation, &url)?;
        let is_ready = attributes(&shown)["FL_READY"] == "true";
        Ok(if is_ready { Look::Done(shown) } else { Look::Not(shown.to_string()) })
    })?;
    let said = attributes(&ready);
    ensure!(said["FL_ENDPOINT"] == "10.10.10.5:9092" && said["FL_ROLE"] == "superlink", "{said}");
    ensure!(said["FL_VERSION"] == "1.25.0" && said["FL_FEDERATION"] == FEDERATION, "{said}");
    let (code, printed) = script.wait_for_end(SOON)?;
    ensure!(code == 0 && printed.lines().any(|line| line == "10.10.10.5:9092"), "{printed}");
    let pem = STANDARD.decode(said["FL_CA_CERT"].as_str().context("no CA")?)?;
    let ca = std::fs::read(federation.ca_file()?)?;
    let kept = std::fs::read(federation.lab.folder().join("ca.pem"))?;
    ensure!(kept == pem, "{}", String::from_utf8_lossy(&kept));
    let [told, known] = [&pem, &ca].map(|pem| String::from_utf8_lossy(pem).trim().to_owned());
    ensure!(told == known, "{told}\nand not\n{known}");
    // A SuperNode's port and certificate by these, with nothing but what a VM has.
    let file = federation.lab.folder().join("ca-of-the-view.pem");
    std::fs::write(&file, &pem)?;
    let file = file.display().to_string();
    let endpoint = said["FL_ENDPOINT"].as_str().context("no endpoint")?;
    let tls =
        ["s_client", "-connect", endpoint, "-CAfile", &file, "-verify_return_error", "-brief"];
    let handshake = script_vm(&federation)?.command("openssl").args(tls).output()?;
    let handshake = String::from_utf8_lossy(&handshake.stderr).into_owned();
    ensure!(handshake.contains("Verification: OK"), "{handshake}");
    let extended = get(&federation, &format!("{service}?extended=true"))?;
    let node = &extended["SERVICE"]["roles"][0]["nodes"][0];
    ensure!(attributes(&node["vm_info"]) == said && node["running"] == true, "{extended}");

    // A VM of another zone is not served, however it comes.
    let stranger = &federation.zone(HOME)?.vm(SUPERLINK)?.namespace;
    let refused = curl(stranger, &url).output()?;
    ensure!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    let counted = federation.mesh.gateway(AWAY)?.ask(&["status"])?["refused"].clone();
    ensure!(counted["foreign_connections"].as_u64() >= Some(1), "{counted}");

    let waiting = Waiting::begin(&federation, &url, &ready)?;
    federation.lab.cut(HOME)?;
    let cut = waiting.news(SOON)?;
    let [said, state] = [attributes(&cut), &cut["VM"]["LCM_STATE"]];
    ensure!(said["FL_READY"] == "false" && said["FL_REACHABLE"] == "false", "{said}");
    ensure!(state == "16" && said["FL_STATE"] == "ready", "{cut}");
    let waiting = Waiting::begin(&federation, &url, &cut)?;
    federation.lab.heal(HOME)?;
    ensure!(attributes(&waiting.news(SOON)?)["FL_READY"] == "true");
    federation.succeeded()
}
