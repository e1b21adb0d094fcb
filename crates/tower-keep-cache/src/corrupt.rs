//! Why what was read is no entry.

/// What is wrong with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Corrupt {
    /// It does not begin as entries do.
    Foreign,
    /// It is of another version of the engine.
    Version,
    /// Its value is of another format.
    Format,
    /// It is cut short, or says of itself what cannot be.
    Length,
    /// It is not sealed, or not by a key that is known, or was sealed for another place.
    Sealed,
    /// What is compressed does not come out as it was.
    Compressed,
    /// It is another entry's, whose key is the same.
    Identity,
    /// Its value cannot be decoded.
    Value,
}

impl Corrupt {
    /// The reason as a short label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Version => "version",
            Self::Format => "format",
            Self::Length => "length",
            Self::Sealed => "sealed",
            Self::Compressed => "compressed",
            Self::Identity => "identity",
            Self::Value => "value",
        }
    }

    /// Counts one entry of this `kind`.
    pub(crate) fn count(self, kind: &'static str) {
        metrics::counter!("tower_keep_cache_corrupt_total", "kind" => kind, "reason" => self.label())
            .increment(1);
    }
}
