//! The places of the server.

/// Where a request went.
///
/// ```
/// use tower_teamup_auth::testing::{FakeTeamUp, Route};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let server = FakeTeamUp::start().await;
/// let journal = server.journal();
/// let mut routes = journal.entries().iter().map(|entry| entry.route());
/// assert!(routes.all(|route| route != Route::Refresh), "nobody has refreshed");
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// `/api/v2/auth/refresh_access_token`: a refresh token for new tokens.
    Refresh,
    /// `/api/v2/auth/oauth/authorize`: the page that asks the user.
    Authorize,
    /// `/api/v2/auth/oauth/token`: a code for tokens.
    OAuthToken,
    /// `/api/v2/auth/password_login`: a password for tokens.
    PasswordLogin,
    /// `/api/v2/auth/two_factor/requirements`: whether a business asks for a second factor.
    TwoFactorRequirements,
    /// `/api/v2/auth/two_factor/start_verification`: sends a code.
    StartVerification,
    /// `/api/v2/auth/two_factor/verify`: a code for a key.
    Verify,
    /// `/api/v2/auth/application`: which application a client id belongs to.
    Application,
    /// `/api/v2/auth/profiles`: in which modes a user acts, and with which providers.
    Profiles,
    /// `/api/v2/events`: a list in pages.
    Events,
    /// `/api/v2/uploads`: takes a body.
    Uploads,
    /// `/api/v2/echo` and everything under it: answers 200 to any method.
    Echo,
    /// Any other path under `/api/v2`: 404 once the token is judged, or what the test
    /// [put there](super::FakeTeamUp::serve_json).
    OtherApi,
    /// Outside the API, or no path of its `auth`: 404 at once.
    Unknown,
}

impl Route {
    pub(super) fn of(path: &str) -> Self {
        let Some(path) = path.strip_prefix("/api/v2/") else {
            return Route::Unknown;
        };
        match path {
            "auth/refresh_access_token" => Route::Refresh,
            "auth/oauth/authorize" => Route::Authorize,
            "auth/oauth/token" => Route::OAuthToken,
            "auth/password_login" => Route::PasswordLogin,
            "auth/two_factor/requirements" => Route::TwoFactorRequirements,
            "auth/two_factor/start_verification" => Route::StartVerification,
            "auth/two_factor/verify" => Route::Verify,
            "auth/application" => Route::Application,
            "auth/profiles" => Route::Profiles,
            "events" => Route::Events,
            "uploads" => Route::Uploads,
            "echo" => Route::Echo,
            _ if path.starts_with("echo/") => Route::Echo,
            // The double slash that the endpoint's page writes is no path of this server.
            _ if path.starts_with('/') || path.starts_with("auth/") => Route::Unknown,
            _ => Route::OtherApi,
        }
    }

    /// Does the route ask for an access token?
    pub fn is_api(self) -> bool {
        matches!(
            self,
            Route::Profiles | Route::Events | Route::Uploads | Route::Echo | Route::OtherApi
        )
    }
}
