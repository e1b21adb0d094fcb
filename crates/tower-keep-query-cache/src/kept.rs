//! A value as the engine keeps it.

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tower_keep_cache::{Generations, Stamp, Tag, Validity, Value};
use tower_keep_core::time::UnixMillis;

use crate::policy::{Times, Use};

/// The kind of these values, in metrics.
pub(crate) const KIND: &str = "query";

/// What can be kept: what serde can write and read again.
///
/// A shared store has it as `MessagePack`, which has one nothing: what is read from there has `None`
/// where `Some(None)` was. Give the inner one a name of its own (an enum) if that matters.
pub trait Cacheable: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Cacheable for T {}

/// One value, or the knowledge that there is none.
pub(crate) struct Kept {
    pub(crate) stamp: Stamp,
    /// In their order.
    pub(crate) tags: Box<[Tag]>,
    pub(crate) times: Times,
    body: Body,
    /// The value itself, once somebody has wanted it.
    decoded: OnceLock<Arc<dyn Any + Send + Sync>>,
}

enum Body {
    /// There is nothing.
    Absent,
    /// As `MessagePack` with names.
    Written(Bytes),
    /// It cannot be serialised, and so not be stored. It is only there for those who wait for it.
    Unwritten,
}

/// What is stored before the value.
#[derive(Serialize, Deserialize)]
struct Meta {
    stamp: Stamp,
    tags: Box<[Tag]>,
    times: Times,
    absent: bool,
}

impl Kept {
    /// What was loaded; `None` for nothing.
    pub(crate) fn new<T: Cacheable>(
        value: Option<&Arc<T>>,
        stamp: Stamp,
        tags: Box<[Tag]>,
        times: Times,
    ) -> Self {
        let decoded = OnceLock::new();
        let body = match value {
            None => Body::Absent,
            Some(value) => {
                let _ = decoded.set(Arc::clone(value) as Arc<dyn Any + Send + Sync>);
                match rmp_serde::to_vec_named(&**value) {
                    Ok(bytes) => Body::Written(bytes.into()),
                    Err(error) => {
                        tracing::debug!(%error, "a value cannot be serialised, and is not kept");
                        Body::Unwritten
                    }
                }
            }
        };
        Self { stamp, tags, times, body, decoded }
    }

    pub(crate) const fn is_absent(&self) -> bool {
        matches!(self.body, Body::Absent)
    }

    /// How long it is, if it can be stored.
    pub(crate) const fn len(&self) -> Option<usize> {
        match &self.body {
            Body::Absent => Some(0),
            Body::Written(bytes) => Some(bytes.len()),
            Body::Unwritten => None,
        }
    }

    /// What purges say of it.
    pub(crate) fn validity(&self, generations: &Generations) -> Validity {
        generations.judge(self.stamp, self.tags.iter().copied())
    }

    /// How it may be used.
    pub(crate) fn judge(&self, generations: &Generations, now: UnixMillis) -> Use {
        self.times.judge(self.validity(generations), now)
    }

    /// The value, unless there is none of this type. It is decoded once.
    pub(crate) fn value<T: Cacheable>(&self) -> Option<Arc<T>> {
        if let Some(decoded) = self.decoded.get()
            && let Ok(value) = Arc::clone(decoded).downcast()
        {
            return Some(value);
        }
        let Body::Written(bytes) = &self.body else { return None };
        let value: Arc<T> = Arc::new(rmp_serde::from_slice(bytes).ok()?);
        // The first type that is wanted is the one that will be.
        let _ = self.decoded.set(Arc::clone(&value) as Arc<dyn Any + Send + Sync>);
        Some(value)
    }
}

impl Value for Kept {
    const KIND: &'static str = KIND;
    const FORMAT: u8 = 1;

    fn encode(&self, meta: &mut Vec<u8>, body: &mut Vec<u8>) {
        let own = Meta {
            stamp: self.stamp,
            tags: self.tags.clone(),
            times: self.times,
            absent: self.is_absent(),
        };
        // Writing numbers to memory does not fail; if it did, it would be no entry.
        meta.extend(postcard::to_stdvec(&own).unwrap_or_default());
        if let Body::Written(bytes) = &self.body {
            body.extend_from_slice(bytes);
        }
    }

