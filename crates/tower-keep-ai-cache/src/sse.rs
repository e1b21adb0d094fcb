//! Server-sent events, taken apart as they come: the bytes may be cut anywhere.
//!
//! The grammar is that of the HTML standard: lines end with CR, LF or both, an event ends with an
//! empty line, its data lines are joined, comments and fields that nobody knows are passed over,
//! and an event that is not ended is none.

use std::mem;

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event<'a> {
    /// What `event:` says; empty without.
    pub(crate) name: &'a [u8],
    pub(crate) data: &'a [u8],
}

/// An event is longer than is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Takes a stream apart.
#[derive(Debug)]
pub(crate) struct Events {
    /// What has come of the line that is not ended.
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    /// So that an event whose data is empty is told from one that has none.
    has_data: bool,
    /// A line feed that comes next belongs to the line before.
    after_cr: bool,
    /// No line has ended yet.
    first_line: bool,
    /// The most bytes of one event.
    most: usize,
}

impl Events {
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            line: Vec::new(),
            name: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            first_line: true,
            most,
        }
    }

    /// Takes what comes next, and tells each event that it ends.
    pub(crate) fn take(
        &mut self,
        mut bytes: &[u8],
        mut tell: impl FnMut(Event<'_>),
    ) -> Result<(), TooLong> {
        loop {
            if mem::take(&mut self.after_cr) {
                match bytes.strip_prefix(b"\n") {
                    Some(rest) => bytes = rest,
                    // The line feed may be in the next bytes.
                    None if bytes.is_empty() => self.after_cr = true,
                    None => {}
                }
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
                self.line.extend_from_slice(bytes);
                return self.check();
            };
            let (line, rest) = bytes.split_at(end);
            self.after_cr = rest.first() == Some(&b'\r');
            bytes = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.end_line(line, &mut tell);
            } else {
                let mut whole = mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.end_line(&whole, &mut tell);
                whole.clear();
                self.line = whole;
            }
            self.check()?;
        }
    }

    /// Whether bytes have come that are not part of an ended event.
    pub(crate) const fn is_amid_event(&self) -> bool {
        !self.line.is_empty() || self.has_data || !self.name.is_empty()
    }

    fn check(&self) -> Result<(), TooLong> {
        let held = self.line.len() + self.name.len() + self.data.len();
        if held > self.most { Err(TooLong) } else { Ok(()) }
    }

    fn end_line(&mut self, mut line: &[u8], tell: &mut impl FnMut(Event<'_>)) {
        if mem::take(&mut self.first_line) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            if self.has_data {
                tell(Event { name: &self.name, data: &self.data });
            }
            self.name.clear();
            self.data.clear();
            self.has_data = false;
            return;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"event" => value.clone_into(&mut self.name),
            _ => {}
        }
    }
}

