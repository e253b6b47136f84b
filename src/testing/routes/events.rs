//! `GET /api/v2/events`: a list that comes in pages, with absolute links from one to the next.
//!
//! `page`, `page_size` of at most 100, and absolute `next` and `previous` are documented. `count`
//! and `results` are what list endpoints of this kind usually have beside them.

use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::answer::Answer;
use super::super::settings::{DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE};
use super::super::shared::Shared;

pub(super) fn list(shared: &Shared, head: &Parts) -> Answer {
    if head.method != Method::GET && head.method != Method::HEAD {
        return super::method_not_allowed("GET, HEAD");
    }
    let query = head.uri.query().unwrap_or_default();
    let (Some(page), Some(page_size)) =
        (number(query, "page", 1), number(query, "page_size", DEFAULT_PAGE_SIZE))
    else {
        return no_such_page();
    };
    let page_size = page_size.min(MAX_PAGE_SIZE);
    let (count, base) = {
        let state = shared.lock();
        let base = state.settings.page_links.clone();
        (state.settings.events, base.unwrap_or_else(|| format!("{}/api/v2", shared.origin())))
    };
    // An empty list has one page, which is empty.
    let pages = count.div_ceil(page_size).max(1);
    if page > pages {
        return no_such_page();
    }
    let link = |page: u64| format!("{base}/events?page={page}&page_size={page_size}");
    let first = (page - 1) * page_size + 1;
    let results: Vec<Value> = (first..=count.min(page * page_size)).map(event).collect();
    Answer::ok(json!({
        "count": count,
        "next": (page < pages).then(|| link(page + 1)),
        "previous": (page > 1).then(|| link(page - 1)),
        "results": results,
    }))
}

fn event(id: u64) -> Value {
    json!({
        "id": id,
        "name": format!("Class {id}"),
        "starts_at": format!("2030-01-{:02}T{:02}:00:00Z", 1 + id % 28, 6 + id % 14),
        "max_occupancy": 12,
    })
}

/// A positive number of the query: `default` where it is not there, `None` where it is none.
fn number(query: &str, name: &str, default: u64) -> Option<u64> {
    match form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name).last() {
        None => Some(default),
        // Large enough for every test, small enough that no product overflows.
        Some((_, value)) => value.parse().ok().filter(|number| (1..=1 << 31).contains(number)),
    }
}

fn no_such_page() -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "not_found", "There is no such page.")
}
