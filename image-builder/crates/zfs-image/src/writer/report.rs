//! What was written.

/// A pool that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolReport {
    /// Identifies the pool.
    pub pool_guid: u64,
    /// Identifies the disk.
    pub vdev_guid: u64,
    /// The transaction group of the uberblock.
    pub txg: u64,
    /// Bytes that blocks can use.
    pub capacity_bytes: u64,
    /// Bytes that blocks use, all copies and the pool's own included.
    pub allocated_bytes: u64,
    /// Blocks on the device; those in their pointers and holes do not count, and several copies are one.
    pub blocks: u64,
    /// Bytes that the meta object set takes.
    pub metadata_bytes: u64,
    /// Objects of the meta object set.
    pub metadata_objects: u64,
    /// The datasets, the root first.
    pub datasets: Vec<DatasetReport>,
}

/// A dataset that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetReport {
    /// Its full name.
    pub name: String,
    /// Its object in the meta object set, as boot loaders are told it.
    pub object: u64,
    /// Objects in it.
    pub objects: u64,
    /// Bytes on the device that it reaches, all copies.
    pub referenced_bytes: u64,
    /// Bytes of one copy, after compression.
    pub compressed_bytes: u64,
    /// Bytes of one copy, before compression.
    pub uncompressed_bytes: u64,
}
