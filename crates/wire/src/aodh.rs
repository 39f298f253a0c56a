//! Wire shapes of the alarm API and of alarm notifications (alarms-api).

mod notification;

pub use notification::{Notification, notification};
