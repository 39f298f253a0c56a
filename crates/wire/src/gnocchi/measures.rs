//! Measures as clients post them (metrics-api §5.1, §5.2): everything that may come, and what is wrong with it.

use std::borrow::Cow;
use std::fmt;

use nephos_model::{Measure, Timestamp};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::quote_bare_words;
use super::time::{self, TimestampError, TimestampKind};

/// Why a body of measures is refused. The texts are those of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeasuresError {
    /// Not a list of objects with timestamp and value.
    #[error("unexpected measures format")]
    Format,
    /// A value that is no number.
    #[error("unexpected measures value")]
    Value,
    /// A timestamp that is none.
    #[error("unexpected timestamp '{0}'")]
    Timestamp(TimestampError),
}

/// A body that may hold bare `NaN` and infinities, read as `T`; `Err` if it is no JSON.
pub fn read_body<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    spare: &'a mut Option<Vec<u8>>,
) -> Result<T, serde_json::Error> {
    match serde_json::from_slice(body) {
        Ok(value) => Ok(value),
        Err(error) => {
            *spare = quote_bare_words(body);
            match spare {
                Some(quoted) => serde_json::from_slice(quoted),
                None => Err(error),
            }
        }
    }
}

/// What a client posted as the measures of one metric; checked by [`PostedMeasures::check`].
#[derive(Debug, Default, PartialEq)]
pub struct PostedMeasures<'a> {
    items: Vec<Item<'a>>,
    misshapen: bool,
}

/// Timestamp and value as posted; absent ones are `None`.
#[derive(Debug, PartialEq)]
struct Item<'a> {
    timestamp: Scalar<'a>,
    value: Scalar<'a>,
}

#[derive(Debug, Default, PartialEq)]
enum Scalar<'a> {
    #[default]
    Absent,
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    Container,
}

impl PostedMeasures<'_> {
    /// The measures, or why the whole request is refused. The first timestamp decides how all are written.
    pub fn check(&self, now: Timestamp) -> Result<Vec<Measure>, MeasuresError> {
        if self.misshapen {
            return Err(MeasuresError::Format);
        }
        let mut kind = None;
        let mut measures = Vec::with_capacity(self.items.len());
        for item in &self.items {
            let timestamp = item.timestamp(now, &mut kind)?;
            measures.push(Measure { timestamp, value: item.value()? });
        }
        Ok(measures)
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl Item<'_> {
    fn timestamp(
        &self,
        now: Timestamp,
        expected: &mut Option<TimestampKind>,
    ) -> Result<Timestamp, MeasuresError> {
        let parsed = match &self.timestamp {
            Scalar::Number(seconds) => {
                time::from_seconds(*seconds).map(|time| (time, TimestampKind::Seconds))
            }
            Scalar::Text(text) => time::parse_with_kind(text, now),
            Scalar::Absent | Scalar::Null | Scalar::Container => return Err(MeasuresError::Format),
            Scalar::Bool(_) => Err(TimestampError::Unconvertible),
        };
        let (timestamp, kind) = parsed.map_err(MeasuresError::Timestamp)?;
        if *expected.get_or_insert(kind) == kind {
            Ok(timestamp)
        } else {
            Err(MeasuresError::Timestamp(TimestampError::Unconvertible))
        }
    }

    fn value(&self) -> Result<f64, MeasuresError> {
        match &self.value {
            Scalar::Number(value) => Ok(*value),
            Scalar::Bool(value) => Ok(f64::from(u8::from(*value))),
            Scalar::Text(text) => text.trim().parse().map_err(|_| MeasuresError::Value),
            Scalar::Absent | Scalar::Null | Scalar::Container => Err(MeasuresError::Value),
        }
    }
}

