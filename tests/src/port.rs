//! Ports for the servers.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
};

/// The harness's own connections come from ports below this, its servers listen above.
const LOWEST: u16 = 12_000;
const LOWEST_SOURCE: u16 = 4_000;

/// A loopback TCP port that nobody listens on.
///
/// It lies below the range from which the system takes the source ports of outgoing connections.
/// So a port stays free while its server is down between `kill` and `restart`, and a client that
/// keeps trying to reconnect can never meet itself there (a loopback socket whose source and
/// destination port are the same connects to itself).
pub fn free_port() -> io::Result<u16> {
    free_in(LOWEST..outgoing_start().max(LOWEST + 1_000))
}

/// A source port for the harness's own hand: one that the system gives to no other connection, so
/// that a `MONITOR` line from it is never a client's.
pub(crate) fn source_port() -> io::Result<u16> {
    free_in(LOWEST_SOURCE..LOWEST)
}

fn free_in(range: Range<u16>) -> io::Result<u16> {
    let span = u64::from(range.end - range.start);
    for _ in 0..200 {
        let offset = RandomState::new().hash_one(()) % span;
        let port = range.start + u16::try_from(offset).unwrap_or(0);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free loopback port was found"))
}

/// Where the system's range of outgoing ports begins; Linux's default where it does not say.
fn outgoing_start() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::{LOWEST, free_port, outgoing_start, source_port};

    #[test]
    fn servers_clients_and_the_harness_have_ports_apart() {
        // Where the system's range begins lower than usual, there is no room to be had below it.
        let end = outgoing_start().max(LOWEST + 1_000);
        for _ in 0..100 {
            let (port, source) = (free_port().unwrap(), source_port().unwrap());
            assert!((LOWEST..end).contains(&port), "{port}");
            assert!(source < LOWEST, "{source}");
        }
    }
}
