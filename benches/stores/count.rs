//! Counts the fsyncs of processes, this one or a server's, with strace.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

/// An strace that is attached to some processes.
pub(crate) struct Fsyncs {
    strace: Child,
    calls: NamedTempFile,
}

impl Fsyncs {
    /// Begins to count. `None`, and a word why, where strace can't be attached.
    pub(crate) fn of(processes: &[u32]) -> Option<Self> {
        let calls = NamedTempFile::new().expect("a temporary file");
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=fsync,fdatasync,sync_file_range,msync,syncfs"]);
        command.arg("-o").arg(calls.path());
        for process in processes {
            command.args(["-p", &process.to_string()]);
        }
        let spawned = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut strace = match spawned {
            Ok(strace) => strace,
            Err(error) => {
                eprintln!("no fsyncs are counted, because strace can't be run: {error}");
                return None;
            }
        };
        let mut said = BufReader::new(strace.stderr.take().expect("it was piped")).lines();
        let attached = said.by_ref().map_while(Result::ok).filter(|line| line.contains("attached"));
        if attached.take(processes.len()).count() < processes.len() {
            eprintln!("no fsyncs are counted, because strace was not allowed to attach");
            let _ = strace.wait();
            return None;
        }
        // What it says later must not block it.
        std::thread::spawn(move || said.for_each(drop));
        Some(Fsyncs { strace, calls })
    }

    /// How many there were.
    pub(crate) fn end(mut self) -> usize {
        // It detaches and writes what it has.
        kill_process(Pid::from_child(&self.strace), Signal::INT).expect("a child that runs");
        self.strace.wait().expect("a child that was not waited for");
        let calls = fs::read_to_string(self.calls.path()).expect("strace's own file");
        // A call that another thread's interrupts is written in two lines.
        calls.lines().filter(|line| line.contains('(') && !line.contains("resumed>")).count()
    }
}

/// A process and its children, if it is there.
pub(crate) fn with_children(process: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    std::iter::once(process).chain(children).collect()
}
