//! The connection to the daemon, and what its refusals mean.
//!
//! Every question has a time limit: the daemon is on this machine, so that silence is an answer too.

use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tonic::transport::Channel;
use tonic::{Code as Grpc, Response, Status};
use zonemesh_api::clients::{ConnectError, Said, admin};
use zonemesh_api::crowd;
use zonemesh_api::v1::admin_client::AdminClient;
use zonemesh_api::v1::mesh_client::MeshClient;
use zonemesh_api::wire::finding;
use zonemesh_core::finding::Code;

use crate::failure::{CommandFailure, Exit};

/// Longest time for the connection, and for each answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the daemon at `socket` with `question`.
pub(crate) fn ask<T>(
    socket: &Path,
    question: impl AsyncFnOnce(AdminClient<Channel>) -> Result<T, Status>,
) -> Result<T, CommandFailure> {
    run(async {
        let asked = async {
            let client = connected(socket, admin::connect(socket)).await?;
            let answer = tokio::time::timeout(PATIENCE, question(client)).await;
            answer.map_err(|elapsed| silent(socket, elapsed))?.map_err(refused)
        };
        unless_full(socket, asked.await).await
    })
}

/// Has the daemon at `socket` change the mesh.
pub(crate) fn change<T>(
    socket: &Path,
    question: impl AsyncFnOnce(MeshClient<Channel>) -> Result<T, Status>,
) -> Result<T, CommandFailure> {
    run(async {
        let asked = async {
            let client = connected(socket, admin::connect_mesh(socket)).await?;
            let answer = tokio::time::timeout(PATIENCE, question(client)).await;
            answer.map_err(|elapsed| silent(socket, elapsed))?.map_err(unchanged)
        };
        unless_full(socket, asked.await).await
    })
}

/// Has the daemon at `socket` change the mesh, for as long as it takes.
pub(crate) fn follow<T>(
    socket: &Path,
    question: impl AsyncFnOnce(MeshClient<Channel>) -> Result<T, Followed>,
) -> Result<T, CommandFailure> {
    run(async {
        let asked = async {
            let client = connected(socket, admin::connect_mesh(socket)).await?;
            question(client).await.map_err(|end| match end {
                Followed::Refused(status) => unchanged(status),
                Followed::Output(error) => CommandFailure::from(error),
            })
        };
        unless_full(socket, asked.await).await
    })
}

/// What ends a conversation with the daemon.
pub(crate) enum Followed {
    /// The daemon says no.
    Refused(Status),
    /// Nobody reads what is printed.
    Output(io::Error),
}

