//! Certificates in PEM, as people and Flower read them, and in DER, as records carry them: a quarter
//! shorter.
//!
//! Promises: one certificate in, one out, in the strict form of RFC 7468 (section 3), whatever line
//! ends it came with. Refuses to know what stands in a certificate (`zonemesh-pki`).

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::text::TextProblem;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
/// Characters of a line of base64.
const LINE: usize = 64;
/// Longest certificate in DER: 8 KiB of PEM. An ECDSA P-256 certificate has about 500 bytes.
const MAX_DER: usize = 6 * 1024;
/// A SEQUENCE (ITU-T X.690, 8.9).
const SEQUENCE: u8 = 0x30;

/// An X.509 certificate in DER; never a key. Every gateway holds one of each zone's: what was read from
/// a record takes no room beside it.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateDer(Bytes);

impl CertificateDer {
    /// The certificate in a text that holds one and nothing else.
    ///
    /// # Errors
    /// [`TextProblem::Certificate`] for any other text.
    pub fn from_pem(text: &str) -> Result<Self, TextProblem> {
        let body = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let body: Option<String> =
            body.map(|body| body.chars().filter(|c| !matches!(c, '\r' | '\n')).collect());
        let der = body.and_then(|body| BASE64_STANDARD.decode(body).ok());
        Self::new(der.ok_or(TextProblem::Certificate)?.into())
    }

    /// The certificate in these bytes.
    ///
    /// # Errors
    /// [`TextProblem::Certificate`] if they are not one, or one and more.
    pub fn new(der: Bytes) -> Result<Self, TextProblem> {
        is_certificate(&der).then_some(Self(der)).ok_or(TextProblem::Certificate)
    }

    /// Its text.
    #[must_use]
    pub fn pem(&self) -> String {
        let mut rest = BASE64_STANDARD.encode(&self.0);
        let mut text = format!("{BEGIN}\n");
        while rest.len() > LINE {
            let later = rest.split_off(LINE);
            text.push_str(&rest);
            text.push('\n');
            rest = later;
        }
        text.push_str(&rest);
        text.push('\n');
        text.push_str(END);
        text.push('\n');
        text
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for CertificateDer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateDer").field("bytes", &self.0.len()).finish()
    }
}

/// True for one SEQUENCE of definite length with nothing behind it, as every certificate is.
fn is_certificate(der: &[u8]) -> bool {
    let [SEQUENCE, length, rest @ ..] = der else { return false };
    let (octets, rest) = match length {
        0..=0x7f => (&[*length][..], rest),
        0x81..=0x84 if rest.len() >= usize::from(length & 0x7f) => {
            rest.split_at(usize::from(length & 0x7f))
        }
        _ => return false,
    };
    let said = octets.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    der.len() <= MAX_DER && said == rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 30 03 02 01 00.
    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n";

    fn der(text: &str) -> Result<Vec<u8>, TextProblem> {
        CertificateDer::from_pem(text).map(|certificate| certificate.bytes().to_vec())
    }

    fn read(der: &[u8]) -> Result<CertificateDer, TextProblem> {
        CertificateDer::new(Bytes::copy_from_slice(der))
    }

    #[test]
    fn a_certificate_is_one_block_and_never_a_key() {
        assert_eq!(der(ONE), Ok(vec![0x30, 3, 2, 1, 0]));
        assert!(der(&ONE.repeat(2)).is_err());
        assert!(der(&ONE.replace("CERTIFICATE", "PRIVATE KEY")).is_err());
        assert!(der("").is_err());
        assert!(der(&ONE.replace("MAMCAQA=", "$(reboot)")).is_err());
    }

    #[test]
    fn bytes_that_are_no_sequence_or_more_than_one_are_no_certificate() {
        let long = |length: usize| {
            let octets = u16::try_from(length).unwrap().to_be_bytes();
            [&[0x30, 0x82][..], &octets, &vec![7; length]].concat()
        };
        for good in [vec![0x30, 0], [&[0x30, 0x81, 200][..], &[7; 200]].concat(), long(6_000)] {
            assert!(read(&good).is_ok(), "{:02x?}", &good[..2]);
        }
        let cut = long(300)[..200].to_vec();
        let second = [long(300), vec![0]].concat();
        let endless = vec![0x30, 0x80, 0, 0];
        for bad in [vec![], vec![0x30], vec![0x31, 0], cut, second, endless, long(6_141)] {
            assert_eq!(read(&bad), Err(TextProblem::Certificate), "{:02x?}", bad.get(..2));
        }
    }

    #[test]
    fn a_text_comes_back_in_one_form_with_lines_of_64_whatever_its_line_ends() {
        let certificate = [&[0x30, 0x81, 200][..], &[7; 200]].concat();
        let certificate = read(&certificate).unwrap();
        let plain = certificate.pem();
        assert!(plain.lines().all(|line| line.len() <= 64));
        assert_eq!(plain.lines().nth(1).map(str::len), Some(64));
        for other in [plain.replace('\n', "\r\n"), plain.trim().to_owned(), format!("\n{plain}\n")]
        {
            let again = CertificateDer::from_pem(&other);
            assert_eq!(again.as_ref(), Ok(&certificate));
            assert_eq!(again.map(|again| again.pem()), Ok(plain.clone()));
        }
    }
}
