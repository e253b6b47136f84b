//! One workload in a process of its own, and the figures that are read off it.

use std::hint::black_box;
use std::process::Command;

use http::{HeaderValue, Request};
use tower::Service;
use tower_teamup_auth::refresh::{Refresh, RefreshError, RefreshRequest, RefreshResponse};

use crate::workloads::{Bare, ByHand, call, get, once, oneshot, post};
use crate::{counting, layered};

/// As long as TeamUp's are said to be.
pub(crate) const ACCESS_TOKEN: &str = "Xk3v9QpL2mZr8TtYw6NbCd4FgHj1KsAe";

/// The exchange of a credential whose token stays fresh.
pub(crate) struct NeverRefreshed;

impl Refresh for NeverRefreshed {
    async fn refresh(&self, _: RefreshRequest) -> Result<RefreshResponse, RefreshError> {
        Err(RefreshError::protocol("nothing is refreshed here"))
    }
}

/// Runs `calls` calls of a workload.
pub(crate) fn run(workload: &str, calls: u32) {
    match workload {
        "get" => repeat(layered(), calls, |service| call(service, get())),
        "bare_get" => repeat(Bare, calls, |service| call(service, get())),
        "by_hand" => repeat(by_hand(), calls, |service| call(service, get())),
        "get_clone" => repeat(layered(), calls, |service| oneshot(service, get())),
        "bare_get_clone" => repeat(Bare, calls, |service| oneshot(service, get())),
        "post" => repeat(layered(), calls, |service| call(service, post())),
        "bare_post" => repeat(Bare, calls, |service| call(service, post())),
        "once" => repeat(layered(), calls, |service| call(service, once())),
        "bare_once" => repeat(Bare, calls, |service| call(service, once())),
        other => panic!("no workload is called {other}"),
    }
}

fn by_hand() -> ByHand {
    let mut authorization =
        HeaderValue::try_from(format!("Bearer {ACCESS_TOKEN}")).expect("visible ASCII");
    authorization.set_sensitive(true);
    ByHand { inner: Bare, authorization }
}

fn repeat<S>(mut service: S, calls: u32, one: impl Fn(&mut S)) {
    for _ in 0..calls {
        one(black_box(&mut service));
    }
}

/// Instructions of one call, counted by callgrind.
pub(crate) fn instructions(workload: &str) -> f64 {
    let (few, many) = (200, 1200);
    let difference = counted(workload, many) - counted(workload, few);
    difference as f64 / f64::from(many - few)
}

fn counted(workload: &str, calls: u32) -> u64 {
    let this = std::env::current_exe().expect("the path of this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["--child", workload, &calls.to_string()])
        .output()
        .expect("valgrind runs; install it with `apt-get install valgrind`");
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}");
    report
        .lines()
        .find_map(|line| line.split("Collected :").nth(1))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or_else(|| panic!("callgrind did not count: {report}"))
}

/// Heap operations of one call, once everything is warm.
pub(crate) fn heap(workload: &str) -> f64 {
    run(workload, 1);
    let (few, many) = (100, 1100);
    let before = counting::operations();
    run(workload, few);
    let between = counting::operations();
    run(workload, many);
    let after = counting::operations();
    ((after - between) - (between - before)) as f64 / f64::from(many - few)
}

/// Bytes of the response future beyond the inner one.
pub(crate) fn future_size() -> usize {
    fn size_of_future<S: Service<Request<B>>, B>(_: &S, _: fn() -> Request<B>) -> usize {
        size_of::<S::Future>()
    }
    size_of_future(&layered(), get) - size_of_future(&Bare, get)
}
