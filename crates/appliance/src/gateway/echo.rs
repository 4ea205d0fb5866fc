//! The echo of this VM: what its gateway asks comes back as it came.
//!
//! So the gateway learns whether packets of other zones reach this VM and find back, whatever filters
//! and routes are between. Promises to answer with as many bytes as came, of one length only, from the
//! address that was asked, and at most 20 times in a second, so that it is of no use to anybody else.
//! Refuses to know what it echoes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, sleep_until};

/// The bytes of a question.
const LENGTH: usize = 32;
/// The distance of two answers.
const PACE: Duration = Duration::from_millis(50);
/// How soon it is tried again to have a port.
const AGAIN: Duration = Duration::from_secs(1);

/// A port of this VM that echoes while it is run.
pub(super) struct VmEcho {
    /// The VM's address in its zone, if it is known. An answer that the kernel chooses a source for has
    /// the tunnel's address in a VM that is the gateway as well, and the gateway knows it no more.
    at: Option<IpAddr>,
    socket: OnceLock<UdpSocket>,
}

impl VmEcho {
    pub(super) const fn new(at: Option<IpAddr>) -> Self {
        Self { at, socket: OnceLock::new() }
    }

    /// Its port, once it has one.
    pub(super) fn port(&self) -> Option<u16> {
        Some(self.socket.get()?.local_addr().ok()?.port())
    }

    /// A free port at the VM's address; without one at all, of both families where there are both.
    fn bind(&self) -> io::Result<UdpSocket> {
        let bind = |ip: IpAddr| {
            let socket = std::net::UdpSocket::bind((ip, 0))?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        };
        match self.at {
            Some(ip) => bind(ip),
            None => bind(Ipv6Addr::UNSPECIFIED.into())
                .or_else(|_no_ipv6| bind(Ipv4Addr::UNSPECIFIED.into())),
        }
    }

    /// Early in a boot the VM may not have its address yet.
    async fn bound(&self) -> &UdpSocket {
        loop {
            match self.bind() {
                Ok(socket) => return self.socket.get_or_init(|| socket),
                Err(_not_yet) => sleep(AGAIN).await,
            }
        }
    }

    /// Echoes until it is dropped.
    pub(super) async fn run(&self) {
        let socket = self.bound().await;
        let mut buffer = [0; LENGTH + 1];
        loop {
            let turn = Instant::now() + PACE;
            match socket.recv_from(&mut buffer).await {
                Ok((LENGTH, from)) => {
                    let _unreachable = socket.try_send_to(&buffer[..LENGTH], from);
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

    async fn port(echo: &VmEcho) -> u16 {
        loop {
            match echo.port() {
                Some(port) => return port,
                None => tokio::task::yield_now().await,
            }
        }
    }

    /// A socket on loopback that hears nobody but this address of the echo.
    async fn asker(echo: &VmEcho, ip: Ipv4Addr) -> UdpSocket {
        let asker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        asker.connect((ip, port(echo).await)).await.unwrap();
        asker
    }

    #[tokio::test]
    async fn a_question_comes_back_as_it_came_and_nothing_else_does() {
        let echo = VmEcho::new(None);
        let asking = async {
            let asker = asker(&echo, Ipv4Addr::LOCALHOST).await;
            let mut buffer = [0; 64];
            for len in [LENGTH - 1, LENGTH + 1, 0, 1400] {
                asker.send(&vec![7; len]).await.unwrap();
            }
            let begun = Instant::now();
            for number in 0..5 {
                asker.send(&[number; LENGTH]).await.unwrap();
                let len = asker.recv(&mut buffer).await.unwrap();
                assert_eq!(buffer[..len], [number; LENGTH]);
            }
            begun.elapsed()
        };
        tokio::select! {
            took = asking => assert!(took >= 3 * PACE, "{took:?}"),
            () = echo.run() => {}
        }
    }

    #[tokio::test]
    async fn an_answer_comes_from_the_address_that_was_asked_whatever_the_kernel_would_choose() {
        let at = Ipv4Addr::new(127, 0, 0, 2);
        let echo = VmEcho::new(Some(at.into()));
        let asking = async {
            let asker = asker(&echo, at).await;
            asker.send(&[1; LENGTH]).await.unwrap();
            let mut buffer = [0; LENGTH];
            tokio::time::timeout(Duration::from_secs(5), asker.recv(&mut buffer)).await
        };
        tokio::select! {
            heard = asking => assert_eq!(heard.expect("it is heard").unwrap(), LENGTH),
            () = echo.run() => {}
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_address_that_the_vm_does_not_have_yet_is_waited_for() {
        // Of TEST-NET-3: no machine has it.
        let echo = VmEcho::new(Some(Ipv4Addr::new(203, 0, 113, 77).into()));
        let running = tokio::time::timeout(2 * AGAIN, echo.run()).await;
        assert!(running.is_err() && echo.port().is_none());
    }
}
