//! The types of results: named, typed columns in batches, as they travel on the wire.

pub use edgetime_protocol::columns::{
    Bitmap, ResultBatch, ResultCell, ResultColumn, ResultType, ResultValues, ResultVector,
};
