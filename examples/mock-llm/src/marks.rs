//! What a request tells us to do.

use std::{collections::BTreeSet, time::Duration};

/// How an answer ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// Whole.
    #[default]
    Whole,
    /// The connection breaks in the middle.
    Broken,
    /// In the middle, as if it were whole.
    Truncated,
    /// With an event of an error, in the middle.
    Error,
}

/// All that the marks of a request say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    pub(crate) status: Option<u16>,
    pub(crate) end: End,
    pub(crate) wait: Option<Duration>,
    pub(crate) pause: Option<Duration>,
    pub(crate) bytes: Option<usize>,
    words: BTreeSet<String>,
}

impl Marks {
    /// Those of a text.
    pub(crate) fn of(text: &str) -> Self {
        let mut marks = Self::default();
        for rest in text.split("[[mock:").skip(1) {
            if let Some((mark, _)) = rest.split_once("]]") {
                marks.add(mark);
            }
        }
        marks
    }

    /// Whether this mark is there.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.words.contains(word)
    }

    fn add(&mut self, mark: &str) {
        if let Some((name, number)) = mark.split_once('=') {
            let Ok(number) = number.parse::<u32>() else { return };
            let time = Some(Duration::from_millis(number.into()));
            match name {
                "wait" => self.wait = time,
                "pause" => self.pause = time,
                "bytes" => self.bytes = usize::try_from(number).ok(),
                _ => {}
            }
            return;
        }
        match mark {
            "broken" => self.end = End::Broken,
            "truncated" => self.end = End::Truncated,
            "error" => self.end = End::Error,
            _ => match mark.parse() {
                Ok(status @ 400..600) => self.status = Some(status),
                _ => drop(self.words.insert(mark.to_owned())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_anywhere() {
        let marks =
            Marks::of("a [[mock:length]]b[[mock:wait=7]][[mock:bytes=x]][[mock:429]] [[mock:");
        assert!(marks.has("length") && !marks.has("tool"));
        assert_eq!((marks.wait, marks.bytes), (Some(Duration::from_millis(7)), None));
        assert_eq!((marks.status, marks.end), (Some(429), End::Whole));
        assert_eq!(Marks::of("[[mock:truncated]]").end, End::Truncated);
    }
}