impl From<Status> for Followed {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl From<io::Error> for Followed {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

fn run<T>(work: impl Future<Output = Result<T, CommandFailure>>) -> Result<T, CommandFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")
        .map_err(|error| CommandFailure::new(Exit::Negative, error))?;
    runtime.block_on(work)
}

async fn connected<C>(
    socket: &Path,
    connection: impl Future<Output = Result<C, ConnectError>>,
) -> Result<C, CommandFailure> {
    let connection = tokio::time::timeout(PATIENCE, connection).await;
    let connection = connection.map_err(|elapsed| silent(socket, elapsed))?;
    connection.map_err(|error| no_connection(socket, error))
}

/// A connection that the daemon closed as this user has too many: to a library it is a broken one.
async fn unless_full<T>(
    socket: &Path,
    asked: Result<T, CommandFailure>,
) -> Result<T, CommandFailure> {
    match asked {
        Err(failure) if failure.may_be_broken() && crowd::is_full(socket).await => {
            let message = "too many connections of this user to the daemon are open".to_owned();
            Err(CommandFailure::message(Exit::Network, message)
                .code(Code::TooManyRequests)
                .next(format!("ss -xp | grep {}, and end what holds them", socket.display())))
        }
        other => other,
    }
}

/// The message without its envelope.
pub(crate) fn body<T>(response: Response<T>) -> T {
    response.into_inner()
}

fn silent(socket: &Path, elapsed: tokio::time::error::Elapsed) -> CommandFailure {
    let message =
        format!("the daemon at {} did not answer in {} s", socket.display(), PATIENCE.as_secs());
    CommandFailure::new(Exit::Timeout, anyhow::Error::new(elapsed).context(message))
        .code(Code::DaemonSilent)
        .next("journalctl -u zonemeshd -n 50")
}

fn no_connection(socket: &Path, error: ConnectError) -> CommandFailure {
    let error = match error {
        ConnectError::Socket { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            let message = format!("this user may not open {}", socket.display());
            return CommandFailure::new(Exit::Policy, anyhow::Error::new(source).context(message))
                .code(Code::NotPermitted)
                .next("sudo usermod -aG zonemesh-admin \"$USER\", then log in again");
        }
        other => other,
    };
    CommandFailure::new(Exit::Unreachable, error)
        .code(Code::DaemonUnreachable)
        .next("systemctl status zonemeshd")
}

fn refused(status: Status) -> CommandFailure {
    let (exit, code, next) = match status.code() {
        Grpc::Unimplemented => {
            (Exit::VersionSkew, Code::OtherVersion, "zonemesh --version; zonemeshd --version")
        }
        Grpc::DeadlineExceeded => {
            (Exit::Timeout, Code::DaemonSilent, "journalctl -u zonemeshd -n 50")
        }
        Grpc::PermissionDenied | Grpc::Unauthenticated => {
            (Exit::Policy, Code::NotPermitted, "the same with sudo")
        }
        _ => (Exit::Unreachable, Code::DaemonUnreachable, "systemctl status zonemeshd"),
    };
    let code = finding::told_code(&status).unwrap_or(code);
    let message = format!("the daemon refused the question: {}", Said::from(status));
    CommandFailure::message(exit, message).code(code).next(next)
}

/// Of a change the daemon says itself what is wrong and what to do.
fn unchanged(status: Status) -> CommandFailure {
    let told = finding::told_code(&status);
    let exit = match (told, status.code()) {
        // One code, one exit code, whatever the mesh has against a change.
        (Some(Code::ChangeRefused), _) => Exit::Policy,
        (Some(Code::FileUnusable), _) | (_, Grpc::NotFound) => Exit::Negative,
        (Some(Code::Unusable), _) | (_, Grpc::Unauthenticated) => Exit::Trust,
        (_, Grpc::InvalidArgument) => Exit::Usage,
        (_, Grpc::AlreadyExists | Grpc::FailedPrecondition) => Exit::Policy,
        (_, Grpc::Unavailable | Grpc::ResourceExhausted) => Exit::Network,
        _ => return refused(status),
    };
    let usual = match (told, status.code()) {
        (Some(Code::FileUnusable), _) => {
            "df -h; df -i; findmnt -T, for the gateway's state folder; then try again"
        }
        (_, Grpc::Unauthenticated) => "ask who has invited this zone for a new invitation",
        (_, Grpc::Unavailable | Grpc::ResourceExhausted) => "zonemesh status, then try again",
        _ => "zonemesh zone list",
    };
    let next = finding::told_next(&status).unwrap_or(usual).to_owned();
    let failure = CommandFailure::message(exit, status.message().to_owned()).next(next);
    match told {
        Some(code) => failure.code(code),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit_of(told: Option<Code>, status: Status) -> Exit {
        let status = match told {
            Some(code) => finding::with_code(status, code),
            None => status,
        };
        unchanged(status).exit
    }

    #[test]
    fn what_cannot_be_stored_is_no_missing_daemon() {
        let full = || Status::internal("cannot write to the state folder");
        assert_eq!(exit_of(Some(Code::FileUnusable), full()), Exit::Negative);
        assert_eq!(exit_of(None, full()), Exit::Unreachable);
    }

    #[test]
    fn what_the_mesh_refuses_ends_with_one_code_whatever_it_has_against_it() {
        for kind in [
            Grpc::NotFound,
            Grpc::InvalidArgument,
            Grpc::AlreadyExists,
            Grpc::FailedPrecondition,
            Grpc::ResourceExhausted,
        ] {
            let refusal = Status::new(kind, "zone rome is not known in this mesh");
            assert_eq!(exit_of(Some(Code::ChangeRefused), refusal), Exit::Policy, "{kind:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_once_and_in_no_librarys_words() {
        let mut text = Vec::new();
        refused(Status::permission_denied("changing the mesh takes root")).report(&mut text);
        let expected = "zonemesh: P312 the daemon refused the question: changing the mesh takes \
            root\nnext: the same with sudo\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        let broken = Status::from_error(Box::new(io::Error::from_raw_os_error(104)));
        let mut text = Vec::new();
        refused(broken).report(&mut text);
        let said = String::from_utf8(text).unwrap();
        assert!(said.contains(": the connection broke: Connection reset by peer"), "{said}");
        assert!(!said.contains("code: '"), "{said}");
    }

    #[test]
    fn what_the_daemon_says_is_next_is_printed_as_the_next_command() {
        let printed = |status: Status| {
            let mut text = Vec::new();
            unchanged(status).report(&mut text);
            String::from_utf8(text).unwrap()
        };
        let refused = || Status::failed_precondition("no");
        assert!(printed(refused()).ends_with("next: zonemesh zone list\n"));
        let told = finding::with_next(refused(), "zonemesh mesh init");
        assert!(printed(told).ends_with("next: zonemesh mesh init\n"));
    }

    #[test]
    fn an_item_that_cannot_be_used_is_a_matter_of_trust() {
        let item = || Status::invalid_argument("item 0 is no trust item");
        assert_eq!(exit_of(Some(Code::Unusable), item()), Exit::Trust);
        assert_eq!(exit_of(None, item()), Exit::Usage);
        let invitation = Status::unauthenticated("this invitation has expired");
        assert_eq!(exit_of(Some(Code::Unusable), invitation), Exit::Trust);
    }
}
