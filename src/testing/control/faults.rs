//! Breaking requests and holding them.

use super::super::faults::Fault;
use super::super::hold::{Hold, Place};
use super::super::server::FakeTeamUp;

/// # Faults
///
/// Faults for a number of requests queue up, and each request that arrives takes the first that is
/// left; where none is queued, the standing one is taken, if there is one. A fault of the request's
/// path comes before either.
impl FakeTeamUp {
    /// Breaks one refresh request.
    pub fn fail_refresh(&self, fault: Fault) {
        self.fail_refreshes(1, fault);
    }

    /// Breaks this many refresh requests.
    pub fn fail_refreshes(&self, times: usize, fault: Fault) {
        self.shared().lock().refresh_faults.queue(times, fault);
    }

    /// Breaks every refresh request until [`clear_faults`](FakeTeamUp::clear_faults).
    pub fn fail_every_refresh(&self, fault: Fault) {
        self.shared().lock().refresh_faults.stand(fault);
    }

    /// Breaks one API request.
    pub fn fail_api(&self, fault: Fault) {
        self.fail_apis(1, fault);
    }

    /// Breaks this many API requests.
    pub fn fail_apis(&self, times: usize, fault: Fault) {
        self.shared().lock().api_faults.queue(times, fault);
    }

    /// Breaks every API request until [`clear_faults`](FakeTeamUp::clear_faults).
    pub fn fail_every_api(&self, fault: Fault) {
        self.shared().lock().api_faults.stand(fault);
    }

    /// Breaks every request for this path under the API's base until
    /// [`clear_faults`](FakeTeamUp::clear_faults), and no other: a route that answers 401 whatever
    /// the token, for instance.
    ///
    /// ```
    /// # use tower_teamup_auth::testing::{FakeTeamUp, Fault};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let server = FakeTeamUp::start().await;
    /// server.fail_path("/reports", Fault::unauthorized());
    /// # }
    /// ```
    pub fn fail_path(&self, path: &str, fault: Fault) {
        self.shared().lock().path_faults.entry(path.to_owned()).or_default().stand(fault);
    }

    /// Forgets every fault that has not met its request. What is held stays held.
    pub fn clear_faults(&self) {
        let mut state = self.shared().lock();
        state.refresh_faults.clear();
        state.api_faults.clear();
        state.path_faults.clear();
    }

    /// Holds every refresh request as it arrives; nothing is rotated before it is let go.
    pub fn hold_refresh(&self) -> Hold {
        self.hold(Place::RefreshArrival)
    }

    /// Holds the answer to every refresh request: the rotation has taken place, and the client does not know.
    pub fn hold_refresh_answer(&self) -> Hold {
        self.hold(Place::RefreshAnswer)
    }

    /// Holds every API request as it arrives; its token is judged when it is let go.
    pub fn hold_api(&self) -> Hold {
        self.hold(Place::ApiArrival)
    }

    /// Holds every API request's answer; its token is judged, and its body has been read.
    pub fn hold_api_answer(&self) -> Hold {
        self.hold(Place::ApiAnswer)
    }

    fn hold(&self, place: Place) -> Hold {
        let wait_limit = self.shared().lock().settings.wait_limit;
        self.shared().gates().hold(place, wait_limit)
    }
}
