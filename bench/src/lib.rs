//! What the benches share: a clock that counts this thread's work only, and medians.

pub mod body;
pub mod servers;
pub mod together;
pub mod turns;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds that this thread has worked. Time that others took the processor for is left out.
pub fn thread_nanos() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// The kernel counts a process's time in hundredths of a second.
pub const TICK_MICROS: f64 = 10_000.0;

/// How long a process has worked, in the kernel and outside.
pub fn ticks(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // The second field is a name and may hold anything; fields 14 and 15 are looked for.
    let (_, rest) = stat.rsplit_once(") ").expect("it has a name");
    let ticks = |text: &str| text.parse::<f64>().expect("a number");
    rest.split(' ').skip(11).take(2).map(ticks).sum()
}

/// The `part` quantile, from 0 to 1; 0.5 is the median.
pub fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}

/// The median.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The argument after `name`, or `default`.
pub fn argument(name: &str, default: usize) -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != name).skip(1);
    arguments.next().map_or(default, |value| value.parse().expect("a number"))
}

/// Whether `name` was given.
pub fn flag(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}
