//! What the benches share: a clock that counts this thread's work only, and medians.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds that this thread has worked. Time that others took the processor for is left out.
pub fn thread_nanos() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
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
