//! The echo of this VM: what its gateway asks comes back as it came.
//!
//! So the gateway learns whether packets of other zones reach this VM and find back, whatever filters
//! and routes are between. Promises to answer with as many bytes as came, of one length only, and at
//! most 20 in a second, so that it is of no use to anybody else. Refuses to know what it echoes.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

/// The bytes of a question.
const LENGTH: usize = 32;
/// The distance of two answers.
const PACE: Duration = Duration::from_millis(50);

/// A port of this VM that echoes while it is run.
pub(super) struct VmEcho {
    socket: UdpSocket,
}

impl VmEcho {
    /// Takes a free port, of both families where there are both.
    pub(super) fn bind() -> io::Result<Self> {
        let bind = |address: SocketAddr| {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        };
        let both = bind((Ipv6Addr::UNSPECIFIED, 0).into());
        Ok(Self { socket: both.or_else(|_no_ipv6| bind((Ipv4Addr::UNSPECIFIED, 0).into()))? })
    }

    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Echoes until it is dropped.
    pub(super) async fn run(&self) {
        let mut buffer = [0; LENGTH + 1];
        loop {
            let turn = Instant::now() + PACE;
            match self.socket.recv_from(&mut buffer).await {
                Ok((LENGTH, from)) => {
                    let _unreachable = self.socket.try_send_to(&buffer[..LENGTH], from);
                    sleep_until(turn).await;
                }
                // Another datagram, or the error of an earlier one.
                Ok(_) | Err(_) => tokio::task::yield_now().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_comes_back_as_it_came_and_nothing_else_does() {
        let echo = VmEcho::bind().unwrap();
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, echo.port().unwrap()));
        let asker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let asking = async {
            let mut buffer = [0; 64];
            for len in [LENGTH - 1, LENGTH + 1, 0, 1400] {
                asker.send_to(&vec![7; len], at).await.unwrap();
            }
            let begun = Instant::now();
            for number in 0..5 {
                asker.send_to(&[number; LENGTH], at).await.unwrap();
                let (len, _) = asker.recv_from(&mut buffer).await.unwrap();
                assert_eq!(buffer[..len], [number; LENGTH]);
            }
            begun.elapsed()
        };
        tokio::select! {
            took = asking => assert!(took >= 3 * PACE, "{took:?}"),
            () = echo.run() => {}
        }
    }
}
