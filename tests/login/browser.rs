//! A headless Chromium, driven through its WebDriver (W3C).

use std::process::Stdio;
use std::time::Duration;

use fantoccini::error::CmdError;
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, ClientBuilder, Locator};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// No wait for the browser is longer than this, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it must not do beside the test: ask its maker for updates, draw on a screen, wait for
/// somebody to answer it.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with a profile of its own. [`close`](Browser::close) ends it; if a test fails before,
/// it is killed together with its driver.
pub(crate) struct Browser {
    client: Client,
    driver: Child,
    /// The browser's own process, for as long as it has not been closed.
    process: Option<Pid>,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        // It binds a free port of IPv4, then the same one of IPv6, which another may have taken.
        let mut tries = 0;
        let (driver, port) = loop {
            tries += 1;
            let mut driver = Command::new("chromedriver")
                .arg("--port=0")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .expect("chromedriver; `scripts/test` installs it, as Debian's chromium-driver");
            let port = tokio::time::timeout(PATIENCE, port_of(&mut driver))
                .await
                .expect("chromedriver says its port within a minute");
            if let Some(port) = port {
                break (driver, port);
            }
            let status = driver.wait().await.expect("its exit status");
            assert!(tries < 10, "chromedriver ended before it listened, ten times: {status}");
        };
        let profile = tempfile::tempdir().unwrap();
        let mut flags: Vec<String> = FLAGS.map(str::to_owned).into();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let capabilities = json!({ "goog:chromeOptions": { "args": flags } });
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a session of Chromium");
        let process = client.capabilities().and_then(|found| found["goog:processID"].as_i64());
        let process = process.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        assert!(process.is_some(), "the driver names the browser's process");
        Browser { client, driver, process, _profile: profile }
    }

    pub(crate) async fn open(&self, url: &str) {
        self.try_open(url).await.unwrap();
    }

    pub(crate) async fn try_open(&self, url: &str) -> Result<(), CmdError> {
        self.client.goto(url).await
    }

    pub(crate) async fn url(&self) -> String {
        self.client.current_url().await.unwrap().into()
    }

    /// The tab that is in front.
    pub(crate) async fn tab(&self) -> WindowHandle {
        self.client.window().await.unwrap()
    }

    /// Opens a tab and goes to it.
    pub(crate) async fn new_tab(&self) -> WindowHandle {
        let tab = self.client.new_window(true).await.unwrap().handle;
        self.switch_to(tab.clone()).await;
        tab
    }

    pub(crate) async fn switch_to(&self, tab: WindowHandle) {
        self.client.switch_to_window(tab).await.unwrap();
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.client.find(Locator::Css(selector)).await.unwrap().click().await.unwrap();
    }

    /// What a person reads.
    pub(crate) async fn text(&self) -> String {
        self.client.find(Locator::Css("body")).await.unwrap().text().await.unwrap()
    }

    /// Waits for the page whose element holds these words, and reads it.
    pub(crate) async fn text_with(&self, selector: &str, words: &str) -> String {
        let arrived = async {
            loop {
                let wait = self.client.wait().at_most(PATIENCE);
                let element = wait.for_element(Locator::Css(selector)).await.unwrap();
                // Stale where the next page has come in between: then look again.
                match element.text().await {
                    Ok(text) if text.contains(words) => return self.text().await,
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        match tokio::time::timeout(PATIENCE, arrived).await {
            Ok(text) => text,
            Err(_) => panic!("no page says `{words}`, but this one: {}", self.text().await),
        }
    }

    pub(crate) async fn close(mut self) {
        self.client.clone().close().await.unwrap();
        self.process = None;
        self.driver.kill().await.unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(process) = self.process {
            // It may have ended by itself.
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

/// Reads "ChromeDriver was started successfully on port 43210."; `None` if it ends before.
async fn port_of(driver: &mut Child) -> Option<u16> {
    let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
    while let Some(line) = said.next_line().await.unwrap() {
        if let Some((_, port)) = line.rsplit_once("started successfully on port ") {
            let port = port.trim_end_matches('.').parse().unwrap();
            // Whatever else it says is read, so that it never waits for a reader.
            tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
            return Some(port);
        }
    }
    None
}
