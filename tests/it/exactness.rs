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

/// A process of its own; it ends with this value at the latest.
struct Worker {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts one and waits until it is connected.
    async fn start(url: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_limit-worker"))
            .args([url, "acme", "42", "/items/{id}"])
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
    println!("limits: tenant {TENANT}, user {USER}, endpoint {ENDPOINT}");
    println!("{:>16}  {:<20} {:>5}   tenant, user, endpoint", "", "by process", "sum");
    for kind in Kind::ALL {
        let site = Site::start(kind).await;
        let mut workers = Vec::new();
        for _ in 0..PROCESSES {
            workers.push(Worker::start(&site.url()).await);
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
        let mut stored = Vec::new();
        for key in [
            "ratelimit:{acme}:*:*:tenant",
            "ratelimit:{acme}:42:*:user",
            "ratelimit:{acme}:*:/items/%7Bid%7D:endpoint",
        ] {
            // In a cluster the tenant is a hash tag; elsewhere no key has braces.
            let value = site.command(&["GET", &site.key(key)]).await.text();
            stored.push(value.split(' ').next().unwrap().parse::<u64>().unwrap());
        }
        let by_process = format!("{admitted:?}");
        println!("{:>16}  {by_process:<20} {sum:>5}   {stored:?}", kind.name());
        for [admitted, denied, other] in counts {
            assert_eq!(other, 0, "neither admitted nor denied");
            assert_eq!(admitted + denied, TASKS * REQUESTS);
        }
        assert_eq!(sum, USER);
        assert_eq!(stored, [USER; 3], "a denial is counted by none");
        assert_eq!(site.keys().await.len(), 3);
    }
}