/// Where the event ends that the bytes begin with, the empty line included: where a recorded stream
/// may be cut without cutting an event.
pub(crate) fn event_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..)?;
        let line = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
        let feed = if rest.get(line..)?.starts_with(b"\r\n") { 2 } else { 1 };
        at += line + feed;
        if line == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Told = Vec<(String, String)>;

    fn take(events: &mut Events, bytes: &[u8], told: &mut Told) -> Result<(), TooLong> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        events.take(bytes, |event| told.push((text(event.name), text(event.data))))
    }

    fn events(chunks: &[&[u8]]) -> (Told, bool) {
        let (mut events, mut told) = (Events::new(1 << 20), Vec::new());
        for chunk in chunks {
            take(&mut events, chunk, &mut told).unwrap();
        }
        (told, events.is_amid_event())
    }

    type Case = (&'static str, &'static [(&'static str, &'static str)], bool);

    const STREAMS: [Case; 16] = [
        ("data: a\n\n", &[("", "a")], false),
        ("data: a\r\n\r\n", &[("", "a")], false),
        ("data: a\r\r", &[("", "a")], false),
        ("data: a\n\r\ndata:b\r\n\n", &[("", "a"), ("", "b")], false),
        ("\u{feff}data: a\n\n", &[("", "a")], false),
        ("data: a\n\n\u{feff}data: b\n\n", &[("", "a")], false),
        ("event: x\ndata: {\"a\":\ndata: 1}\n\n", &[("x", "{\"a\":\n1}")], false),
        ("data: b\nevent: x\n\ndata: c\n\n", &[("x", "b"), ("", "c")], false),
        (": ping\n\n: p\ndata:  a\nid: 7\nretry: 1\nfoo: bar\n\n", &[("", " a")], false),
        ("data\n\n", &[("", "")], false),
        ("data:\ndata\ndata: \n\n", &[("", "\n\n")], false),
        ("event: x\n\ndata: a\n\n", &[("", "a")], false),
        ("data: a\n\ndata: b", &[("", "a")], true),
        ("data: a\n\ndata: b\n", &[("", "a")], true),
        ("event: y\n", &[], true),
        ("data: é😀\n\n\n\n", &[("", "é😀")], false),
    ];

    #[test]
    fn events_are_the_same_wherever_the_bytes_are_cut() {
        for (stream, expected, amid) in STREAMS {
            let expected: Told =
                expected.iter().map(|(n, d)| ((*n).to_owned(), (*d).to_owned())).collect();
            let expected = (expected, amid);
            let bytes = stream.as_bytes();
            assert_eq!(events(&[bytes]), expected, "{stream:?}");
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(events(&each), expected, "{stream:?} byte by byte");
            for cut in 0..=bytes.len() {
                for second in cut..=bytes.len() {
                    let parts = [&bytes[..cut], &bytes[cut..second], &bytes[second..]];
                    assert_eq!(events(&parts), expected, "{stream:?} at {cut} and {second}");
                }
            }
        }
    }

    #[test]
    fn an_event_is_bounded_and_a_stream_is_not() {
        let told = &mut Vec::new();
        let mut bounded = Events::new(16);
        for _ in 0..100 {
            take(&mut bounded, b"data: 0123456789\n\n: a long comment\n", told).unwrap();
        }
        assert_eq!(told.len(), 100);
        assert_eq!(take(&mut bounded, b"data: 0123456789abcdefg", told), Err(TooLong));
        let mut lines = Events::new(16);
        let mut result = Ok(());
        for _ in 0..10 {
            result = result.and_then(|()| take(&mut lines, b"data: 0123\n", told));
        }
        assert_eq!(result, Err(TooLong));
    }

    #[test]
    fn a_stream_is_cut_where_events_end() {
        for (stream, end) in [
            ("data: a\n\ndata: b\n\n", Some(9)),
            ("data: a\r\n\r\nx", Some(11)),
            ("data: a\r\rx", Some(9)),
            ("\n", Some(1)),
            ("data: a\n", None),
            ("", None),
        ] {
            assert_eq!(event_end(stream.as_bytes()), end, "{stream:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_the_same_events_however_they_are_cut(
            lines in prop::collection::vec(
                prop_oneof![Just("data: x"), Just("data"), Just("event:e"), Just(":"), Just(""), Just("\u{feff}")],
                0..12,
            ),
            ends in prop::collection::vec(prop_oneof![Just("\n"), Just("\r"), Just("\r\n")], 12),
            noise in prop::collection::vec(any::<u8>(), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut bytes: Vec<u8> =
                lines.iter().zip(&ends).flat_map(|(line, end)| [*line, *end]).collect::<String>().into();
            bytes.extend(noise);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(events(&parts), events(&[&bytes]));
        }

        #[test]
        fn frames_of_a_stream_are_its_events(
            parts in prop::collection::vec("(data: [ab]{0,3}|event: e|:c)(\n|\r|\r\n)(\n|\r\n)?", 0..8),
        ) {
            let stream = parts.concat();
            let (mut rest, mut told) = (stream.as_bytes(), Vec::new());
            while let Some(end) = event_end(rest) {
                let (frame, after) = rest.split_at(end);
                let (events, amid) = events(&[frame]);
                prop_assert!(events.len() <= 1 && !amid);
                told.extend(events);
                rest = after;
            }
            prop_assert_eq!(told, events(&[stream.as_bytes()]).0);
        }
    }
}
