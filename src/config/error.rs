//! A configuration that cannot be used, in one line: where, what is wrong, what would be right.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// The file, and the line if it is known.
    File(PathBuf, Option<usize>),
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, None) => path.display().fmt(f),
            Self::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_of}: {wrong}; {right}")]
pub struct ConfigError {
    /// Where.
    pub source_of: Source,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}
