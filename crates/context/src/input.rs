//! The types of user inputs that OpenNebula knows.
//!
//! It promises the words and options of OpenNebula's grammar. It refuses to check values: that is
//! `values`, and whoever reads a key. Specification: `one_helper.rb` of OpenNebula's CLI.

/// What a form makes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputType {
    /// One line.
    Text,
    /// Several lines; the form encodes them in base64.
    Text64,
    /// One line that is not shown.
    Password,
    /// A whole number.
    Number,
    /// A number with a point.
    NumberFloat,
    /// YES or NO.
    Boolean,
    /// One of these.
    List(&'static [&'static str]),
}

impl InputType {
    /// As OpenNebula writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Text64 => "text64",
            Self::Password => "password",
            Self::Number => "number",
            Self::NumberFloat => "number-float",
            Self::Boolean => "boolean",
            Self::List(_) => "list",
        }
    }

    /// The options of a list, with commas between.
    #[must_use]
    pub fn options(self) -> String {
        match self {
            Self::List(options) => options.join(","),
            _ => String::new(),
        }
    }
}
