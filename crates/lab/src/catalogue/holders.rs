//! Other programs that hold what is a gateway's, or send it what it did not ask for.
//!
//! They are lines of Python in the lab's namespaces, so that a gateway sees a foreign process.

use anyhow::Result;

use super::{FaultStage, HERE};
use crate::mesh::patience;
use crate::namespace::Namespace;
use crate::process::Process;

/// The name under which a stage keeps a program that holds a port.
pub(super) const HOLDER: &str = "holder";

/// Listens on a TCP address until it is killed.
pub(super) const HOLD_TCP: &str = "import socket, sys, time
s = socket.create_server((sys.argv[1], int(sys.argv[2])))
print('held', flush=True)
time.sleep(1000)";

/// Holds a UDP port until it is killed.
pub(super) const HOLD_UDP: &str = "import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
print('held', flush=True)
time.sleep(1000)";

/// Sends datagrams of random bytes for some seconds.
pub(super) const SEND_GARBAGE: &str = "import os, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + float(sys.argv[3])
while time.monotonic() < end:
    noise = os.urandom(1200)
    for length in (0, 1, 31, 32, 92, 148, 1200):
        for kind in (b'', b'\\1\\0\\0\\0', b'\\2\\0\\0\\0', b'\\4\\0\\0\\0'):
            s.sendto((kind + noise)[:length], (sys.argv[1], int(sys.argv[2])))";

/// Says that a UDP datagram from the first to the second address was too long for a path of 576
/// bytes (RFC 1191).
pub(super) const FORGE_ICMP: &str = "import socket, struct, sys
source, target = (socket.inet_aton(a) for a in sys.argv[1:3])
port = int(sys.argv[3])
said = struct.pack('!BBHHH', 3, 4, 0, 0, 576)
said += struct.pack('!BBHHHBBH', 0x45, 0, 1496, 0, 0x4000, 63, 17, 0) + source + target
said += struct.pack('!HHHH', port, port, 1476, 0)
total = sum(struct.unpack('!%dH' % (len(said) // 2), said))
total = (total & 0xffff) + (total >> 16)
total = ~((total & 0xffff) + (total >> 16)) & 0xffff
said = said[:2] + struct.pack('!H', total) + said[4:]
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
for _ in range(5):
    s.sendto(said, (sys.argv[1], 0))";

/// Runs such a program to its end.
pub(super) fn python(place: &Namespace, code: &str, arguments: &[&str]) -> Result<()> {
    place.run(&[&["python3", "-c", code], arguments].concat()).map(drop)
}

/// Starts the gateway at which faults are made anew after another program has taken its port.
pub(super) fn taken(stage: &mut FaultStage<'_>, code: &str, ip: &str, port: u16) -> Result<()> {
    stage.mesh.gateway(HERE)?.daemon()?.kill_9()?;
    let mut command = stage.lab.zone(HERE)?.gateway.command("python3");
    command.args(["-c", code, ip, &port.to_string()]);
    let mut holder = Process::spawn(HOLDER, command, stage.lab.folder())?;
    holder.wait_for("held", patience())?;
    stage.helpers.insert(HOLDER, holder);
    stage.mesh.start_one(stage.lab, HERE)
}
