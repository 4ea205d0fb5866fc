//! A revoked zone comes back with everything that it had: its keys, its files, an open connection, a
//! TLS session that it would like to resume.
//!
//! ```text
//!   berlin (revokes) ==== paris (revoked): openssl and its gateway, both with the old keys
//!        \\============== madrid
//! ```
//!
//! Without its tunnel paris does not reach berlin's registry at all. So that TLS stands the trial by
//! itself too, paris's key is also used from within berlin's own namespace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netns_tests::key_holder::KeyHolder;
use tonic::Code;
use zonemesh_lab::lab::Lab;
use zonemesh_lab::mesh::{Mesh, REGISTRY_PORT, patience};
use zonemesh_lab::namespace::{self, Namespace};
use zonemesh_lab::process::Process;
use zonemesh_lab::wait::{Look, until};

use super::stream::{Stream, block_on};
use crate::tool::{ZONES, invite, joined, peers, refused, say, without_peer};

/// A leaf of paris, made by openssl from nothing but paris's key. RFC 8410: the beginning of a
/// PKCS#8 file, then 32 bytes of seed.
const LEAF: &str = r#"set -e; cd "$0"
{ printf '\060\056\002\001\000\060\005\006\003\053\145\160\004\042\004\040'; base64 -d "$1"; } >ca.der
openssl pkey -inform DER -in ca.der -out ca.key
openssl req -x509 -new -key ca.key -subj '/CN=paris/O=zonemesh zone' -days 1 -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj '/CN=paris gateway' -keyout leaf.key -out leaf.csr
printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth,serverAuth\n' >extensions
openssl x509 -req -days 1 -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile extensions -out leaf.pem"#;

