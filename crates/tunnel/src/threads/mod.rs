//! The threads of a tunnel: those that carry packets, and the slow path of handshakes and timers.
//!
//! Promises: a lane ends when it is told to, or when its device or socket is gone for good; a panic
//! in one is logged and it starts again. Refuses to know packets: that is the engine's.

mod lane;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};

use crate::engine::Engine;
use crate::engine::slow_path::{HandshakeMessage, SlowPath, TICK};
use crate::linux::wake::StopSignal;
use crate::peer::ClockReading;

pub(crate) use self::lane::{LaneParts, LaneThreads};

/// Starts a lane. A panic in it is a defect: it is logged, and the lane starts again.
pub(crate) fn spawn(
    name: &str,
    run: impl Fn() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let name = name.to_owned();
    thread::Builder::new().name(name.clone()).spawn(move || {
        loop {
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(&run)) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    tracing::error!(lane = %name, %error, "the lane has ended");
                    return;
                }
                Err(_panic) => tracing::error!(lane = %name, "the lane panicked and starts again"),
            }
        }
    })
}

pub(crate) fn slow_lane(
    engine: &Arc<Engine>,
    handshakes: &Receiver<HandshakeMessage>,
    stop: &StopSignal,
) -> io::Result<()> {
    let mut slow_path = SlowPath::new(Arc::clone(engine));
    let mut next_tick = ClockReading::now().instant;
    while !stop.wait_timeout(std::time::Duration::ZERO)? {
        let now = ClockReading::now();
        if now.instant >= next_tick {
            slow_path.tick(now);
            next_tick = now.instant + TICK;
        }
        match handshakes.recv_timeout(next_tick.saturating_duration_since(now.instant)) {
            Ok(message) => slow_path.handle(&message, ClockReading::now()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                // The inward lane has ended; timers go on until the tunnel stops.
                if stop.wait_timeout(TICK)? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_lane_that_panics_starts_again() {
        let starts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&starts);
        let lane = spawn("zm-test", move || match counted.fetch_add(1, Ordering::Relaxed) {
            0 => panic!("a defect"),
            _ => Ok(()),
        });
        lane.unwrap().join().unwrap();
        assert_eq!(starts.load(Ordering::Relaxed), 2);
    }
}
