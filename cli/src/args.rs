//! The command line. `config` adds a variable of the environment for each flag.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tower_teamup_auth::{AuthScheme, RequestMode};

/// Logs in to the TeamUp API, and hands out its tokens: to scripts, or to any HTTP client through a proxy.
///
/// Each flag can also stand in the configuration file, under its long name, and in a variable of the
/// environment: TEAMUP_AUTH_PROFILE for --profile, TEAMUP_AUTH_PROXY_LISTEN for the --listen of proxy. A
/// flag wins over the environment, the environment over the profile's settings, and these over the file.
///
/// Exit codes: 0 done; 1 failed; 2 wrong usage; 3 a login is required; 4 try again later; 5 the store
/// failed; 6 TeamUp refuses the mode or the provider.
#[derive(Debug, Parser)]
#[command(name = "teamup-auth", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) account: Account,

    /// The configuration file. By default `teamup-auth/config.toml` where the platform keeps such files.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// What is logged to standard error, in tracing's syntax, such as `debug` or `tower_teamup_auth=debug`.
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which account, where it is stored, and what its requests are for.
#[derive(Args, Clone, Debug)]
pub(crate) struct Account {
    /// The name of the account: letters, digits, `.`, `_` and `-`.
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    pub(crate) profile: String,

    /// The API's base. Tokens go to its origin alone.
    #[arg(long, global = true, default_value = "https://goteamup.com/api/v2", value_name = "URL")]
    pub(crate) base_url: String,

    /// The mode that requests act in.
    #[arg(long, global = true, value_enum, default_value = "provider")]
    pub(crate) mode: Mode,

    /// The provider that requests are about, for an account that reaches several.
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) provider_id: Option<u64>,

    /// The word before the token.
    #[arg(long, global = true, value_enum, default_value = "bearer")]
    pub(crate) scheme: Scheme,

    /// Keeps the tokens in Redis or PostgreSQL: `redis://HOST/`, `rediss://HOST/`, `postgres://HOST/DATABASE`.
    /// A URL with a password belongs into the configuration file or the environment.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) store: Option<String>,

    /// Seals the file of the tokens with a key in the platform's keyring.
    #[arg(long, global = true, conflicts_with = "store")]
    pub(crate) keyring: bool,

    /// Trusts the root certificates in this file, too: one or more in PEM.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// How long to wait for a token, in seconds.
    #[arg(long, global = true, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) wait: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in: in the browser, by password, with an M2M token, or with tokens that you have.
    Login(Login),
    /// Print an access token that is valid now.
    Token(Token),
    /// Print the headers of a request, for `curl --header @-`.
    Headers(Headers),
    /// Say what is stored, without asking TeamUp: exit code 0 if requests can be sent, 3 if a login is
    /// required.
    Status(Status),
    /// Refresh the access token now.
    Refresh,
    /// Forget the tokens, here and in every process that shares the store.
    Logout(Logout),
    /// Run an authenticating reverse proxy: any HTTP client sends plain requests, and TeamUp gets tokens.
    Proxy(Proxy),
    /// Run a TeamUp-like server on loopback, for tests in any language.
    Fake(Fake),
    /// Print the completions of a shell.
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, or write the pages of all commands into a folder.
    Man { folder: Option<PathBuf> },
}

#[derive(Args, Debug)]
pub(crate) struct Login {
    /// With user name and password. Asks for the application's direct_auth_key, the password and, where
    /// TeamUp wants it, the phone number and the code. Without a terminal each is a line of standard input.
    #[arg(long, requires = "username", group = "way")]
    pub(crate) password: bool,

    /// With an M2M token, from the terminal or from standard input.
    #[arg(long, group = "way")]
    pub(crate) m2m: bool,

    /// With tokens as JSON from standard input: `{"refresh_token": "..."}`, or what `fake` prints.
    #[arg(long, group = "way")]
    pub(crate) tokens: bool,

    /// The user name of --password.
    #[arg(long)]
    pub(crate) username: Option<String>,

    /// The application, for the login in the browser.
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,

    /// Asks for the application's client secret, too.
    #[arg(long)]
    pub(crate) client_secret: bool,

    /// The port of 127.0.0.1 in the application's redirect URI. 0 is any free one.
    #[arg(long, default_value = "0")]
    pub(crate) port: u16,

    /// The path of that URI.
    #[arg(long, default_value = "/callback", value_name = "PATH")]
    pub(crate) callback_path: String,

    /// The user name that the login page suggests.
    #[arg(long, value_name = "USER")]
    pub(crate) login_hint: Option<String>,

    /// Prints the address of the login page, and opens no browser.
    #[arg(long)]
    pub(crate) no_browser: bool,

    /// How long the person may take, in seconds.
    #[arg(long, default_value = "600", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) person_timeout: Duration,

    /// Replaces stored tokens that can't be read, or are those of another API.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Token {
    /// As JSON: the token, its mode and when it expires.
    #[arg(long)]
    pub(crate) json: bool,

