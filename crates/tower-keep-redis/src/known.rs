//! Commands that fred knows by name.
//!
//! fred writes each command that it does not know to the socket by itself, and so it does with
//! scripts. One that it knows waits for others that are there to be sent, and goes with them in one
//! write. So what is sent often goes as fred's own.

use std::pin::Pin;

use fred::{
    clients::{Client, WithOptions},
    error::Error,
    interfaces::{HashesInterface as _, KeysInterface as _},
    types::{Expiration, Key, SetOptions, Value},
};

/// A command on its way. Boxed, as fred's futures have some kilobytes.
pub(crate) type Sending<'a> = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>>;

/// A command in fred's own terms.
#[derive(Debug, PartialEq)]
pub(crate) enum Known {
    Get { key: Key },
    GetRange { key: Key, first: usize, last: usize },
    HashGet { key: Key, field: Key },
    HashGetMany { key: Key, fields: Vec<Key> },
    HashGetAll { key: Key },
    Set { key: Key, value: Value, millis: i64, absent: bool, old: bool },
}

impl Known {
    /// It in fred's terms, if fred has them and sends the very same words.
    pub(crate) fn of(name: &str, args: &[Value]) -> Option<Self> {
        let (key, rest) = args.split_first()?;
        let key = self::key(key)?;
        match (name, rest) {
            ("GET", []) => Some(Self::Get { key }),
            ("GETRANGE", [Value::Integer(first), Value::Integer(last)]) => {
                let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
                Some(Self::GetRange { key, first, last })
            }
            ("HGET", [field]) => Some(Self::HashGet { key, field: self::key(field)? }),
            ("HMGET", fields @ [_, ..]) => {
                let fields = fields.iter().map(self::key).collect::<Option<_>>()?;
                Some(Self::HashGetMany { key, fields })
            }
            ("HGETALL", []) => Some(Self::HashGetAll { key }),
            ("SET", [value, unit, Value::Integer(millis), flags @ ..]) if is(unit, "PX") => {
                let (absent, old) = match flags {
                    [] => (false, false),
                    [nx] if is(nx, "NX") => (true, false),
                    [nx, get] if is(nx, "NX") && is(get, "GET") => (true, true),
                    _ => return None,
                };
                Some(Self::Set { key, value: value.clone(), millis: *millis, absent, old })
            }
            _ => None,
        }
    }

    /// Its way to the server and back.
    pub(crate) fn send(self, client: &WithOptions<Client>) -> Sending<'_> {
        match self {
            Self::Get { key } => Box::pin(client.get(key)),
            Self::GetRange { key, first, last } => Box::pin(client.getrange(key, first, last)),
            Self::HashGet { key, field } => Box::pin(client.hget(key, field)),
            Self::HashGetMany { key, fields } => Box::pin(client.hmget(key, fields)),
            Self::HashGetAll { key } => Box::pin(client.hgetall(key)),
            Self::Set { key, value, millis, absent, old } => {
                let lasting = Some(Expiration::PX(millis));
                let absent = absent.then_some(SetOptions::NX);
                Box::pin(client.set(key, value, lasting, absent, old))
            }
        }
    }
}

/// Its bytes are not copied.
fn key(value: &Value) -> Option<Key> {
    match value {
        Value::String(_) | Value::Bytes(_) => Key::try_from(value.clone()).ok(),
        _ => None,
    }
}

fn is(value: &Value, word: &str) -> bool {
    value.as_bytes() == Some(word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, args: impl IntoIterator<Item = Value>) -> Option<Known> {
        Known::of(name, &args.into_iter().collect::<Vec<_>>())
    }

    fn text(text: &'static str) -> Value {
        Value::from_static_str(text)
    }

    #[test]
    fn what_is_sent_often_is_known() {
        let key = || Key::from("k");
        assert_eq!(of("GET", [text("k")]), Some(Known::Get { key: key() }));
        let range = Known::GetRange { key: key(), first: 0, last: 9 };
        assert_eq!(of("GETRANGE", [text("k"), 0.into(), 9.into()]), Some(range));
        let field = Known::HashGet { key: key(), field: "f".into() };
        assert_eq!(of("HGET", [text("k"), text("f")]), Some(field));
        let many = Known::HashGetMany { key: key(), fields: vec!["f".into(), "g".into()] };
        assert_eq!(of("HMGET", [text("k"), text("f"), text("g")]), Some(many));
        assert_eq!(of("HGETALL", [text("k")]), Some(Known::HashGetAll { key: key() }));
        let set =
            |absent, old| Some(Known::Set { key: key(), value: text("v"), millis: 5, absent, old });
        let words = || [text("k"), text("v"), text("PX"), 5.into()];
        assert_eq!(of("SET", words()), set(false, false));
        assert_eq!(of("SET", words().into_iter().chain([text("NX")])), set(true, false));
        let both = [text("NX"), text("GET")];
        assert_eq!(of("SET", words().into_iter().chain(both)), set(true, true));
    }

    #[test]
    fn what_fred_would_say_otherwise_is_not() {
        let odd = [
            of("GET", []),
            of("GET", [text("k"), text("l")]),
            of("GET", [Value::Null]),
            of("get", [text("k")]),
            of("MGET", [text("k")]),
            of("GETRANGE", [text("k"), 0.into(), (-1).into()]),
            of("GETRANGE", [text("k"), text("0"), text("9")]),
            of("HMGET", [text("k")]),
            of("HMGET", [text("k"), Value::Null]),
            of("SET", [text("k"), text("v")]),
            of("SET", [text("k"), text("v"), text("EX"), 5.into()]),
            of("SET", [text("k"), text("v"), text("PX"), text("5")]),
            of("SET", [text("k"), text("v"), text("PX"), 5.into(), text("XX")]),
            of("SET", [text("k"), text("v"), text("PX"), 5.into(), text("GET"), text("NX")]),
            of("SET", [text("k"), text("v"), text("NX")]),
        ];
        assert_eq!(odd, [const { None }; 15]);
    }
}
