//! The fuzz targets: each is built, begins with kept inputs, and is described.

use std::path::Path;

use netns_tests::markdown::{read, root};

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

#[test]
fn every_fuzz_target_is_built_has_seeds_and_is_described() {
    let (manifest, described) = (read("fuzz/Cargo.toml"), read("docs/RELIABILITY.md"));
    let targets = names(&root().join("fuzz/fuzz_targets"));
    assert!(targets.len() >= 16, "{targets:?}");
    for target in targets {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not built");
        assert!(described.contains(&format!("`{target}`")), "{target} is not described");
        assert!(!names(&root().join("fuzz/seeds").join(&target)).is_empty(), "{target}: no seeds");
    }
}
