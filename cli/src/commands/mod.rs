//! What each command does: ask or read, make a view of it, show it.

mod approval;
mod authority;
mod founding;
mod health;
mod mesh;
mod oneflow;
mod owners;
mod reload;
mod settled;
mod signing;
mod trust;
mod wait;

use std::io::{self, Read as _, Write};
use std::path::Path;
use std::time::SystemTime;

use zonemesh_api::v1::{
    CertificatesRequest, KeyRotateRequest, KeyRotation, PeersRequest, RecordsRequest,
    StatusRequest, SuperLinksRequest,
};
use zonemesh_api::view::{
    PeerView, PeersView, RecordsView, RotationView, StatusView, SuperLinksView,
};
use zonemesh_core::time::UnixMillis;
use zonemesh_core::token::{MeshPin, ZonePin};

use crate::arguments::{
    CertVerb, CommandLine, ConfigVerb, Format, KeyVerb, ListVerb, NewToken, Rotate, StateVerb,
    ToolCommand,
};
use crate::certificate;
use crate::config_check;
use crate::daemon::{ask, body, change};
use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::gateway_report;
use crate::keys::{self, Made};
use crate::output::{Page, Printer};
use crate::state;
use crate::view::certificates::CertificatesView;
use crate::view::state::StateView;

/// A PEM file larger than this was named by mistake.
const PEM_MAX: u64 = 1 << 20;

pub(crate) fn run(arguments: CommandLine, out: &mut impl Write) -> Result<Exit, CommandFailure> {
    let now = UnixMillis::from(SystemTime::now());
    let page = Page { header: !arguments.no_header, wide: arguments.wide, now };
    let output = Printer { format: arguments.output, page };
    let socket = arguments.socket.as_path();
    match arguments.command {
        ToolCommand::Status => status(socket, output, out),
        ToolCommand::Peers => peers(socket, output, out),
        ToolCommand::Show { zone } => show(socket, &zone, output, out),
        ToolCommand::Wait(wanted) => wait::wait(socket, &wanted),
        ToolCommand::Health { question } => health::health(socket, question),
        ToolCommand::Reload => reload::reload(socket, output, out),
        ToolCommand::Superlink { verb: ListVerb::List } => superlinks(socket, output, out),
        ToolCommand::Registry { verb: ListVerb::List } => records(socket, output, out),
        ToolCommand::Mesh { verb } => mesh::mesh(socket, verb, output, out),
        ToolCommand::Zone { verb } => mesh::zone(socket, verb, output, out),
        ToolCommand::Authority { verb } => authority::authority(socket, verb, output, out),
        ToolCommand::Trust { verb } => trust::trust(socket, verb, output, out),
        ToolCommand::Cert { verb: CertVerb::Show { file: None } } => {
            certificates(socket, output, out)
        }
        ToolCommand::Cert { verb: CertVerb::Show { file: Some(file) } } => {
            output.show(&pem_file(&file)?, out)?;
            Ok(Exit::Ok)
        }
        ToolCommand::Key { verb } => key(socket, &verb, output, out),
        ToolCommand::Token { verb } => mesh::token(socket, &verb, output, out),
        ToolCommand::Config { verb: ConfigVerb::Check { file } } => {
            let view = reload::check(socket, &file)?;
            output.show(&view, out)?;
            Ok(if view.is_valid() { Exit::Ok } else { Exit::Configuration })
        }
        ToolCommand::Oneflow { verb } => oneflow::oneflow(verb, output, out),
        ToolCommand::State { verb } => {
            let view = match &verb {
                StateVerb::Backup { file, folder } => {
                    StateView::from(state::backup(&folder.state_dir, file)?)
                }
                StateVerb::Restore { file, folder, config } => {
                    let restored = state::restore(file, &folder.state_dir)?;
                    StateView::from(restored).beside(config_check::zone_of(config))
                }
            };
            output.show(&view, out)?;
            Ok(Exit::Ok)
        }
    }
}

/// Peers and findings on one screen; the others are counted there.
const SCREEN: u32 = 50;

fn status(socket: &Path, output: Printer, out: &mut impl Write) -> Result<Exit, CommandFailure> {
    let at_most = match output.format {
        Format::Table => SCREEN,
        Format::Json => 0,
    };
    let question = StatusRequest { at_most };
    let reply = ask(socket, async |mut client| client.status(question).await.map(body))?;
    if reply.peers_total > 0 && reply.peers.is_empty() {
        let (theirs, ours) = (&reply.version, env!("CARGO_PKG_VERSION"));
        let message = format!("the daemon is older than this tool: {theirs}, not {ours}");
        let next = "systemctl restart zonemeshd";
        return Err(CommandFailure::message(Exit::VersionSkew, message).next(next));
    }
    let mut view = StatusView::from(reply);
    gateway_report::beside(&mut view.findings);
    output.show(&view, out)?;
    Ok(if view.is_degraded() { Exit::Negative } else { Exit::Ok })
}

