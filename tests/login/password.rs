//! The password login and its two-factor flow.

use http::{Request, Response};
use http_body_util::Full;
use tower::service_fn;
use tower_teamup_auth::BoxError;
use tower_teamup_auth::client::{HyperClient, hyper_client};
use tower_teamup_auth::login::{LoginError, PasswordLogin, PasswordResponse, PendingLogin};
use tower_teamup_auth::testing::{FakeTeamUp, login as fake};

use crate::support::assert_work;

const PHONE_NUMBER: &str = "+41791234567";

fn application(server: &FakeTeamUp) -> PasswordLogin {
    let http_client: HyperClient = hyper_client();
    PasswordLogin::new(fake::DIRECT_AUTH_KEY, http_client).base_url(server.base_url())
}

async fn pending(login: &PasswordLogin) -> PendingLogin {
    match login.log_in(fake::USERNAME, fake::PASSWORD).await.unwrap() {
        PasswordResponse::Pending(pending) => pending,
        PasswordResponse::Tokens(_) => panic!("no second factor was asked for"),
    }
}

/// The object as TeamUp documents it, at the top level.
#[tokio::test]
async fn g1_pending_login_goes_on_with_the_two_factor_flow() {
    let client = service_fn(|_: Request<Full<bytes::Bytes>>| async {
        let documented = r#"{"object": "pending_login",
            "id": "2f1c3a52-7a09-4a5e-9d0c-0f5a3f8f9d11",
            "created_at": "2026-01-31T12:00:00Z", "user": 1001,
            "two_factor_required_providers": [54664, 7]}"#;
        Ok::<_, BoxError>(Response::new(documented.to_owned()))
    });
    let login = PasswordLogin::new("key", client);
    let PasswordResponse::Pending(pending) = login.log_in("anna", "password").await.unwrap() else {
        panic!("the pending login was taken for tokens");
    };
    assert_eq!(pending.two_factor_required_providers(), [54664, 7]);
    assert!(!format!("{pending:?}").contains("2f1c3a52"));
}

#[tokio::test]
async fn g1_second_factor_brings_tokens_that_work_on_another_host_too() {
    let server = FakeTeamUp::builder().two_factor("271828").start().await;
    let first_host = application(&server);
    let pending = pending(&first_host).await;
    assert_eq!(pending.two_factor_required_providers(), [fake::PROVIDER]);
    let kept = serde_json::to_string(&pending).unwrap();
    drop(first_host);

    let login = application(&server);
    let pending: PendingLogin = serde_json::from_str(&kept).unwrap();
    let sent = login.start_verification(&pending, fake::PROVIDER, PHONE_NUMBER).await.unwrap();
    assert!(!sent.message().is_empty());
    assert!(sent.expires_at().unwrap().ends_with('Z'));
    let key = login.verify(PHONE_NUMBER, "271828").await.unwrap();
    let tokens = login.finish(fake::USERNAME, fake::PASSWORD, &key).await.unwrap();
    assert_work(&server, tokens).await;

    let error = login.finish(fake::USERNAME, fake::PASSWORD, &key).await.unwrap_err();
    assert!(error.is_verification_refused(), "{error}");
}

#[tokio::test]
async fn password_alone_brings_tokens_where_no_second_factor_is_asked_for() {
    let server = FakeTeamUp::start().await;
    let answer = application(&server).log_in(fake::USERNAME, fake::PASSWORD).await.unwrap();
    let PasswordResponse::Tokens(tokens) = answer else { panic!("{answer:?}") };
    assert_work(&server, tokens).await;
}

#[tokio::test]
async fn each_refusal_says_whose_it_is() {
    let server = FakeTeamUp::builder().two_factor("271828").start().await;
    let login = application(&server);
    let wrong = login.log_in(fake::USERNAME, "s3cret-and-wrong").await.unwrap_err();
    assert!(wrong.is_wrong_password(), "{wrong}");
    assert!(!format!("{wrong} {wrong:?}").contains("s3cret"), "{wrong:?}");

    let http_client: HyperClient = hyper_client();
    let stranger = PasswordLogin::new("another-key", http_client).base_url(server.base_url());
    let refused = stranger.log_in(fake::USERNAME, fake::PASSWORD).await.unwrap_err();
    assert!(refused.is_configuration(), "{refused}");
    assert_eq!(refused.code(), Some("permission_denied"));

    let pending = pending(&login).await;
    let other = login.start_verification(&pending, 8, PHONE_NUMBER).await.unwrap_err();
    assert!(other.is_verification_refused(), "{other}");
    let before_a_code_is_sent = login.verify(PHONE_NUMBER, "271828").await.unwrap_err();
    assert!(before_a_code_is_sent.is_verification_refused());
    login.start_verification(&pending, fake::PROVIDER, PHONE_NUMBER).await.unwrap();
    let wrong_code = login.verify(PHONE_NUMBER, "314159").await.unwrap_err();
    assert!(wrong_code.is_verification_refused(), "{wrong_code}");
    login.verify(PHONE_NUMBER, "271828").await.unwrap();
}

#[tokio::test]
async fn input_over_the_documented_limits_is_not_sent() {
    let server = FakeTeamUp::builder().two_factor("271828").start().await;
    let login = application(&server);
    let pending = pending(&login).await;
    let sent = server.journal().entries().len();
    let too_long = "+41791234567890123456";
    let outcomes: [Result<(), LoginError>; 4] = [
        login.start_verification(&pending, 7, too_long).await.map(drop),
        login.start_verification(&pending, 7, "").await.map(drop),
        login.verify(PHONE_NUMBER, "1234567").await.map(drop),
        login.verify(PHONE_NUMBER, "").await.map(drop),
    ];
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap_err().is_invalid_input()));
    assert_eq!(server.journal().entries().len(), sent);
}
