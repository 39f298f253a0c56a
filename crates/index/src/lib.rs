//! The index: archive policies, resource types, resources, metrics, alarms, their history, the outbox of
//! notifications, and accounts, in SQL.
//!
//! [`contract`] is what everyone else sees; [`SqlIndex`] implements it on SQLite and PostgreSQL with the same statements.
//!
//! *Reads* are one statement each: a listing brings every resource's metrics along, and pages are found by the key of
//! the row before them (`page`), never by counting. *Writes* are one transaction each; what is created at the same time
//! shares one (`creation`). What is needed at every turn
//! and changes rarely (policies, rules, types) is kept for at most a second (`catalog`). Creators and policies of metrics are kept until they
//! change, which a log of changes tells to all processes (`known`).

mod accounts;
mod alarms;
mod catalog;
mod codec;
pub mod contract;
mod creation;
mod defaults;
mod gather;
mod instrument;
mod known;
mod metrics;
mod page;
mod policies;
mod query;
mod resources;
mod sql_index;
mod types;

pub use contract::{
    Account, AccountChange, AccountIndex, AccountToken, AlarmFilter, AlarmIndex, AlarmTransition,
    ChangeFilter, EnsureMetric, EnsureResource, EnsuredMetric, Filter, Index, IndexError, KindPlace,
    KnownMetrics, MetricFilter, MetricIndex, MetricKind, NewMetric, NewResource, Operator, OutboxItem,
    OutboxResult, Page, PolicyIndex, PolicyRule, ResourceIndex, ResourceMetrics, ResourceSearch,
    ResourceUpdate, SortKey, Transition, TypeChange, Usage, UsageIndex,
};
pub use defaults::Defaults;
pub use sql_index::SqlIndex;
