//! What the API answers where nothing is wrong.

use http::{Method, StatusCode};

use super::super::server::FakeTeamUp;
use super::super::settings::parse_json;

/// # Content
impl FakeTeamUp {
    /// From now on, `next` and `previous` of lists point under this base in place of the server's
    /// own: to see that a client carries no token to another host.
    pub fn link_pages_to(&self, base_url: &str) {
        let base_url = base_url.trim_end_matches('/').to_owned();
        self.shared().lock().settings.page_links = Some(base_url);
    }

    /// Answers requests for this path under the API's base with 200 and this JSON, once their
    /// token is judged. For the endpoints that your own program calls.
    ///
    /// ```
    /// # use tower_teamup_auth::testing::FakeTeamUp;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let server = FakeTeamUp::start().await;
    /// server.serve_json("/memberships/7", r#"{"id": 7, "name": "Ten classes"}"#);
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When `json` is not a JSON value.
    pub fn serve_json(&self, path: &str, json: &str) {
        let value = parse_json(json);
        self.shared().lock().pages.insert(path.to_owned(), value);
    }

    /// Answers requests with this method for this path under the API's base with a redirect, once
    /// their token is judged and their body is read: they are carried out. Other methods are
    /// served as ever, so that a 303 can lead to a `GET` of the same URL (RFC 9110 section 15.4.4).
    ///
    /// ```
    /// use http::{Method, StatusCode};
    /// use tower_teamup_auth::testing::FakeTeamUp;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let server = FakeTeamUp::start().await;
    /// server.serve_json("/bookings", "[]");
    /// let list = server.url("/bookings");
    /// server.redirect(Method::POST, "/bookings", StatusCode::SEE_OTHER, &list);
    /// # }
    /// ```
    pub fn redirect(&self, method: Method, path: &str, status: StatusCode, location: &str) {
        let redirect = (status, location.to_owned());
        self.shared().lock().redirects.insert((method, path.to_owned()), redirect);
    }
}
