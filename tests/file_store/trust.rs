//! What the store trusts, what it does not touch, and what it says about it.

use std::fs::{self, Permissions};
use std::future::Future as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tower_teamup_auth::store::{Expected, TokenStore as _};
use tower_teamup_auth::store::{FileStore, StoreError};

use crate::process::{OtherProcess, part, say, unprivileged, wait_for_parent};
use crate::support::{Folder, acquire, mode_of, record, whole_text};
use crate::witness::Heard;

fn assert_refused(error: &StoreError, path: &Path, said: &[&str]) {
    assert!(error.is_unavailable(), "{error:?}");
    for said in [&[path.to_str().unwrap()], said].concat() {
        assert!(error.to_string().contains(said), "{said:?} is missing in: {error}");
    }
}

/// As kubelet leaves the files of a volume with an `fsGroup`, and other modes that do not let
/// everybody in.
#[test]
fn f3_a_file_that_its_group_can_open_is_closed_to_it_with_a_warning() {
    for mode in [0o660, 0o640, 0o620, 0o610, 0o670] {
        let folder = Folder::new();
        // The store's thread is the one that is listened to.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .max_blocking_threads(1)
            .thread_keep_alive(Duration::from_secs(600))
            .build()
            .unwrap();
        let heard = runtime.block_on(async {
            let heard = tokio::task::spawn_blocking(Heard::start).await.unwrap();
            let store = folder.filled().await;
            let lock = folder.path().join("tokens.json.lock");
            for path in [&folder.tokens(), &lock] {
                fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            }
            assert_eq!(store.load().await.unwrap(), Some(record(1, "old")));
            assert_eq!(mode_of(&folder.tokens()), 0o600);
            let lease = acquire(&store).await;
            assert_eq!(mode_of(&lock), 0o600);
            store.save(&lease, Expected::Revision(1), &record(2, "new")).await.unwrap();
            assert_eq!(mode_of(&folder.tokens()), 0o600);
            heard
        });
        let warnings = heard.lines("was open to others and is private now");
        let file = folder.tokens();
        let of_file = |line: &&String| line.contains(&format!("{} ", file.display()));
        assert_eq!(warnings.iter().filter(of_file).count(), 1, "{warnings:?}");
        assert!(warnings[0].contains(&format!("mode={mode:04o}")), "{warnings:?}");
    }
}

/// A bind mount of the file alone, as `docker run -v ./tokens.json:/tokens.json` makes it.
#[tokio::test]
async fn f2_a_file_that_is_mounted_by_itself_is_found_by_the_check() {
    const NAME: &str = "trust::f2_a_file_that_is_mounted_by_itself_is_found_by_the_check";
    if let Some((_, path)) = part::<PathBuf>() {
        let store = FileStore::new(&path);
        let before = fs::read(&path).unwrap();
        let error = store.check().await.unwrap_err();
        assert_refused(&error, &path, &["mounted by itself", "mount its folder instead"]);
        // It can be read, and a save says the same without harm.
        assert_eq!(store.load().await.unwrap(), Some(record(1, "old")));
        let lease = acquire(&store).await;
        for expected in [Expected::Revision(1), Expected::Anything] {
            let error = store.save(&lease, expected, &record(2, "new")).await.unwrap_err();
            assert_refused(&error, &path, &["mounted by itself"]);
        }
        let error = store.delete(&lease).await.unwrap_err();
        assert_refused(&error, &path, &["mounted by itself"]);
        assert_eq!(fs::read(&path).unwrap(), before);
        let names = crate::support::names_in(path.parent().unwrap());
        assert!(!names.iter().any(|name| name.ends_with(".tmp")), "{names:?}");
        return say("refused");
    }
    let folder = Folder::new();
    folder.filled().await;
    folder.store().check().await.unwrap();
    let mounted = Folder::new();
    let path = mounted.write("tokens.json", b"");
    let mount = "mount --bind \"$SOURCE\" \"$TARGET\" && exec \"$0\" \"$@\"";
    let mut ran = false;
    for namespaces in [&["--mount"][..], &["--mount", "--map-root-user"]] {
        let command = |program: &Path| {
            let mut command = Command::new("unshare");
            command.args(namespaces).args(["sh", "-c", mount]).arg(program);
            command.env("SOURCE", folder.tokens()).env("TARGET", &path);
            command
        };
        // Not every sandbox lets a test mount something.
        if command(Path::new("true")).output().is_ok_and(|output| output.status.success()) {
            let test = command(&std::env::current_exe().unwrap());
            let other = OtherProcess::start_by(test, NAME, "mounted", &path);
            assert_eq!(other.hear(), "refused");
            other.passes();
            ran = true;
            break;
        }
    }
    assert!(ran || std::env::var_os("CI").is_none(), "nothing can be mounted here");
}

