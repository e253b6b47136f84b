//! The candidates, each in a file of its own: how it is set up with a token that is there and fresh,
//! so that nothing is fetched while it is measured.

mod aws;
mod azure;
mod bare;
mod by_hand;
mod google;
mod kube;
mod ours;
mod tower_http;
mod users;

use crate::drive::{Run, Workload};

/// A candidate, and what has to be known to compare it with the others.
pub(crate) struct Peer {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What it is called in the tables.
    pub(crate) title: &'static str,
    /// The package whose version the table shows.
    pub(crate) package: Option<&'static str>,
    /// The peer whose cost is taken off: the same requests with nothing in between. `None` for that
    /// peer itself, which has no line of its own.
    pub(crate) over: Option<&'static str>,
    /// How many headers it puts on a request.
    pub(crate) headers: usize,
    /// What becomes of a 401.
    pub(crate) on_401: &'static str,
    /// How it is driven here.
    pub(crate) driven: &'static str,
    /// What it does not do, of what the layer does.
    pub(crate) lacks: &'static str,
    /// The workloads that make sense for it.
    pub(crate) workloads: &'static [Workload],
    /// Sets it up.
    pub(crate) build: fn() -> Run,
}

impl Peer {
    /// In the order of the tables, the bare services first.
    pub(crate) const ALL: [&Peer; 12] = [
        &bare::HTTP,
        &azure::BARE,
        &ours::LAYER,
        &by_hand::SHARED,
        &by_hand::COPIED,
        &tower_http::SET_TWICE,
        &users::RW_LOCK,
        &users::MUTEX,
        &kube::AUTH_LAYER,
        &aws::IDENTITY_CACHE,
        &azure::BEARER_POLICY,
        &google::HEADERS,
    ];

    pub(crate) fn named(name: &str) -> &'static Peer {
        Peer::ALL[Peer::position(name)]
    }

    /// Where a peer stands among all.
    pub(crate) fn position(name: &str) -> usize {
        let position = Peer::ALL.iter().position(|peer| peer.name == name);
        position.unwrap_or_else(|| panic!("no peer is called {name}"))
    }
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;

    use super::*;
    use crate::inner::witness;

    /// A figure means nothing if the request was not authorized, or the count of headers is wrong.
    #[test]
    fn each_peer_authorizes_every_workload_with_as_many_headers_as_it_says() {
        // Its inner service is the bare one for good; it is a dozen lines to read.
        for peer in Peer::ALL.iter().filter(|peer| !peer.name.starts_with("by_hand")) {
            let run = (peer.build)();
            for &workload in peer.workloads {
                run(workload, 3);
                let headers = witness::arrived().expect("a request arrived");
                let own = if workload == Workload::Post { 8 } else { 3 };
                assert_eq!(headers.len(), own + peer.headers, "{}, {workload:?}", peer.name);
                let authorization = headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap());
                let expected = format!("Bearer {}", crate::workloads::ACCESS_TOKEN);
                let expected = peer.over.map(|_| expected.as_str());
                assert_eq!(authorization, expected, "{}, {workload:?}", peer.name);
            }
        }
    }
}
