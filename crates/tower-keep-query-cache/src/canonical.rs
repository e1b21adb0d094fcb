//! A query's parameters as bytes that no other parameters have: each value says what it is and where
//! it ends. Formats that are to be read again leave out what readers know, and two of a kind may
//! become the same.

use serde::{Serialize, ser};

use crate::key::InvalidParameters;

type Done = Result<(), InvalidParameters>;

/// Appends what tells this from everything else.
pub(crate) fn write(bytes: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Done {
    value.serialize(Writer(bytes))
}

struct Writer<'a>(&'a mut Vec<u8>);

/// What has parts. Each begins with a byte that is not [`END`].
struct Parts<'a>(&'a mut Vec<u8>);

const PART: u8 = 1;
const END: u8 = 0;

impl<'a> Writer<'a> {
    /// Values of different kinds differ in their first byte.
    fn plain(self, kind: u8, bytes: &[u8]) {
        self.0.push(kind);
        self.0.extend_from_slice(bytes);
    }

    fn long(self, kind: u8, bytes: &[u8]) {
        self.0.push(kind);
        name(self.0, bytes);
    }

    fn parts(self, kind: u8) -> Parts<'a> {
        self.0.push(kind);
        Parts(self.0)
    }

    fn variant(self, kind: u8, variant: &str) -> &'a mut Vec<u8> {
        self.0.push(kind);
        name(self.0, variant.as_bytes());
        self.0
    }
}

fn name(bytes: &mut Vec<u8>, name: &[u8]) {
    bytes.extend_from_slice(&(name.len() as u64).to_be_bytes());
    bytes.extend_from_slice(name);
}

impl Parts<'_> {
    fn part(&mut self, value: &(impl Serialize + ?Sized)) -> Done {
        self.0.push(PART);
        write(self.0, value)
    }

    fn named(&mut self, key: &str, value: &(impl Serialize + ?Sized)) -> Done {
        self.0.push(PART);
        name(self.0, key.as_bytes());
        write(self.0, value)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as serde has it")]
    fn over(self) -> Done {
        self.0.push(END);
        Ok(())
    }
}

/// Numbers are the same whatever their width.
macro_rules! numbers {
    ($($method:ident: $number:ty),*) => {
        $(fn $method(self, value: $number) -> Done {
            self.serialize_i128(value.into())
        })*
    };
}

impl<'a> ser::Serializer for Writer<'a> {
    type Ok = ();
    type Error = InvalidParameters;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    numbers!(
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64
    );

