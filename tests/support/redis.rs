//! A real Redis server on a free loopback port, for the tests that need one.

#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// A `redis-server` process that keeps nothing on disk. It ends with this value.
pub struct RedisServer {
    process: Option<Child>,
    port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    /// The port of the primary that it watches, if it is a Sentinel.
    sentinel_of: Option<u16>,
}

impl RedisServer {
    /// Starts a server, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When `redis-server` is not installed, or does not start.
    pub fn start() -> Self {
        RedisServer::start_with(&[])
    }

    /// The same, with further arguments: `["--requirepass", "secret"]`, say.
    pub fn start_with(arguments: &[&str]) -> Self {
        RedisServer::in_folder(arguments).started()
    }

    fn in_folder(arguments: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "teamup-redis-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder for redis-server");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        RedisServer { process: None, port: 0, folder, arguments, sentinel_of: None }
    }

    fn started(mut self) -> Self {
        // Another process may take the free port in between, so the first one is not always had.
        for _ in 0..5 {
            self.port = free_port();
            if self.launch() {
                return self;
            }
        }
        panic!("redis-server does not start on any free port; try it by hand");
    }

    /// The port that it listens on, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL, without a password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.running().id()
    }

    /// Ends the server without a warning (SIGKILL); what it held is lost.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("redis-server can be killed");
            process.wait().expect("redis-server can be waited for");
        }
    }

    /// Asks the server to end (SIGTERM) and waits until it has; what it held is lost.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            kill_process(pid(&process), Signal::TERM).expect("redis-server can be signalled");
            process.wait().expect("redis-server can be waited for");
        }
    }

    /// Starts an ended server again, empty, on the same port.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the server still runs");
        assert!(self.launch(), "redis-server does not start again on port {}", self.port);
    }

    /// Stops the server in its tracks (SIGSTOP): it keeps its connections and answers nothing.
    pub fn pause(&self) {
        let pid = pid(self.running());
        kill_process(pid, Signal::STOP).expect("redis-server can be signalled");
        let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED)
            .expect("redis-server can be waited for")
            .expect("a wait without NOHANG has a result");
        assert!(status.stopped(), "redis-server ended instead of stopping");
    }

    /// Lets a paused server go on (SIGCONT).
    pub fn resume(&self) {
        kill_process(pid(self.running()), Signal::CONT).expect("redis-server can be signalled");
    }

    /// Sends one command over a connection of its own, and gives the answer.
    pub fn query<T: redis::FromRedisValue>(&self, command: &[impl redis::ToRedisArgs]) -> T {
        self.query_as(&self.url(), command)
    }

    /// The same by another URL: one that brings a password, say.
    pub fn query_as<T: redis::FromRedisValue>(
        &self,
        url: &str,
        command: &[impl redis::ToRedisArgs],
    ) -> T {
        let client = redis::Client::open(url).expect("a valid URL");
        let mut connection =
            client.get_connection_with_timeout(Duration::from_secs(20)).expect("a connection");
        let mut packed = redis::Cmd::new();
        for part in command {
            packed.arg(part);
        }
        packed.query(&mut connection).unwrap_or_else(|error| panic!("{}: {error}", url))
    }

    /// How often it has run a command of this name since it started.
    pub fn calls(&self, command: &str) -> u64 {
        let statistics: String = self.query(&["INFO", "commandstats"]);
        let start = format!("cmdstat_{}:calls=", command.to_lowercase());
        statistics
            .lines()
            .find_map(|line| line.strip_prefix(&start)?.split(',').next()?.parse().ok())
            .unwrap_or(0)
    }

    fn running(&self) -> &Child {
        self.process.as_ref().expect("the server runs")
    }

    /// Starts the process; false if it ended again before it answered.
    fn launch(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        if let Some(primary) = self.sentinel_of {
            let file = self.folder.join("sentinel.conf");
            let settings = format!(
                "sentinel monitor tokens 127.0.0.1 {primary} 1\n\
                 sentinel down-after-milliseconds tokens 300\n\
                 sentinel failover-timeout tokens 3000\n"
            );
            std::fs::write(&file, settings).expect("a file for Sentinel");
            command.arg(file).arg("--sentinel");
        } else {
            command.args(["--save", "", "--appendonly", "no"]);
        }
        let spawned = command
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"])
            .arg("--dir")
            .arg(&self.folder)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut process = match spawned {
            Ok(process) => process,
            Err(error) => panic!(
                "this test needs a real Redis, and `redis-server` can't be run ({error}): install \
                 it, with `apt-get install redis-server` for instance"
            ),
        };
        let mut ended = false;
        until("redis-server answers or ends", || {
            ended = process.try_wait().expect("redis-server can be waited for").is_some();
            ended || answers(self.port)
        });
        if !ended {
            self.process = Some(process);
        }
        !ended
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Neither can fail for a child that was not waited for yet.
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Three nodes of a cluster, which share all slots among them.
pub struct RedisCluster {
    pub nodes: [RedisServer; 3],
}

impl RedisCluster {
    /// Starts the nodes, and waits until each knows the others.
    pub fn start() -> Self {
        let buses = [(); 3].map(|()| free_port().to_string());
        let nodes = buses.each_ref().map(|bus| {
            RedisServer::start_with(&["--cluster-enabled", "yes", "--cluster-port", bus])
        });
        let slots = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        for ((node, (first, last)), epoch) in nodes.iter().zip(slots).zip(["1", "2", "3"]) {
            node.query::<()>(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
            node.query::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", epoch]);
        }
        for (node, bus) in nodes.iter().zip(&buses).skip(1) {
            nodes[0].query::<()>(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), bus]);
        }
        let cluster = RedisCluster { nodes };
        cluster.wait_until_whole();
        cluster
    }

    /// Waits until every node knows of all slots.
    pub fn wait_until_whole(&self) {
        for node in &self.nodes {
            until("the cluster is whole", || {
                let state: String = node.query(&["CLUSTER", "INFO"]);
                state.contains("cluster_state:ok") && state.contains("cluster_known_nodes:3")
            });
        }
    }

    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }
}

/// A Sentinel that watches one primary under the name `tokens`, and makes its replica the primary
/// when the primary is gone for 300 ms.
pub struct RedisSentinel(RedisServer);

impl RedisSentinel {
    /// Starts it, and waits until it knows of the primary's replica.
    pub fn start(primary: &RedisServer) -> Self {
        let mut server = RedisServer::in_folder(&[]);
        server.sentinel_of = Some(primary.port());
        let sentinel = RedisSentinel(server.started());
        until("Sentinel knows of the replica", || {
            let known: Vec<redis::Value> = sentinel.0.query(&["SENTINEL", "REPLICAS", "tokens"]);
            !known.is_empty()
        });
        sentinel
    }

    pub fn url(&self) -> String {
        self.0.url()
    }

    /// The port of the server that it takes for the primary.
    pub fn primary(&self) -> u16 {
        let (_, port): (String, u16) =
            self.0.query(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "tokens"]);
        port
    }
}

/// Waits until a condition comes true.
///
/// # Panics
///
/// When it has not come true after 20 s.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..4000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("waited 20 s without effect until {what}");
}

/// A loopback port that nobody listens on at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free loopback port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Does a server on this port answer a `PING`, be it to ask for a password first?
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let mut answer = [0; 16];
    let asked = stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .and_then(|()| stream.write_all(b"PING\r\n"))
        .and_then(|()| stream.read(&mut answer));
    asked.is_ok_and(|length| length > 0 && !answer.starts_with(b"-LOADING"))
}

fn pid(process: &Child) -> Pid {
    Pid::from_child(process)
}
