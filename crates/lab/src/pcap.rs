//! The frames in a file that tcpdump has written.
//!
//! Promises every whole frame in order and stops at one that is still being written. Refuses what this
//! machine's tcpdump does not write: the other byte order, the newer format.
//! Format: <https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/>, sections 4 and 5.

use anyhow::{Result, ensure};

const FILE_HEADER: usize = 24;
const FRAME_HEADER: usize = 16;
/// Times in microseconds, times in nanoseconds.
const MAGIC: [u32; 2] = [0xa1b2_c3d4, 0xa1b2_3c4d];

/// One frame of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapturedFrame<'f> {
    /// Its first bytes, up to the snap length.
    pub bytes: &'f [u8],
    /// How long it was on the link.
    pub length: u32,
}

/// The frames of a capture file.
#[derive(Debug, Clone)]
pub struct Frames<'f>(&'f [u8]);

impl<'f> Frames<'f> {
    /// Reads a file's header.
    ///
    /// # Errors
    /// When this is no capture of this machine.
    pub fn of(file: &'f [u8]) -> Result<Self> {
        let magic = number(file);
        ensure!(magic.is_some_and(|magic| MAGIC.contains(&magic)), "it begins with {magic:x?}");
        Ok(Self(file.get(FILE_HEADER..).unwrap_or_default()))
    }
}

impl<'f> Iterator for Frames<'f> {
    type Item = CapturedFrame<'f>;

    fn next(&mut self) -> Option<CapturedFrame<'f>> {
        let (header, rest) = self.0.split_at_checked(FRAME_HEADER)?;
        let (captured, length) = (number(&header[8..])?, number(&header[12..])?);
        let (bytes, rest) = rest.split_at_checked(usize::try_from(captured).ok()?)?;
        self.0 = rest;
        Some(CapturedFrame { bytes, length })
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(frames: &[(&[u8], u32)]) -> Vec<u8> {
        let mut file = MAGIC[0].to_ne_bytes().to_vec();
        file.resize(FILE_HEADER, 0);
        for (bytes, length) in frames {
            let captured = u32::try_from(bytes.len()).expect("short");
            file.extend([0; 8]);
            file.extend(captured.to_ne_bytes());
            file.extend(length.to_ne_bytes());
            file.extend(*bytes);
        }
        file
    }

    #[test]
    fn frames_come_in_order_with_the_length_they_had() {
        let file = capture(&[(b"one", 3), (b"cut", 1500)]);
        let frames: Vec<_> = Frames::of(&file).expect("a capture").collect();
        let expected = [(&b"one"[..], 3), (b"cut", 1500)]
            .map(|(bytes, length)| CapturedFrame { bytes, length });
        assert_eq!(frames, expected);
    }

    #[test]
    fn a_frame_that_is_still_being_written_is_not_there_yet() {
        let file = capture(&[(b"one", 3), (b"two", 3)]);
        for end in FILE_HEADER..file.len() {
            let whole = usize::from(end >= FILE_HEADER + FRAME_HEADER + 3);
            assert_eq!(Frames::of(&file[..end]).expect("a capture").count(), whole);
        }
        assert!(Frames::of(b"no capture").is_err() && Frames::of(b"").is_err());
    }
}
