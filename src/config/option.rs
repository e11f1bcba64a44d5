//! What an option is: a name, a type, a default, a least value, and the text that explains it.
//!
//! The macro writes all of these down once; file, environment, `--print-config` and the admin port read the
//! same list.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Value;

/// An option as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionInfo {
    /// Its name, with its section: `log.sync_policy`.
    pub key: String,
    /// What it means.
    pub doc: String,
    /// Its value as TOML.
    pub value: String,
    /// Its default as TOML.
    pub default: String,
    /// The least value, where there is one.
    pub minimum: Option<String>,
}

/// Why a value was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) wrong: String,
    pub(super) right: String,
}

/// A group of options.
pub(super) trait Section {
    /// The name in front of the options' names; empty for those at the top.
    const NAME: &'static str;

    /// All options, in their order.
    fn options(&self) -> Vec<OptionInfo>;

    /// Sets an option by its name in the section; `None` if there is none of this name.
    fn assign(&mut self, name: &str, value: &Value) -> Option<Result<(), Refusal>>;
}

/// A type an option may have.
pub(super) trait OptionValue: Serialize + DeserializeOwned + PartialEq {
    /// What would be right, for messages.
    const EXPECTED: &'static str;

    fn from_value(value: &Value) -> Option<Self> {
        value.clone().try_into().ok()
    }

    fn to_text(&self) -> String {
        Value::try_from(self).map_or_else(|_| "\"\"".to_owned(), |value| value.to_string())
    }
}

impl OptionValue for bool {
    const EXPECTED: &'static str = "true or false";
}

impl OptionValue for u32 {
    const EXPECTED: &'static str = "a whole number up to 4294967295";
}

impl OptionValue for u64 {
    const EXPECTED: &'static str = "a whole number";
}

impl OptionValue for i64 {
    const EXPECTED: &'static str = "a whole number, negative ones included";
}

impl OptionValue for String {
    const EXPECTED: &'static str = "text in quotes";
}

impl OptionValue for PathBuf {
    const EXPECTED: &'static str = "a path in quotes";
}

impl OptionValue for SocketAddr {
    const EXPECTED: &'static str = "an address and a port, like \"127.0.0.1:7480\"";
}

/// Empty text stands for none.
impl OptionValue for Option<SocketAddr> {
    const EXPECTED: &'static str =
        "an address and a port, like \"127.0.0.1:7482\", or \"\" for none";

    fn from_value(value: &Value) -> Option<Self> {
        match value.as_str() {
            Some("") => Some(None),
            _ => SocketAddr::from_value(value).map(Some),
        }
    }

    fn to_text(&self) -> String {
        self.as_ref()
            .map_or_else(|| "\"\"".to_owned(), OptionValue::to_text)
    }
}

/// Takes a value of the right type that is not too small.
pub(super) fn read<T: OptionValue>(
    value: &Value,
    minimum: Option<T>,
    is_below: impl Fn(&T, &T) -> bool,
) -> Result<T, Refusal> {
    let Some(found) = T::from_value(value) else {
        return Err(Refusal {
            wrong: format!("{value} is of the wrong kind"),
            right: format!("use {}", T::EXPECTED),
        });
    };
    match minimum {
        Some(minimum) if is_below(&found, &minimum) => Err(Refusal {
            wrong: format!("{value} is too small"),
            right: format!("use {} or more", minimum.to_text()),
        }),
        _ => Ok(found),
    }
}

/// The name of an option with its section.
pub(super) fn key(section: &str, name: impl Display) -> String {
    if section.is_empty() {
        name.to_string()
    } else {
        format!("{section}.{name}")
    }
}

/// Declares a section: its struct, its defaults and its list of options.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])+
        $section:ident = $prefix:literal {
            $(
                $(#[doc = $doc:literal])+
                $name:ident : $type:ty = $default:expr $(, min $min:expr)?;
            )*
        }
    ) => {
        $(#[doc = $section_doc])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $section {
            $($(#[doc = $doc])+ pub $name: $type,)*
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl $crate::config::option::Section for $section {
            const NAME: &'static str = $prefix;

            fn options(&self) -> Vec<$crate::config::option::OptionInfo> {
                use $crate::config::option::{OptionInfo, OptionValue, key};
                let default = Self::default();
                vec![$(OptionInfo {
                    key: key($prefix, stringify!($name)),
                    doc: [$($doc.trim()),+].join("\n"),
                    value: self.$name.to_text(),
                    default: default.$name.to_text(),
                    minimum: section!(@minimum $($min)?).map(|minimum: $type| minimum.to_text()),
                },)*]
            }

            fn assign(
                &mut self,
                name: &str,
                value: &toml::Value,
            ) -> Option<Result<(), $crate::config::option::Refusal>> {
                match name {
                    $(stringify!($name) => Some(
                        $crate::config::option::read::<$type>(
                            value,
                            section!(@minimum $($min)?),
                            section!(@below $($min)?),
                        )
                        .map(|found| self.$name = found),
                    ),)*
                    _ => None,
                }
            }
        }
    };
    (@minimum) => { None };
    (@minimum $min:expr) => { Some($min) };
    (@below) => { |_, _| false };
    (@below $min:expr) => { |found, minimum| found < minimum };
}

/// Declares a choice between names.
macro_rules! choice {
    (
        $(#[doc = $doc:literal])+
        $choice:ident: $expected:literal {
            $($(#[doc = $variant_doc:literal])+ $(#[$default:ident])? $variant:ident = $name:literal,)+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $choice {
            $(
                $(#[doc = $variant_doc])+
                $(#[$default])?
                #[serde(rename = $name)]
                $variant,
            )+
        }

        impl $choice {
            /// The name in files, flags and messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl std::str::FromStr for $choice {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(concat!("use ", $expected)),
                }
            }
        }

        impl $crate::config::option::OptionValue for $choice {
            const EXPECTED: &'static str = $expected;
        }
    };
}

pub(super) use {choice, section};
