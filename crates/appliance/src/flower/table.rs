//! The one table of Flower's versions: which generation a version is of, and which were run.
//!
//! It promises that a version is supported exactly if its release line was run here with this
//! companion: flags and ports change within a generation, too (from 1.33 to 1.39 several did), and a
//! guess would give a federation that hangs without a word. It refuses to know how one is run.
//! Texts, images, documents and tests take their versions from here.

use zonemesh_core::record::FlowerTransport;

use super::{FlowerGeneration, FlowerVersion, GrpcFlower, HttpFlower};

/// Releases that follow each other and are run alike.
#[derive(Debug, Clone, Copy)]
pub struct FlowerEra {
    /// The first release.
    pub first: FlowerVersion,
    /// How its releases are run.
    pub generation: &'static dyn FlowerGeneration,
    /// The releases that were run here, each with a federation that trained; the others of their
    /// lines differ in the last number.
    pub run: &'static [FlowerVersion],
}

/// The table, the oldest first. An era ends where the next begins.
pub const COMPATIBILITY: &[FlowerEra] = &[
    FlowerEra {
        first: FlowerVersion::new(1, 25, 0),
        generation: &GrpcFlower,
        run: &[FlowerVersion::new(1, 25, 0), FlowerVersion::new(1, 26, 1)],
    },
    FlowerEra {
        first: FlowerVersion::new(1, 40, 0),
        generation: &HttpFlower,
        run: &[FlowerVersion::new(1, 42, 0)],
    },
];

/// The version that new images get, and that the demo runs.
pub const PREFERRED: FlowerVersion = FlowerVersion::new(1, 25, 0);

/// How a version of Flower is run here, if its line was run.
#[must_use]
pub fn generation_of(version: FlowerVersion) -> Option<&'static dyn FlowerGeneration> {
    let is_of_it = |era: &&FlowerEra| era.run.iter().any(|run| run.is_of_line(version));
    COMPATIBILITY.iter().find(is_of_it).map(|era| era.generation)
}

/// The supported release that is next to this one: of its generation, if that has one.
#[must_use]
pub fn supported_instead_of(version: FlowerVersion) -> FlowerVersion {
    let era = COMPATIBILITY.iter().rfind(|era| era.first <= version);
    era.and_then(|era| era.run.last()).copied().unwrap_or(PREFERRED)
}

/// The supported lines, for people: `1.25 and 1.26 over gRPC, 1.42 over HTTP`.
#[must_use]
pub fn supported_lines() -> String {
    let eras = COMPATIBILITY.iter().map(|era| {
        let lines = era.run.iter().map(|run| format!("{}.{}", run.major, run.minor));
        let lines = lines.collect::<Vec<_>>().join(" and ");
        format!("{lines} over {}", transport_text(era.generation.transport()))
    });
    eras.collect::<Vec<_>>().join(", ")
}

/// A transport, for people.
#[must_use]
pub const fn transport_text(transport: FlowerTransport) -> &'static str {
    match transport {
        FlowerTransport::Grpc => "gRPC",
        FlowerTransport::Http => "HTTP",
        FlowerTransport::Other(_) => "what this release does not know",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_that_were_run_are_run() {
        let transport =
            |text: &str| generation_of(text.parse().unwrap()).map(FlowerGeneration::transport);
        for grpc in ["1.25.0", "1.25.1", "1.26.0", "1.26.1"] {
            assert_eq!(transport(grpc), Some(FlowerTransport::Grpc), "{grpc}");
        }
        assert_eq!(transport("1.42.0"), Some(FlowerTransport::Http));
        assert_eq!(transport("1.42.3"), Some(FlowerTransport::Http));
        for other in ["1.24.0", "1.27.0", "1.39.0", "1.40.0", "1.43.0", "2.25.0", "2.42.0"] {
            assert_eq!(transport(other), None, "{other}");
        }
    }

    #[test]
    fn the_table_is_in_order_and_each_release_is_of_its_era() {
        let mut runs: Vec<FlowerVersion> = Vec::new();
        for (at, era) in COMPATIBILITY.iter().enumerate() {
            let next = COMPATIBILITY.get(at + 1).map(|era| era.first);
            for run in era.run {
                assert!(era.first <= *run && next.is_none_or(|next| *run < next), "{run}");
            }
            runs.extend(era.run);
        }
        assert!(runs.is_sorted());
        assert!(runs.windows(2).all(|pair| !pair[0].is_of_line(pair[1])), "each line once");
        assert!(runs.contains(&PREFERRED));
        assert_eq!(supported_lines(), "1.25 and 1.26 over gRPC, 1.42 over HTTP");
    }

    #[test]
    fn what_to_install_instead_is_of_the_same_generation() {
        for (installed, instead) in
            [("1.24.0", "1.25.0"), ("1.33.0", "1.26.1"), ("1.40.0", "1.42.0"), ("2.0.0", "1.42.0")]
        {
            let found = supported_instead_of(installed.parse().unwrap());
            assert_eq!(found.to_string(), instead, "for {installed}");
        }
    }
}
