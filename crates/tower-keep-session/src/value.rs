//! Values: what a program keeps in a session, written down. And their names.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{error::SessionError, record::MAX_NAME};

/// Writes a value down, as msgpack with named fields: what was written before a field was added
/// can still be read after.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, SessionError> {
    rmp_serde::to_vec_named(value)
        .map(Bytes::from)
        .map_err(|error| SessionError::Encode(Arc::new(error)))
}

/// Reads a value.
pub(crate) fn decode<T: DeserializeOwned>(name: &str, value: &[u8]) -> Result<T, SessionError> {
    rmp_serde::from_slice(value)
        .map_err(|error| SessionError::Decode { name: name.into(), cause: Arc::new(error) })
}

/// The program's own names; those that begin with `~` are ours.
pub(crate) fn check_name(name: &str) -> Result<(), SessionError> {
    let fits = (1..=MAX_NAME).contains(&name.len()) && !name.starts_with('~');
    if fits { Ok(()) } else { Err(SessionError::InvalidName) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nested {
        big: u64,
        least: i64,
        float: f64,
        text: String,
        maybe: Option<Box<Nested>>,
        map: BTreeMap<String, Vec<u8>>,
        unit: (),
        choice: Choice,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Choice {
        None,
        One(u8),
        Many { letters: Vec<char> },
    }

    #[test]
    fn every_kind_of_value_comes_back() {
        let inner = Nested {
            big: u64::MAX,
            least: i64::MIN,
            float: 0.1,
            text: "Zürich 🏰".into(),
            maybe: None,
            map: BTreeMap::new(),
            unit: (),
            choice: Choice::One(1),
        };
        let value = Nested {
            maybe: Some(Box::new(inner)),
            map: BTreeMap::from([("ключ".into(), vec![0, 255])]),
            choice: Choice::Many { letters: vec!['a', 'ß'] },
            big: 0,
            least: 0,
            float: f64::INFINITY,
            text: String::new(),
            unit: (),
        };
        let bytes = encode(&value).unwrap();
        assert_eq!(decode::<Nested>("x", &bytes).unwrap(), value);
        assert_eq!(decode::<Choice>("x", &encode(&Choice::None).unwrap()).unwrap(), Choice::None);
    }

    #[test]
    fn another_type_is_an_error_that_names_the_value() {
        let bytes = encode("text").unwrap();
        let error = decode::<u64>("count", &bytes).unwrap_err();
        assert!(error.to_string().contains("`count`"), "{error}");
        assert!(decode::<String>("x", b"").is_err());
    }

    #[test]
    fn names_are_the_programs_own() {
        for (name, good) in
            [("a", true), ("", false), ("~flash", false), ("a~", true), (&"x".repeat(128), true)]
        {
            assert_eq!(check_name(name).is_ok(), good, "{name:?}");
        }
        assert!(check_name(&"x".repeat(129)).is_err());
    }
}
