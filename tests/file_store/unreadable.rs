//! A file that holds no record never stands in the way of a login or a logout.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use tower_teamup_auth::store::{Expected, TokenStore as _};
use tower_teamup_auth::store::{FileStore, StoreError};

use crate::support::{Folder, acquire, mode_of, record, tombstone};

/// Files that hold no record, and what is said of them.
fn corrupt() -> Vec<(Vec<u8>, &'static str)> {
    vec![
        (b"".to_vec(), "it is empty"),
        (b"s3cret".to_vec(), "not JSON"),
        (b"{\"version\":1,\"refresh_token\":\"s3cret\"".to_vec(), "not JSON"),
        (b"\0\0\0\0\0\0\0\0".to_vec(), "not JSON"),
        (b"\xff\xfe\x00".to_vec(), "not JSON"),
        (b"[\"s3cret\"]".to_vec(), "not a JSON object"),
        (b"{\"refresh_token\":\"s3cret\"}".to_vec(), "has no `version`"),
        (b"tower-teamup-auth sea".to_vec(), "not JSON"),
        (vec![b' '; 1024 * 1024 + 1], "too large"),
    ]
}

async fn is_corrupt(store: &FileStore, said: &str) {
    let lease = acquire(store).await;
    for error in [
        store.load().await.unwrap_err(),
        store.try_acquire().await.unwrap().record.unwrap().unwrap_err(),
        store.save(&lease, Expected::Revision(1), &record(2, "new")).await.unwrap_err(),
        store.save(&lease, Expected::Empty, &record(2, "new")).await.unwrap_err(),
    ] {
        assert_corrupt(&error, store.path(), said);
    }
}

fn assert_corrupt(error: &StoreError, path: &Path, said: &str) {
    assert!(error.is_corrupt(), "{error:?}");
    for said in [path.to_str().unwrap(), "can't be used", said] {
        assert!(error.to_string().contains(said), "{said:?} is missing in: {error}");
    }
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
}

#[tokio::test]
async fn f1_a_login_moves_a_file_that_holds_no_record_aside_and_a_logout_deletes_it() {
    for (content, said) in corrupt() {
        let folder = Folder::new();
        let aside = folder.path().join("tokens.json.unreadable");
        let file = folder.write("tokens.json", &content);
        let store = folder.store();
        store.check().await.unwrap();
        is_corrupt(&store, said).await;
        assert_eq!(fs::read(&file).unwrap(), content, "it was touched");
        assert_eq!(folder.names(), ["tokens.json", "tokens.json.lock"]);

        // A login.
        fs::write(&aside, b"one from before").unwrap();
        let lease = acquire(&store).await;
        for _ in 0..2 {
            store.save(&lease, Expected::Anything, &record(1, "new")).await.unwrap();
            assert_eq!(store.load().await.unwrap(), Some(record(1, "new")));
            assert_eq!(fs::read(&aside).unwrap(), content, "{said}");
        }
        assert_eq!((mode_of(&aside), mode_of(&file)), (0o600, 0o600));

        // A logout.
        let file = folder.write("tokens.json", &content);
        fs::remove_file(&aside).unwrap();
        store.save(&lease, Expected::Anything, &tombstone(2)).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Some(tombstone(2)));
        assert!(!aside.exists(), "{said}");
        assert_eq!(mode_of(&file), 0o600);
    }
}

#[tokio::test]
async fn f1_a_file_that_everybody_can_open_is_moved_aside_and_closed() {
    for mode in [0o604, 0o644, 0o602, 0o601, 0o666, 0o777] {
        let folder = Folder::new();
        let store = folder.filled().await;
        let content = fs::read(folder.tokens()).unwrap();
        fs::set_permissions(folder.tokens(), Permissions::from_mode(mode)).unwrap();
        is_corrupt(&store, &format!("its mode is {mode:04o}")).await;
        assert_eq!(mode_of(&folder.tokens()), mode, "it was changed");

        let lease = acquire(&store).await;
        store.save(&lease, Expected::Anything, &record(1, "new")).await.unwrap();
        let aside = folder.path().join("tokens.json.unreadable");
        assert_eq!(fs::read(&aside).unwrap(), content);
        assert_eq!((mode_of(&aside), mode_of(&folder.tokens())), (0o600, 0o600));
    }
}

#[tokio::test]
async fn f1_what_is_no_file_of_this_user_is_moved_aside() {
    use std::os::unix::net::UnixListener;
    let make_folder = |path: &Path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("precious"), b"precious").unwrap();
    };
    let make_pipe = |path: &Path| {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
    };
    let make_socket = |path: &Path| drop(UnixListener::bind(path).unwrap());
    let is_root = rustix::process::geteuid().is_root();
    let make_foreign = |path: &Path| {
        fs::write(path, b"of another user").unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        chown(path, Some(65534), None).unwrap();
    };
    type Make<'a> = &'a dyn Fn(&Path);
    let mut made: Vec<(Make<'_>, &str)> = vec![
        (&make_folder, "it is a folder"),
        (&make_pipe, "it is a named pipe"),
        (&make_socket, "it is a socket"),
    ];
    if is_root {
        // Nobody else can give a file away.
        made.push((&make_foreign, "belongs to the user with id 65534, and this process runs as 0"));
    }
    for (make, said) in made {
        let folder = Folder::new();
        let store = folder.store();
        make(&folder.tokens());
        is_corrupt(&store, said).await;
        let lease = acquire(&store).await;
        store.save(&lease, Expected::Anything, &record(1, "new")).await.unwrap();
        assert_eq!(store.load().await.unwrap(), Some(record(1, "new")), "{said}");
        let aside = folder.path().join("tokens.json.unreadable");
        assert!(aside.symlink_metadata().is_ok(), "{said}");
        if said == "it is a folder" {
            assert_eq!(fs::read(aside.join("precious")).unwrap(), b"precious");
        }
    }
}

#[tokio::test]
async fn f1_a_newer_format_is_locked_and_overwritten_only_on_purpose() {
    let folder = Folder::new();
    folder.write("tokens.json", b"{\"version\":3,\"refresh_token\":\"s3cret\"}");
    let store = folder.store();
    let lease = acquire(&store).await;
    for error in [
        store.load().await.unwrap_err(),
        store.save(&lease, Expected::Empty, &record(1, "new")).await.unwrap_err(),
    ] {
        assert!(error.is_locked(), "{error:?}");
        assert!(error.to_string().contains("format version 3"), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    store.save(&lease, Expected::Anything, &record(1, "new")).await.unwrap();
    assert_eq!(store.load().await.unwrap(), Some(record(1, "new")));
}
