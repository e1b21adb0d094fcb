//! Where there is no bus, one line says so, and nothing else is different.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::sleep;
use tower_keep_redis::{BusState, Connection, ErrorClass, SharedBus};
use tower_keep_tests::{Flavor, Server, wait_until};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::{PATIENT, config, process, reaches};

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// From here until the guard is dropped.
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_env_filter(EnvFilter::new("tower_keep=info,tower_keep_redis=info"))
            .with_ansi(false)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self, about: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(about)).map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The right to channels is not given by default: `resetchannels`.
#[tokio::test]
async fn refused_by_acl_it_is_off_and_one_line_says_so() {
    for flavor in Flavor::ALL {
        let server = Server::builder(flavor)
            .acl_user("app", "s3cret", "~* resetchannels +@all")
            .acl_user("mute", "s3cret", "~* &* +@all -subscribe")
            .start()
            .await;
        for user in ["app", "mute"] {
            let (log, _guard) = Log::start();
            let (connection, bus) = process(config(&server.url_as(user))).await;
            let is_off = || async {
                matches!(bus.state(), BusState::Off { reason } if reason.starts_with("NOPERM"))
            };
            assert!(wait_until(PATIENT, is_off).await, "{:?}", bus.state());
            sleep(Duration::from_millis(300)).await;
            let lines = log.lines("may not listen");
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains("WARN") && lines[0].contains("NOPERM"), "{}", lines[0]);
            assert!(!lines[0].contains("s3cret"));
            connection.command("PING", None, Vec::new()).await.unwrap();
            if user == "app" {
                let error = bus.publish(1, b"x").await.unwrap_err();
                assert_eq!(error.class(), ErrorClass::Refused, "{error}");
            }
        }
    }
}

#[tokio::test]
async fn switched_off_it_does_nothing() {
    let server = Server::start(Flavor::Redis).await;
    let (log, _guard) = Log::start();
    let off = config(&server.url()).with_pubsub(false);
    let connection = Connection::connect(off.clone()).unwrap();
    connection.require().await.unwrap();
    let shared = SharedBus::default();
    let bus = shared.get(&connection, off.pubsub()).unwrap();
    drop(shared.get(&connection, off.pubsub()).unwrap());
    assert!(matches!(bus.state(), BusState::Off { reason } if reason.contains("REDIS_PUBSUB")));
    let mut monitor = server.monitor().await;
    let error = bus.publish(1, b"x").await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotSent);
    assert_eq!(monitor.count().await, 0);
    assert_eq!(log.lines("not listening").len(), 1);
}

/// Going away and coming back is one line each, however many attempts it took.
#[tokio::test]
async fn one_line_for_each_change() {
    let mut server = Server::start(Flavor::Redis).await;
    let (log, _guard) = Log::start();
    let (_connection, bus) = process(config(&server.url())).await;
    reaches(&bus, BusState::Live).await;
    server.kill();
    reaches(&bus, BusState::Lost).await;
    sleep(Duration::from_secs(1)).await;
    server.restart().await;
    reaches(&bus, BusState::Live).await;
    assert_eq!(log.lines("cannot listen to other processes").len(), 1);
    assert_eq!(log.lines("listening to other processes").len(), 2);
    assert_eq!(log.lines("listening to other processes again").len(), 1);
}
