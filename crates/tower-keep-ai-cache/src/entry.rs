//! What is stored: a value of the cache.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use tower_keep_cache::{Generations, Stamp, Tag, Validity, Value};
use tower_keep_core::time::UnixMillis;

use crate::{
    embeddings::answer::{Form, Vector},
    provider::Usage,
};

/// What all answers of a tenant can be purged by.
pub(crate) static ALL: LazyLock<Tag> = LazyLock::new(|| Tag::new("ai", b""));

/// What the answers of one model can be purged by.
pub(crate) fn tag(model: &str) -> Tag {
    Tag::new("ai-model", model.as_bytes())
}

/// An answer, or a vector of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kept: Kept,
    pub(crate) body: Bytes,
    pub(crate) about: About,
}

/// What is known of an entry, whatever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// The state of the tenant's purges when the upstream was asked.
    pub(crate) stamp: Stamp,
    /// Of its model.
    pub(crate) tag: Tag,
    pub(crate) made: UnixMillis,
    pub(crate) until: UnixMillis,
    /// What it cost.
    pub(crate) usage: Usage,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Answer {
        status: StatusCode,
        headers: HeaderMap,
    },
    /// The body is the element without its index, which belongs at `hole`.
    Vector {
        hole: usize,
        form: Form,
        model: String,
    },
}

impl Entry {
    pub(crate) fn vector(vector: Vector, about: About) -> Self {
        let Vector { element, hole, form, model, tokens, life: _ } = vector;
        let about = About { usage: Usage { input: tokens, output: 0 }, ..about };
        Self { kept: Kept::Vector { hole, form, model }, body: element.into(), about }
    }

    /// The vector, if it is one.
    pub(crate) fn as_vector(&self) -> Option<Vector> {
        let Kept::Vector { hole, form, model } = &self.kept else { return None };
        Some(Vector {
            element: self.body.to_vec(),
            hole: *hole,
            form: *form,
            model: model.clone(),
            tokens: self.about.usage.input,
            life: Some((self.about.made, self.about.until)),
        })
    }

    /// Whether it may still be used, as far as purges say.
    pub(crate) fn is_valid(&self, generations: &Generations) -> bool {
        let tags = [*ALL, self.about.tag];
        generations.judge(self.about.stamp, tags) == Validity::Valid
    }
}

impl About {
    /// How old it is, in whole seconds.
    pub(crate) const fn age(&self, now: UnixMillis) -> u64 {
        age(self.made, now)
    }

    /// For how long it is still good, in whole seconds.
    pub(crate) fn ttl(&self, now: UnixMillis) -> i64 {
        ttl(self.until, now)
    }
}

/// How old what was made then is, in whole seconds.
pub(crate) const fn age(made: UnixMillis, now: UnixMillis) -> u64 {
    now.0.saturating_sub(made.0) / 1000
}

/// For how long what ends then is still good, in whole seconds.
pub(crate) fn ttl(until: UnixMillis, now: UnixMillis) -> i64 {
    i64::try_from(until.0.saturating_sub(now.0) / 1000).unwrap_or(i64::MAX)
}

/// All but the body, as it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    about: About,
    kind: Kind,
}

#[derive(Serialize, Deserialize)]
enum Kind {
    Answer { status: u16, headers: Vec<(String, Vec<u8>)> },
    Vector { hole: u64, form: Form, model: String },
}

impl Value for Entry {
    const KIND: &'static str = "ai";
    const FORMAT: u8 = 1;

    fn encode(&self, meta: &mut Vec<u8>, body: &mut Vec<u8>) {
        let kind = match &self.kept {
            Kept::Answer { status, headers } => Kind::Answer {
                status: status.as_u16(),
                headers: headers
                    .iter()
                    .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                    .collect(),
            },
            Kept::Vector { hole, form, model } => {
                Kind::Vector { hole: *hole as u64, form: *form, model: model.clone() }
            }
        };
        // What cannot be written is nothing, which is read as no entry.
        let written = Written { about: self.about, kind };
        meta.extend(postcard::to_stdvec(&written).unwrap_or_default());
        body.extend_from_slice(&self.body);
    }

    fn decode(meta: &[u8], body: Bytes) -> Option<Self> {
        let (Written { about, kind }, rest) = postcard::take_from_bytes::<Written>(meta).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let kept = match kind {
            Kind::Answer { status, headers } => {
                let mut map = HeaderMap::with_capacity(headers.len() + 4);
                for (name, value) in headers {
                    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                    map.append(name, HeaderValue::from_bytes(&value).ok()?);
                }
                Kept::Answer { status: StatusCode::from_u16(status).ok()?, headers: map }
            }
            Kind::Vector { hole, form, model } => {
                let hole = usize::try_from(hole).ok().filter(|hole| *hole <= body.len())?;
                Kept::Vector { hole, form, model }
            }
        };
        Some(Self { kept, body, about })
    }

    fn weight(&self) -> usize {
        let kept = match &self.kept {
            Kept::Answer { headers, .. } => {
                headers.iter().map(|(name, value)| 64 + name.as_str().len() + value.len()).sum()
            }
            Kept::Vector { model, .. } => model.len(),
        };
        size_of::<Self>() + kept + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            stamp: Stamp { epoch: 7, version: 3 },
            tag: tag("m"),
            made: UnixMillis(5_000),
            until: UnixMillis(65_000),
            usage: Usage { input: 5, output: 9 },
        }
    }

    fn written(entry: &Entry) -> (Vec<u8>, Vec<u8>) {
        let (mut meta, mut body) = (Vec::new(), Vec::new());
        entry.encode(&mut meta, &mut body);
        (meta, body)
    }

    #[test]
    fn what_is_written_is_read() {
        let headers = [("content-type", "text/event-stream"), ("openai-version", "x")];
        let headers = headers
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let answer = Entry {
            kept: Kept::Answer {
                status: StatusCode::CREATED,
                headers: headers.into_iter().collect(),
            },
            body: Bytes::from_static(b"data: [DONE]\n\n"),
            about: about(),
        };
        let vector = Vector {
            element: b"{\"embedding\":[1],}".to_vec(),
            hole: 17,
            form: Form::Floats(1),
            model: "m".to_owned(),
            tokens: 4,
            life: Some((about().made, about().until)),
        };
        let kept = Entry::vector(vector.clone(), about());
        assert_eq!((kept.as_vector(), answer.as_vector()), (Some(vector), None));
        for entry in [answer, kept] {
            let (meta, body) = written(&entry);
            assert_eq!(Entry::decode(&meta, body.into()), Some(entry));
        }
    }

    #[test]
    fn what_is_not_ours_is_not_read() {
        let vector = Vector {
            element: b"{}".to_vec(),
            hole: 1,
            form: Form::Base64(4),
            model: String::new(),
            tokens: 0,
            life: None,
        };
        let (meta, _) = written(&Entry::vector(vector, about()));
        assert_eq!(Entry::decode(&meta, Bytes::new()), None, "its hole lies outside");
        assert_eq!(Entry::decode(b"", Bytes::new()), None);
        assert_eq!(Entry::decode(&[meta, vec![0]].concat(), Bytes::from_static(b"{}")), None);
    }

    #[test]
    fn age_and_lifetime_are_whole_seconds() {
        let about = about();
        assert_eq!((about.age(UnixMillis(4_000)), about.age(UnixMillis(6_999))), (0, 1));
        assert_eq!((about.ttl(UnixMillis(5_001)), about.ttl(UnixMillis(70_000))), (59, 0));
    }
}
