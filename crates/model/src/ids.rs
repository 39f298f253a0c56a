//! Identifiers as types of their own, so that one kind cannot be passed for another.

use std::fmt;
use std::str::FromStr;

use uuid::{NoContext, Uuid};

use crate::Timestamp;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new random identifier (UUID version 4).
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// The sixteen raw bytes, in network order.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// One metric: a series with one archive policy.
    MetricId
);
impl MetricId {
    /// A new identifier of something made at this time (UUID version 7, to the millisecond): such ids lie beside each
    /// other wherever they are sorted, so that many new metrics touch few pages of an index.
    pub fn made_at(now: Timestamp) -> Self {
        let nanos = now.as_nanos().max(0).unsigned_abs();
        let (secs, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        let rest = u32::try_from(rest).unwrap_or_default();
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, secs, rest)))
    }
}

uuid_id!(
    /// One resource, as Gnocchi addresses it: the client's own UUID, or a UUID 5 of its text and creator.
    ResourceId
);
uuid_id!(
    /// One alarm.
    AlarmId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_made_one_after_the_other_sort_in_that_order() {
        let at = |millis: i64| MetricId::made_at(Timestamp::from_nanos(millis * 1_000_000));
        let ids = [at(-5), at(1), at(2), at(1_800_000_000_000), at(1_800_000_000_001)];
        assert!(ids.is_sorted());
        assert_ne!(at(7), at(7));
        assert_eq!(ids[4].0.get_version_num(), 7);
        assert_eq!(ids[4].to_string()[..13], *"01a3185c-5001");
    }
}
