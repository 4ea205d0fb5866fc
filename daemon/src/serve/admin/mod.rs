//! The admin socket: what engineers see of this gateway and change in its mesh.
//!
//! A unix socket of mode 0660 that belongs to group `zonemesh-admin`, so that looking needs no
//! sudo; where that group is and cannot have it, that is a note. How many connections one user may
//! have: `users`.

mod certificates;
mod forms;
mod mesh;
mod pairs;
mod peers;
mod reload;
mod service;
mod status;
mod tokens;
mod users;
mod zone_list;

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nix::errno::Errno;
use tokio::net::{UnixListener, UnixStream};
use tonic::transport::Server;
use zonemesh_api::v1::admin_server::AdminServer;
use zonemesh_api::v1::mesh_server::MeshServer;
use zonemesh_api::v1::{Counter, Finding};
use zonemesh_api::wire;
use zonemesh_core::finding::{
    Code, Evidence, Finding as Found, Severity, StandingFinding, Subject,
};

use crate::act::reachability::Reachability;
use crate::administration::Administration;
use crate::administration::join::Joining;
use crate::administration::reload::Reloading;
use crate::administration::rotation::Rotation;
use crate::facts::findings::FindingBoard;
use crate::facts::in_force::ConfigInForce;
use crate::failure::{Exit, Failure, OrExit as _};
use crate::serve::snapshot::Count;
use crate::serve::sources::SnapshotSources;

pub(crate) use reload::reload;
use users::UserConnections;

/// Pause before a path that could not be had is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The group whose members may use it.
const GROUP: &str = "zonemesh-admin";

/// The socket, removed when the agent ends.
pub(crate) struct AdminSocket {
    listener: UnixListener,
    file: SocketFile,
}

