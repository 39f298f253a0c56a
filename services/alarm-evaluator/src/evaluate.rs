//! One evaluation of one alarm: read the window, judge, commit.

use std::sync::Arc;
use std::time::Duration;

use nephos_identity::{Caller, Target, allows, policy};
use nephos_index::{AlarmTransition, IndexError, OutboxItem, Transition};
use nephos_metric_store::SeriesRequest;
use nephos_model::{
    Alarm, AlarmChange, AlarmRule, AlarmState, ChangeKind, Granularity, Metric, Point, Resource,
    ResourcesThreshold, Timestamp,
};
use nephos_timeseries::AggregationMethod;
use serde_json::json;
use uuid::Uuid;

use crate::threshold::{Announcement, Decision, Limit, Outcome, decide, judge};
use crate::{EvaluatorOptions, EvaluatorParts, instrument, schedule};

/// Evaluates `alarm` and commits what follows. Failures are logged; the next cycle tries again.
pub(crate) async fn evaluate(parts: &EvaluatorParts, options: &EvaluatorOptions, alarm: Alarm) {
    let started = parts.clock.monotonic();
    let now = parts.clock.now();
    let decision = if schedule::within(&alarm.time_constraints, now) {
        match &alarm.rule {
            AlarmRule::ResourcesThreshold(rule) => {
                decide(&alarm, &resources_threshold(parts, options, &alarm, rule, now).await)
            }
        }
    } else {
        Decision::Nothing
    };
    let commit = commit_of(&alarm, decision, options, now);
    let notifications = commit.outbox.len();
    let transition = commit.transition.as_ref().map(|transition| transition.state);
    let result = match parts.index.commit_evaluation(&commit).await {
        Ok(true) => {
            instrument::emitted(notifications);
            if let Some(state) = transition {
                instrument::transitioned(state.as_str());
                tracing::debug!(alarm = %alarm.id, state = state.as_str(), "alarm changed state");
            }
            "committed"
        }
        // Somebody changed, deleted or evaluated it meanwhile: what we saw is no longer so.
        Ok(false) => "stale",
        Err(error) => {
            tracing::warn!(alarm = %alarm.id, %error, "evaluation could not be stored; trying again");
            "failed"
        }
    };
    instrument::evaluated(result, parts.clock.monotonic().saturating_sub(started));
}

/// Judges a `gnocchi_resources_threshold` rule.
async fn resources_threshold(
    parts: &EvaluatorParts,
    options: &EvaluatorOptions,
    alarm: &Alarm,
    rule: &ResourcesThreshold,
    now: Timestamp,
) -> Outcome {
    let limit = Limit {
        comparison: rule.comparison_operator,
        threshold: rule.threshold,
        periods: rule.evaluation_periods,
        granularity: rule.granularity,
    };
    match window(parts, options, alarm, rule, now).await {
        Ok(points) => judge(&points, limit),
        Err(reason) => Outcome::Insufficient { reason, periods: rule.evaluation_periods, most_recent: None },
    }
}

/// The points of the rule's window, or the reason why there are none (alarms-api §11.3).
async fn window(
    parts: &EvaluatorParts,
    options: &EvaluatorOptions,
    alarm: &Alarm,
    rule: &ResourcesThreshold,
    now: Timestamp,
) -> Result<Vec<Point>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("alarm statistics retrieval failed: {error}");
    let metric = find_metric(parts, options, alarm, rule).await?;
    let policy = parts
        .index
        .archive_policy(&metric.archive_policy_name)
        .await
        .map_err(|error| failed(&error))?
        .ok_or_else(|| failed(&format!("Archive policy {} does not exist", metric.archive_policy_name)))?;
    let granularity = Granularity::from_secs(i64::from(rule.granularity))
        .ok_or_else(|| failed(&"granularity is not positive"))?;
    let no_aggregation = || {
        format!(
            "aggregation {} does not exist for metric {} of resource {}",
            rule.aggregation_method, rule.metric, rule.resource_id
        )
    };
    let method: AggregationMethod = rule.aggregation_method.parse().map_err(|_| no_aggregation())?;
    if !policy.methods.contains(&method) || policy.item(granularity).is_none() {
        return Err(no_aggregation());
    }
    let span = Duration::from_secs(u64::from(rule.granularity) * (u64::from(rule.evaluation_periods) + 1))
        + options.additional_ingestion_lag;
    let request = SeriesRequest {
        metric: metric.id,
        policy,
        method,
        granularities: vec![granularity],
        start: Some(now.minus(span)),
        stop: Some(now),
        resample: None,
    };
    let answer = parts.store.query(vec![request]).await.map_err(|error| failed(&error))?;
    let points = answer
        .into_iter()
        .flat_map(|series| series.granularities)
        .flat_map(|series| {
            let granularity = series.granularity;
            series.timestamps.into_iter().zip(series.values).map(move |(timestamp, value)| Point {
                timestamp,
                granularity,
                value,
            })
        })
        .collect();
    Ok(points)
}

