//! Figure 3: what a command costs in writes to the socket.

use tokio::time::sleep;
use tower_keep_tests::{Flavor, Proxy, Server};

use super::{PATIENT, config, connected, incr, ms};

#[tokio::test]
async fn a_check_on_an_idle_link_is_one_write() {
    const CHECKS: u64 = 500;
    for flavor in Flavor::ALL {
        let server = Server::start(flavor).await;
        let proxy = Proxy::start(server.port());
        let connection = connected(config(&proxy.url()).with_timeout(PATIENT)).await;
        incr(&connection, "warm").await.unwrap();
        sleep(ms(50)).await;
        let before = proxy.client_writes();
        for _ in 0..CHECKS {
            incr(&connection, "n").await.unwrap();
        }
        let writes = proxy.client_writes() - before;
        println!("figure 3, {flavor}: {writes} writes for {CHECKS} checks, one after the other");
        assert_eq!(writes, CHECKS);

        // fred flushes after each command of the kind that we send, also when several are sent at
        // once: they are no worse off than one after the other.
        let before = proxy.client_writes();
        for _ in 0..CHECKS {
            let (a, b, c) = tokio::join!(
                incr(&connection, "a"),
                incr(&connection, "b"),
                incr(&connection, "c")
            );
            assert!(a.is_ok() && b.is_ok() && c.is_ok());
        }
        let writes = proxy.client_writes() - before;
        println!("figure 3, {flavor}: {writes} writes for {CHECKS} times three checks at once");
        assert!(writes <= CHECKS * 3, "{writes}");
    }
}
