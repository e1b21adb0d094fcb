//! For how long answers are kept.

use std::time::Duration;

/// What kind of answer a route gives, which decides for how long it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TtlClass {
    /// What a model says.
    Chat,
    /// What is read off a picture.
    Ocr,
    /// What an analysis finds.
    Analysis,
}

/// What a caller may ask for.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long answers are kept, by class and by model.
#[derive(Clone, Debug)]
pub(crate) struct Ttls {
    pub(crate) chat: Duration,
    pub(crate) ocr: Duration,
    pub(crate) analysis: Duration,
    /// Models by name, or by how it begins where a `*` ends it.
    pub(crate) models: Vec<(String, Duration)>,
}

impl Default for Ttls {
    fn default() -> Self {
        Self {
            chat: Duration::from_secs(1800),
            ocr: Duration::from_secs(7200),
            analysis: Duration::from_secs(3600),
            models: Vec::new(),
        }
    }
}

impl Ttls {
    /// How long an answer is kept: as asked for, else as the longest name says that matches the
    /// model, else as its class says.
    pub(crate) fn of(&self, class: TtlClass, model: &str, asked: Option<Duration>) -> Duration {
        if let Some(asked) = asked {
            return asked.clamp(SHORTEST, LONGEST);
        }
        let matching = self.models.iter().filter(|(name, _)| match name.strip_suffix('*') {
            Some(begin) => model.starts_with(begin),
            None => name == model,
        });
        // A whole name goes before the same with a `*`.
        let best = matching
            .max_by_key(|(name, _)| (name.trim_end_matches('*').len(), !name.ends_with('*')));
        best.map_or(
            match class {
                TtlClass::Chat => self.chat,
                TtlClass::Ocr => self.ocr,
                TtlClass::Analysis => self.analysis,
            },
            |(_, ttl)| *ttl,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_decides() {
        let secs = Duration::from_secs;
        let models = [("gpt-*", 10), ("gpt-4o", 20), ("gpt-4o*", 30), ("x", 40)];
        let models = models.map(|(name, ttl)| (name.to_owned(), secs(ttl))).to_vec();
        let ttls = Ttls { models, ..Ttls::default() };
        for (class, model, asked, ttl) in [
            (TtlClass::Chat, "claude", None, 1800),
            (TtlClass::Ocr, "", None, 7200),
            (TtlClass::Analysis, "xx", None, 3600),
            (TtlClass::Ocr, "gpt-3", None, 10),
            (TtlClass::Chat, "gpt-4o", None, 20),
            (TtlClass::Chat, "gpt-4o-mini", None, 30),
            (TtlClass::Chat, "gpt-4o", Some(5), 5),
            (TtlClass::Chat, "gpt-4o", Some(0), 1),
            (TtlClass::Chat, "gpt-4o", Some(u64::MAX), 30 * 86400),
        ] {
            assert_eq!(ttls.of(class, model, asked.map(secs)), secs(ttl), "{class:?} {model}");
        }
    }
}
