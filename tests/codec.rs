//! Chunks as they lie on disk: those of every version still read, and a store as small as the codecs say.

#[path = "codec/fixtures.rs"]
mod fixtures;
#[path = "support/sensors.rs"]
mod sensors;
#[path = "codec/store.rs"]
mod store;
mod support;
