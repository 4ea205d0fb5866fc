//! Merging: what the kernel makes of merged packets is what was opened.
//!
//! The kernel is played by our own splitting, which `fuzzing/headers.rs` judges, and by one that refuses
//! what is merged.

use std::io;

use super::packets::{ScriptMemory, next_packet};
use super::script::Script;
use super::seen::assert_same_flows;
use crate::merge::Merger;
use crate::offload::Mergeable;
use crate::split::Split;
use crate::vnet::{Gso, Vnet};

/// Merges the packets of a script, splits again what was written, and compares.
///
/// # Panics
/// If a packet was lost, changed, made up, repaired or brought out of its flow's order.
pub fn merge(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let allowed = Mergeable { tcp: !script.flag(), udp: !script.flag() };
    let refuse = script.flag();
    let (mut arena, mut merger) = (Vec::new(), Merger::new());
    let (mut memory, mut given) = (ScriptMemory::default(), Vec::new());
    while !script.is_over() && arena.len() < 1 << 16 {
        if let Some(packet) = next_packet(&mut script, &mut memory) {
            let start = arena.len();
            arena.extend(&packet);
            merger.push(&arena, start..arena.len(), allowed);
            given.push(packet);
        }
    }
    let before = arena.clone();
    let mut taken = Vec::new();
    let written = merger.write(&mut arena, |parts| {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let (vnet, packet) = bytes.split_first_chunk().expect("a header stands before each packet");
        let vnet = Vnet::parse(vnet).expect("our own header can be read");
        if refuse && vnet.gso != Gso::None {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let mut packet = packet.to_vec();
        let mut split = Split::new(vnet, &mut packet).expect("what was merged can be split");
        while let Some(range) = split.next(&mut packet) {
            taken.push(packet[range].to_vec());
        }
        Ok(())
    });
    assert_eq!(written.refused, 0);
    assert_eq!(arena, before, "the arena is left as it was");
    assert_same_flows(&given, &taken);
}
