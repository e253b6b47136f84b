//! What the person reads in the browser at the end.

pub(super) fn logged_in() -> String {
    page("You are logged in", &["You can close this window and go back to the program."])
}

pub(super) fn denied() -> String {
    page(
        "You did not approve",
        &[
            "The program may not act for you, so it has no tokens and has stored nothing.",
            "If that was a mistake, start the login again in the program. You can close this window.",
        ],
    )
}

pub(super) fn another_login() -> String {
    page(
        "This is not the login that was started",
        &[
            "The address does not carry the state that the program sent. Its code was not used and \
             nothing was stored.",
            "Go back to the page that the program opened last, or start the program again.",
        ],
    )
}

pub(super) fn over() -> String {
    page("This login is over", &["You can close this window and go back to the program."])
}

pub(super) fn failed(why: &str) -> String {
    page("You are not logged in", &[why, "Start the login again. You can close this window."])
}

/// A page with a heading and paragraphs. The texts are escaped.
fn page(heading: &str, paragraphs: &[&str]) -> String {
    let paragraphs: String =
        paragraphs.iter().map(|text| format!("<p>{}</p>", escape(text))).collect();
    let heading = escape(heading);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{heading}</title>\
         <style>body {{ font: 1.1rem/1.5 sans-serif; max-width: 40rem; margin: 4rem auto }}</style>\
         </head><body><main><h1>{heading}</h1>{paragraphs}</main></body></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn text_of_others_is_escaped() {
        assert!(super::failed("<b>&\"").contains("<p>&lt;b&gt;&amp;&quot;</p>"));
    }
}
