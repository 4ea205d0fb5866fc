//! How a section of the table of keys becomes code.
//!
//! `section!` makes of one list of keys: the typed settings, what a person wrote of them (a draft),
//! the reading of the one and its completion with defaults to the other, what differs between two of
//! them, and the description. A function cannot, because the keys are fields. A row reads
//!
//! ```text
//! /// What it means, as in REFERENCE.md.
//! name: Type = form(parser), need("text"), effect;
//! ```
//!
//! `form` is `one`, `list`, or for a section below `section` and `sections` (with the draft in place
//! of the parser); need and effect are those of `schema`. `name as "key"` where the two differ.

macro_rules! section {
    (
        $(#[$about:meta])*
        $settings:ident, $draft:ident = $count:ident $name:literal;
        $(
            $(#[doc = $meaning:literal])+
            $field:ident $(as $key:literal)? : $type:ty
                = $form:ident($($with:tt)+), $need:ident($text:literal), $effect:ident;
        )+
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $settings {
            $(
                $(#[doc = $meaning])+
                pub $field: section!(@setting $form $need $type),
            )+
        }

        impl $settings {
            /// The keys whose values differ, in the order of the table.
            pub(crate) fn differing(&self, other: &Self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $( if self.$field != other.$field {
                    keys.push(section!(@name $field $($key)?));
                } )+
                keys
            }
        }

        #[derive(Debug, Clone, Default)]
        pub(crate) struct $draft {
            $( pub(crate) $field: section!(@draft $form $type, $($with)+), )+
        }

        impl $draft {
            pub(crate) const SPEC: SectionSpec = SectionSpec {
                name: $name,
                count: SectionCount::$count,
                keys: &[$(
                    KeySpec {
                        name: section!(@name $field $($key)?),
                        need: KeyNeed::$need($text),
                        effect: TakesEffect::$effect,
                        meaning: concat!($($meaning),+).trim_ascii(),
                    },
                )+],
            };

            /// What the file says, with its mistakes reported.
            pub(crate) fn read(mut section: SectionReader<'_, '_>) -> Self {
                Self { $(
                    $field: section!(@read $form section, section!(@name $field $($key)?), $($with)+),
                )+ }
            }

            /// The settings, or `None` if a value is missing, which has been reported.
            pub(crate) fn settings(self, known: &Known) -> Option<$settings> {
                // Only a default asks for it.
                let _ = known;
                Some($settings { $(
                    $field: section!(@finish $form $need self.$field, $text, known, $($with)+),
                )+ })
            }
        }
    };

    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $key:literal) => { $key };

    (@setting one Absent $type:ty) => { Option<$type> };
    (@setting one $need:ident $type:ty) => { $type };
    (@setting section $need:ident $type:ty) => { Option<$type> };
    (@setting $lists:ident $need:ident $type:ty) => { Vec<$type> };

    (@draft one $type:ty, $($parse:tt)+) => { Option<Placed<$type>> };
    (@draft list $type:ty, $($parse:tt)+) => { Vec<Placed<$type>> };
    (@draft section $type:ty, $draft:ident) => { Option<$draft> };
    (@draft sections $type:ty, $draft:ident) => { Vec<$draft> };

    (@read one $section:ident, $key:expr, $($parse:tt)+) => { $section.one($key, $($parse)+) };
    (@read list $section:ident, $key:expr, $($parse:tt)+) => { $section.list($key, $($parse)+) };
    (@read section $section:ident, $key:expr, $draft:ident) => {
        $section.table($draft::SPEC).map($draft::read)
    };
    (@read sections $section:ident, $key:expr, $draft:ident) => {
        $section.tables($draft::SPEC, $draft::read)
    };

    (@finish one Required $given:expr, $text:literal, $known:ident, $($parse:tt)+) => {
        $given?.value
    };
    (@finish one Absent $given:expr, $text:literal, $known:ident, $($parse:tt)+) => {
        $given.map(|given| given.value)
    };
    (@finish one Default $given:expr, $toml:literal, $known:ident, $($parse:tt)+) => {
        match $given {
            Some(given) => given.value,
            None => defaults::value_of($toml, $known, $($parse)+)?,
        }
    };
    (@finish list $need:ident $given:expr, $text:literal, $known:ident, $($parse:tt)+) => {
        $given.into_iter().map(|given| given.value).collect()
    };
    (@finish section $need:ident $given:expr, $text:literal, $known:ident, $draft:ident) => {
        match $given {
            Some(draft) => Some(draft.settings($known)?),
            None => None,
        }
    };
    (@finish sections $need:ident $given:expr, $text:literal, $known:ident, $draft:ident) => {
        $given.into_iter().filter_map(|draft| draft.settings($known)).collect()
    };
}

pub(crate) use section;