/// What a refresh costs does not depend on what else is in the folder, because nothing reads the
/// folder's names.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn f9_nothing_lists_the_folder() {
    use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};

    let folder = Folder::new();
    let store = folder.filled().await;
    let inotify = init(CreateFlags::NONBLOCK).unwrap();
    add_watch(&inotify, folder.path(), WatchFlags::ACCESS).unwrap();
    let was_listed = || {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&inotify, &mut buffer);
        // An event of a file in the folder has its name; `next` fails where there is no event left.
        std::iter::from_fn(|| {
            let event = events.next().ok()?;
            Some(event.events().contains(ReadFlags::ISDIR))
        })
        .fold(false, |seen, is_folder| seen | is_folder)
    };
    assert_eq!(folder.names().len(), 2);
    assert!(was_listed(), "a listing can be seen");

    folder.store().check().await.unwrap();
    let lease = acquire(&store).await;
    store.load().await.unwrap();
    store.renew(&lease).await.unwrap();
    store.save(&lease, Expected::Revision(1), &record(2, "new")).await.unwrap();
    store.release(lease).await.unwrap();
    assert!(!was_listed(), "a refresh lists the folder");

    folder.write("tokens.json", b"");
    let lease = acquire(&store).await;
    store.save(&lease, Expected::Anything, &record(3, "new")).await.unwrap();
    store.delete(&lease).await.unwrap();
    store.release(lease).await.unwrap();
    assert!(!was_listed(), "a login lists the folder");
}

#[tokio::test]
async fn a_symbolic_link_out_of_its_folder() {
    let elsewhere = Folder::new();
    elsewhere.filled().await;
    let before = fs::read(elsewhere.tokens()).unwrap();
    let folder = Folder::new();
    fs::create_dir(folder.path().join("within")).unwrap();
    let relative = Path::new("within/tokens.json");
    let missing = elsewhere.path().join("missing.json");
    for target in [elsewhere.tokens().as_path(), relative, missing.as_path(), Path::new("..")] {
        let link = folder.tokens();
        symlink(target, &link).unwrap();
        let store = folder.store();
        for error in [
            store.check().await.unwrap_err(),
            store.load().await.unwrap_err(),
            store.try_acquire().await.unwrap_err(),
        ] {
            let to = format!("a symbolic link out of its folder, to {}", target.display());
            assert_refused(&error, &link, &[&to, "give the store that path itself"]);
        }
        assert!(link.is_symlink(), "it was replaced");
        fs::remove_file(link).unwrap();
    }
    assert_eq!(fs::read(elsewhere.tokens()).unwrap(), before);
    assert!(!missing.exists());
}

#[tokio::test]
async fn a_link_that_takes_the_place_of_the_file_under_the_lock() {
    let elsewhere = Folder::new();
    elsewhere.filled().await;
    let folder = Folder::new();
    let store = folder.filled().await;
    let lease = acquire(&store).await;
    fs::remove_file(folder.tokens()).unwrap();
    symlink("other.json", folder.tokens()).unwrap();
    let error = store.save(&lease, Expected::Empty, &record(2, "new")).await.unwrap_err();
    assert!(error.is_lease_lost(), "{error:?}");
    assert!(whole_text(&error).contains("other.json now and was"), "{error}");
    assert!(!folder.path().join("other.json").exists());
}

#[tokio::test]
async fn a_circle_of_links() {
    let folder = Folder::new();
    symlink("tokens.json", folder.path().join("a")).unwrap();
    symlink("a", folder.tokens()).unwrap();
    let error = folder.store().load().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains("a circle of symbolic links"), "{error}");
}

