//! Status codes: the stable numbers and names of everything that can go wrong on the wire.
//!
//! The text protocol prints the name, binary frames carry the number. Invariant: a number or a name that
//! was ever released keeps its meaning; new codes are appended. `SPEC.md` lists them all.

use core::fmt;

/// One table makes the enum, the list of all codes and their names, so that none can be forgotten.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// Why a line, a request or a connection was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $variant = $number,)*
        }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name that the text protocol prints.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The code with this number, if there is one.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// The line does not follow the grammar.
    BadSyntax = 1, "bad_syntax";
    /// Text that is not UTF-8.
    BadUtf8 = 2, "bad_utf8";
    /// A number or boolean that cannot be read as the type it claims to have.
    BadValue = 3, "bad_value";
    /// A number outside the range of its type.
    ValueOutOfRange = 4, "value_out_of_range";
    /// A timestamp that is not a number, or that no nanosecond time can hold.
    BadTimestamp = 5, "bad_timestamp";
    /// The same tag key twice in one line.
    DuplicateTag = 6, "duplicate_tag";
    /// A directive that does not exist, or with a wrong argument.
    BadDirective = 7, "bad_directive";
    /// A quoted string stayed open for too long.
    StringLeftOpen = 8, "string_left_open";
    /// A line longer than the limit.
    LineTooLong = 20, "line_too_long";
    /// A measurement, tag or field name, or a tag value, longer than the limit.
    NameTooLong = 21, "name_too_long";
    /// A string or binary value longer than the limit.
    StringTooLong = 22, "string_too_long";
    /// More tags than the limit.
    TooManyTags = 23, "too_many_tags";
    /// More fields than the limit.
    TooManyFields = 24, "too_many_fields";
    /// More series, columns or databases than the limit.
    TooManyNames = 25, "too_many_names";
    /// The server asks for a token first, or the token is not valid.
    NotAuthenticated = 40, "not_authenticated";
    /// The token does not allow this.
    NotAllowed = 41, "not_allowed";
    /// A database name that does not follow the rules.
    BadDatabaseName = 42, "bad_database_name";
    /// No database of that name.
    NoSuchDatabase = 43, "no_such_database";
    /// No measurement of that name.
    UnknownMeasurement = 44, "unknown_measurement";
    /// No tag, field or column of that name.
    UnknownColumn = 45, "unknown_column";
    /// The value's type contradicts the field's type.
    TypeConflict = 46, "type_conflict";
    /// A time before the earliest that the server accepts.
    TimeOutOfRange = 47, "time_out_of_range";
    /// The row is older than everything that retention keeps.
    Expired = 48, "expired";
    /// A time too far ahead of the server's clock.
    TimeInFuture = 49, "time_in_future";
    /// A field that was not declared, in a measurement that takes no other.
    FieldNotDeclared = 50, "field_not_declared";
    /// A value outside of the range that was declared for its field.
    OutOfRange = 51, "out_of_range";
    /// SQL that cannot be parsed.
    BadSql = 60, "bad_sql";
    /// SQL that was understood, and that the server cannot answer.
    Unsupported = 61, "unsupported";
    /// The query passed its time or memory budget.
    BudgetExceeded = 62, "budget_exceeded";
    /// The request was cancelled.
    Cancelled = 63, "cancelled";
    /// The peer speaks no version in common.
    BadVersion = 80, "bad_version";
    /// A frame whose checksum, length, type or payload is wrong.
    BadFrame = 81, "bad_frame";
    /// Too much work at the moment. Retryable.
    Busy = 100, "busy";
    /// No room at the moment. Retryable.
    Full = 101, "full";
    /// The server is stopping. Retryable.
    ShuttingDown = 102, "shutting_down";
    /// The store takes no writes.
    ReadOnly = 103, "read_only";
    /// A defect of the server.
    Internal = 120, "internal";
}

impl Code {
    /// The number in binary frames.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code of that name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// True where the same request may succeed later, unchanged.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Busy | Self::Full | Self::ShuttingDown)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_lists_every_code() {
        let specification = include_str!("../SPEC.md");
        for code in Code::ALL {
            let row = format!("| {} | `{}` | ", code.number(), code.name());
            assert!(specification.contains(&row), "{row}");
        }
    }

    #[test]
    fn numbers_and_names_round_trip_and_ascend() {
        for pair in Code::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number());
        }
        for &code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(code));
            assert_eq!(Code::from_name(code.name()), Some(code));
        }
        assert_eq!(Code::from_number(0), None);
    }
}
