//! The index: archive policies, resource types, resources, metrics, alarms, their history and the outbox of
//! notifications, in SQL.
//!
//! [`contract`] is what everyone else sees.

pub mod contract;

pub use contract::{
    AlarmFilter, AlarmIndex, AlarmTransition, ChangeFilter, EnsureMetric, EnsureResource, EnsuredMetric, Index,
    IndexError, MetricFilter, MetricIndex, NewMetric, NewResource, OutboxItem, OutboxResult, Page, PolicyIndex,
    PolicyRule, ResourceIndex, ResourceMetrics, ResourceUpdate, SortKey, Transition, TypeChange,
};
