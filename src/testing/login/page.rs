//! The pages that a person sees.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use quick_xml::escape::escape;

use super::super::answer::{Answer, Content};

/// Asks the user. The form goes back to the URL of the page, so the query comes along.
pub(super) fn ask(client_id: &str, user: &str, redirect_uri: &str, scope: &str) -> Answer {
    let scopes: String =
        scope.split(' ').map(|scope| format!("<li><code>{}</code></li>", escape(scope))).collect();
    page(
        StatusCode::OK,
        "Authorize",
        &format!(
            "<p><strong>{}</strong> wants to act for <strong>{}</strong>:</p>\
             <ul>{scopes}</ul>\
             <form method=\"post\">\
             <button id=\"approve\" name=\"decision\" value=\"approve\">Approve</button> \
             <button id=\"deny\" name=\"decision\" value=\"deny\">Deny</button>\
             </form>\
             <p>You will be taken to <code>{}</code>.</p>\
             <p><small>This is a fake TeamUp for tests.</small></p>",
            escape(client_id),
            escape(user),
            escape(redirect_uri),
        ),
    )
}

/// Says what is wrong where the user must not be sent on (RFC 6749 section 4.1.2.1).
pub(super) fn refuse(message: &str) -> Answer {
    let message = format!("<p id=\"error\">{}</p>", escape(message));
    page(StatusCode::BAD_REQUEST, "This request can't be authorized", &message)
}

fn page(status: StatusCode, title: &str, content: &str) -> Answer {
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>{title} – fake TeamUp</title></head>\
         <body><main><h1>{title}</h1>{content}</main></body></html>\n"
    );
    Answer::new(status, Content::Bytes(Bytes::from(html)))
        .with_header(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))
        .with_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
