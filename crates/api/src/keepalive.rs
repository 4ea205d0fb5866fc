//! The keepalive figures of both ends of a connection, told in the metadata of its calls.
//!
//! The law binds two ends that are configured apart (`zonemesh_core::keepalive`), so each tells what it
//! does, and each looks. An end that tells nothing is older than this, and is not judged; what cannot
//! be read counts as not told.

use std::time::Duration;

use tonic::metadata::{MetadataMap, MetadataValue};

pub use zonemesh_core::keepalive::{Keepalive, KeepaliveMismatch};

/// Whose figures are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of the program that speaks.
    Own,
    /// Those of the Flower that a companion runs.
    Flowers,
}

impl Whose {
    const fn key(self) -> &'static str {
        match self {
            Self::Own => "zonemesh-keepalive",
            Self::Flowers => "zonemesh-flower-keepalive",
        }
    }
}

/// Writes figures into the metadata of a request or an answer.
pub fn tell(metadata: &mut MetadataMap, whose: Whose, keepalive: &Keepalive) {
    let text = format!(
        "wireguard={} interval={} timeout={} minimum={}",
        keepalive.wireguard.as_millis(),
        keepalive.grpc_interval.as_millis(),
        keepalive.grpc_timeout.as_millis(),
        keepalive.server_min_interval.as_millis(),
    );
    if let Ok(value) = MetadataValue::try_from(text) {
        metadata.insert(whose.key(), value);
    }
}

/// The figures that the other end has told.
#[must_use]
pub fn told(metadata: &MetadataMap, whose: Whose) -> Option<Keepalive> {
    let text = metadata.get(whose.key())?.to_str().ok()?;
    let figure = |name: &str| {
        let mut words = text.split(' ').filter_map(|word| word.split_once('='));
        let millis = words.find(|(word, _)| *word == name)?.1.parse().ok()?;
        Some(Duration::from_millis(millis))
    };
    Some(Keepalive {
        wireguard: figure("wireguard")?,
        grpc_interval: figure("interval")?,
        grpc_timeout: figure("timeout")?,
        server_min_interval: figure("minimum")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard_and_nothing_else() {
        let mut metadata = MetadataMap::new();
        assert_eq!(told(&metadata, Whose::Own), None);
        let figures =
            Keepalive { grpc_interval: Duration::from_millis(12_345), ..Keepalive::DEFAULT };
        tell(&mut metadata, Whose::Own, &figures);
        assert_eq!(told(&metadata, Whose::Own), Some(figures));
        assert_eq!(told(&metadata, Whose::Flowers), None);
    }

    #[test]
    fn what_cannot_be_read_counts_as_not_told() {
        for text in
            ["", "interval=1", "wireguard=x interval=1 timeout=1 minimum=1", "a=b=c =", "= "]
        {
            let mut metadata = MetadataMap::new();
            metadata.insert("zonemesh-keepalive", MetadataValue::try_from(text).unwrap());
            assert_eq!(told(&metadata, Whose::Own), None, "{text:?}");
        }
        let mut metadata = MetadataMap::new();
        let newer = "later=7 wireguard=25000 interval=60000 timeout=20000 minimum=30000";
        metadata.insert("zonemesh-keepalive", MetadataValue::try_from(newer).unwrap());
        assert_eq!(told(&metadata, Whose::Own), Some(Keepalive::DEFAULT));
    }
}