/// Measures of a named metric in the batch form: a list, or an object with what creates the metric.
#[derive(Debug, Default, PartialEq)]
pub struct NamedMeasures<'a> {
    /// The measures.
    pub measures: PostedMeasures<'a>,
    /// Policy of the metric, if it is created.
    pub archive_policy_name: Option<Cow<'a, str>>,
    /// Unit of the metric, if it is created.
    pub unit: Option<Cow<'a, str>>,
    /// A key that the form does not have.
    pub unknown_key: Option<Cow<'a, str>>,
}

/// Entries of a batch in the order sent; serde maps would need owned keys.
#[derive(Debug, PartialEq)]
pub struct Entries<'a, T>(pub Vec<(Cow<'a, str>, T)>);

/// A batch value that is no object where one must be stands as `None`.
#[derive(Debug, PartialEq)]
pub struct MaybeObject<T>(pub Option<T>);

macro_rules! on_other_scalars {
    ($result:expr) => {
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($result)
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($result)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($result)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($result)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($result)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($result)
        }
    };
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Bool(value))
            }
            #[allow(clippy::cast_precision_loss)]
            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(value as f64))
            }
            #[allow(clippy::cast_precision_loss)]
            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(value as f64))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(value))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                skip_list(list).map(|()| Scalar::Container)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                skip_map(map).map(|()| Scalar::Container)
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// An item, or `None` for what is no object.
struct ItemSeed;

impl<'de> DeserializeSeed<'de> for ItemSeed {
    type Value = Option<Item<'de>>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ItemSeed {
    type Value = Option<Item<'de>>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }
    on_other_scalars!(None);
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        skip_list(list).map(|()| None)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut item = Item { timestamp: Scalar::Absent, value: Scalar::Absent };
        while let Some(key) = map.next_key::<Key<'de>>()? {
            match key.0.as_ref() {
                "timestamp" => item.timestamp = map.next_value()?,
                "value" => item.value = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Some(item))
    }
}

/// A key, borrowed where it holds no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for PostedMeasures<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

struct ListVisitor;

const MISSHAPEN: PostedMeasures<'static> = PostedMeasures { items: Vec::new(), misshapen: true };

impl<'de> Visitor<'de> for ListVisitor {
    type Value = PostedMeasures<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }
    on_other_scalars!(MISSHAPEN);
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        skip_map(map).map(|()| MISSHAPEN)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut measures = PostedMeasures::default();
        while let Some(item) = list.next_element_seed(ItemSeed)? {
            match item {
                Some(item) => measures.items.push(item),
                None => measures.misshapen = true,
            }
        }
        Ok(measures)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for NamedMeasures<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamedVisitor;
        impl<'de> Visitor<'de> for NamedVisitor {
            type Value = NamedMeasures<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }
            on_other_scalars!(NamedMeasures { measures: MISSHAPEN, ..NamedMeasures::default() });
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Ok(NamedMeasures { measures: ListVisitor.visit_seq(list)?, ..NamedMeasures::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut named = NamedMeasures { measures: MISSHAPEN, ..NamedMeasures::default() };
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    match key.0.as_ref() {
                        "measures" => named.measures = map.next_value()?,
                        "archive_policy_name" => named.archive_policy_name = text_of(map.next_value()?),
                        "unit" => named.unit = text_of(map.next_value()?),
                        _ => {
                            named.unknown_key = Some(key.0);
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(named)
            }
        }
        deserializer.deserialize_any(NamedVisitor)
    }
}

fn text_of(scalar: Scalar<'_>) -> Option<Cow<'_, str>> {
    match scalar {
        Scalar::Text(text) => Some(text),
        _ => None,
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for MaybeObject<Entries<'a, T>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
            type Value = MaybeObject<Entries<'de, T>>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }
            on_other_scalars!(MaybeObject(None));
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                skip_list(list).map(|()| MaybeObject(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    entries.push((key.0, map.next_value()?));
                }
                Ok(MaybeObject(Some(Entries(entries))))
            }
        }
        deserializer.deserialize_any(EntriesVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests;
