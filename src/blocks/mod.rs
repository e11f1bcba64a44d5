//! Sealed chunks on disk, the catalog's state, images of unsealed rows, and the manifests that join them.
//!
//! Owns the folder `blocks/` and the two manifests. Knows nothing of what chunks, state records and images
//! contain, and nothing of the log but positions. Never reads a clock, never starts a thread.
//!
//! What holds at any moment, through crashes: the newest valid manifest refers only to files that were
//! synced before it; what it refers to is not removed before the next manifest is durable; every byte handed
//! out has passed a checksum seeded with the store's identity.
#![doc = include_str!("FORMAT.md")]

mod bytes;
mod cache;
mod checkpoint;
mod chunk;
mod copy;
mod error;
mod file;
mod image;
mod inventory;
mod load;
mod manifest;
mod pending;
mod pins;
mod record_writer;
mod records;
mod scan;
mod store;
mod table;
mod walk;
mod window;
mod writer;

pub use cache::{CacheStats, ChunkCache};
pub use chunk::{ChunkEntry, ChunkMeta, FOLDER, FileId};
pub use copy::BlockCopy;
pub use error::{BlockError, Damage, Result};
pub use file::{BlockFile, OpenedFile};
pub use image::{Account, ImageRecord, SideRecord};
pub use inventory::ManifestFound;
pub use load::Visitor;
pub use manifest::{
    CommitInfo, MANIFEST_NAMES, Manifest, ManifestError, ManifestFile, ManifestRecords,
};
pub use pending::{ChunkWriter, ImageWriter};
pub use pins::Pin;
pub use store::{BlockOptions, BlockStore, Opened, Unlisted};
pub use table::{BlockUsage, FileInfo};
pub use walk::{Walk, walk};
pub use writer::{BlockFileWriter, FinishedFile};

#[cfg(test)]
mod tests;
