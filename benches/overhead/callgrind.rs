//! Instructions, counted by valgrind's callgrind in a child process: this very program.

use std::process::Command;

/// Instructions of one call of what `arguments` name, to which the number of calls is added: the
/// difference between a short run and a long one, so that start-up costs nothing.
pub(crate) fn per_call(arguments: &[&str]) -> f64 {
    per_round(arguments, 200, 1200)
}

/// The same for what is so long that a few rounds will do.
pub(crate) fn per_round(arguments: &[&str], few: u32, many: u32) -> f64 {
    let difference = counted(arguments, many) - counted(arguments, few);
    difference as f64 / f64::from(many - few)
}

fn counted(arguments: &[&str], calls: u32) -> u64 {
    let this = std::env::current_exe().expect("the path of this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(arguments)
        .arg(calls.to_string())
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
