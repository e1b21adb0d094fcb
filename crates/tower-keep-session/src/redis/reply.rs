//! What the server answers. It is outside this program: nothing it says may be a panic.

use std::sync::Arc;

use bytes::Bytes;
use tower_keep_core::{StoreError, time::UnixMillis};

use super::Value;
use crate::{
    id::{Origin, PublicId},
    record::{Header, Record},
    store::Saved,
};

/// Sessions that made room for another.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) ids: Vec<[u8; 16]>,
    /// Whether all of them were published.
    pub(super) published: bool,
}

/// Text or bytes, or nothing.
pub(super) fn bytes(reply: Value) -> Result<Option<Bytes>, StoreError> {
    match reply {
        Value::Null => Ok(None),
        Value::String(_) | Value::Bytes(_) => Ok(reply.into_bytes()),
        _ => Err(nonsense()),
    }
}

/// How that begins which `remove.lua` leaves where a session has moved away; what follows is until
/// when that is known, 8 bytes, highest first.
const MARK: u8 = 0;

/// A session in the server's keeping. What cannot be decoded is none, and counted.
pub(super) fn record(bytes: &Bytes) -> Option<Arc<Record>> {
    if bytes.first() == Some(&MARK) {
        return None;
    }
    let record = Record::decode(bytes).ok();
    if record.is_none() {
        metrics::counter!("tower_keep_session_undecodable_total").increment(1);
    }
    record.map(Arc::new)
}

pub(super) fn header(bytes: &[u8]) -> Result<Header, StoreError> {
    match Header::decode(bytes) {
        Ok((header, [])) => Ok(header),
        _ => Err(nonsense()),
    }
}

/// What came of ending sessions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// So many.
    These(u64),
    /// None: the one is not of the version that was to be ended.
    Changed(Arc<Record>),
}

/// How many sessions ended, and whether that was published.
pub(super) fn removed(reply: Value) -> Result<(Ended, bool), StoreError> {
    let Value::Array(items) = reply else { return Err(nonsense()) };
    match <[Value; 2]>::try_from(items) {
        Ok([Value::Integer(ended), Value::Integer(published)]) => {
            let ended = u64::try_from(ended).map_err(|_| nonsense())?;
            Ok((Ended::These(ended), published == 1))
        }
        Ok([Value::Integer(_), changed]) => {
            let record = bytes(changed)?.and_then(|bytes| record(&bytes)).ok_or_else(nonsense)?;
            Ok((Ended::Changed(record), false))
        }
        _ => Err(nonsense()),
    }
}

/// What came of saving.
pub(super) fn saved(reply: Value) -> Result<(Saved, Removed), StoreError> {
    let Value::Array(items) = reply else { return Err(nonsense()) };
    let mut items = items.into_iter();
    let Some(Value::Integer(code)) = items.next() else { return Err(nonsense()) };
    let mut next = || items.next().map_or(Ok(None), bytes)?.ok_or_else(nonsense);
    let saved = match code {
        0 => {
            let header = header(&next()?)?;
            let Some(Value::Integer(published)) = items.next() else { return Err(nonsense()) };
            let ids = items.next().map_or(Ok(None), bytes)?.ok_or_else(nonsense)?;
            let (ids, rest) = ids.as_chunks::<16>();
            if !rest.is_empty() {
                return Err(nonsense());
            }
            let removed = Removed { ids: ids.to_vec(), published: published == 1 };
            return Ok((Saved::Done(header), removed));
        }
        1 => Saved::Gone,
        2 => Saved::Conflict(Record::decode(&next()?).map(Arc::new).map_err(|_| nonsense())?),
        3 => Saved::TooLarge,
        4 => Saved::Exists,
        _ => return Err(nonsense()),
    };
    Ok((saved, Removed::default()))
}

/// All sessions in a hash. A field that is none is left out.
pub(super) fn sessions(reply: Value) -> Result<Vec<(PublicId, Arc<Record>)>, StoreError> {
    if reply.is_null() {
        return Ok(Vec::new());
    }
    let fields = reply.into_map().map_err(|_| nonsense())?.inner();
    let session = |(field, value): (_, Value)| {
        let id = field_id(field)?;
        Some((id, record(&bytes(value).ok()??)?))
    };
    Ok(fields.into_iter().filter_map(session).collect())
}

