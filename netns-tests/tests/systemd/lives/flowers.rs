//! With which releases of Flower a life is lived: each that the images are made of, unless somebody
//! names others.

use anyhow::{Context as _, Result};

use crate::say;

/// Those whose wheels are here, unless `ZONEMESH_FLOWERS` says it.
const FLOWERS: &str = "1.25.0 1.42.0";

/// The same life with each Flower, one after the other.
pub(super) fn with_each_flower(life: impl Fn(&str) -> Result<()>) -> Result<()> {
    let flowers = std::env::var("ZONEMESH_FLOWERS").unwrap_or_else(|_| FLOWERS.to_owned());
    for flower in flowers.split_whitespace() {
        life(flower).with_context(|| format!("with Flower {flower}"))?;
        say(format_args!("Flower {flower}: as it should be"))?;
    }
    Ok(())
}
