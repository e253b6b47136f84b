//! A place for files that nobody wants to keep.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// A folder that is gone when the demonstration is over.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("teamup-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).with_context(|| format!("{}", folder.display()))?;
        Ok(Scratch(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed is left to the system, which clears its temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
