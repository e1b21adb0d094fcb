//! What the cache engine asks of Redis, held on real servers: [`SharedStore`]'s law, and what each
//! thing costs in commands and in writes to the socket.

mod cache;
mod costs;
mod faults;
mod generations;
mod hearing;
mod leases;
mod long;
pub(crate) mod process;
