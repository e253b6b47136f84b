//! F1: a file that holds no record, for a whole program.

use tower_teamup_auth::store::StoreError;
use tower_teamup_auth::testing::FakeTeamUp;

use crate::scene::{MODE, Place, api_of};
use crate::support::{Protocol, call, credentials, get, status, why};
use crate::witness::Heard;

const NO_RECORDS: [&str; 3] = ["", "{\"version\":1,\"refresh_to", "[]"];

#[tokio::test]
async fn f1_person_logs_in_though_the_file_of_the_program_is_empty_or_torn() {
    for content in NO_RECORDS {
        let heard = Heard::start();
        let server = FakeTeamUp::start().await;
        let place = Place::new();
        std::fs::write(place.path(), content).unwrap();
        let builder = credentials(&server, &Protocol::Http1.client()).store(place.store());
        let program = builder.build().await.unwrap();
        assert_eq!(heard.count("the store holds no record that can be read"), 1, "{content:?}");
        let api = api_of(&program);
        let error = why(call(&api, get(&server, "/echo", "before")).await);
        assert!(error.is_login_required(), "{error:?}");

        program.log_in(server.issue_tokens(&[MODE])).await.unwrap();
        assert_eq!(status(&api, &server, "after").await, 200, "{content:?}");
        program.shutdown().await.unwrap();
        assert!(place.record().await.tokens().is_some());
        let aside = place.path().with_extension("json.unreadable");
        assert_eq!(std::fs::read(aside).unwrap(), content.as_bytes());
    }
}

#[tokio::test]
async fn f1_program_that_brings_tokens_or_requires_a_record_is_told_at_build() {
    let server = FakeTeamUp::start().await;
    let place = Place::new();
    std::fs::write(place.path(), "").unwrap();
    let builder = || credentials(&server, &Protocol::Http1.client()).store(place.store());
    let seeded = builder().tokens(server.issue_tokens(&[MODE]));
    for builder in [seeded, builder().require_stored()] {
        let error = builder.build().await.unwrap_err();
        let store = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<StoreError>());
        assert!(error.is_store() && store.is_some_and(StoreError::is_corrupt), "{error:?}");
    }
    assert_eq!(std::fs::read(place.path()).unwrap(), b"", "it was touched");
}
