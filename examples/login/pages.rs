//! What the person sees in the browser at the end.

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

pub(crate) fn worked(next: &str) -> String {
    page(
        "It worked: you are logged in",
        &[
            "The program has its tokens and keeps them in a file. You can close this window.",
            "What to do next, in the terminal:",
            next,
        ],
    )
}

pub(crate) fn denied() -> String {
    page(
        "You said no",
        &[
            "TeamUp was told that this program may not act for you, so it has no tokens and has \
             stored nothing.",
            "If that was a slip, start the program again. You can close this window.",
        ],
    )
}

pub(crate) fn stranger() -> String {
    page(
        "This is not the login that was started",
        &[
            "The answer that arrived carries another state than the one which this program sent, so \
             somebody else may have made it. Its code was not used and nothing was stored.",
            "Start the program again, and open only the address that it prints.",
        ],
    )
}

pub(crate) fn failed(why: &str) -> String {
    page(
        "It did not work",
        &[why, "Nothing was lost: start the program again. You can close this window."],
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
