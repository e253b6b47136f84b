//! Several processes on one file, some of which die.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::TryRecvError;

use tower_teamup_auth::store::{Expected, StoredRecord, TokenStore as _};
use tower_teamup_auth::store::{FileStore, SaveStep};

use crate::process::{OtherProcess, part, say, wait_for_parent};
use crate::small_disk::{SmallDisk, on_each_small_disk};
use crate::support::{Folder, acquire, is_locked, record, tombstone, try_acquire, whole_text};

/// What a store holds before a process dies that saves in it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Record,
    Torn,
}

#[tokio::test]
async fn p8_a_process_killed_at_any_step_of_a_save_leaves_the_old_record_or_the_new() {
    const NAME: &str =
        "processes::p8_a_process_killed_at_any_step_of_a_save_leaves_the_old_record_or_the_new";
    match part::<PathBuf>() {
        Some((role, path)) if role == "next" => return rotate_once(&FileStore::new(path)).await,
        Some((role, path)) => {
            let (step, new) = role.split_once(' ').unwrap();
            return save_up_to(step, new, path).await;
        }
        None => {}
    }
    for step in SaveStep::ALL {
        for before in [Before::Nothing, Before::Record, Before::Torn] {
            for (named, new) in [("login", record(2, "new")), ("sign-out", tombstone(2))] {
                let folder = Folder::new();
                let store = match before {
                    Before::Record => folder.filled().await,
                    Before::Nothing | Before::Torn => folder.store(),
                };
                if before == Before::Torn {
                    folder.write("tokens.json", b"{\"version\":2,\"refresh_");
                }
                let role = format!("{step:?} {named}");
                let dying = OtherProcess::start(NAME, &role, &folder.tokens());
                assert_eq!(dying.hear(), "reached");
                assert!(is_locked(&store));
                dying.kill();

                let case = format!("{step:?}, {before:?}, {named}");
                let is_renamed = matches!(step, SaveStep::Renamed | SaveStep::Done);
                let found = store.load().await;
                let expected = match before {
                    _ if is_renamed => Some(new),
                    Before::Record => Some(record(1, "old")),
                    Before::Nothing => None,
                    Before::Torn => {
                        assert!(found.unwrap_err().is_corrupt(), "{case}");
                        continue;
                    }
                };
                assert_eq!(found.unwrap(), expected, "{case}");
                assert!(!is_locked(&store), "{case}: the dead hold the lock");
                let has_leftover = folder.names().iter().any(|name| name.ends_with(".tmp"));
                let is_temporary = is_temporary(step);
                assert_eq!(has_leftover, is_temporary, "{case}: {:?}", folder.names());
                let is_kept = before == Before::Torn && named == "login";
                assert_eq!(folder.path().join("tokens.json.unreadable").exists(), is_kept);

                let next = OtherProcess::start(NAME, "next", &folder.tokens());
                let revision = expected.map_or(0, |record| record.revision()) + 1;
                assert_eq!(next.hear(), format!("saved {revision}"), "{case}");
                next.passes();
                assert_eq!(store.load().await.unwrap().unwrap().revision(), revision);
                let names = folder.names();
                assert!(!names.iter().any(|name| name.ends_with(".tmp")), "{case}: {names:?}");
            }
        }
    }
}

/// Is there a temporary file at this step?
fn is_temporary(step: SaveStep) -> bool {
    use SaveStep::{Created, SetAside, Synced, Written};
    matches!(step, Created | Written | Synced | SetAside)
}

async fn save_up_to(step: &str, new: &str, path: PathBuf) {
    let store = FileStore::new(path);
    let expected = match store.load().await {
        Ok(found) => Expected::found(found.as_ref()),
        Err(_) => Expected::Anything,
    };
    let step = step.to_owned();
    let store = store.on_save_step(move |at| {
        if format!("{at:?}") == step {
            say("reached");
            loop {
                std::thread::park();
            }
        }
    });
    let lease = acquire(&store).await;
    let new = if new == "login" { record(2, "new") } else { tombstone(2) };
    store.save(&lease, expected, &new).await.unwrap();
    panic!("the step was not reached");
}

async fn rotate_once(store: &FileStore) {
    let lease = acquire(store).await;
    let found = store.load().await.unwrap();
    let revision = found.as_ref().map_or(0, StoredRecord::revision) + 1;
    store.save(&lease, Expected::found(found.as_ref()), &record(revision, "next")).await.unwrap();
    store.release(lease).await.unwrap();
    say(&format!("saved {revision}"));
}

#[tokio::test]
async fn p1_the_lease_excludes_another_process_until_it_ends_or_dies() {
    const NAME: &str = "processes::p1_the_lease_excludes_another_process_until_it_ends_or_dies";
    if let Some((_, path)) = part::<PathBuf>() {
        let store = FileStore::new(path);
        let lease = acquire(&store).await;
        say("locked");
        wait_for_parent();
        store.release(lease).await.unwrap();
        say("unlocked");
        return wait_for_parent();
    }
    let folder = Folder::new();
    let store = folder.store();
    let start = || {
        let holder = OtherProcess::start(NAME, "holder", &folder.tokens());
        assert_eq!(holder.hear(), "locked");
        holder
    };

    let mut holder = start();
    assert!(try_acquire(&store).await.is_none(), "two have the lease");
    holder.go_on();
    assert_eq!(holder.hear(), "unlocked");
    drop(try_acquire(&store).await.expect("it is free"));
    holder.go_on();
    holder.passes();

    let holder = start();
    assert!(try_acquire(&store).await.is_none(), "two have the lease");
    holder.kill();
    try_acquire(&store).await.expect("it is free");
}

