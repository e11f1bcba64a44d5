//! Plain types that both ends of the wire share. No behaviour beyond names and numbers.

use core::fmt;

/// The type of a field's values, as declared by the first value that was written.
///
/// The discriminants are part of the wire, of the log and of block files: never renumber them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum FieldType {
    /// IEEE 754 double, 64 bits.
    Float = 1,
    /// Signed, 64 bits.
    Integer = 2,
    /// Unsigned, 64 bits.
    Unsigned = 3,
    /// True or false.
    Boolean = 4,
    /// UTF-8 text.
    String = 5,
    /// Any bytes.
    Binary = 6,
}

impl FieldType {
    /// All types, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Float,
        Self::Integer,
        Self::Unsigned,
        Self::Boolean,
        Self::String,
        Self::Binary,
    ];

    /// The type with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Float),
            2 => Some(Self::Integer),
            3 => Some(Self::Unsigned),
            4 => Some(Self::Boolean),
            5 => Some(Self::String),
            6 => Some(Self::Binary),
            _ => None,
        }
    }

    /// The number on the wire and on disk.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The name in SQL, in `field::type` and in schemas.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Unsigned => "unsigned",
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Binary => "binary",
        }
    }

    /// The type of that name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    /// Float, integer or unsigned: the lanes that widen among themselves.
    #[must_use]
    pub const fn is_numeric(self) -> bool {
        matches!(self, Self::Float | Self::Integer | Self::Unsigned)
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The unit of the timestamps of a text session. Inside, time is always nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Nanoseconds, the default.
    #[default]
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Precision {
    /// Nanoseconds in one unit.
    #[must_use]
    pub const fn nanoseconds(self) -> i64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
        }
    }

    /// `ns`, `us`, `ms` or `s`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }

    /// The precision of that name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Nanoseconds,
            Self::Microseconds,
            Self::Milliseconds,
            Self::Seconds,
        ]
        .into_iter()
        .find(|p| p.name() == name)
    }
}

/// What an acknowledgement of a write promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum AckLevel {
    /// No acknowledgements; errors are still sent.
    #[default]
    None = 0,
    /// Applied: visible to queries, safe from nothing but a bad row.
    Accepted = 1,
    /// Synced: safe from a crash of the process and from a loss of power.
    Durable = 2,
}

impl AckLevel {
    /// `none`, `accepted` or `durable`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Accepted => "accepted",
            Self::Durable => "durable",
        }
    }

    /// The level of that name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Accepted, Self::Durable]
            .into_iter()
            .find(|l| l.name() == name)
    }
}