fn peers(socket: &Path, output: Printer, out: &mut impl Write) -> Result<Exit, CommandFailure> {
    let all = PeersRequest::default();
    let reply = ask(socket, async |mut client| client.peers(all).await.map(body))?;
    output.show(&PeersView::from(reply), out)?;
    Ok(Exit::Ok)
}

fn show(
    socket: &Path,
    name: &str,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let zone = name.split_once('/').map_or(name, |(zone, _)| zone);
    let question = PeersRequest { zone: zone.to_owned(), ask_other_end: true };
    let reply = ask(socket, async |mut client| client.peers(question).await.map(body))?;
    let view = PeerView::find(reply, name)
        .map_err(|error| CommandFailure::message(Exit::Negative, error.to_string()))?;
    output.show(&view, out)?;
    Ok(if view.is_well() { Exit::Ok } else { Exit::Negative })
}

fn superlinks(
    socket: &Path,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let question = SuperLinksRequest {};
    let reply = ask(socket, async |mut client| client.super_links(question).await.map(body))?;
    output.show(&SuperLinksView::from(reply), out)?;
    Ok(Exit::Ok)
}

fn records(socket: &Path, output: Printer, out: &mut impl Write) -> Result<Exit, CommandFailure> {
    let reply = ask(socket, async |mut client| client.records(RecordsRequest {}).await.map(body))?;
    output.show(&RecordsView::from(reply), out)?;
    Ok(Exit::Ok)
}

fn certificates(
    socket: &Path,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let question = CertificatesRequest {};
    let reply = ask(socket, async |mut client| client.certificates(question).await.map(body))?;
    let view = CertificatesView::of_daemon(reply)
        .or_exit(Exit::Trust, || "the daemon holds a certificate that cannot be read".to_owned())?;
    output.show(&view, out)?;
    Ok(Exit::Ok)
}

fn pem_file(file: &Path) -> Result<CertificatesView, CommandFailure> {
    let mut text = Vec::new();
    let (name, read) = if file == Path::new("-") {
        ("standard input".to_owned(), io::stdin().lock().take(PEM_MAX).read_to_end(&mut text))
    } else {
        let opened = std::fs::File::open(file);
        let read = opened.and_then(|file| file.take(PEM_MAX).read_to_end(&mut text));
        (file.display().to_string(), read)
    };
    read.or_exit(Exit::Configuration, || format!("cannot read {name}"))?;
    let summaries = certificate::describe(&text).or_exit(Exit::Trust, || name)?;
    Ok(CertificatesView::of_file(summaries))
}

fn key(
    socket: &Path,
    verb: &KeyVerb,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    match verb {
        KeyVerb::Generate { what } => match keys::generate(what, |token| pin(socket, token))? {
            Made::Key(view) => output.show(&view, out)?,
            Made::Token(view) => output.show(&view, out)?,
        },
        KeyVerb::Public { file, kind } => output.show(&keys::public(file, *kind)?, out)?,
        KeyVerb::Rotate(wanted) => return rotate(socket, wanted, output, out),
    }
    Ok(Exit::Ok)
}

/// What a new token pins: what was named, or what the gateway on this machine says of its zone.
fn pin(socket: &Path, wanted: &NewToken) -> Result<ZonePin, CommandFailure> {
    if let Some(pin) = wanted.pin.clone().or(wanted.zone_key.map(ZonePin::Key)) {
        return Ok(pin);
    }
    if let (Some(mesh), Some(zone)) = (&wanted.mesh, &wanted.zone) {
        let pin = MeshPin::written(mesh, zone.clone(), wanted.set.as_deref());
        return pin.map(ZonePin::Mesh).or_exit(Exit::Usage, || "no such pin".to_owned());
    }
    let elsewhere = "to make it elsewhere: zonemesh key generate token --zone-key KEY, or --mesh ID --zone NAME";
    let question = StatusRequest { at_most: 1 };
    let reply = ask(socket, async |mut admin| admin.status(question).await.map(body))
        .map_err(|failure| failure.next(elsewhere))?;
    if reply.local_api_pin.is_empty() {
        let message =
            "this gateway has no [local_api] in its configuration, or its zone is no member";
        let failure = CommandFailure::message(Exit::Configuration, message.to_owned());
        return Err(failure.next(elsewhere));
    }
    let pin = reply.local_api_pin.parse::<ZonePin>();
    pin.or_exit(Exit::VersionSkew, || "the daemon is of another release".to_owned())
}

fn rotate(
    socket: &Path,
    wanted: &Rotate,
    output: Printer,
    out: &mut impl Write,
) -> Result<Exit, CommandFailure> {
    let action = match wanted {
        Rotate { show: true, .. } => KeyRotation::Show,
        Rotate { finish: true, .. } => KeyRotation::Finish,
        Rotate { .. } => KeyRotation::Begin,
    };
    let request = KeyRotateRequest { action: action.into() };
    let reply = change(socket, async |mut mesh| mesh.key_rotate(request).await.map(body))?;
    let view = RotationView::from(reply);
    output.show(&view, out)?;
    Ok(if view.is_under_way() { Exit::Negative } else { Exit::Ok })
}