/// The rule's metric, if the alarm's owner may read it.
async fn find_metric(
    parts: &EvaluatorParts,
    options: &EvaluatorOptions,
    alarm: &Alarm,
    rule: &ResourcesThreshold,
) -> Result<Metric, String> {
    let failed = |error: IndexError| format!("alarm statistics retrieval failed: {error}");
    let owner = Caller { rules: Arc::clone(&parts.rules.borrow()), ..owner_of(alarm) };
    let no_resource = || format!("resource {} does not exists", rule.resource_id);
    let Some(resource) = find_resource(parts, &owner, options, &rule.resource_id).await.map_err(failed)?
    else {
        return Err(no_resource());
    };
    let metric = parts.index.resource_metric(resource.id, &rule.metric).await.map_err(failed)?;
    let Some(metric) = metric else {
        return Err(format!("metric {} for resource {} does not exists", rule.metric, rule.resource_id));
    };
    // What the owner may not read does not exist for the owner's alarm.
    let target = Target {
        creator: metric.creator.as_deref(),
        project_id: resource.project_id.as_deref(),
        user_id: None,
    };
    if allows(policy::metrics::GET_MEASURES, &owner, &target) { Ok(metric) } else { Err(no_resource()) }
}

/// The caller that the alarm's owner would be on the metrics API. Roles are not stored with an alarm: who could make it
/// is `member` and `reader` of the project, and of users without Keystone, whose user and project are the same word,
/// `admin` is the administrator (nephos.md §6).
fn owner_of(alarm: &Alarm) -> Caller {
    let (user, project) = (alarm.user_id.clone(), alarm.project_id.clone());
    let basic = user.is_some() && (user == project || project.is_none());
    let admin = (basic && user.as_deref() == Some("admin")).then_some("admin");
    let roles = admin.into_iter().chain(["member", "reader"]).map(str::to_owned).collect();
    let creator = match (&user, &project) {
        (Some(user), Some(project)) if !basic => Some(format!("{user}:{project}")),
        _ => user.clone(),
    };
    Caller { user_id: user, project_id: project, roles, creator, ..Caller::default() }
}

/// The resource that the owner's text means: a UUID, the owner's own text, or the text of what the collector stores.
async fn find_resource(
    parts: &EvaluatorParts,
    owner: &Caller,
    options: &EvaluatorOptions,
    text: &str,
) -> Result<Option<Resource>, IndexError> {
    let own = |user: &String| format!("{user}:{}", owner.project_id.as_deref().unwrap_or_default());
    let own = owner.user_id.as_ref().map(own);
    let collector = Some(options.collector_creator.as_str());
    let creators = [owner.creator.as_deref(), own.as_deref(), owner.user_id.as_deref(), collector];
    let mut tried = Vec::new();
    for creator in creators.into_iter().flatten() {
        let Ok(id) = nephos_wire::gnocchi::resource_id(text, Some(creator)) else { return Ok(None) };
        if tried.contains(&id) {
            continue;
        }
        tried.push(id);
        if let Some(resource) = parts.index.resource("generic", id).await? {
            return Ok(Some(resource));
        }
    }
    Ok(None)
}

/// What `decision` leaves behind.
fn commit_of(
    alarm: &Alarm,
    decision: Decision,
    options: &EvaluatorOptions,
    now: Timestamp,
) -> AlarmTransition {
    let (told, changes) = match decision {
        Decision::Nothing => (None, false),
        Decision::Transition(told) => (Some(told), true),
        Decision::Repeat(told) => (Some(told), false),
    };
    let outbox = told.as_ref().map(|told| outbox_of(alarm, told, now)).unwrap_or_default();
    let transition = told.filter(|_| changes).map(|told| Transition {
        state: told.state,
        change: options.record_history.then(|| change_of(alarm, &told, now)),
        reason: told.reason,
    });
    AlarmTransition {
        alarm_id: alarm.id,
        read_evaluate_timestamp: alarm.evaluate_timestamp,
        read_timestamp: alarm.timestamp,
        read_state: alarm.state,
        now,
        transition,
        outbox,
    }
}

fn change_of(alarm: &Alarm, told: &Announcement, now: Timestamp) -> AlarmChange {
    let detail = json!({"state": told.state.as_str(), "transition_reason": told.reason});
    AlarmChange {
        event_id: Uuid::new_v4(),
        alarm_id: alarm.id,
        kind: ChangeKind::StateTransition,
        detail: detail.to_string(),
        user_id: None,
        project_id: None,
        on_behalf_of: alarm.project_id.clone(),
        timestamp: now,
        severity: alarm.severity,
    }
}

fn outbox_of(alarm: &Alarm, told: &Announcement, now: Timestamp) -> Vec<OutboxItem> {
    let actions = alarm.actions_for(told.state);
    if actions.is_empty() {
        return Vec::new();
    }
    let payload = payload(alarm, alarm.state, told);
    actions
        .iter()
        .map(|action| OutboxItem {
            id: Uuid::new_v4(),
            alarm_id: alarm.id,
            action: action.clone(),
            payload: payload.clone(),
            created: now,
            attempts: 0,
            due: now,
        })
        .collect()
}

fn payload(alarm: &Alarm, previous: AlarmState, told: &Announcement) -> String {
    nephos_wire::aodh::notification(&nephos_wire::aodh::Notification {
        alarm_name: alarm.name.as_deref(),
        alarm_id: alarm.id,
        severity: alarm.severity,
        previous,
        current: told.state,
        reason: &told.reason,
        reason_data: &told.reason_data,
    })
}
