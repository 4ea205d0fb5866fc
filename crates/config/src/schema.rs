//! What the table of keys says of a section and of a key.
//!
//! Only the form of that table; its rows stand in `keys`. The reader takes unknown and missing keys
//! from it, `defaults` the values of keys that are left out, and a test the tables of REFERENCE.md,
//! so that a key is described once.

/// One section of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionSpec {
    /// The dotted name, for example `local_api.token`.
    pub name: &'static str,
    /// How often it may stand in the file.
    pub count: SectionCount,
    /// Its keys, in the order of the example.
    pub keys: &'static [KeySpec],
}

/// How often a section may stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionCount {
    /// `[name]`, once.
    Once,
    /// `[[name]]`, any number of times.
    Many,
}

/// One key of a section, or the place of a section below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// The name, without the section's.
    pub name: &'static str,
    /// Whether it may be left out, and what then holds.
    pub need: KeyNeed,
    /// When a change of it counts.
    pub effect: TakesEffect,
    /// What it means, in Markdown, as in the table of REFERENCE.md.
    pub meaning: &'static str,
}

/// Whether a key may be left out, and what then holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyNeed {
    /// It must be given; a line that would do.
    Required(&'static str),
    /// The default, as TOML; `<zone>` and `<state_dir>` stand for what these two are.
    Default(&'static str),
    /// Nothing, in a word: `none`, or `derived` at run time.
    Absent(&'static str),
}

/// When a change of a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TakesEffect {
    /// With a reload, and nothing else is touched.
    OnReload,
    /// With a reload, for which the gateway starts anew within itself: all tunnels stand still for
    /// about a second, connections through them go on.
    Anew,
    /// With a restart: it says who this gateway is, or names a device, folder or key file that is
    /// opened once. A reload refuses it.
    OnRestart,
}

impl SectionSpec {
    /// The line that opens it: `[tunnel]`, `[[peer]]`.
    #[must_use]
    pub fn heading(&self) -> String {
        let name = self.name;
        match self.count {
            SectionCount::Once => format!("[{name}]"),
            SectionCount::Many => format!("[[{name}]]"),
        }
    }

    /// The key of that name, if the section has it.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static KeySpec> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The names of its keys.
    #[must_use]
    pub fn key_names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }

    /// Lines that would do for the keys that must be given.
    pub(crate) fn examples(&self) -> Vec<&'static str> {
        self.keys.iter().filter_map(KeySpec::example).collect()
    }
}

impl KeySpec {
    /// The default as the documents show it: `required`, TOML, or a word.
    #[must_use]
    pub fn shown_default(&self) -> &'static str {
        match self.need {
            KeyNeed::Required(_) => "required",
            KeyNeed::Default(shown) | KeyNeed::Absent(shown) => shown,
        }
    }

    /// A line that would do, if the key must be given.
    pub(crate) fn example(&self) -> Option<&'static str> {
        match self.need {
            KeyNeed::Required(example) => Some(example),
            KeyNeed::Default(_) | KeyNeed::Absent(_) => None,
        }
    }

    /// The default as TOML, if the key has one.
    pub(crate) fn default_toml(&self) -> Option<&'static str> {
        match self.need {
            KeyNeed::Default(toml) => Some(toml),
            KeyNeed::Required(_) | KeyNeed::Absent(_) => None,
        }
    }
}