    /// Reads from standard input a token that the API has answered 401, and prints one to try again with.
    #[arg(long)]
    pub(crate) refused: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Headers {
    /// As a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Status {
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Logout {
    /// Also where the stored tokens can't be read.
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Proxy {
    /// Where to listen. Other than loopback only with --secret-file.
    #[arg(long, default_value = "127.0.0.1:8270", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,

    /// Listens on a Unix socket, which this user alone can open.
    #[arg(long, conflicts_with = "listen", value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// Serves /healthz and /metrics at this loopback address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<SocketAddr>,

    /// Refuses requests that name another mode or provider than the flags. By default a client chooses
    /// with TeamUp-Request-Mode and TeamUp-Provider-ID.
    #[arg(long)]
    pub(crate) fixed: bool,

    /// What becomes of a client's own Authorization. It is never forwarded.
    #[arg(long, value_enum, default_value = "refuse")]
    pub(crate) client_authorization: ClientAuthorization,

    /// Makes the API's URLs in `next`, `previous` and Location lead to this proxy.
    #[arg(long)]
    pub(crate) rewrite_urls: bool,

    /// Sends at most so many requests a minute; others wait. 240 without a number.
    #[arg(long, num_args = 0..=1, default_missing_value = "240", value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate_limit: Option<u32>,

    /// Clients have to send the text of this file as TeamUp-Auth-Secret.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,

    /// One more Host that clients may name.
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,

    /// The threads that serve requests. One sends some ten thousand small requests a second.
    #[arg(long, default_value = "1", value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: u16,

    /// How much of an upload is kept for a retry, in bytes.
    #[arg(long, default_value = "1048576", value_name = "BYTES")]
    pub(crate) replay_bytes: usize,

    /// The longest request body, in bytes.
    #[arg(long, default_value = "268435456", value_name = "BYTES")]
    pub(crate) max_body: u64,

    /// The longest request head, in bytes.
    #[arg(long, default_value = "32768", value_name = "BYTES", value_parser = head_size)]
    pub(crate) max_head: usize,

    /// The connections that are served at a time; others wait.
    #[arg(long, default_value = "1024", value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: u32,

    /// How long a client may take for a request's head, and may keep an idle connection, in seconds.
    #[arg(long, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) head_timeout: Duration,

    /// How long a client may pause within a request's body, in seconds.
    #[arg(long, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) body_timeout: Duration,

    /// How long a client may pause in reading an answer, in seconds.
    #[arg(long, default_value = "60", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) answer_timeout: Duration,

    /// How long the API may pause, before an answer and within it, in seconds.
    #[arg(long, default_value = "60", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) api_timeout: Duration,

    /// How long requests under way may go on after SIGTERM, in seconds.
    #[arg(long, default_value = "30", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) drain_timeout: Duration,
}

#[derive(Args, Debug)]
pub(crate) struct Fake {
    /// The port of the API on 127.0.0.1. 0 is any free one.
    #[arg(long, default_value = "0")]
    pub(crate) port: u16,

    /// The port of the control API on 127.0.0.1. 0 is any free one.
    #[arg(long, default_value = "0")]
    pub(crate) control_port: u16,

    /// How long access tokens live, in seconds.
    #[arg(long, default_value = "7200", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) lifetime: Duration,

    /// Requests have to name this provider.
    #[arg(long, value_name = "ID")]
    pub(crate) require_provider: Vec<u64>,

    /// How many events there are to page through.
    #[arg(long, default_value = "25", value_name = "COUNT")]
    pub(crate) events: u64,

    /// Answers 429 above so many requests a minute.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate_limit: Option<u32>,

    /// The password login takes a second factor, and this is its code.
    #[arg(long, value_name = "CODE")]
    pub(crate) two_factor: Option<String>,

    /// Keeps so many entries of the journal.
    #[arg(long, default_value = "10000", value_name = "COUNT")]
    pub(crate) keep_entries: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Customer,
    Provider,
}

impl From<Mode> for RequestMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Customer => RequestMode::Customer,
            Mode::Provider => RequestMode::Provider,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scheme {
    Bearer,
    Jwt,
    Token,
}

impl From<Scheme> for AuthScheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Bearer => AuthScheme::Bearer,
            Scheme::Jwt => AuthScheme::Jwt,
            Scheme::Token => AuthScheme::Token,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientAuthorization {
    /// The request is answered 400.
    Refuse,
    /// The account's token takes its place.
    Replace,
}

/// A year. A point in time that lies much further ahead can't be told by every clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds is expected".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && duration <= LONGEST => Ok(duration),
        _ => Err(format!("more than 0 and at most {} seconds are expected", LONGEST.as_secs())),
    }
}

/// The least that the HTTP server can work with is 8 KiB.
fn head_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes @ 8192..) => Ok(bytes),
        _ => Err("8192 or more bytes are expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_more_than_0_and_at_most_a_year() {
        assert_eq!(seconds("0.2"), Ok(Duration::from_millis(200)));
        assert_eq!(seconds("31536000"), Ok(LONGEST));
        for text in ["", "soon", "0", "-1", "NaN", "inf", "31536001", "1e19", "1e300"] {
            assert!(seconds(text).unwrap_err().contains("expected"), "{text}");
        }
    }
}
