//! Errors of the layers below as the stable codes of the wire.

use edgetime_protocol::error::Code;

use crate::engine::{CatalogError, EngineError};

/// The code of an engine's error.
pub fn code_of(error: &EngineError) -> Code {
    match error {
        EngineError::Denied { .. } | EngineError::Reserved { .. } => Code::NotAllowed,
        EngineError::Catalog(refused) if refused.is_limit() => Code::TooManyNames,
        EngineError::Catalog(CatalogError::TypeConflict { .. }) => Code::TypeConflict,
        EngineError::Catalog(CatalogError::FieldNotDeclared { .. }) => Code::FieldNotDeclared,
        EngineError::Catalog(CatalogError::OutOfRange { .. }) => Code::OutOfRange,
        EngineError::BadRule { .. } | EngineError::Policy(_) | EngineError::Token(_) => {
            Code::BadValue
        }
        EngineError::TooEarly { .. } => Code::TimeOutOfRange,
        EngineError::TooLate { .. } => Code::TimeInFuture,
        EngineError::Expired { .. } => Code::Expired,
        EngineError::Busy
        | EngineError::SeriesRetired
        | EngineError::TooManyNewSeries { .. }
        | EngineError::MemoryShort { .. } => Code::Busy,
        EngineError::Full { .. } => Code::Full,
        EngineError::TooLarge { .. } => Code::LineTooLong,
        EngineError::ReadOnly { .. } => Code::ReadOnly,
        _ => Code::Internal,
    }
}