/// Whether the session that had this id has moved, by all that its holder has.
pub(super) fn has_moved(
    reply: Value,
    id: PublicId,
    origin: Origin,
    now: UnixMillis,
) -> Result<bool, StoreError> {
    if reply.is_null() {
        return Ok(false);
    }
    let fields = reply.into_map().map_err(|_| nonsense())?.inner();
    let says_so = |(field, value): (_, Value)| {
        let value = bytes(value).ok()??;
        match value.split_first()? {
            (&MARK, until) => {
                let until = UnixMillis(u64::from_be_bytes(until.try_into().ok()?));
                Some(field_id(field)? == id && until > now)
            }
            _ => Some(Header::decode(&value).ok()?.0.goes_on(origin, now)),
        }
    };
    Ok(fields.into_iter().any(|field| says_so(field) == Some(true)))
}

fn field_id(field: impl Into<Value>) -> Option<PublicId> {
    let field = field.into().into_bytes()?;
    str::from_utf8(&field).ok()?.parse().ok()
}

/// What an answer is that no script of ours gives.
pub(super) fn nonsense() -> StoreError {
    StoreError::unknown("the server's reply to a session's script makes no sense")
}

#[cfg(test)]
mod tests {
    use tower_keep_core::{ErrorClass, time::UnixMillis};

    use super::*;
    use crate::{id::Origin, record::Data};

    fn sample() -> Record {
        let (created, idle_ms, origin) = (UnixMillis(1), 5, Origin([9; 16]));
        let (expires, seen) = (UnixMillis(6), created);
        let header = Header { version: 1, created, expires, seen, idle_ms, origin };
        Record { header, data: Data::from([("a".into(), Bytes::from_static(b"x"))]) }
    }

    fn text(bytes: impl Into<Bytes>) -> Value {
        Value::Bytes(bytes.into())
    }

    #[test]
    fn replies_are_read() {
        let sample = sample();
        let header = || text(sample.header.encode());
        let ids = || text(vec![7; 32]);
        let done = Value::Array(vec![0.into(), header(), 1.into(), ids()]);
        let removed = Removed { ids: vec![[7; 16]; 2], published: true };
        assert_eq!(saved(done).unwrap(), (Saved::Done(sample.header), removed));
        let conflict = Value::Array(vec![2.into(), text(sample.encode())]);
        let expected = Saved::Conflict(Arc::new(sample.clone()));
        assert_eq!(saved(conflict).unwrap(), (expected, Removed::default()));
        for (code, expected) in [(1, Saved::Gone), (3, Saved::TooLarge), (4, Saved::Exists)] {
            let reply = Value::Array(vec![code.into()]);
            assert_eq!(saved(reply).unwrap(), (expected, Removed::default()));
        }
        let reply = Value::Array(vec![3.into(), 0.into()]);
        assert_eq!(super::removed(reply).unwrap(), (Ended::These(3), false));
        let changed = Value::Array(vec![0.into(), text(sample.encode())]);
        let expected = Ended::Changed(Arc::new(sample));
        assert_eq!(super::removed(changed).unwrap(), (expected, false));
        assert_eq!(bytes(Value::Null).unwrap(), None);
        assert_eq!(record(&Bytes::from_static(b"no session")), None);
    }

    #[test]
    fn nonsense_is_an_error() {
        let (header, array) = (|| text(sample().header.encode()), Value::Array);
        let replies = [
            Value::Null,
            array(vec![]),
            array(vec![9.into()]),
            array(vec!["0".into()]),
            array(vec![0.into()]),
            array(vec![0.into(), text("x"), 1.into(), text("")]),
            array(vec![0.into(), header(), 1.into()]),
            array(vec![0.into(), header(), text("1"), text("")]),
            array(vec![0.into(), header(), 1.into(), text("odd")]),
            array(vec![2.into()]),
            array(vec![2.into(), text("x")]),
            array(vec![2.into(), Value::Null]),
        ];
        for reply in replies {
            let told = format!("{reply:?}");
            assert!(removed(reply.clone()).is_err(), "{told}");
            let error = saved(reply).expect_err(&told);
            assert_eq!(error.class(), ErrorClass::Unknown);
        }
        assert!(bytes(Value::Integer(1)).is_err());
        assert!(super::header(&sample().encode()).is_err(), "there is more after it");
        assert!(removed(array(vec![Value::Integer(-1), 1.into()])).is_err());
        assert!(sessions(Value::Integer(1)).is_err());
    }
}
