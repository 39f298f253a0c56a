//! Wire shapes of the alarm API and of alarm notifications (alarms-api).
//!
//! Everything that comes from a client goes through [`fields`], which has the original's coercions and error texts.

pub mod action;
mod alarm;
pub mod fields;
mod input;
mod notification;
pub mod query;
mod rule;

pub use alarm::{alarm, change, recorded, rule};
pub use fields::Fault;
pub use input::{AlarmInput, AlarmLimits, ConstraintFault};
pub use notification::{Notification, notification};
