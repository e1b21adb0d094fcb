//! Why a request was passed on without the cache.

/// Why the cache had nothing to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BypassReason {
    /// The program said to leave it alone.
    Skipped,
    /// It is none that is understood, by its method, path or media type.
    Unrecognized,
    /// Its body is encoded.
    Encoded,
    /// Its body is longer than is read.
    TooLarge,
    /// Its body is not JSON, or could be read in two ways.
    Malformed,
    /// Nobody knows whose it is.
    Unidentified,
    /// Nobody asked for the cache.
    NotAsked,
    /// It says that it does not want the cache.
    Refused,
    /// It says `no-store`.
    NoStore,
    /// What it asks of the cache cannot be made sense of.
    Control,
    /// It is to be answered in the background.
    Background,
    /// It continues something that the upstream keeps.
    Stateful,
    /// It asks the upstream to keep the answer.
    Stored,
    /// The upstream does something on the way, by tools of its own.
    Acting,
    /// It is to be answered by chance.
    Sampled,
    /// It wants more answers than are kept.
    Choices,
    /// The store did not answer.
    Store,
}

impl BypassReason {
    /// The reason as a short label, for logs, metrics and `Cache-Status`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Unrecognized => "unrecognized",
            Self::Encoded => "encoded",
            Self::TooLarge => "too-large",
            Self::Malformed => "malformed",
            Self::Unidentified => "unidentified",
            Self::NotAsked => "not-asked",
            Self::Refused => "refused",
            Self::NoStore => "no-store",
            Self::Control => "control",
            Self::Background => "background",
            Self::Stateful => "stateful",
            Self::Stored => "stored",
            Self::Acting => "acting",
            Self::Sampled => "sampled",
            Self::Choices => "choices",
            Self::Store => "store",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_made_of_plain_characters() {
        for reason in [BypassReason::Skipped, BypassReason::TooLarge, BypassReason::NotAsked] {
            assert!(reason.label().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
        }
    }
}
