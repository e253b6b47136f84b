//! Keeps web pages from using what listens on loopback.
//!
//! A page can make its visitor's browser send requests to 127.0.0.1. Browsers say so: in `Origin`, in
//! `Sec-Fetch-Site` (Fetch Metadata), and in `Host`, which names the page's own host where a name was
//! pointed to 127.0.0.1 (DNS rebinding).

use std::net::SocketAddr;

use http::header::{HOST, HeaderMap, ORIGIN};

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The hosts that requests may name.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    /// `None`: any, behind a socket that no browser can open.
    names: Option<Vec<String>>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// None, several, or that of somebody else.
    Host,
    CrossSite,
}

impl Hosts {
    /// Those of a listener: its address, and the names of loopback if it is there. `more` are host names
    /// with or without a port.
    pub(crate) fn of(address: SocketAddr, more: &[String]) -> Self {
        let port = address.port();
        let mut names = vec![address.to_string()];
        if address.ip().is_loopback() {
            names.extend(["localhost", "127.0.0.1", "[::1]"].map(|host| format!("{host}:{port}")));
        }
        for host in more {
            names.push(host.to_ascii_lowercase());
            names.push(format!("{}:{port}", host.to_ascii_lowercase()));
        }
        if port == 80 {
            let without: Vec<_> = names
                .iter()
                .filter_map(|name| name.strip_suffix(":80"))
                .map(str::to_owned)
                .collect();
            names.extend(without);
        }
        Hosts { names: Some(names) }
    }

    pub(crate) const fn any() -> Self {
        Hosts { names: None }
    }

    /// Returns the host that the request names.
    pub(crate) fn check<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Refusal::Host) };
        let host = host.to_str().map_err(|_| Refusal::Host)?;
        if !self.allow(host) {
            return Err(Refusal::Host);
        }
        let is_same_site = headers
            .get_all(SEC_FETCH_SITE)
            .iter()
            .all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
        let is_own_origin = headers.get_all(ORIGIN).iter().all(|origin| {
            let host = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
            // Behind a socket there is no origin that a page could have.
            self.names.is_some() && host.is_some_and(|host| self.allow(host))
        });
        if is_same_site && is_own_origin { Ok(host) } else { Err(Refusal::CrossSite) }
    }

    fn allow(&self, host: &str) -> bool {
        match &self.names {
            Some(names) => names.iter().any(|name| name.eq_ignore_ascii_case(host)),
            None => !host.is_empty(),
        }
    }
}

impl Refusal {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Refusal::Host => "the Host is not one of this server",
            Refusal::CrossSite => "requests of web pages are refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hosts: &Hosts, lines: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        hosts.check(&headers).map(drop)
    }

    #[test]
    fn p4_hosts_of_somebody_else_are_refused() {
        let hosts = Hosts::of("127.0.0.1:8270".parse().unwrap(), &["proxy.test".to_owned()]);
        for host in
            ["127.0.0.1:8270", "localhost:8270", "LocalHost:8270", "[::1]:8270", "proxy.test"]
        {
            assert_eq!(check(&hosts, &[("host", host)]), Ok(()), "{host}");
        }
        for host in
            ["", "evil.test", "evil.test:8270", "localhost", "127.0.0.1:8271", "localhost:8270."]
        {
            assert_eq!(check(&hosts, &[("host", host)]), Err(Refusal::Host), "{host}");
        }
        assert_eq!(check(&hosts, &[]), Err(Refusal::Host));
        let two = [("host", "localhost:8270"), ("host", "localhost:8270")];
        assert_eq!(check(&hosts, &two), Err(Refusal::Host));
    }

    #[test]
    fn p4_requests_of_web_pages_are_refused() {
        let hosts = Hosts::of("127.0.0.1:8270".parse().unwrap(), &[]);
        let own = ("host", "127.0.0.1:8270");
        for line in [
            ("origin", "https://evil.test"),
            ("origin", "null"),
            ("origin", "http://localhost:3000"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(check(&hosts, &[own, line]), Err(Refusal::CrossSite), "{line:?}");
        }
        for line in [("origin", "http://localhost:8270"), ("sec-fetch-site", "none")] {
            assert_eq!(check(&hosts, &[own, line]), Ok(()), "{line:?}");
        }
    }

    #[test]
    fn p4_behind_a_socket_a_page_is_refused_all_the_same() {
        let host = ("host", "anything");
        assert_eq!(check(&Hosts::any(), &[host]), Ok(()));
        let page = [host, ("origin", "http://anything")];
        assert_eq!(check(&Hosts::any(), &page), Err(Refusal::CrossSite));
    }
}
