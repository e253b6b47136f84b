//! What the disk asks for by itself.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use crate::stopwatch::Stopwatch;

/// Measures fsyncs in between, because a shared disk changes from minute to minute.
pub(crate) struct Disk {
    /// It has no name, and is gone with this value.
    file: File,
    fsyncs: Duration,
    count: u32,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let file = tempfile::tempfile().expect("a temporary file");
        Disk { file, fsyncs: Duration::ZERO, count: 0 }
    }

    /// One append, about as long as a record, and its fsync.
    pub(crate) fn sample(&mut self) {
        self.file.write_all(&[b'x'; 512]).expect("room on the disk");
        let stopwatch = Stopwatch::start();
        self.file.sync_data().expect("a disk that syncs");
        self.fsyncs += stopwatch.elapsed();
        self.count += 1;
    }

    /// The mean of an fsync.
    pub(crate) fn fsync(&self) -> Duration {
        self.fsyncs / self.count.max(1)
    }
}
