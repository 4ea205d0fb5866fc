//! What this program asks of the daemon, through its admin socket.
//!
//! It promises that each question but a join ends within seconds, and that what will not pass by
//! itself is told apart from what may. It refuses to try again: that is its callers'.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Code as Grpc, Status};
use zonemesh_api::clients::{ConnectError, Said, admin};
use zonemesh_api::v1::mesh_client::MeshClient;
use zonemesh_api::v1::{
    MeshFoundRequest, ReloadRequest, StatusReply, StatusRequest, ZoneJoinRequest, ZoneListReply,
    ZoneListRequest,
};
use zonemesh_api::wire::finding::{told_code, told_next};
use zonemesh_config::Config;
use zonemesh_core::exit::error_line;
use zonemesh_core::finding::Code;

/// Longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where the socket is, unless the configuration says something else.
const USUAL_SOCKET: &str = "/run/zonemesh/admin.sock";

/// Why the daemon has not done what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DaemonTrouble {
    /// The code of the finding that it is, if it says one.
    pub(super) code: Option<Code>,
    pub(super) text: String,
    pub(super) next: Option<String>,
    /// It does not pass by itself.
    pub(super) is_refusal: bool,
}

impl DaemonTrouble {
    fn passing(text: String) -> Self {
        Self { code: None, text, next: None, is_refusal: false }
    }
}

impl From<ConnectError> for DaemonTrouble {
    fn from(error: ConnectError) -> Self {
        Self::passing(format!("the daemon does not answer: {}", error_line(&error)))
    }
}

impl From<Status> for DaemonTrouble {
    fn from(status: Status) -> Self {
        let code = told_code(&status);
        let next = told_next(&status).map(str::to_owned);
        let is_refusal = match (code, status.code()) {
            (Some(Code::Unusable | Code::ChangeRefused), _) => true,
            // The daemon says what is the matter, and that is none of the two.
            (Some(_), _) => false,
            (None, code) => matches!(
                code,
                Grpc::InvalidArgument
                    | Grpc::Unauthenticated
                    | Grpc::PermissionDenied
                    | Grpc::AlreadyExists
                    | Grpc::FailedPrecondition
                    | Grpc::Unimplemented
            ),
        };
        Self { code, text: Said::from(status).to_string(), next, is_refusal }
    }
}

/// The daemon, as its configuration file says where it is.
#[derive(Debug, Clone)]
pub(super) struct AskedDaemon {
    file: PathBuf,
}

impl AskedDaemon {
    pub(super) const fn new(file: PathBuf) -> Self {
        Self { file }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The configuration as it stands on disk; nothing if it has mistakes.
    pub(super) fn config(&self) -> Option<Config> {
        let text = std::fs::read(&self.file).ok()?;
        Config::parse_bytes_usable(&text, &self.file.display().to_string()).ok()
    }

    fn socket(&self) -> PathBuf {
        let configured = self.config().map(|config| config.gateway.admin_socket);
        configured.unwrap_or_else(|| USUAL_SOCKET.into())
    }

    pub(super) async fn status(&self) -> Result<StatusReply, DaemonTrouble> {
        let socket = self.socket();
        within(async {
            let mut daemon = admin::connect(&socket).await?;
            Ok(daemon.status(StatusRequest { at_most: 1 }).await?.into_inner())
        })
        .await
    }

    pub(super) async fn zones(&self) -> Result<ZoneListReply, DaemonTrouble> {
        within(async { Ok(self.mesh().await?.zone_list(ZoneListRequest {}).await?.into_inner()) })
            .await
    }

    /// Has it found the mesh of a bundle; returns the mesh's id.
    pub(super) async fn found(&self, bundle: &str) -> Result<String, DaemonTrouble> {
        let request = MeshFoundRequest { bundle: bundle.to_owned() };
        within(async { Ok(self.mesh().await?.mesh_found(request).await?.into_inner().mesh) }).await
    }

    /// Has it take the configuration file; why not, if it does not.
    pub(super) async fn reload(&self) -> Result<(), DaemonTrouble> {
        let reply =
            within(async { Ok(self.mesh().await?.reload(ReloadRequest {}).await?.into_inner()) });
        match reply.await?.applied {
            true => Ok(()),
            false => Err(DaemonTrouble::passing("the daemon refuses the configuration".to_owned())),
        }
    }

    /// Joins, for as long as it takes; each step is told.
    pub(super) async fn join(
        &self,
        invitation: &str,
        mut told: impl FnMut(&str),
    ) -> Result<(), DaemonTrouble> {
        let request = ZoneJoinRequest { invitation: invitation.to_owned() };
        let mut mesh = tokio::time::timeout(PATIENCE, self.mesh()).await.map_err(silent)??;
        let mut steps = mesh.zone_join(request).await?.into_inner();
        while let Some(progress) = steps.message().await? {
            told(&progress.step);
            if progress.done {
                return Ok(());
            }
        }
        Err(DaemonTrouble::passing("the daemon stopped before this zone was a member".to_owned()))
    }

    async fn mesh(&self) -> Result<MeshClient<Channel>, DaemonTrouble> {
        Ok(admin::connect_mesh(&self.socket()).await?)
    }
}

async fn within<T>(
    question: impl Future<Output = Result<T, DaemonTrouble>>,
) -> Result<T, DaemonTrouble> {
    tokio::time::timeout(PATIENCE, question).await.map_err(silent)?
}

fn silent(_elapsed: tokio::time::error::Elapsed) -> DaemonTrouble {
    DaemonTrouble::passing(format!("the daemon has not answered in {} s", PATIENCE.as_secs()))
}

#[cfg(test)]
mod tests {
    use zonemesh_api::wire::finding::with_code;

    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_apart_from_what_does_not() {
        let says = |code, status| DaemonTrouble::from(with_code(status, code)).is_refusal;
        assert!(says(Code::Unusable, Status::unauthenticated("this invitation was used")));
        assert!(says(Code::ChangeRefused, Status::failed_precondition("another mesh")));
        assert!(!says(Code::HandshakesUnanswered, Status::unavailable("no answer yet")));
        assert!(!says(Code::FileUnusable, Status::internal("no space left")));
        assert!(DaemonTrouble::from(Status::permission_denied("root")).is_refusal);
        assert!(!DaemonTrouble::from(Status::unavailable("stopping")).is_refusal);
    }
}
