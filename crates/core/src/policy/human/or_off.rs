//! A key that takes a value or `off`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer as _, MapAccess, Visitor};

/// A value, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrOff<T> {
    /// `off` or `false`.
    Off,
    /// The value.
    On(T),
}

impl<T> OrOff<T> {
    /// The value, where there is one.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::On(value) => Some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrOff<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrOffVisitor(PhantomData))
    }
}

struct OrOffVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrOffVisitor<T> {
    type Value = OrOff<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or `off`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OrOff<T>, E> {
        if text == "off" { Ok(OrOff::Off) } else { T::deserialize(StrDeserializer::new(text)).map(OrOff::On) }
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<OrOff<T>, E> {
        if value { T::deserialize(value.into_deserializer()).map(OrOff::On) } else { Ok(OrOff::Off) }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<OrOff<T>, E> {
        T::deserialize(number.into_deserializer()).map(OrOff::On)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<OrOff<T>, E> {
        T::deserialize(number.into_deserializer()).map(OrOff::On)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<OrOff<T>, E> {
        T::deserialize(number.into_deserializer()).map(OrOff::On)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OrOff<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(OrOff::On)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<OrOff<T>, A::Error> {
        T::deserialize(de::value::SeqAccessDeserializer::new(list)).map(OrOff::On)
    }
}

impl<T: JsonSchema> JsonSchema for OrOff<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{} or off", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [value, { "enum": ["off", false] }] })
    }
}
