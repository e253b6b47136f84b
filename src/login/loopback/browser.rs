//! The person's browser.

/// Asks the person's browser to open `url`. True if there is one to ask; whether the page was
/// shown is not known.
///
/// Print the address as well: over SSH there is no browser, and the person may prefer another one.
///
/// # Cancel safety
///
/// The browser is started even if the future is dropped.
///
/// # Panics
///
/// Outside a Tokio runtime.
pub async fn open_browser(url: &str) -> bool {
    let url = url.to_owned();
    // A browser in the terminal blocks until the person leaves it.
    let opened = tokio::task::spawn_blocking(move || {
        let mut options = webbrowser::BrowserOptions::new();
        options.with_suppress_output(true);
        let browser = webbrowser::Browser::Default;
        webbrowser::open_browser_with_options(browser, &url, &options).is_ok()
    });
    opened.await.unwrap_or(false)
}