/// Begins HTTP/2 with that leaf and ends a second later: what the server says goes to the standard output.
const PROBE: &str = r#"cd "$0"
{ printf 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\000\000\000\004\000\000\000\000\000'; sleep 1; } |
timeout 4 openssl s_client -alpn h2 -cert leaf.pem -key leaf.key -quiet -no_ign_eof "$@""#;

struct Probe {
    folder: PathBuf,
    address: String,
}

/// What became of a probe.
#[derive(Debug)]
struct Seen {
    /// The server's HTTP/2 settings came back.
    served: bool,
    said: String,
}

impl Probe {
    fn with_key_of_paris(lab: &Lab, mesh: &mut Mesh) -> Result<Self> {
        let folder = lab.folder().join("probe");
        std::fs::create_dir(&folder)?;
        let key = mesh.gateway("paris")?.folder().join("zone.key");
        namespace::run(Command::new("sh").args(["-c", LEAF]).args([&folder, &key]))?;
        let address = format!("{}:{REGISTRY_PORT}", lab.zone("berlin")?.tunnel_address);
        Ok(Self { folder, address })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn run(&self, from: &Namespace, connect: &str, more: &[&str]) -> Result<Seen> {
        let mut command = from.command("sh");
        command.args(["-c", PROBE]).arg(&self.folder).args(["-connect", connect]).args(more);
        let output = command.output()?;
        // A SETTINGS frame: three bytes of length, then its type.
        let served = output.stdout.get(3) == Some(&4);
        Ok(Seen { served, said: String::from_utf8_lossy(&output.stderr).into_owned() })
    }

    fn registry(&self, from: &Namespace, more: &[&str]) -> Result<Seen> {
        self.run(from, &self.address, &[&["-tls1_3"], more].concat())
    }

    /// That this very client is given a session, and resumes it, where a server allows that.
    fn would_resume(&self, at: &Namespace) -> Result<PathBuf> {
        let mut server = at.command("openssl");
        server.args(["s_server", "-accept", "127.0.0.1:4433", "-tls1_3", "-www", "-alpn", "h2"]);
        server.arg("-cert").arg(self.file("leaf.pem")).arg("-key").arg(self.file("leaf.key"));
        let mut server = Process::spawn("allows-resumption", server, &self.folder)?;
        server.wait_for("ACCEPT", patience())?;
        let session = self.file("session-elsewhere");
        let path = text(&session)?;
        self.run(at, "127.0.0.1:4433", &["-tls1_3", "-sess_out", path])?;
        ensure!(session.exists(), "this openssl keeps no sessions at all");
        let mut again = at.command("openssl");
        again.args(["s_client", "-connect", "127.0.0.1:4433", "-tls1_3", "-sess_in", path]);
        let again = again.output()?;
        let said = String::from_utf8_lossy(&again.stdout).into_owned();
        ensure!(said.contains("Reused, TLSv1.3"), "it did not resume: {said}");
        Ok(session)
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("the path is text")
}

/// Revokes paris while somebody with its key has a stream and its connection open: both are of no
/// use any more.
fn revoke_under_an_open_stream(lab: &Lab, mesh: &mut Mesh, thief: &KeyHolder) -> Result<()> {
    lab.zone("berlin")?.gateway.inside(|| {
        block_on(async {
            let mut client = thief.connect().await?;
            let mut stream = Stream::open(&mut client, thief.hello()).await?;
            stream.records(3).await?;
            say(mesh, "berlin", &["zone", "revoke", "paris", "--confirm", "paris"])?;
            let end = tokio::time::timeout(Duration::from_secs(2), stream.end()).await;
            let end = end.context("the stream of a revoked zone goes on")??;
            ensure!(end.contains("the members of the mesh have changed"), "{end}");
            let again = Stream::open(&mut client, thief.hello()).await.err();
            let again = again.context("its open connection is good for another stream")?;
            ensure!(again.code() == Code::Unauthenticated, "{again}");
            Ok(())
        })
    })
}

/// Starts the revoked gateway with all that it had, and listens at its link: it asks both others, and
/// nobody answers.
fn asks_in_vain(lab: &Lab, mesh: &mut Mesh) -> Result<()> {
    let mut command = lab.router().command("tcpdump");
    command.args(["-i", "paris", "-n", "-l", "--immediate-mode", "udp port 51820"]);
    let mut wire = Process::spawn("paris-wire", command, lab.folder())?;
    wire.wait_for("listening on", patience())?;
    mesh.start_one(lab, "paris")?;
    let peers = peers(mesh, "paris")?;
    ensure!(peers.len() == 2, "paris has not kept what it had: {peers:?}");
    let (from, mut seen) = (lab.zone("paris")?.wan_address, String::new());
    until("two handshakes begun with each of the others", patience(), || {
        seen = wire.output()?;
        let asked = |zone: &str| -> Result<usize> {
            let way = format!("IP {from}.51820 > {}.51820:", lab.zone(zone)?.wan_address);
            Ok(seen.lines().filter(|l| l.contains(&way) && l.ends_with("length 148")).count())
        };
        let counts = (asked("berlin")?, asked("madrid")?);
        Ok(Look::<()>::when(counts.0 >= 2 && counts.1 >= 2, format!("{counts:?}")))
    })?;
    let to = format!("> {from}.51820:");
    ensure!(!seen.contains(&to), "somebody has answered paris: {seen}");
    Ok(())
}

#[test]
fn a_revoked_zone_comes_back_with_old_keys_and_an_old_session_in_vain() -> Result<()> {
    let mut lab = Lab::new(&ZONES[..3])?;
    let mut mesh = joined(&lab)?;
    let probe = Probe::with_key_of_paris(&lab, &mut mesh)?;
    let (berlin, paris) = (&lab.zone("berlin")?.gateway, &lab.zone("paris")?.gateway);
    let elsewhere = probe.would_resume(paris)?;

    // Before: it is served, but given no session to resume, and nothing older than TLS 1.3.
    let session = probe.file("session");
    let keep = ["-sess_out", text(&session)?];
    for from in [paris, berlin] {
        let seen = probe.registry(from, &keep)?;
        ensure!(seen.served, "{seen:?}");
        ensure!(!session.exists(), "the registry gave a session away");
    }
    let foreign_ticket = ["-sess_in", text(&elsewhere)?];
    let seen = probe.registry(berlin, &foreign_ticket)?;
    ensure!(seen.served, "a ticket of another server does no harm: {seen:?}");
    let seen = probe.run(berlin, &probe.address, &["-tls1_2", "-sess_out", keep[1]])?;
    ensure!(!seen.served && seen.said.contains("alert protocol version"), "{seen:?}");

    let thief = KeyHolder::of(&lab, &mut mesh, "paris", "berlin")?;
    // It is away while it is revoked, so that it does not hear of it.
    mesh.gateway("paris")?.daemon()?.kill_9()?;
    revoke_under_an_open_stream(&lab, &mut mesh, &thief)?;
    for zone in ["berlin", "madrid"] {
        without_peer(&mut mesh, zone, "paris", Duration::from_secs(5))?;
    }
    for more in [&keep, &foreign_ticket] {
        let seen = probe.registry(berlin, more)?;
        ensure!(!seen.served && seen.said.contains("alert unknown ca"), "{seen:?}");
    }
    asks_in_vain(&lab, &mut mesh)?;
    let seen = probe.registry(paris, &keep)?;
    ensure!(!seen.served && !seen.said.contains("alert"), "it reached TLS: {seen:?}");

    // Not by a new invitation either, as long as its key is the old one.
    let invitation = invite(&lab, &mut mesh, lab.zone("paris")?, &[])?;
    let said = refused(&mut mesh, "paris", &["zone", "join", &invitation], 6)?;
    ensure!(said.contains("revoked"), "{said}");
    lab.succeeded()
}
