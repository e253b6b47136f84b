//! Several processes on one file, some of which die.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use tokio::time::timeout;
use tower_teamup_auth::store::{FileStore, SaveStep, TokenStore as _};

use crate::process::{OtherProcess, part, say, wait_for_parent};
use crate::small_disk::{SmallDisk, on_each_small_disk};
use crate::support::{Folder, is_locked, tokens, whole_text};

#[tokio::test]
async fn p8_a_process_killed_at_any_step_of_a_save_leaves_the_old_tokens_or_the_new() {
    const NAME: &str =
        "processes::p8_a_process_killed_at_any_step_of_a_save_leaves_the_old_tokens_or_the_new";
    match part::<PathBuf>() {
        Some((role, path)) if role == "next" => return rotate_once(&FileStore::new(path)).await,
        Some((step, path)) => return save_up_to(&step, path).await,
        None => {}
    }
    for (step, had_tokens) in SaveStep::ALL.map(|step| [(step, true), (step, false)]).concat() {
        let folder = Folder::new();
        let (store, old) = match had_tokens {
            true => (folder.filled().await, Some(tokens(1, "old"))),
            false => (folder.store(), None),
        };
        let dying = OtherProcess::start(NAME, &format!("{step:?}"), &folder.tokens());
        assert_eq!(dying.hear(), "reached");
        assert!(is_locked(&store));
        dying.kill();

        let is_renamed = matches!(step, SaveStep::Renamed | SaveStep::Done);
        let expected = if is_renamed { Some(tokens(2, "new")) } else { old };
        assert_eq!(store.load().await.unwrap(), expected, "{step:?}");
        assert!(!is_locked(&store), "{step:?}: the dead hold the lock");
        let has_leftover = folder.names().iter().any(|name| name.ends_with(".tmp"));
        let is_temporary = matches!(step, SaveStep::Created | SaveStep::Written | SaveStep::Synced);
        assert_eq!(has_leftover, is_temporary, "{step:?}: {:?}", folder.names());

        let next = OtherProcess::start(NAME, "next", &folder.tokens());
        let revision = expected.map_or(0, |tokens| tokens.revision()) + 1;
        assert_eq!(next.hear(), format!("saved {revision}"), "{step:?}");
        next.passes();
        assert_eq!(store.load().await.unwrap().unwrap().revision(), revision);
        assert_eq!(folder.names(), ["tokens.json", "tokens.json.lock"], "{step:?}");
    }
}

async fn save_up_to(step: &str, path: PathBuf) {
    let store = FileStore::new(path);
    let over = store.load().await.unwrap().map(|tokens| tokens.revision());
    let step = step.to_owned();
    let store = store.on_save_step(move |at| {
        if format!("{at:?}") == step {
            say("reached");
            loop {
                std::thread::park();
            }
        }
    });
    let lease = store.lock().await.unwrap();
    store.save(&lease, over, &tokens(2, "new")).await.unwrap();
    panic!("the step was not reached");
}

async fn rotate_once(store: &FileStore) {
    let lease = store.lock().await.unwrap();
    let over = store.load().await.unwrap().map(|tokens| tokens.revision());
    let revision = over.unwrap_or(0) + 1;
    store.save(&lease, over, &tokens(revision, "next")).await.unwrap();
    say(&format!("saved {revision}"));
}

// Time is paused in the parent: its wait is as many tries of the lock as fit, and none is slept.
#[tokio::test(start_paused = true)]
async fn the_lock_excludes_another_process_until_it_ends_or_dies() {
    const NAME: &str = "processes::the_lock_excludes_another_process_until_it_ends_or_dies";
    if let Some((_, path)) = part::<PathBuf>() {
        let store = FileStore::new(path);
        let lease = store.lock().await.unwrap();
        say("locked");
        wait_for_parent();
        drop(lease);
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
    timeout(Duration::from_secs(10), store.lock()).await.expect_err("two have the right");
    holder.go_on();
    assert_eq!(holder.hear(), "unlocked");
    drop(timeout(Duration::from_secs(10), store.lock()).await.expect("it is free").unwrap());
    holder.go_on();
    holder.passes();

    let holder = start();
    timeout(Duration::from_secs(10), store.lock()).await.expect_err("two have the right");
    holder.kill();
    timeout(Duration::from_secs(10), store.lock()).await.expect("it is free").unwrap();
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
        let revision = store.load().await.unwrap().map_or(0, |tokens| tokens.revision());
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
            let is_temporary =
                matches!(step, SaveStep::Created | SaveStep::Written | SaveStep::Synced);
            say(if is_temporary { "1" } else { "0" });
            wait_for_parent();
        }
    });
    store.check().await.unwrap();
    let lease = store.lock().await.unwrap();
    let mut over = None;
    for revision in 1..=1000 {
        rotation.store(revision, std::sync::atomic::Ordering::SeqCst);
        store.save(&lease, over, &tokens(revision, "rotated")).await.unwrap();
        over = Some(revision);
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
async fn p8_a_full_disk_leaves_the_old_tokens_and_takes_the_new_ones_once_there_is_room() {
    const NAME: &str =
        "processes::p8_a_full_disk_leaves_the_old_tokens_and_takes_the_new_ones_once_there_is_room";
    if let Some((kind, path)) = part::<PathBuf>() {
        let mut disk = SmallDisk::new(&kind, path.parent().unwrap());
        return run_full(&mut disk, FileStore::new(path)).await;
    }
    let folder = Folder::new();
    on_each_small_disk(NAME, &folder.path(), &folder.tokens());
}

async fn run_full(disk: &mut SmallDisk, store: FileStore) {
    store.check().await.unwrap();
    let lease = store.lock().await.unwrap();
    store.save(&lease, None, &tokens(1, "old")).await.unwrap();

    disk.fill();
    for _ in 0..3 {
        let error = store.save(&lease, Some(1), &tokens(2, "new")).await.unwrap_err();
        assert!(!error.is_conflict() && !error.is_unreadable(), "{error:?}");
        let text = whole_text(&error);
        assert!(text.contains("can't write") && text.contains("free space"), "{text}");
        assert!(text.contains("No space left") || text.contains("File too large"), "{text}");
        assert_eq!(store.load().await.unwrap(), Some(tokens(1, "old")));
        let names = crate::support::names_in(disk.folder());
        assert!(!names.iter().any(|name| name.ends_with(".tmp")), "{names:?}");
    }

    disk.make_room();
    store.save(&lease, Some(1), &tokens(2, "new")).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(tokens(2, "new")));
}
