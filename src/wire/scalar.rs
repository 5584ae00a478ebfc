//! JSON values taken as they come, in one parse: what is wrong with one is said by the reader who knows its path.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};

use super::decode::DecodeError;
use crate::domain::limits::{self, InvalidText};

/// A member that should be a text, an integer or a boolean. `null` is the same as none.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Integer(i64),
    Boolean(bool),
    Other,
}

impl<'a> Scalar<'a> {
    pub(super) fn text(self, path: &'static str) -> Result<Option<Cow<'a, str>>, DecodeError> {
        match self {
            Self::Absent => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            Self::Integer(_) | Self::Boolean(_) | Self::Other => Err(DecodeError::schema(path, "expected a text")),
        }
    }

    pub(super) fn checked(
        self,
        path: &'static str,
        check: impl FnOnce(&str) -> Result<(), InvalidText>,
    ) -> Result<Option<String>, DecodeError> {
        let Some(text) = self.text(path)? else {
            return Ok(None);
        };
        check(&text).map_err(|error| DecodeError::schema(path, error))?;
        Ok(Some(text.into_owned()))
    }

    /// A free text; an empty one says nothing.
    pub(super) fn saying(self, path: &'static str) -> Result<Option<String>, DecodeError> {
        Ok(self.checked(path, limits::check_text)?.filter(|text| !text.is_empty()))
    }

    /// A URL; an empty one says nothing.
    pub(super) fn url(self, path: &'static str) -> Result<Option<String>, DecodeError> {
        let check = |text: &str| {
            if text.is_empty() {
                Ok(())
            } else {
                limits::check_url(text)
            }
        };
        Ok(self.checked(path, check)?.filter(|text| !text.is_empty()))
    }

    pub(super) fn integer(self, path: &'static str) -> Result<i64, DecodeError> {
        match self {
            Self::Integer(number) => Ok(number),
            Self::Absent => Err(DecodeError::schema(path, "missing; expected an integer")),
            Self::Text(_) | Self::Boolean(_) | Self::Other => Err(DecodeError::schema(path, "expected an integer")),
        }
    }

    pub(super) fn boolean(self, path: &'static str) -> Result<Option<bool>, DecodeError> {
        match self {
            Self::Boolean(value) => Ok(Some(value)),
            Self::Absent => Ok(None),
            Self::Text(_) | Self::Integer(_) | Self::Other => Err(DecodeError::schema(path, "expected true or false")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(number).map_or(Scalar::Other, Scalar::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Boolean(value))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        drain_seq(seq).map(|()| Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

/// A member that should be an object. `null` is the same as none.
#[derive(Debug, Default)]
pub(super) enum Object<T> {
    #[default]
    Absent,
    Present(T),
    Other,
}

impl<T> Object<T> {
    pub(super) fn required(self, path: &'static str) -> Result<T, DecodeError> {
        match self {
            Self::Present(value) => Ok(value),
            Self::Absent => Err(DecodeError::schema(path, "missing; expected an object")),
            Self::Other => Err(DecodeError::schema(path, "expected an object")),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object::Present)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        drain_seq(seq).map(|()| Object::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Object::Absent)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Object::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Object::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Object::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Object::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Object::Other)
    }
}

fn drain_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<(), A::Error> {
    while seq.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}
