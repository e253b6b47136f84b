//! The disk is full, or the folder can't be written any more.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use tower_teamup_auth::RefreshStep;
use tower_teamup_auth::store::FileStore;
use tower_teamup_auth::testing::FakeTeamUp;

use crate::process::{OtherProcess, part, unprivileged};
use crate::scene::{SAVED, Scene, UNSAVED, once_at, stored_record};
use crate::small_disk::{SmallDisk, on_each_small_disk};

#[tokio::test]
async fn p2_on_a_full_disk_the_newest_pair_is_used_and_saved_once_there_is_room() {
    const NAME: &str =
        "disk::p2_on_a_full_disk_the_newest_pair_is_used_and_saved_once_there_is_room";
    if let Some((kind, path)) = part::<PathBuf>() {
        let disk = |path: &Path| SmallDisk::new(&kind, path.parent().unwrap());
        let (mut full, mut roomy) = (disk(&path), disk(&path));
        return can_not_save(path, move || full.fill(), move || roomy.make_room()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    on_each_small_disk(NAME, &path, &path.join("tokens.json"));
}

#[tokio::test]
async fn p2_in_a_read_only_folder_the_newest_pair_is_used_and_saved_once_it_can_be_written() {
    const NAME: &str =
        "disk::p2_in_a_read_only_folder_the_newest_pair_is_used_and_saved_once_it_can_be_written";
    if let Some((_, path)) = part::<PathBuf>() {
        let own = path.parent().unwrap().to_owned();
        let set_mode = move |mode| fs::set_permissions(&own, Permissions::from_mode(mode)).unwrap();
        let open = set_mode.clone();
        return can_not_save(path, move || set_mode(0o500), move || open(0o700)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let (command, user) = unprivileged(&path);
    let own = path.join("own");
    fs::create_dir(&own).unwrap();
    chown(&own, Some(user), None).unwrap();
    OtherProcess::start_by(command, NAME, "owner", &own.join("tokens.json")).passes();
}

async fn can_not_save(
    path: PathBuf,
    break_it: impl FnOnce() + Send + 'static,
    mend: impl FnOnce(),
) {
    let store = FileStore::new(path);
    let scene = Scene::set_up(FakeTeamUp::start().await, |builder| {
        builder.store(store.clone()).at_each_step(once_at(RefreshStep::Loaded, break_it))
    })
    .await;
    let old = stored_record(&store).await;

    // Only the new token opens the door now.
    scene.server.expire_access_tokens();
    scene.goes_on().await;
    assert!(scene.log.says(UNSAVED), "{}", scene.log.text());
    let error = scene.can_not_refresh().await;
    assert!(error.is_store() && format!("{error:?}").contains("free space"), "{error:?}");
    scene.goes_on().await;
    scene.log.until_it_says("newest tokens still not saved").await;
    assert_eq!(scene.server.refresh_requests(), 1, "{}", scene.server.journal());
    assert_eq!(stored_record(&store).await, old);
    assert!(!scene.log.says(SAVED));

    mend();
    scene.log.until_it_says(SAVED).await;
    assert_eq!(stored_record(&store).await.revision(), old.revision() + 1);
    scene.an_heir_can_carry_on(store).await;
}
