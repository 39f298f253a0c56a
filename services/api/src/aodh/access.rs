//! Who may see which alarms (alarms-api §2, §6).

use nephos_identity::{Caller, Rule, Target, allows};
use nephos_index::AlarmFilter;
use nephos_model::{Alarm, AlarmState};
use nephos_wire::aodh::Fault;
use nephos_wire::aodh::query::Condition;

use super::failure::AodhFailure;

/// Refuses a caller that `rule` does not allow in their own project.
pub(super) fn own_project(rule: Rule, caller: &Caller) -> Result<(), AodhFailure> {
    let target = Target {
        project_id: caller.project_id.as_deref(),
        user_id: caller.user_id.as_deref(),
        ..Target::default()
    };
    if allows(rule, caller, &target) { Ok(()) } else { Err(AodhFailure::forbidden()) }
}

/// The alarm, if the caller may know of it and `rule` allows what they want. One of another project does not exist for
/// anybody but an admin.
pub(super) fn visible(
    rule: Rule,
    caller: &Caller,
    alarm: Option<Alarm>,
    id: &str,
) -> Result<Alarm, AodhFailure> {
    let alarm = alarm
        .filter(|alarm| is_unrestricted(caller) || alarm.project_id == caller.project_id)
        .ok_or_else(|| AodhFailure::no_alarm(id))?;
    let target = Target {
        project_id: alarm.project_id.as_deref(),
        user_id: alarm.user_id.as_deref(),
        ..Target::default()
    };
    if allows(rule, caller, &target) { Ok(alarm) } else { Err(AodhFailure::forbidden()) }
}

/// Whether the caller acts on alarms of every project.
pub(super) fn is_unrestricted(caller: &Caller) -> bool {
    allows(Rule::Segregation, caller, &Target::default())
}

/// The filter that conditions on `GET /v2/alarms` mean for this caller.
pub(super) fn alarm_filter(caller: &Caller, conditions: &[Condition]) -> Result<AlarmFilter, AodhFailure> {
    let mut filter = AlarmFilter::default();
    let mut all_projects = false;
    for condition in conditions {
        apply(&mut filter, &mut all_projects, condition)?;
    }
    if all_projects && !allows(Rule::GetAlarmsAllProjects, caller, &Target::default()) {
        return Err(AodhFailure::forbidden());
    }
    if let Some(project) = &filter.project_id {
        if !is_unrestricted(caller) && Some(project) != caller.project_id.as_ref() {
            return Err(Fault::not_yours(format!("Not Authorized to access project {project}")).into());
        }
    } else if !all_projects {
        filter.project_id.clone_from(&caller.project_id);
    }
    Ok(filter)
}

const FIELDS: &str = "{'all_projects', 'enabled', 'name', 'project_id', 'repeat_actions', 'severity', 'state', \
                      'timestamp', 'type', 'user_id'}";

fn apply(filter: &mut AlarmFilter, all_projects: &mut bool, condition: &Condition) -> Result<(), Fault> {
    let text = || Some(condition.value.clone());
    match condition.field.as_str() {
        _ if condition.op != "eq" && FIELDS.contains(&format!("'{}'", condition.field)) => {
            let value = format!("{{'{}'}}", condition.op);
            return Err(Fault::field("op", &value, "only operations {'eq'} are allowed"));
        }
        "all_projects" => *all_projects = condition.boolean()?,
        "user_id" => filter.user_id = text(),
        "project_id" => filter.project_id = text(),
        "type" => filter.type_name = text(),
        "name" => filter.name = text(),
        "severity" => filter.severity = text(),
        "enabled" => filter.enabled = Some(condition.boolean()?),
        "repeat_actions" => filter.repeat_actions = Some(condition.boolean()?),
        "timestamp" => filter.timestamp = Some(condition.time()?),
        "state" => {
            filter.state = Some(AlarmState::parse(&condition.value).ok_or_else(|| {
                Fault::field(
                    "state",
                    &condition.value,
                    "Value should be one of: alarm, insufficient data, ok",
                )
            })?);
        }
        other => {
            let message = format!("only fields {FIELDS} are allowed");
            return Err(Fault::field("field", &format!("{{'{other}'}}"), &message));
        }
    }
    condition.check_kind()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(project: &str, roles: &[&str]) -> Caller {
        Caller {
            user_id: Some("u".into()),
            project_id: Some(project.into()),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            creator: Some(format!("u:{project}")),
            ..Caller::default()
        }
    }

    fn condition(field: &str, op: &str, value: &str) -> Condition {
        Condition { field: field.into(), op: op.into(), value: value.into(), kind: None }
    }

    fn refused(caller: &Caller, conditions: &[Condition]) -> (u16, String) {
        match alarm_filter(caller, conditions) {
            Err(AodhFailure::Fault(fault)) => (fault.status, fault.message),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn everybody_sees_their_own_project_by_default() {
        for roles in [&["admin"][..], &["reader"]] {
            let filter = alarm_filter(&caller("p", roles), &[]).unwrap();
            assert_eq!(filter.project_id.as_deref(), Some("p"));
        }
    }

    #[test]
    fn only_admins_look_across_projects() {
        let (admin, member) = (caller("p", &["admin"]), caller("p", &["member", "reader"]));
        let all = [condition("all_projects", "eq", "true")];
        assert_eq!(alarm_filter(&admin, &all).unwrap().project_id, None);
        assert_eq!(refused(&member, &all).0, 403);
        let other = [condition("project_id", "eq", "q")];
        assert_eq!(alarm_filter(&admin, &other).unwrap().project_id.as_deref(), Some("q"));
        assert_eq!(refused(&member, &other), (401, "Not Authorized to access project q".to_owned()));
    }

    #[test]
    fn unknown_fields_and_operations_are_refused() {
        let admin = caller("p", &["admin"]);
        let (status, message) = refused(&admin, &[condition("alarm_id", "eq", "x")]);
        assert_eq!(status, 400);
        assert!(
            message
                .starts_with("Invalid input for field/attribute field. Value: '{'alarm_id'}'. only fields {"),
            "{message}"
        );
        assert_eq!(
            refused(&admin, &[condition("name", "ne", "x")]).1,
            "Invalid input for field/attribute op. Value: '{'ne'}'. only operations {'eq'} are allowed"
        );
        assert_eq!(refused(&admin, &[condition("state", "eq", "bad")]).0, 400);
    }
}