#[tokio::test]
async fn p2_processes_that_rotate_together_lose_no_rotation() {
    const NAME: &str = "processes::p2_processes_that_rotate_together_lose_no_rotation";
    const PROCESSES: u64 = 4;
    const ROTATIONS: u64 = 50;
    if let Some((_, path)) = part::<PathBuf>() {
        let store = FileStore::new(path);
        say("ready");
        wait_for_parent();
        for _ in 0..ROTATIONS {
            rotate_once(&store).await;
        }
        return;
    }
    let folder = Folder::in_memory();
    let mut processes: Vec<_> = (0..PROCESSES)
        .map(|_| OtherProcess::start(NAME, "one of many", &folder.tokens()))
        .collect();
    processes.iter().for_each(|process| assert_eq!(process.hear(), "ready"));
    processes.iter_mut().for_each(OtherProcess::go_on);
    processes.into_iter().for_each(OtherProcess::passes);
    let last = folder.store().load().await.unwrap().unwrap();
    assert_eq!(last.revision(), PROCESSES * ROTATIONS);
}

#[tokio::test]
async fn nothing_is_open_to_others_or_half_written_while_a_thousand_rotations_run() {
    const NAME: &str =
        "processes::nothing_is_open_to_others_or_half_written_while_a_thousand_rotations_run";
    if let Some((_, path)) = part::<PathBuf>() {
        return rotate_a_thousand_times(path).await;
    }
    let folder = Folder::in_memory();
    let made = folder.path().join("made");
    let store = FileStore::new(made.join("tokens.json"));
    let mut writer = OtherProcess::start(NAME, "writer", store.path());
    let (mut seen, mut newest) = (Seen::default(), 0);
    loop {
        seen.look(&made);
        let revision = store.load().await.unwrap().map_or(0, |record| record.revision());
        assert!(revision >= newest, "revision {revision} was seen after {newest}");
        newest = revision;
        match writer.hear_now() {
            // It stands still and says how many temporary files there are.
            Ok(temporary) => {
                let before = seen.temporary;
                seen.look(&made);
                assert_eq!((seen.temporary - before).to_string(), temporary);
                writer.go_on();
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => break,
        }
    }
    writer.passes();
    assert_eq!(store.load().await.unwrap().unwrap().revision(), 1000);
    assert!(seen.temporary >= 40, "the watcher met {} temporary files", seen.temporary);
}

/// Under a umask that takes nothing away, with a pause at every hundredth rotation.
async fn rotate_a_thousand_times(path: PathBuf) {
    rustix::process::umask(rustix::fs::Mode::empty());
    let rotation = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(1));
    let of_hook = std::sync::Arc::clone(&rotation);
    let store = FileStore::new(path).on_save_step(move |step| {
        if of_hook.load(std::sync::atomic::Ordering::SeqCst) % 100 == 0 {
            say(if is_temporary(step) { "1" } else { "0" });
            wait_for_parent();
        }
    });
    store.check().await.unwrap();
    let lease = acquire(&store).await;
    let mut expected = Expected::Empty;
    for revision in 1..=1000 {
        rotation.store(revision, std::sync::atomic::Ordering::SeqCst);
        store.save(&lease, expected, &record(revision, "rotated")).await.unwrap();
        expected = Expected::Revision(revision);
    }
}

#[derive(Default)]
struct Seen {
    temporary: usize,
}

impl Seen {
    /// Looks at the folder and all that is in it at this moment.
    fn look(&mut self, folder: &Path) {
        let check = |path: &Path| match fs::symlink_metadata(path) {
            Ok(metadata) => assert_eq!(metadata.mode() & 0o077, 0, "{} is open", path.display()),
            // It was there a moment ago.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
        };
        let Ok(entries) = fs::read_dir(folder) else { return };
        check(folder);
        for entry in entries.map(Result::unwrap) {
            check(&entry.path());
            self.temporary +=
                usize::from(entry.path().extension().is_some_and(|name| name == "tmp"));
        }
    }
}

#[tokio::test]
async fn p8_a_full_disk_leaves_the_old_record_and_takes_the_new_one_once_there_is_room() {
    const NAME: &str =
        "processes::p8_a_full_disk_leaves_the_old_record_and_takes_the_new_one_once_there_is_room";
    if let Some((kind, path)) = part::<PathBuf>() {
        let mut disk = SmallDisk::new(&kind, path.parent().unwrap());
        return run_full(&mut disk, FileStore::new(path)).await;
    }
    let folder = Folder::new();
    on_each_small_disk(NAME, &folder.path(), &folder.tokens());
}

async fn run_full(disk: &mut SmallDisk, store: FileStore) {
    store.check().await.unwrap();
    let lease = acquire(&store).await;
    store.save(&lease, Expected::Empty, &record(1, "old")).await.unwrap();

    disk.fill();
    for expected in [Expected::Revision(1), Expected::Revision(1), Expected::Anything] {
        let error = store.save(&lease, expected, &record(2, "new")).await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        let text = whole_text(&error);
        assert!(text.contains("can't write") && text.contains("free space"), "{text}");
        assert!(text.contains("No space left") || text.contains("File too large"), "{text}");
        assert_eq!(store.load().await.unwrap(), Some(record(1, "old")));
        let names = crate::support::names_in(disk.folder());
        assert!(!names.iter().any(|name| name.ends_with(".tmp")), "{names:?}");
    }

    disk.make_room();
    store.save(&lease, Expected::Revision(1), &record(2, "new")).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(record(2, "new")));
}
