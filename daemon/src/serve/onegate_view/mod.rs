//! OneGate's form for scripts: where a federation's SuperLink is, over HTTP without TLS, to read.
//!
//! What every VM of the zone may ask the local API without a token, in the shapes that scripts around
//! OneGate know. Off unless the configuration names an address. Promises that nothing can be written,
//! that nothing secret and nothing about other VMs is told, that no reply can open OneFlow's ready
//! gate, and that one VM's callers are nobody else's matter. Refuses to be believed: our companions
//! never ask here. Specification: OpenNebula's `onegate-server.rb`.

mod caller;
mod desk;
mod question;
mod refusal;
mod reply;
mod shape;

use std::net::IpAddr;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use tokio::net::{TcpListener, TcpStream};
use zonemesh_api::serve::Door as _;

use super::listen::{FollowedListener, ListenSetting, SoonListening, accept};
use super::local_api::{LocalParts, VmDoor, VmPermissions};
use crate::facts::rate_limits::{ConnectionLimiter, LimitedCall, Rate, RateLimiter, Slots};

use desk::ViewDesk;

/// Most connections of one VM, and of all; and new ones of one VM. They are not the local API's, so
/// that no script keeps a companion out.
const CONNECTIONS: (usize, usize) = (16, 512);
const NEW_CONNECTIONS: Rate = Rate { burst: 60.0, per_second: 10.0 };

const LISTEN: ListenSetting = ListenSetting {
    key: "local_api.onegate_view",
    address: |config| config.local_api.as_ref()?.onegate_view,
    begins_anew: |_, _| false,
};

/// The view, ready to be served.
pub(crate) struct OneGateView {
    listener: FollowedListener,
    place: ViewPlace,
}

/// Where the view is served.
struct ViewPlace {
    door: VmDoor,
    desk: ViewDesk,
}

/// Somebody who was let in, with the place that it holds.
struct ViewCaller {
    line: TcpStream,
    vm: IpAddr,
    _place: Box<dyn Send>,
}

impl OneGateView {
    /// Listens if it is to and that can be now.
    pub(crate) async fn prepare(parts: LocalParts) -> Self {
        let authority = VmPermissions::new(parts.config.clone(), parts.tokens.clone());
        let authority = Arc::new(authority);
        let inside = ConnectionLimiter {
            rate: RateLimiter::new(NEW_CONNECTIONS),
            slots: Slots::new(CONNECTIONS.0, CONNECTIONS.1),
            refusals: parts.refusals.clone(),
            counted_as: LimitedCall::ViewConnections,
        };
        let (config, findings) = (parts.config.clone(), parts.ledger.findings());
        let door = VmDoor::into(inside, authority.clone());
        let place = ViewPlace { door, desk: ViewDesk::new(parts, authority) };
        Self { listener: FollowedListener::begin(LISTEN, config, findings).await, place }
    }

    /// Answers until it is dropped. Where it is to listen no more, its callers are left.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let Self { listener, place } = self;
        listener.serve(|listening| place.serve_at(listening)).await
    }
}

impl ViewPlace {
    async fn serve_at(&self, listening: SoonListening) -> anyhow::Result<()> {
        let listener = listening.listener().await;
        tracing::info!(address = ?listener.local_addr().ok(), "OneGate view");
        let callers = stream::unfold(listener, |listener| async move {
            let caller = self.let_in(&listener).await;
            Some((caller, listener))
        });
        // The door counts them.
        callers.for_each_concurrent(None, |caller| caller::serve(caller, &self.desk)).await;
        Ok(())
    }

    /// The next caller that the door lets in.
    async fn let_in(&self, listener: &TcpListener) -> ViewCaller {
        loop {
            let line = accept(listener).await;
            // Without an address it has gone already.
            let Ok(address) = line.peer_addr() else { continue };
            if let Some(place) = self.door.enter(address.ip()) {
                return ViewCaller { line, vm: address.ip().to_canonical(), _place: place };
            }
        }
    }
}