#[tokio::test]
async fn a_link_within_its_folder_is_followed_and_stays() {
    let folder = Folder::new();
    symlink("current", folder.tokens()).unwrap();
    symlink(folder.path().join("v1.json"), folder.path().join("current")).unwrap();
    let store = folder.filled().await;
    assert_eq!(folder.names(), ["current", "tokens.json", "v1.json", "v1.json.lock"]);
    assert!(folder.tokens().is_symlink());
    assert_eq!(mode_of(&folder.path().join("v1.json")), 0o600);
    assert_eq!(store.load().await.unwrap(), Some(record(1, "old")));
}

#[tokio::test]
async fn a_folder_that_can_not_be_made() {
    let folder = Folder::new();
    folder.write("a-file", b"");
    symlink("nowhere", folder.path().join("dangling")).unwrap();
    for (below, said) in [
        ("a-file/tokens.json", "a-file of the token file can't be reached"),
        ("a-file/deeper/tokens.json", "a-file/deeper of the token file can't be reached"),
        ("dangling/tokens.json", "dangling of the token file can't be reached"),
        ("dangling/deeper/tokens.json", "dangling/deeper of the token file can't be made"),
    ] {
        let error = FileStore::new(folder.path().join(below)).check().await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        assert!(whole_text(&error).contains(said), "{}", whole_text(&error));
    }
}

#[tokio::test]
async fn a_folder_that_can_not_be_written_is_found_by_the_check() {
    const NAME: &str = "trust::a_folder_that_can_not_be_written_is_found_by_the_check";
    if let Some((_, path)) = part::<PathBuf>() {
        let store = FileStore::new(path);
        assert_eq!(store.load().await.unwrap(), Some(record(1, "old")));
        say(&whole_text(&store.check().await.unwrap_err()));
        wait_for_parent();
        store.check().await.unwrap();
        return;
    }
    let folder = Folder::new();
    let (command, user) = unprivileged(&folder.path());
    let own = folder.path().join("own");
    let path = own.join("tokens.json");
    let store = FileStore::new(&path);
    let lease = acquire(&store).await;
    store.save(&lease, Expected::Empty, &record(1, "old")).await.unwrap();
    for path in [&own, &path, &own.join("tokens.json.lock")] {
        chown(path, Some(user), None).unwrap();
    }
    drop(lease);
    fs::set_permissions(&own, Permissions::from_mode(0o500)).unwrap();

    let mut child = OtherProcess::start_by(command, NAME, "reader", &path);
    let said = child.hear();
    for expected in ["can't create a file in the folder", own.to_str().unwrap(), "denied"] {
        assert!(said.contains(expected), "{expected:?} is missing in: {said}");
    }
    fs::set_permissions(&own, Permissions::from_mode(0o700)).unwrap();
    child.go_on();
    child.passes();
}

#[tokio::test]
async fn a_lock_file_that_others_can_open_is_closed_and_a_link_is_refused() {
    let folder = Folder::new();
    let store = folder.store();
    let lock = folder.write("tokens.json.lock", b"");
    fs::set_permissions(&lock, Permissions::from_mode(0o644)).unwrap();
    drop(acquire(&store).await);
    assert_eq!(mode_of(&lock), 0o600);

    fs::remove_file(&lock).unwrap();
    let precious = folder.write("precious", b"precious");
    symlink(&precious, &lock).unwrap();
    for error in [store.check().await.unwrap_err(), store.try_acquire().await.unwrap_err()] {
        let text = whole_text(&error);
        assert!(text.contains("tokens.json.lock can't be opened"), "{text}");
        assert!(text.contains("symbolic link"), "{text}");
    }
    assert_eq!(fs::read(precious).unwrap(), b"precious");
}

#[tokio::test]
async fn a_path_that_names_no_file() {
    for path in ["", "/", "/tmp/.."] {
        let error = FileStore::new(path).check().await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        assert!(error.to_string().contains("names no file to keep tokens in"), "{error}");
    }
    assert!(FileStore::new("tokens.json").path().is_absolute());
}

#[test]
fn a_call_without_a_runtime() {
    let folder = Folder::new();
    let store = folder.store();
    let load = pin!(store.load());
    match load.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error)) => assert!(error.to_string().contains("needs a Tokio runtime")),
        other => panic!("{other:?}"),
    }
}
