//! Several processes count on the same limits, and not one request too many is admitted.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::limit_store::site::{Kind, Site};

const PROCESSES: usize = 4;
const TASKS: u64 = 8;
const REQUESTS: u64 = 200;
const TENANT: u64 = 5000;
const USER: u64 = 1000;
const ENDPOINT: u64 = 1500;
/// The algorithms of the limits of tenant, user and endpoint: each alone, then mixed so that each
/// is once the one that denies.
const ALGORITHMS: [&str; 6] = ["fff", "sss", "ggg", "gfs", "fsg", "sgf"];
const YEAR_US: u64 = 31_536_000_000_000;

/// A process of its own; it ends with this value at the latest.
struct Worker {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts one and waits until it is connected.
    async fn start(url: &str, tenant: &str, algorithms: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_limit-worker"))
            .args([url, tenant, "42", "/items/{id}", algorithms])
            .args([TENANT, USER, ENDPOINT, TASKS, REQUESTS].map(|number| number.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut worker = Self { child, input, output };
        assert_eq!(worker.read().await, "ready");
        worker
    }

    async fn go(&mut self) {
        self.input.write_all(b"go\n").await.unwrap();
    }

    /// How many of its requests were admitted, denied, and answered otherwise.
    async fn counts(mut self) -> [u64; 3] {
        let line = self.read().await;
        assert!(self.child.wait().await.unwrap().success());
        let counts: Vec<_> = line.split(' ').map(|count| count.parse().unwrap()).collect();
        counts.try_into().unwrap()
    }

    async fn read(&mut self) -> String {
        self.output.next_line().await.unwrap().expect("the worker failed; it said why above")
    }
}

#[tokio::test]
async fn several_processes_are_admitted_exactly_to_the_limit() {
    println!("admitted of {PROCESSES} processes x {TASKS} tasks x {REQUESTS} requests,");
    println!("limits: tenant {TENANT}, user {USER}, endpoint {ENDPOINT}; fixed, sliding, gcra");
    println!("{:>16} {:>5}  {:<20} {:>5}   tenant, user, endpoint", "", "", "by process", "sum");
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        for (turn, algorithms) in (1..).zip(ALGORITHMS) {
            exact(&site, &kind.name(), algorithms).await;
            assert_eq!(site.keys().await.len(), 3 * turn, "no other key is made");
        }
    }
}

/// All processes together are admitted as many as the user's limit, and every limit has counted
/// just these.
async fn exact(site: &Site, name: &str, algorithms: &str) {
    let mut workers = Vec::new();
    for _ in 0..PROCESSES {
        workers.push(Worker::start(&site.url(), algorithms, algorithms).await);
    }
    for worker in &mut workers {
        worker.go().await;
    }
    let mut counts = Vec::new();
    for worker in workers {
        counts.push(worker.counts().await);
    }
    let admitted: Vec<_> = counts.iter().map(|[admitted, ..]| *admitted).collect();
    let sum: u64 = admitted.iter().sum();
    let now = site.now().await * 1000;
    let mut stored = Vec::new();
    let limits =
        [(":*:*:tenant", TENANT), (":42:*:user", USER), (":*:/items/%7Bid%7D:endpoint", ENDPOINT)];
    for (key, limit) in limits {
        // In a cluster the tenant is a hash tag; elsewhere no key has braces.
        let key = site.key(&format!("ratelimit:{{{algorithms}}}{key}"));
        let value = site.command(&["GET", &key]).await.text();
        stored.push(counted(&value, limit, now));
    }
    let by_process = format!("{admitted:?}");
    println!("{name:>16} {algorithms:>5}  {by_process:<20} {sum:>5}   {stored:?}");
    for [admitted, denied, other] in counts {
        assert_eq!(other, 0, "neither admitted nor denied");
        assert_eq!(admitted + denied, TASKS * REQUESTS);
    }
    assert_eq!(sum, USER, "{name} {algorithms}");
    assert_eq!(stored, [USER; 3], "a denial is counted by none: {name} {algorithms}");
}

/// How many a stored counter has counted: its first number, or for GCRA as many intervals as its
/// arrival is ahead of now, one of which has begun.
fn counted(value: &str, limit: u64, now_us: u64) -> u64 {
    match value.strip_prefix('@') {
        Some(arrival) => {
            let ahead = arrival.parse::<u64>().unwrap() - now_us;
            ahead.div_ceil(YEAR_US.div_ceil(limit))
        }
        None => value.split(' ').next().unwrap().parse().unwrap(),
    }
}
