//! What the store does not touch, and what it says about it.

use std::fs::{self, Permissions};
use std::future::Future as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tower_teamup_auth::store::{FileStore, StoreError, TokenStore as _};

use crate::process::{OtherProcess, part, say, unprivileged, wait_for_parent};
use crate::support::{Folder, mode_of, tokens, whole_text};

/// Every call refuses what is there, says so with these words, and names the file.
async fn refuses(store: &FileStore, said: &[&str]) {
    let lease = store.lock().await.unwrap();
    for error in [
        store.load().await.unwrap_err(),
        store.save(&lease, Some(1), &tokens(2, "new")).await.unwrap_err(),
        store.save(&lease, None, &tokens(2, "new")).await.unwrap_err(),
        store.clear(&lease).await.unwrap_err(),
    ] {
        assert_refused(&error, store.path(), said);
    }
}

fn assert_refused(error: &StoreError, path: &Path, said: &[&str]) {
    assert!(error.is_unreadable(), "{error:?}");
    assert!(!error.is_conflict(), "{error:?}");
    for said in [&[path.to_str().unwrap()], said].concat() {
        assert!(error.to_string().contains(said), "{said:?} is missing in: {error}");
    }
}

#[tokio::test]
async fn a_file_that_others_can_open() {
    for mode in [0o640, 0o604, 0o644, 0o620, 0o602, 0o610, 0o666] {
        let folder = Folder::new();
        let store = folder.filled().await;
        fs::set_permissions(folder.tokens(), Permissions::from_mode(mode)).unwrap();
        let shown = format!("its mode is {mode:04o}");
        refuses(&store, &["others can open it", &shown, "`chmod 600`", "log in again"]).await;
        assert_eq!(mode_of(&folder.tokens()), mode, "it was changed");

        fs::set_permissions(folder.tokens(), Permissions::from_mode(0o600)).unwrap();
        assert_eq!(store.load().await.unwrap(), Some(tokens(1, "old")));
    }
}

#[tokio::test]
async fn a_file_of_another_user() {
    let user = rustix::process::geteuid().as_raw();
    let folder = Folder::new();
    let (store, owner) = if user == 0 {
        let store = folder.filled().await;
        chown(folder.tokens(), Some(65534), None).unwrap();
        (store, 65534)
    } else {
        (FileStore::new("/etc/passwd"), 0)
    };
    let error = store.load().await.unwrap_err();
    let whose = format!("belongs to the user with id {owner}, and this process runs as {user}");
    assert_refused(&error, store.path(), &[&whose, "run it as that user"]);
}

#[tokio::test]
async fn what_is_no_regular_file() {
    let folder = Folder::new();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("a-folder")).unwrap();
    let _listener = UnixListener::bind(at("a-socket")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, at("a-pipe"), rustix::fs::Mode::from_raw_mode(0o600))
        .unwrap();
    refuses(&FileStore::new(at("a-folder")), &["it is a folder"]).await;
    refuses(&FileStore::new(at("a-pipe")), &["it is a named pipe"]).await;

    // A socket can't even be opened to be looked at.
    let error = FileStore::new(at("a-socket")).load().await.unwrap_err();
    assert!(whole_text(&error).contains("a-socket can't be read"), "{error:?}");

    let error = FileStore::new("/dev/null").load().await.unwrap_err();
    assert!(error.is_unreadable(), "{error:?}");
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
            store.lock().await.unwrap_err(),
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
    let lease = store.lock().await.unwrap();
    fs::remove_file(folder.tokens()).unwrap();
    symlink("other.json", folder.tokens()).unwrap();
    let error = store.save(&lease, None, &tokens(2, "new")).await.unwrap_err();
    assert!(error.is_unreadable(), "{error:?}");
    assert!(error.to_string().contains("other.json now and was"), "{error}");
    assert!(!folder.path().join("other.json").exists());
}

#[tokio::test]
async fn a_circle_of_links() {
    let folder = Folder::new();
    symlink("tokens.json", folder.path().join("a")).unwrap();
    symlink("a", folder.tokens()).unwrap();
    let error = folder.store().load().await.unwrap_err();
    assert!(error.is_unreadable(), "{error:?}");
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
    assert_eq!(store.load().await.unwrap(), Some(tokens(1, "old")));
}

#[tokio::test]
async fn what_holds_no_token_set_stays_as_it_is() {
    let too_large = vec![b' '; 1024 * 1024 + 1];
    for (content, said) in [
        (&b"s3cret"[..], "not JSON"),
        (b"", "it is empty; remove it"),
        (b"{\"refresh_token\":\"s3cret\"}", "have no `version`"),
        (
            b"{\"version\":2,\"refresh_token\":\"s3cret\"}",
            "format version 2, and this version of the crate reads up to 1; update",
        ),
        (b"{\"version\":1,\"refresh_token\":\"s3cret\"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (&too_large, "too large"),
    ] {
        let folder = Folder::new();
        let file = folder.write("tokens.json", content);
        refuses(&folder.store(), &["can't be used, and is left as it is", said]).await;
        let error = folder.store().load().await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        assert_eq!(fs::read(file).unwrap(), content);
        assert_eq!(folder.names(), ["tokens.json", "tokens.json.lock"]);
    }
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
        assert!(!error.is_unreadable() && !error.is_conflict(), "{error:?}");
        assert!(whole_text(&error).contains(said), "{}", whole_text(&error));
    }
}

#[tokio::test]
async fn a_folder_that_can_not_be_written_is_found_by_the_check() {
    const NAME: &str = "refusals::a_folder_that_can_not_be_written_is_found_by_the_check";
    if let Some((_, path)) = part::<PathBuf>() {
        let store = FileStore::new(path);
        assert_eq!(store.load().await.unwrap(), Some(tokens(1, "old")));
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
    let lease = store.lock().await.unwrap();
    store.save(&lease, None, &tokens(1, "old")).await.unwrap();
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
async fn a_sidecar_that_is_not_its_own() {
    let folder = Folder::new();
    let store = folder.store();
    let sidecar = folder.write("tokens.json.lock", b"");
    fs::set_permissions(&sidecar, Permissions::from_mode(0o644)).unwrap();
    let expect = async |said: &str| {
        for error in [store.check().await.unwrap_err(), store.lock().await.unwrap_err()] {
            let text = whole_text(&error);
            assert!(text.contains("tokens.json.lock can't be opened"), "{text}");
            assert!(text.contains(said), "{text}");
        }
    };
    expect("its mode is 0644").await;

    fs::remove_file(&sidecar).unwrap();
    let precious = folder.write("precious", b"precious");
    symlink(&precious, &sidecar).unwrap();
    expect("symbolic link").await;
    assert_eq!(fs::read(precious).unwrap(), b"precious");
}

#[tokio::test]
async fn a_path_that_names_no_file() {
    for path in ["", "/", "/tmp/.."] {
        let error = FileStore::new(path).check().await.unwrap_err();
        assert!(error.is_unreadable(), "{error:?}");
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
