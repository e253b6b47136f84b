//! A fleet: twenty processes share the tokens of one credential, first in a file, then in Redis, then in
//! PostgreSQL.
//!
//! ```text
//! cargo run -p examples --example fleet
//! ```
//!
//! Five times their access token expires for all of them at once, by the clock or because the
//! server withdraws it, and then each sends its requests through a layer of its own. However many
//! processes there are, an expiry costs one refresh request: whoever gets the right to refresh first does
//! it, and the others find the new tokens in the store. Refresh tokens rotate, so a second refresh request
//! would be a spent token sent again, which logs the user out.
//!
//! Starts a TeamUp-like server, a Redis and a PostgreSQL of its own, all on free loopback ports. Exits 0
//! only if all went as it should, and 2 where one of the two is not installed.

#[cfg(unix)]
mod parent;
#[cfg(unix)]
mod servers;
#[cfg(unix)]
mod worker;

/// The first argument of a process that this example has started itself.
#[cfg(unix)]
const WORKER: &str = "worker";

#[cfg(unix)]
#[tokio::main]
async fn main() -> std::process::ExitCode {
    use std::process::ExitCode;

    let mut arguments = std::env::args().skip(1);
    let end = match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, ..) => parent::run().await,
        (Some(WORKER), Some(base_url), Some(store)) => {
            worker::run(&base_url, &store).await.map(|()| ExitCode::SUCCESS)
        }
        _ => {
            eprintln!("usage: cargo run -p examples --example fleet");
            return ExitCode::from(2);
        }
    };
    end.unwrap_or_else(|error| {
        eprintln!("fleet: {error:#}");
        ExitCode::FAILURE
    })
}

#[cfg(not(unix))]
fn main() {
    eprintln!("fleet: the servers of this example are started and stopped in the way of Unix");
    std::process::exit(2);
}