    fn serialize_i128(self, value: i128) -> Done {
        self.plain(b'i', &value.to_be_bytes());
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Done {
        if let Ok(value) = i128::try_from(value) {
            return self.serialize_i128(value);
        }
        self.plain(b'I', &value.to_be_bytes());
        Ok(())
    }

    fn serialize_bool(self, value: bool) -> Done {
        self.plain(if value { b'1' } else { b'0' }, &[]);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Done {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Done {
        self.plain(b'f', &value.to_bits().to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Done {
        self.plain(b'c', &u32::from(value).to_be_bytes());
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Done {
        self.long(b's', value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Done {
        self.long(b'b', value);
        Ok(())
    }

    fn serialize_none(self) -> Done {
        self.plain(b'n', &[]);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        self.0.push(b'?');
        write(self.0, value)
    }

    fn serialize_unit(self) -> Done {
        self.plain(b'u', &[]);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Done {
        self.serialize_unit()
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Done {
        self.variant(b'U', variant);
        Ok(())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        write(self.variant(b'V', variant), value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, InvalidParameters> {
        Ok(self.parts(b'l'))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, InvalidParameters> {
        Ok(self.parts(b't'))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, InvalidParameters> {
        Ok(self.parts(b't'))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, InvalidParameters> {
        Ok(Parts(self.variant(b'T', variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, InvalidParameters> {
        Ok(self.parts(b'm'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, InvalidParameters> {
        Ok(self.parts(b'r'))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, InvalidParameters> {
        Ok(Parts(self.variant(b'R', variant)))
    }

    /// As in the formats that machines read.
    fn is_human_readable(&self) -> bool {
        false
    }
}

macro_rules! parts {
    ($($kind:ident.$method:ident),*) => {
        $(impl ser::$kind for Parts<'_> {
            type Ok = ();
            type Error = InvalidParameters;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                self.part(value)
            }

            fn end(self) -> Done {
                self.over()
            }
        })*
    };
}

parts!(
    SerializeSeq.serialize_element,
    SerializeTuple.serialize_element,
    SerializeTupleStruct.serialize_field,
    SerializeTupleVariant.serialize_field
);

macro_rules! fields {
    ($($kind:ident),*) => {
        $(impl ser::$kind for Parts<'_> {
            type Ok = ();
            type Error = InvalidParameters;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Done {
                self.named(key, value)
            }

            fn end(self) -> Done {
                self.over()
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = InvalidParameters;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        self.part(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        write(self.0, value)
    }

    fn end(self) -> Done {
        self.over()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn bytes(value: impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, &value).unwrap();
        bytes
    }

    /// No two are the same, nor is one the beginning of another.
    fn told_apart(all: &[Vec<u8>]) {
        for (number, one) in all.iter().enumerate() {
            for (at, other) in all.iter().enumerate() {
                assert!(number == at || !one.starts_with(other), "{number} begins with {at}");
            }
        }
    }

    #[derive(Serialize)]
    struct Filter {
        #[serde(skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        b: Option<u8>,
    }

    #[derive(Serialize)]
    enum Order {
        By,
        Newtype(u8),
        Tuple(u8, u8),
        Struct { a: u8 },
    }

    #[test]
    fn what_is_left_out_is_told_from_what_is_not() {
        let filter = |a, b| bytes(Filter { a, b });
        told_apart(&[
            filter(None, None),
            filter(Some(1), None),
            filter(None, Some(1)),
            filter(Some(1), Some(1)),
            bytes((1,)),
        ]);
    }

    #[test]
    fn nothing_is_told_from_something_that_is_nothing() {
        told_apart(&[
            bytes(None::<Option<Option<u8>>>),
            bytes(Some(None::<Option<u8>>)),
            bytes(Some(Some(None::<u8>))),
            bytes(Some(Some(Some(1_u8)))),
            bytes(()),
        ]);
    }

    #[test]
    fn values_of_different_kinds_and_shapes_are_told_apart() {
        told_apart(&[
            bytes(1_u8),
            bytes(-1),
            bytes(u128::MAX),
            bytes(1.0),
            bytes(true),
            bytes(false),
            bytes('1'),
            bytes("1"),
            bytes(""),
            bytes([0_u8; 0].as_slice()),
            bytes([1_u8].as_slice()),
            bytes((1, 2)),
            bytes((1, (2,))),
            bytes(((1,), 2)),
            bytes(vec![vec![1], vec![2]]),
            bytes(vec![vec![1, 2]]),
            bytes(BTreeMap::from([(1, 2)])),
            bytes(BTreeMap::from([("a", 2)])),
            bytes(Order::By),
            bytes("By"),
            bytes(Order::Newtype(1)),
            bytes(Order::Tuple(1, 1)),
            bytes(Order::Struct { a: 1 }),
        ]);
        assert_eq!(bytes(1_u8), bytes(1_i64), "a number is a number");
        assert_eq!(bytes(1_u8), bytes(1_u128));
        assert_eq!(bytes(0.5_f32), bytes(0.5_f64));
    }

    proptest! {
        #[test]
        fn the_same_bytes_are_the_same_value(
            one: (Option<Option<u8>>, Vec<String>, Option<bool>),
            other: (Option<Option<u8>>, Vec<String>, Option<bool>),
        ) {
            prop_assert_eq!(bytes(&one) == bytes(&other), one == other);
        }
    }
}
