//! Which files changed: the configuration and everything it names.
//!
//! Decides when a change is a change: the content differs, and writing has paused. Folders are watched,
//! not files, so that a file replaced by renaming (editors, Kubernetes) is seen. Never reads a meaning
//! into a file; keeps a keyed hash of each, not its content, for some are secrets.

use std::collections::{BTreeMap, BTreeSet, hash_map::RandomState};
use std::hash::BuildHasher as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::configuration::read_bounded;

/// Writing has paused for this long before files are read again.
const PAUSE: Duration = Duration::from_millis(150);

/// Watches a set of files.
pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
    /// What each file held; `None` while it cannot be read.
    held: BTreeMap<PathBuf, Option<u64>>,
    stirred: mpsc::Receiver<()>,
    hasher: RandomState,
}

impl Watch {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// The system gives no watch, most often for want of inotify instances.
    pub(crate) fn new() -> notify::Result<Self> {
        // One place is enough: a second stir adds nothing to one that waits.
        let (stir, stirred) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // A full channel has said it already; a closed one has nobody to tell.
                let _ = stir.try_send(());
            }
        })?;
        let (folders, held, hasher) = (BTreeSet::new(), BTreeMap::new(), RandomState::new());
        Ok(Self { watcher, folders, held, stirred, hasher })
    }

    /// Watches these files and no others. One that was watched already differs from what it held when it was last
    /// looked at, so that nothing written in between is lost; a new one from what it holds at this moment.
    ///
    /// # Errors
    /// A folder cannot be watched; the others are.
    pub(crate) fn set(&mut self, files: &[PathBuf]) -> notify::Result<()> {
        let folders: BTreeSet<PathBuf> = files.iter().map(|file| folder_of(file)).collect();
        for gone in self.folders.difference(&folders) {
            // It may be gone from the disk too.
            let _ = self.watcher.unwatch(gone);
        }
        let mut outcome = Ok(());
        for new in folders.difference(&self.folders) {
            outcome = self.watcher.watch(new, RecursiveMode::NonRecursive).and(outcome);
        }
        self.folders = folders;
        let mark = |file: &PathBuf| self.held.get(file).copied().unwrap_or_else(|| self.mark(file));
        self.held = files.iter().map(|file| (file.clone(), mark(file))).collect();
        outcome
    }

    /// Returns once the content of a watched file differs. A file that cannot be read is waited for.
    pub(crate) async fn changed(&mut self) {
        loop {
            if self.stirred.recv().await.is_none() {
                // The watcher lives as long as this; without it nothing is heard again.
                std::future::pending::<()>().await;
            }
            while tokio::time::timeout(PAUSE, self.stirred.recv()).await.is_ok_and(|stir| stir.is_some()) {}
            if self.differs() {
                return;
            }
        }
    }

    /// Takes the files as they are, for somebody who reads them next.
    pub(crate) fn look(&mut self) {
        self.differs();
    }

    fn differs(&mut self) -> bool {
        let marks: Vec<_> = self.held.keys().map(|file| (file.clone(), self.mark(file))).collect();
        let mut differs = false;
        for (file, mark) in marks {
            if mark.is_some() && self.held.get(&file) != Some(&mark) {
                differs = true;
                self.held.insert(file, mark);
            }
        }
        differs
    }

    fn mark(&self, file: &Path) -> Option<u64> {
        read_bounded(file).ok().map(|content| self.hasher.hash_one(content))
    }
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("portcullis-watch-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    async fn seen(watch: &mut Watch) -> bool {
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_write_and_a_replacement_are_seen() {
        let folder = Folder::new("write");
        let file = folder.0.join("gate.yaml");
        fs::write(&file, "a").unwrap();
        let mut watch = Watch::new().unwrap();
        watch.set(std::slice::from_ref(&file)).unwrap();
        fs::write(&file, "b").unwrap();
        assert!(seen(&mut watch).await, "a write");
        fs::write(folder.0.join("new"), "c").unwrap();
        fs::rename(folder.0.join("new"), &file).unwrap();
        assert!(seen(&mut watch).await, "a rename over it");
    }

    #[tokio::test]
    async fn a_write_while_the_last_one_is_being_read_is_seen() {
        let folder = Folder::new("while");
        let file = folder.0.join("gate.yaml");
        fs::write(&file, "a").unwrap();
        let mut watch = Watch::new().unwrap();
        watch.set(std::slice::from_ref(&file)).unwrap();
        fs::write(&file, "b").unwrap();
        assert!(seen(&mut watch).await, "the first");
        // `b` is read; before the watch is renewed, somebody writes again.
        fs::write(&file, "c").unwrap();
        watch.set(std::slice::from_ref(&file)).unwrap();
        assert!(seen(&mut watch).await, "the second");
    }

    #[tokio::test]
    async fn a_file_behind_a_link_that_moves_is_seen() {
        let folder = Folder::new("link");
        for (version, content) in [("v1", "a"), ("v2", "b")] {
            fs::create_dir_all(folder.0.join(version)).unwrap();
            fs::write(folder.0.join(version).join("gate.yaml"), content).unwrap();
        }
        let link = |to: &str| {
            std::os::unix::fs::symlink(to, folder.0.join("next")).unwrap();
            fs::rename(folder.0.join("next"), folder.0.join("data")).unwrap();
        };
        link("v1");
        let file = folder.0.join("gate.yaml");
        std::os::unix::fs::symlink("data/gate.yaml", &file).unwrap();
        let mut watch = Watch::new().unwrap();
        watch.set(std::slice::from_ref(&file)).unwrap();
        link("v2");
        assert!(seen(&mut watch).await);
    }

    #[test]
    fn the_same_content_and_a_missing_file_are_no_change() {
        let folder = Folder::new("same");
        let file = folder.0.join("gate.yaml");
        fs::write(&file, "a").unwrap();
        let mut watch = Watch::new().unwrap();
        watch.set(std::slice::from_ref(&file)).unwrap();
        fs::write(&file, "a").unwrap();
        assert!(!watch.differs(), "the same content");
        fs::remove_file(&file).unwrap();
        assert!(!watch.differs(), "it is gone");
        fs::write(&file, "b").unwrap();
        assert!(watch.differs(), "it is back and different");
        assert!(!watch.differs(), "told once");
    }
}
