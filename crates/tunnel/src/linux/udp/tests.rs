//! The sockets over the loopback interface.

use super::*;

const LISTEN: SocketName = SocketName { family: SocketFamily::V4, port: OwnPort::Listen };
const FRESH: SocketName = SocketName { family: SocketFamily::V4, port: OwnPort::Fresh };

fn to(udp: &Udp, from: OwnPort) -> UdpPath {
    UdpPath { remote: (Ipv4Addr::LOCALHOST, udp.port()).into(), local: None, from }
}

fn receive_now(udp: &Udp, socket: SocketName, buffer: &mut [u8]) -> ReceivedRun {
    for _ in 0..1000 {
        match udp.receive(socket, buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
            result => return result.unwrap(),
        }
    }
    panic!("nothing arrived on the loopback interface");
}

#[test]
fn a_datagram_arrives_with_both_addresses_and_its_ecn_field() {
    let (a, b) = (
        Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
        Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
    );
    let path = UdpPath { local: "127.0.0.9".parse().ok(), ..to(&b, OwnPort::Listen) };
    let bytes = b"hello";
    let transmit = Transmit { path, bytes, stride: bytes.len(), ecn: 0b10 };
    a.send(transmit).unwrap();
    let mut buffer = [0; 100];
    let received = receive_now(&b, LISTEN, &mut buffer);
    assert_eq!(&buffer[..received.len], bytes);
    assert_eq!(received.path.remote, ([127, 0, 0, 9], a.port()).into());
    assert_eq!(received.path.local, "127.0.0.1".parse().ok());
    assert_eq!((received.stride, received.ecn), (5, 0b10));
}

#[test]
fn a_source_address_that_is_gone_is_given_up() {
    let (a, b) = (
        Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
        Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
    );
    let path = UdpPath { local: "192.0.2.200".parse().ok(), ..to(&b, OwnPort::Listen) };
    let transmit = Transmit { path, bytes: b"x", stride: 1, ecn: 0 };
    a.send(transmit).unwrap();
    let received = receive_now(&b, LISTEN, &mut [0; 10]);
    assert_eq!(received.path.remote.ip(), Ipv4Addr::LOCALHOST);
}

#[test]
fn a_whole_datagram_arrives_and_data_may_be_cut_again_after_it() {
    let (a, b) = (
        Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
        Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
    );
    let path = to(&b, OwnPort::Listen);
    let bytes = vec![7; 1400];
    a.send_whole(Transmit { path, bytes: &bytes, stride: 1400, ecn: 0 }).unwrap();
    let mut buffer = [0; 1500];
    assert_eq!(receive_now(&b, LISTEN, &mut buffer).len, 1400);
    let mut mode: libc::c_int = -1;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: both pointers lead to values that live until the call returns.
    let result = unsafe {
        let (level, name) = (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER);
        let value = (&raw mut mode).cast();
        libc::getsockopt(a.v4.fd.as_raw_fd(), level, name, value, &raw mut len)
    };
    assert_eq!((result, mode), (0, libc::IP_PMTUDISC_OMIT));
}

#[test]
fn a_port_in_use_is_named() {
    let first = Udp::bind(0, None, WantedOffloads::ALL).unwrap();
    let second = Udp::bind(first.port(), None, WantedOffloads::ALL).err();
    assert!(matches!(second, Some(StartError::PortInUse { port, .. }) if port == first.port()));
}

#[test]
fn a_port_in_use_can_be_had_later_and_nothing_leaves_by_another_until_then() {
    let (first, other) = (
        Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
        Udp::bind(0, None, WantedOffloads::ALL).unwrap(),
    );
    let port = first.port();
    let late = Udp::bind_soon(port, None, WantedOffloads::ALL).unwrap();
    let path = to(&other, OwnPort::Listen);
    let transmit = Transmit { path, bytes: b"x", stride: 1, ecn: 0 };
    let refused = late.send(transmit).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EADDRINUSE));
    assert!(matches!(late.listen(), Err(StartError::PortInUse { .. })));
    drop(first);
    late.listen().unwrap();
    late.send(transmit).unwrap();
    let received = receive_now(&other, LISTEN, &mut [0; 10]);
    assert_eq!(received.path.remote, (Ipv4Addr::LOCALHOST, port).into());
}

