//! The query cache on memory, Redis, Valkey and clusters of them, in one process and in several.

mod behaviours;
mod budget;
mod flights;
mod outage;
mod place;
mod races;
mod strangers;
