//! What the table says of one key of CONTEXT.
//!
//! It promises that all that templates, documents and messages say of a key comes from one value. It
//! refuses to know which keys there are: that is `keys`.

use zonemesh_core::token::VmRole;

use crate::input::InputType;
use crate::values::ValueError;

/// When one-apps hands the values over: at each boot, and again after a change of the CONTEXT.
pub const STAGE: &str = "configure";

/// All that is known about a key apart from its value.
#[derive(Debug, Clone, Copy)]
pub struct ContextKey {
    /// The variable's name.
    pub name: &'static str,
    /// Another spelling that is still read.
    pub old_name: Option<&'static str>,
    /// Which programs read it.
    pub readers: KeyReaders,
    /// What OpenNebula makes of it in a form.
    pub input: InputType,
    /// Who asks people for it.
    pub question: KeyQuestion,
    /// What holds without it, as the documents say it.
    pub default: &'static str,
    /// What it is for, as the documents say it.
    pub meaning: &'static str,
    /// What its value must be.
    pub expected: &'static str,
    /// An example value.
    pub example: &'static str,
    /// Secret values appear in no message.
    pub secret: bool,
    /// The first release that reads it.
    pub since: &'static str,
    /// Flower itself is given what follows from it: with another value it is started anew.
    pub restarts_flower: bool,
    /// What comes of a value.
    pub effect: KeyEffect,
}

/// What comes of a key's value.
#[derive(Debug, Clone, Copy)]
pub enum KeyEffect {
    /// What the meaning says.
    Full,
    /// Nothing until a later release; a value is checked, and named at each start.
    Later {
        /// Judges a value.
        check: fn(&str) -> Result<(), ValueError>,
        /// What does it today.
        today: &'static str,
    },
    /// Whatever is given is refused, for this reason.
    Refused(&'static str),
}

/// The three parts that an appliance has or is, by the program that reads its CONTEXT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appliance {
    /// `zonemesh-gateway`.
    Gateway,
    /// `zonemesh-superlink`.
    SuperLink,
    /// `zonemesh-supernode`.
    SuperNode,
}

impl Appliance {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gateway, Self::SuperLink, Self::SuperNode];

    /// The role's name in service templates.
    #[must_use]
    pub const fn role(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::SuperLink => "superlink",
            Self::SuperNode => "supernode",
        }
    }

    /// The program that reads the CONTEXT of such a VM.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Gateway => "zonemesh-gateway",
            Self::SuperLink => "zonemesh-superlink",
            Self::SuperNode => "zonemesh-supernode",
        }
    }
}

impl From<VmRole> for Appliance {
    fn from(role: VmRole) -> Self {
        match role {
            VmRole::SuperLink => Self::SuperLink,
            VmRole::SuperNode => Self::SuperNode,
        }
    }
}

/// Which programs read a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyReaders {
    /// All three.
    All,
    /// `zonemesh-superlink` and `zonemesh-supernode`.
    Both,
    /// `zonemesh-superlink`.
    SuperLink,
    /// `zonemesh-supernode`.
    SuperNode,
    /// `zonemesh-gateway`.
    Gateway,
    /// `zonemesh-gateway` and `zonemesh-superlink`.
    GatewayAndSuperLink,
}

impl KeyReaders {
    /// True if the program of this appliance reads the key.
    #[must_use]
    pub const fn has(self, appliance: Appliance) -> bool {
        match self {
            Self::All => true,
            Self::Both => matches!(appliance, Appliance::SuperLink | Appliance::SuperNode),
            Self::SuperLink => matches!(appliance, Appliance::SuperLink),
            Self::SuperNode => matches!(appliance, Appliance::SuperNode),
            Self::Gateway => matches!(appliance, Appliance::Gateway),
            Self::GatewayAndSuperLink => {
                matches!(appliance, Appliance::Gateway | Appliance::SuperLink)
            }
        }
    }

    /// As the documents say it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Both => "both",
            Self::SuperLink => "superlink",
            Self::SuperNode => "supernode",
            Self::Gateway => "gateway",
            Self::GatewayAndSuperLink => "gateway, superlink",
        }
    }
}

/// Who asks people for a key, in which words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyQuestion {
    /// Nobody: whoever needs it writes it into the CONTEXT.
    None,
    /// The image, which may be given nothing.
    Image(&'static str),
    /// The image and the service templates; both may be given nothing.
    Optional(&'static str),
    /// The image and the service templates, which must be given it: in an image another key may
    /// stand for it.
    MandatoryInService(&'static str),
    /// The image and the service templates; both must be given it.
    Mandatory(&'static str),
}

impl KeyQuestion {
    /// As a parameter of an image.
    #[must_use]
    pub const fn in_image(self) -> Option<AskedInput> {
        match self {
            Self::None => None,
            Self::Image(text) | Self::Optional(text) | Self::MandatoryInService(text) => {
                Some(AskedInput { text, mandatory: false })
            }
            Self::Mandatory(text) => Some(AskedInput { text, mandatory: true }),
        }
    }

    /// As an input of a service template.
    #[must_use]
    pub const fn in_service(self) -> Option<AskedInput> {
        match self {
            Self::None | Self::Image(_) => None,
            Self::Optional(text) => Some(AskedInput { text, mandatory: false }),
            Self::MandatoryInService(text) | Self::Mandatory(text) => {
                Some(AskedInput { text, mandatory: true })
            }
        }
    }
}

/// How one place asks for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedInput {
    /// What people read.
    pub text: &'static str,
    /// An empty value is none.
    pub mandatory: bool,
}

impl AskedInput {
    /// `M` or `O`, as OpenNebula writes it.
    #[must_use]
    pub const fn letter(self) -> char {
        if self.mandatory { 'M' } else { 'O' }
    }
}

impl ContextKey {
    /// Every spelling, the one that is preferred first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.old_name)
    }

    /// What it is for, with its other spelling, and whether it does that.
    #[must_use]
    pub fn documented(&self) -> String {
        let old = self.old_name.map(|old| format!("; `{old}` is read, too")).unwrap_or_default();
        let meaning = self.meaning;
        match self.effect {
            KeyEffect::Full => format!("{meaning}{old}"),
            KeyEffect::Later { today, .. } => {
                format!("without effect until a later release: {meaning}{old}. Today: {today}")
            }
            KeyEffect::Refused(reason) => format!("{meaning}; refused: {reason}"),
        }
    }

    /// The input of an image, `O|text`, if it asks for the key.
    #[must_use]
    pub fn image_input(&self) -> Option<String> {
        let asked = self.question.in_image()?;
        Some(format!("{}|{}", asked.letter(), self.input.word()))
    }

    /// The input of a service template, if one asks for the key. OneFlow reads three fields, or five
    /// with options and a default; an input that may be empty has an empty default.
    #[must_use]
    pub fn service_input(&self) -> Option<String> {
        let asked = self.question.in_service()?;
        let short = format!("{}|{}|{}", asked.letter(), self.input.word(), asked.text);
        let options = self.input.options();
        if asked.mandatory && options.is_empty() {
            return Some(short);
        }
        Some(format!("{short}|{options}|"))
    }

    /// The input that somebody adds to a service template which does not ask for the key. Of a switch,
    /// a list or a number OneFlow would want a default: a text may stay empty.
    #[must_use]
    pub fn added_input(&self) -> String {
        let kind = match self.input {
            InputType::Password | InputType::Text64 => self.input.word(),
            _ => InputType::Text.word(),
        };
        let added = || format!("O|{kind}|{}||", self.expected);
        self.service_input().unwrap_or_else(added)
    }
}