struct SocketFile(std::path::PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already: nothing is left behind.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Makes the socket. One that a dead agent has left behind is replaced, a live one is not.
pub(crate) async fn bind(path: &Path, findings: &FindingBoard) -> Result<AdminSocket, Failure> {
    if UnixStream::connect(path).await.is_ok() {
        let path = path.display();
        return Err(Failure::new(
            Exit::Network,
            format!(
                "another zonemeshd answers on {path}; stop it, or set another gateway.admin_socket"
            ),
        ));
    }
    let listener = open(path).or_exit(Exit::Network, || {
        format!("cannot make the admin socket {} (gateway.admin_socket)", path.display())
    })?;
    if let Err(error) = give_to_group(path) {
        findings.raise(not_given(path, error));
    }
    Ok(AdminSocket { listener, file: SocketFile(path.to_owned()) })
}

/// Takes membership of the group, or root. Without such a group nobody misses it.
fn give_to_group(path: &Path) -> Result<(), Errno> {
    match nix::unistd::Group::from_name(GROUP)? {
        Some(group) => nix::unistd::chown(path, None, Some(group.gid)),
        None => {
            tracing::info!("no group {GROUP} here: asking takes sudo");
            Ok(())
        }
    }
}

fn not_given(path: &Path, error: Errno) -> Found {
    let reason = format!("it is not of the group {GROUP}: {error}; asking takes sudo");
    let subject = Subject::File(path.display().to_string());
    Found::new(Code::FileUnusable, subject)
        .severity(Severity::Note)
        .with(Evidence::Reason(reason))
        .fix(format!("make the daemon's user a member of {GROUP}, then restart it"))
}

fn open(path: &Path) -> anyhow::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => anyhow::bail!("something else has this name: name a path of its own"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// What engineers see and change.
pub(crate) struct AdminParts {
    pub(crate) sources: SnapshotSources,
    pub(crate) administration: Arc<Administration>,
    pub(crate) rotation: Arc<Rotation>,
    pub(crate) joining: Arc<Joining>,
    pub(crate) reloading: Arc<Reloading>,
}

/// Serves engineers until it is dropped.
pub(crate) async fn run(socket: AdminSocket, parts: AdminParts) -> anyhow::Result<()> {
    let AdminParts { sources, administration, rotation, joining, reloading } = parts;
    let reachability = Reachability {
        own_zone: sources.config.now().zone.name.clone(),
        tunnel: sources.tunnel.clone(),
        peers: sources.peers.clone(),
        paths: sources.paths.clone(),
        streams: sources.board.clone(),
    };
    let mesh = mesh::MeshService {
        administration: administration.clone(),
        reloading: reloading.clone(),
        ledger: sources.ledger.clone(),
        rotation,
        joining,
        reachability,
        streams: sources.board.clone(),
        paths: sources.paths.clone(),
        etcd: sources.etcd.clone(),
    };
    let (config, findings) = (sources.config.clone(), sources.findings.clone());
    let refusals = sources.refusals.clone();
    let mesh = MeshServer::from_arc(Arc::new(mesh));
    let admin = service::AdminService { administration, reloading, sources };
    let admin = AdminServer::from_arc(Arc::new(admin));
    let mut socket = socket;
    loop {
        let AdminSocket { listener, file } = socket;
        let connections = UserConnections::new(listener, refusals.clone());
        let served = Server::builder()
            .add_service(mesh.clone())
            .add_service(admin.clone())
            .serve_with_incoming(connections);
        socket = tokio::select! {
            served = served => return Ok(served?),
            moved = moved(&file.0, &config, &findings) => moved?,
        };
    }
}

/// The socket at another path, once the configuration in force names one and it can be had. Until then
/// the old one is served; who is connected to it stays so.
async fn moved(
    path: &Path,
    config: &ConfigInForce,
    findings: &FindingBoard,
) -> anyhow::Result<AdminSocket> {
    let mut changes = config.changes();
    loop {
        let wanted = changes.borrow_and_update().gateway.admin_socket.clone();
        let subject = Subject::File(wanted.display().to_string());
        if wanted == path {
            changes.changed().await?;
            continue;
        }
        match bind(&wanted, findings).await {
            Ok(socket) => {
                findings.clear(Code::FileUnusable, &subject);
                return Ok(socket);
            }
            Err(failure) => {
                let reason = Evidence::Reason(format!("{:#}", failure.into_error()));
                findings.raise(Found::new(Code::FileUnusable, subject.clone()).with(reason));
            }
        }
        // Tried again, unless another one is wanted by then.
        let other = changes.changed();
        if let Ok(changed) = tokio::time::timeout(RETRY, other).await {
            changed?;
            findings.clear(Code::FileUnusable, &subject);
        }
    }
}

/// Findings as this platform spells settings.
fn findings(standing: &[StandingFinding]) -> Vec<Finding> {
    standing.iter().map(wire::finding::finding).collect()
}

/// Counters of one kind, which their first label tells apart.
fn counters<'a>(counts: impl Iterator<Item = Count<'a>>) -> Vec<Counter> {
    let named = |count: Count<'a>| {
        let (_, name) = count.labels.first()?;
        Some(Counter { name: (*name).to_owned(), count: count.value })
    };
    counts.filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_never_replaced_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        std::fs::write(&path, "of somebody").unwrap();
        let findings = FindingBoard::default();
        let refused = bind(&path, &findings).await.err().expect("it is refused");
        let refused = format!("{refused:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "of somebody");
        assert!(refused.contains("gateway.admin_socket"), "{refused}");
        drop(UnixListener::bind(folder.path().join("left")).unwrap());
        let left = folder.path().join("left");
        assert!(bind(&left, &findings).await.is_ok(), "a dead agent's is replaced");
    }

    #[tokio::test]
    async fn a_socket_that_cannot_be_given_to_its_group_is_a_note_and_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let said = not_given(&path, Errno::EPERM);
        assert_eq!(said.severity, Severity::Note);
        let line = said.to_string();
        assert!(line.contains("admin.sock") && line.contains("zonemesh-admin"), "{line}");
        let findings = FindingBoard::default();
        let socket = bind(&path, &findings).await.expect("it serves its own user all the same");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        drop(socket);
        assert!(findings.all().iter().all(|one| !one.finding.severity.is_alarming()));
    }
}
