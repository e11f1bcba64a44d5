//! Chunks as they lie on disk: those of every version still read, a store as small as the codecs say, and chunks
//! never larger than what others make of the same rows.

#[path = "codec/fixtures.rs"]
mod fixtures;
#[path = "codec/peers.rs"]
mod peers;
#[path = "support/sensors.rs"]
mod sensors;
#[path = "codec/store.rs"]
mod store;
mod support;