    fn decode(meta: &[u8], body: Bytes) -> Option<Self> {
        let Meta { stamp, tags, times, absent } = postcard::from_bytes(meta).ok()?;
        let body = match absent {
            true if body.is_empty() => Body::Absent,
            true => return None,
            false => Body::Written(body),
        };
        Some(Self { stamp, tags, times, body, decoded: OnceLock::new() })
    }

    /// An estimate: the value itself is taken to be as long as its bytes.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.tags.len() * size_of::<Tag>() + 2 * self.length()
    }

    /// As `MessagePack`.
    fn length(&self) -> usize {
        self.len().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::class::TtlClass;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Patient {
        name: String,
        born: u16,
    }

    fn kept<T: Cacheable>(value: Option<T>) -> Kept {
        let class = TtlClass::new("test", Duration::from_secs(9)).negative(Duration::from_secs(1));
        let times = Times::of(&class, value.is_none(), UnixMillis(5), 0);
        let stamp = Stamp { epoch: 7, version: 3 };
        Kept::new(value.map(Arc::new).as_ref(), stamp, Box::new([Tag::new("a", b"b")]), times)
    }

    fn again(kept: &Kept) -> Kept {
        let (mut meta, mut body) = (Vec::new(), Vec::new());
        kept.encode(&mut meta, &mut body);
        Kept::decode(&meta, body.into()).unwrap()
    }

    #[test]
    fn what_is_kept_comes_out_as_it_was_and_is_decoded_once() {
        let made = kept(Some(Patient { name: "Ada".into(), born: 1815 }));
        assert!(Arc::ptr_eq(&made.value::<Patient>().unwrap(), &made.value().unwrap()));
        let read = again(&made);
        let value = read.value::<Patient>().unwrap();
        assert_eq!((&*value.name, value.born), ("Ada", 1815));
        assert!(Arc::ptr_eq(&value, &read.value().unwrap()));
        assert_eq!((read.stamp, &read.tags, read.times), (made.stamp, &made.tags, made.times));
        assert!(!read.is_absent() && read.weight() > size_of::<Kept>() + 2 * 8);
    }

    #[test]
    fn names_let_types_grow_and_what_does_not_fit_is_no_value() {
        #[derive(Deserialize, Serialize)]
        struct Newer {
            born: u16,
            #[serde(default)]
            ward: Option<String>,
        }
        let read = again(&kept(Some(Patient { name: "Ada".into(), born: 1815 })));
        assert!(read.value::<u32>().is_none());
        let newer = read.value::<Newer>().unwrap();
        assert_eq!((newer.born, &newer.ward), (1815, &None));
        // Another type that reads the same bytes is read each time.
        assert_eq!(read.value::<Patient>().unwrap().born, 1815);
    }

    #[test]
    fn nothing_is_kept_as_such_and_an_empty_value_is_not_nothing() {
        let nothing = again(&kept::<Patient>(None));
        assert!(nothing.is_absent() && nothing.value::<Patient>().is_none());
        let empty = again(&kept(Some(())));
        assert!(!empty.is_absent() && empty.value::<()>().is_some());
    }

    #[test]
    fn what_cannot_be_serialised_is_still_there_for_those_who_wait() {
        #[derive(Deserialize)]
        struct Never;
        impl Serialize for Never {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("never"))
            }
        }
        let never = kept(Some(Never));
        assert!(never.len().is_none() && never.value::<Never>().is_some());
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_no_panic(meta: Vec<u8>, body: Vec<u8>) {
            if let Some(read) = Kept::decode(&meta, body.into()) {
                let _ = (read.value::<Patient>(), read.weight());
            }
            let mut good = Vec::new();
            kept(Some(1_u8)).encode(&mut good, &mut Vec::new());
            let read = Kept::decode(&good, meta.into()).unwrap();
            let _ = (read.value::<Vec<Patient>>(), read.value::<String>());
        }
    }
}
