//! The templates that come with the program.

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct ShippedTemplate {
    /// Its name: the file's in `oneflow/`, without `.json`.
    pub name: &'static str,
    /// The document, with placeholders.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal)*) => {
        /// All of them.
        pub const SHIPPED: &[ShippedTemplate] = &[$(ShippedTemplate {
            name: $name,
            text: include_str!(concat!("../../../oneflow/", $name, ".json")),
        }),*];
    };
}

shipped! {
    "coordinator"
    "elastic-training-site"
    "gateway-only"
    "single-site"
    "superlink-gateway"
    "training-site"
    "training-site-without-gateway"
}
