//! Dates as HTTP writes them (RFC 9110 §5.6.7).
//!
//! All three forms are read, in any letter case, and whatever day of the week they name: a date
//! whose weekday is wrong is still that date. Nothing else is forgiven, since a date that is not
//! understood makes a response stale, which is the safe side.

use http::{HeaderMap, HeaderName, HeaderValue};
use tower_keep_core::time::UnixMillis;

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// The days from the first of March of the year 0 to 1970.
const EPOCH: u64 = 719_468;

/// The last second that the form of today can write: 9999-12-31 23:59:59.
const LAST: u64 = 253_402_300_799;

/// The moment that `value` names; one before 1970 is 1970. `now` tells which century a year of
/// two digits is in.
pub(crate) fn parse(value: &[u8], now: UnixMillis) -> Option<UnixMillis> {
    let value = value.trim_ascii();
    let (date, time) = fixdate(value).or_else(|| asctime(value)).or_else(|| rfc850(value, now))?;
    let since_1970 = date.days()?.checked_sub(EPOCH).map_or(0, |days| days * 86_400 + time);
    // A leap second at the end of 9999 would be later than what can be written.
    Some(UnixMillis(since_1970.min(LAST) * 1000))
}

/// The moment that the field `name` names: `None` where it is absent, makes no sense, or stands
/// on more lines than one.
pub(crate) fn field(headers: &HeaderMap, name: HeaderName, now: UnixMillis) -> Option<UnixMillis> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    if lines.next().is_some() {
        return None;
    }
    parse(line.as_bytes(), now)
}

/// `at` as a field's value. What is later than the form can write is its last second.
pub(crate) fn format(at: UnixMillis) -> HeaderValue {
    let at = UnixMillis(at.0.min(LAST * 1000)).to_system_time();
    HeaderValue::try_from(httpdate::fmt_http_date(at))
        .unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

struct Date {
    year: u64,
    /// From 1.
    month: u64,
    day: u64,
}

impl Date {
    /// Days since the first of March of the year 0; `None` for a day that its month has not.
    fn days(&self) -> Option<u64> {
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let length = match self.month {
            2 if leap(self.year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if self.day == 0 || self.day > length {
            return None;
        }
        // Years begin in March, so that the day that is not always there is their last.
        let (year, month) = if self.month > 2 {
            (self.year, self.month - 3)
        } else {
            // The year 0 has no January that could be written.
            (self.year.checked_sub(1)?, self.month + 9)
        };
        let day_of_year = (153 * month + 2) / 5 + self.day - 1;
        Some(year * 365 + year / 4 - year / 100 + year / 400 + day_of_year)
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn fixdate(value: &[u8]) -> Option<(Date, u64)> {
    let value: &[u8; 29] = value.try_into().ok()?;
    let [w1, w2, w3, b',', b' ', d1, d2, b' ', m1, m2, m3, b' ', y1, y2, y3, y4, b' ', rest @ ..] =
        value
    else {
        return None;
    };
    weekday([*w1, *w2, *w3])?;
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let date = Date { year, month: month([*m1, *m2, *m3])?, day: number(&[*d1, *d2])? };
    Some((date, time(zoned(rest)?)?))
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<(Date, u64)> {
    let value: &[u8; 24] = value.try_into().ok()?;
    let [w1, w2, w3, b' ', m1, m2, m3, b' ', d1, d2, b' ', rest @ ..] = value else {
        return None;
    };
    weekday([*w1, *w2, *w3])?;
    let (clock, year) = rest.split_at_checked(8)?;
    let day = if *d1 == b' ' { number(&[*d2])? } else { number(&[*d1, *d2])? };
    let date =
        Date { year: number(year.strip_prefix(b" ")?)?, month: month([*m1, *m2, *m3])?, day };
    Some((date, time(clock)?))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now: UnixMillis) -> Option<(Date, u64)> {
    let comma = value.iter().position(|&byte| byte == b',')?;
    let (day_name, rest) = value.split_at_checked(comma)?;
    WEEKDAYS.iter().find(|name| name.as_bytes().eq_ignore_ascii_case(day_name))?;
    let rest: &[u8; 24] = rest.try_into().ok()?;
    let [b',', b' ', d1, d2, b'-', m1, m2, m3, b'-', y1, y2, b' ', rest @ ..] = rest else {
        return None;
    };
    // A year that would lie more than 50 years ahead is one of the century before.
    let latest = this_year(now) + 50;
    let year = latest - (latest - number(&[*y1, *y2])?) % 100;
    let date = Date { year, month: month([*m1, *m2, *m3])?, day: number(&[*d1, *d2])? };
    Some((date, time(zoned(rest)?)?))
}

/// Near enough to tell centuries apart; the end of time is no year that could be counted with.
const fn this_year(now: UnixMillis) -> u64 {
    1970 + now.0 / 31_556_952_000 % 8000
}

fn weekday(short: [u8; 3]) -> Option<()> {
    let names = |name: &str| name.as_bytes().get(..3).is_some_and(|start| same(start, short));
    WEEKDAYS.iter().any(|name| names(name)).then_some(())
}

fn month(short: [u8; 3]) -> Option<u64> {
    (1..).zip(MONTHS).find(|(_, name)| same(*name, short)).map(|(number, _)| number)
}

fn same(name: &[u8], short: [u8; 3]) -> bool {
    name.eq_ignore_ascii_case(&short)
}

/// The clock's part of `08:49:37 GMT`.
fn zoned(value: &[u8]) -> Option<&[u8]> {
    let (clock, zone) = value.split_at_checked(8)?;
    zone.eq_ignore_ascii_case(b" GMT").then_some(clock)
}

/// Seconds of the day in `08:49:37`; 60 is a leap second.
fn time(clock: &[u8]) -> Option<u64> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return None };
    let (hour, minute) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
    let second = number(&[*s1, *s2])?;
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

/// A few digits.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum: u64, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests;
