//! Ports for the servers.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io,
    net::{Ipv4Addr, TcpListener},
};

const LOWEST: u16 = 12_000;

/// A loopback TCP port that nobody listens on.
///
/// It lies below the range from which the system takes the source ports of outgoing connections.
/// So a port stays free while its server is down between `kill` and `restart`, and a client that
/// keeps trying to reconnect can never meet itself there (a loopback socket whose source and
/// destination port are the same connects to itself).
pub fn free_port() -> io::Result<u16> {
    let span = u64::from(outgoing_start().saturating_sub(LOWEST).max(1_000));
    for _ in 0..200 {
        let offset = RandomState::new().hash_one(()) % span;
        let port = LOWEST + u16::try_from(offset).unwrap_or(0);
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
    use super::{LOWEST, free_port, outgoing_start};

    #[test]
    fn a_port_is_never_one_of_the_outgoing_ones() {
        assert!(outgoing_start() > LOWEST + 1_000, "this system's range leaves no room");
        for _ in 0..100 {
            let port = free_port().unwrap();
            assert!((LOWEST..outgoing_start()).contains(&port), "{port}");
        }
    }
}
