//! Where the gateway is: given in CONTEXT, in the same VM, or looked for step by step through OneGate.
//!
//! It promises that OneGate is asked only when that is due, that no lock is held meanwhile, and
//! that the address which has proved itself outlives a restart. It refuses to know in which order
//! things are tried: that is [`GatewaySearch`]'s.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use zonemesh_core::exit::error_line;

use super::at::{ConnectedGateway, GatewayAt};
use super::pin::SetFile;
use super::published::named_gateways;
use super::search::{GatewaySearch, SearchStep};
use crate::files::write_atomic;
use crate::gateway_status::GatewayStatus;
use crate::onegate::OneGate;
use crate::reason::Reason;
use crate::settings::GatewayPlace;
use crate::state_folder::StateFolder;

/// What came of one step.
pub(super) enum Tried {
    /// Not there yet: there is more to try at once.
    Next,
    /// All was tried; the same again after a while.
    Over(Reason),
}

/// Where the gateway is.
#[derive(Clone)]
pub(super) enum PlaceOfGateway {
    Given(SocketAddr),
    /// Its companion's status file, in this VM.
    SameVm(PathBuf),
    Searched(Arc<SearchedGateway>),
}

/// A gateway that CONTEXT does not name.
pub(super) struct SearchedGateway {
    onegate: OneGate,
    search: Mutex<GatewaySearch>,
    /// Where the address that has proved itself is kept; nowhere for `plan`.
    kept: Option<PathBuf>,
}

impl PlaceOfGateway {
    /// What was kept is read by everybody, and written by whoever may write.
    pub(super) fn new(place: &GatewayPlace, state_dir: &Path, file: &SetFile) -> Self {
        match place {
            GatewayPlace::Given(address) => Self::Given(*address),
            GatewayPlace::SameVm(status) => Self::SameVm(status.clone()),
            GatewayPlace::Published(onegate) => {
                let path = StateFolder::new(state_dir).gateway_address();
                let known = std::fs::read_to_string(&path).ok();
                let known = known.and_then(|text| text.trim().parse().ok());
                let kept = matches!(file, SetFile::Kept(_)).then_some(path);
                let search = Mutex::new(GatewaySearch::new(known));
                Self::Searched(Arc::new(SearchedGateway { onegate: onegate.clone(), search, kept }))
            }
        }
    }

    /// The address, if it is known.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Given(address) => Some(*address),
            Self::SameVm(status) => GatewayStatus::read(status).ok()?.local_api,
            Self::Searched(searched) => searched.search().known(),
        }
    }

    /// That there is no connection, with these words.
    pub(super) fn lost(&self, problem: &str) -> Reason {
        let problem = problem.to_owned();
        match self {
            Self::Given(gateway) => Reason::GatewayUnreachable { gateway: *gateway, problem },
            Self::Searched(searched) => match searched.search().known() {
                Some(gateway) => Reason::FoundGatewayUnreachable { gateway, problem },
                None => Reason::GatewayNotFound { problem },
            },
            Self::SameVm(_) => match self.address() {
                Some(gateway) => Reason::GatewayUnreachable { gateway, problem },
                None => Reason::OwnGatewayAway { problem },
            },
        }
    }

    /// One step.
    pub(super) async fn connect(
        &self,
        at: impl Fn(SocketAddr) -> GatewayAt,
    ) -> Result<ConnectedGateway, Tried> {
        match self {
            Self::Given(address) => at(*address).connect().await.map_err(Tried::Over),
            Self::SameVm(status) => {
                let address = in_this_vm(status).map_err(Tried::Over)?;
                at(address).connect().await.map_err(Tried::Over)
            }
            Self::Searched(searched) => searched.connect(at).await,
        }
    }
}

/// Where the gateway in this VM is; it may have just begun.
fn in_this_vm(status: &Path) -> Result<SocketAddr, Reason> {
    let not_there = |problem| Reason::OwnGatewayAway { problem };
    let read = GatewayStatus::read(status).map_err(|error| not_there(error_line(&error)))?;
    read.local_api.ok_or_else(|| {
        // Ready without one: its configuration has none.
        not_there(read.missing.unwrap_or_else(|| "its configuration has no local API".to_owned()))
    })
}

impl SearchedGateway {
    fn search(&self) -> MutexGuard<'_, GatewaySearch> {
        self.search.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(
        &self,
        at: impl Fn(SocketAddr) -> GatewayAt,
    ) -> Result<ConnectedGateway, Tried> {
        let step = self.search().step(Instant::now());
        match step {
            SearchStep::Try(address) => match at(address).connect().await {
                Ok(connected) => {
                    self.proved(address);
                    Ok(connected)
                }
                // It is this machine that is not as it should be.
                Err(reason @ Reason::Files { .. }) => Err(Tried::Over(reason)),
                Err(reason) => {
                    self.search().failed(address, reason);
                    Err(Tried::Next)
                }
            },
            SearchStep::Ask => {
                let service = self.onegate.service().await;
                let named = match &service {
                    Ok(service) => named_gateways(service),
                    Err(error) => Err(error_line(error)),
                };
                self.search().answered(named);
                Err(Tried::Next)
            }
            SearchStep::Over(reason) => Err(Tried::Over(reason)),
        }
    }

    fn proved(&self, address: SocketAddr) {
        if !self.search().proved(address) {
            return;
        }
        tracing::info!(%address, "this zone's gateway is found");
        let Some(path) = &self.kept else { return };
        if let Err(error) = write_atomic(path, format!("{address}\n").as_bytes(), 0o644, None) {
            tracing::warn!(error = error_line(&error), "the gateway's address is not kept");
        }
    }
}
