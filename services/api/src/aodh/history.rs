//! `GET /v2/alarms/{id}/history` (alarms-api §8).

use std::time::Duration;

use nephos_identity::Rule;
use nephos_index::ChangeFilter;
use nephos_model::AlarmChange;
use nephos_wire::aodh::Fault;
use nephos_wire::aodh::query::{Condition, Paging};

use super::access::is_unrestricted;
use super::failure::AodhFailure;
use super::service::{Service, page};

const FIELDS: &str = "['project_id', 'search_offset', 'severity', 'timestamp', 'type', 'user_id']";

impl Service<'_> {
    pub(super) async fn history(
        &self,
        id: &str,
        conditions: &[Condition],
        paging: Paging,
    ) -> Result<Vec<AlarmChange>, AodhFailure> {
        let alarm = self.one(id, Rule::AlarmHistory).await?;
        let mut filter = filter(conditions)?;
        filter.alarm_id = Some(alarm.id);
        if !is_unrestricted(self.caller) {
            let own = self.caller.project_id.as_ref();
            if let Some(other) = filter.project_id.as_ref().filter(|project| Some(*project) != own) {
                return Err(Fault::not_yours(format!("Not Authorized to access project {other}")).into());
            }
            filter.on_behalf_of = own.cloned();
        }
        Ok(self.index.alarm_changes(&filter, &page(paging)).await?)
    }
}

fn filter(conditions: &[Condition]) -> Result<ChangeFilter, Fault> {
    let mut filter = ChangeFilter::default();
    let mut offset = None;
    for condition in conditions {
        let text = || Some(condition.value.clone());
        match (condition.field.as_str(), condition.op.as_str()) {
            ("timestamp", op) => time_bound(&mut filter, op, condition)?,
            ("type" | "user_id" | "user" | "project_id" | "project" | "severity" | "search_offset", op)
                if op != "eq" =>
            {
                let field = &condition.field;
                return Err(Fault::field("op", op, &format!("unimplemented operator for {field}")));
            }
            ("type", _) => filter.kind = text(),
            ("user_id" | "user", _) => filter.user_id = text(),
            ("project_id" | "project", _) => filter.project_id = text(),
            ("severity", _) => filter.severity = text(),
            ("search_offset", _) => {
                let minutes = u64::try_from(condition.integer()?).unwrap_or_default();
                offset = Some(Duration::from_secs(minutes.saturating_mul(60)));
            }
            (other, _) => {
                return Err(Fault::bad(format!(
                    "Unknown argument: \"{other}\": unrecognized field in query: {other}, valid keys: {FIELDS}"
                )));
            }
        }
    }
    if let Some(offset) = offset {
        if filter.from.is_none() && filter.until.is_none() {
            return Err(Fault::field("search_offset", "", "search_offset cannot be used without timestamp"));
        }
        filter.from = filter.from.map(|(at, included)| (at.minus(offset), included));
        filter.until = filter.until.map(|(at, included)| (at.plus(offset), included));
    }
    Ok(filter)
}

fn time_bound(filter: &mut ChangeFilter, op: &str, condition: &Condition) -> Result<(), Fault> {
    let at = condition.time()?;
    match op {
        "gt" => filter.from = Some((at, false)),
        "ge" => filter.from = Some((at, true)),
        "lt" => filter.until = Some((at, false)),
        "le" => filter.until = Some((at, true)),
        _ => return Err(Fault::field("op", op, "unimplemented operator for timestamp")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nephos_model::Timestamp;

    use super::*;

    fn condition(field: &str, op: &str, value: &str) -> Condition {
        Condition { field: field.into(), op: op.into(), value: value.into(), kind: None }
    }

    #[test]
    fn time_bounds_are_widened_by_the_offset() {
        let found = filter(&[
            condition("timestamp", "ge", "1970-01-01T01:00:00"),
            condition("timestamp", "lt", "1970-01-01T02:00:00"),
            condition("search_offset", "eq", "10"),
        ])
        .unwrap();
        assert_eq!(found.from, Some((Timestamp::from_secs(3_000), true)));
        assert_eq!(found.until, Some((Timestamp::from_secs(7_800), false)));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for (conditions, start) in [
            (
                vec![condition("alarm_id", "eq", "x")],
                "Unknown argument: \"alarm_id\": unrecognized field in query",
            ),
            (vec![condition("on_behalf_of", "eq", "x")], "Unknown argument: \"on_behalf_of\""),
            (
                vec![condition("type", "ne", "x")],
                "Invalid input for field/attribute op. Value: 'ne'. unimplemented operator for type",
            ),
            (vec![condition("timestamp", "eq", "2026-01-01")], "Invalid input for field/attribute op."),
            (
                vec![condition("timestamp", "gt", "abc")],
                "Invalid input for field/attribute timestamp. Value: 'abc'. invalid timestamp format",
            ),
            (vec![condition("search_offset", "eq", "5")], "Invalid input for field/attribute search_offset."),
        ] {
            let fault = filter(&conditions).unwrap_err();
            assert!(fault.message.starts_with(start), "{}", fault.message);
        }
    }
}