#[test]
fn each_fresh_port_is_another_and_answers_come_by_it() {
    let b = Udp::bind(0, None, WantedOffloads::ALL).unwrap();
    let a = Udp::bind(0, None, WantedOffloads::ALL).unwrap().with_fresh_ports().unwrap();
    let transmit = Transmit { path: to(&b, OwnPort::Fresh), bytes: b"x", stride: 1, ecn: 0 };
    let mut ports = vec![a.port()];
    for _ in 0..3 {
        a.open_fresh(SocketFamily::V4).unwrap();
        let port = a.fresh_port(SocketFamily::V4).unwrap();
        assert!(!ports.contains(&port), "{port} again");
        ports.push(port);
        a.send(transmit).unwrap();
        let received = receive_now(&b, LISTEN, &mut [0; 10]);
        assert_eq!(received.path.remote.port(), port);
        b.send(Transmit { path: received.path, ..transmit }).unwrap();
        assert_eq!(receive_now(&a, FRESH, &mut [0; 10]).path.from, OwnPort::Fresh);
    }
}

#[test]
fn a_fresh_port_that_is_given_up_is_free_again_and_the_listen_port_is_sent_from() {
    let b = Udp::bind(0, None, WantedOffloads::ALL).unwrap();
    let a = Udp::bind(0, None, WantedOffloads::ALL).unwrap().with_fresh_ports().unwrap();
    a.open_fresh(SocketFamily::V4).unwrap();
    let port = a.fresh_port(SocketFamily::V4).unwrap();
    a.close_fresh(SocketFamily::V4);
    assert!(!a.has_port(FRESH) && a.has_port(LISTEN));
    a.send(Transmit { path: to(&b, OwnPort::Fresh), bytes: b"x", stride: 1, ecn: 0 }).unwrap();
    let received = receive_now(&b, LISTEN, &mut [0; 10]);
    assert_eq!(received.path.remote.port(), a.port());
    Udp::bind(port, None, WantedOffloads::ALL).unwrap();
}

#[test]
fn a_long_run_arrives_by_a_fresh_port_in_one_send_and_one_receive() {
    let b = Udp::bind(0, None, WantedOffloads::ALL).unwrap().with_fresh_ports().unwrap();
    let a = Udp::bind(0, None, WantedOffloads::ALL).unwrap().with_fresh_ports().unwrap();
    a.open_fresh(SocketFamily::V4).unwrap();
    b.open_fresh(SocketFamily::V4).unwrap();
    let fresh = b.fresh_port(SocketFamily::V4).unwrap();
    let path =
        UdpPath { remote: (Ipv4Addr::LOCALHOST, fresh).into(), local: None, from: OwnPort::Fresh };
    let bytes = vec![7; 40 * 1400];
    a.send(Transmit { path, bytes: &bytes, stride: 1400, ecn: 0 }).unwrap();
    let received = receive_now(&b, FRESH, &mut vec![0; 65_535]);
    assert_eq!(received.path.remote.port(), a.fresh_port(SocketFamily::V4).unwrap());
    assert_eq!((received.len, received.stride), (bytes.len(), 1400));
}

#[test]
fn where_no_fresh_port_is_wanted_there_is_none() {
    let udp = Udp::bind(0, None, WantedOffloads::ALL).unwrap();
    udp.open_fresh(SocketFamily::V4).unwrap();
    assert_eq!(udp.fresh_port(SocketFamily::V4), None);
}

#[test]
fn nothing_leaves_from_a_fresh_port_while_the_listen_port_is_somebody_elses() {
    let first = Udp::bind(0, None, WantedOffloads::ALL).unwrap();
    let late = Udp::bind_soon(first.port(), None, WantedOffloads::ALL).unwrap();
    let late = late.with_fresh_ports().unwrap();
    assert!(late.open_fresh(SocketFamily::V4).is_err());
    assert_eq!(late.fresh_port(SocketFamily::V4), None);
}
