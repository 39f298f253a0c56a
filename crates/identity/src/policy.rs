//! Who may do what: each action's rule is a list of alternatives, each a list of checks that must all hold.

use crate::Caller;

/// One condition on a caller and what they want to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The caller has this role.
    Role(&'static str),
    /// The caller created the target, or its creator was of the caller's project.
    Creator,
    /// The target belongs to the caller's project.
    SameProject,
}

/// Alternatives, one of which must hold whole. No alternative refuses all; one without checks allows anybody.
pub type Rule = &'static [&'static [Check]];

/// What an action is on, as far as rules ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'a> {
    /// Creator string.
    pub creator: Option<&'a str>,
    /// Project it belongs to: of the resource, of the metric's resource, of the alarm.
    pub project_id: Option<&'a str>,
}

impl Check {
    fn holds(self, caller: &Caller, target: &Target<'_>) -> bool {
        let same = |own: &Option<String>, other: Option<&str>| own.is_some() && own.as_deref() == other;
        match self {
            Self::Role(role) => caller.has_role(role),
            Self::Creator => {
                let project =
                    target.creator.map(|creator| created_by(creator).1).filter(|project| !project.is_empty());
                same(&caller.creator, target.creator) || same(&caller.project_id, project)
            }
            Self::SameProject => same(&caller.project_id, target.project_id),
        }
    }
}

/// Whether `rule` lets `caller` act on `target`.
pub fn allows(rule: Rule, caller: &Caller, target: &Target<'_>) -> bool {
    rule.iter().any(|checks| checks.iter().all(|check| check.holds(caller, target)))
}

/// User and project of a creator string: what is before and after its first colon.
pub fn created_by(creator: &str) -> (&str, &str) {
    creator.split_once(':').unwrap_or((creator, ""))
}

/// The rules of the metrics API (metrics-api §2.6).
pub mod metrics {
    use super::Check::{Creator, Role, SameProject};
    use super::Rule;

    const ADMIN: &[super::Check] = &[Role("admin")];
    const SERVICE: &[super::Check] = &[Role("service")];

    /// Whoever is known.
    pub const ANYONE: Rule = &[&[]];
    /// Status; changes of policies, rules and types.
    pub const ADMINS: Rule = &[ADMIN];
    /// Creating policies; creating and changing types.
    pub const ADMINS_AND_SERVICES: Rule = &[ADMIN, SERVICE];
    /// Reading a resource.
    pub const GET_RESOURCE: Rule = &[ADMIN, &[Creator], &[SameProject]];
    /// Finding values in measures.
    pub const SEARCH_METRIC: Rule = GET_RESOURCE;
    /// Changing a resource.
    pub const UPDATE_RESOURCE: Rule = &[ADMIN, SERVICE, &[Creator]];
    /// Deleting a resource.
    pub const DELETE_RESOURCE: Rule = &[ADMIN, &[Creator]];
    /// Reading a metric or its measures.
    pub const GET_METRIC: Rule = &[ADMIN, SERVICE, &[Creator], &[SameProject]];
    /// Posting measures.
    pub const POST_MEASURES: Rule = &[ADMIN, SERVICE, &[Creator]];
    /// Deleting a metric.
    pub const DELETE_METRIC: Rule = &[ADMIN, &[Creator]];
}

/// The rules of the alarms API (alarms-api §2).
pub mod alarms {
    use super::Check::{Role, SameProject};
    use super::Rule;

    /// Reading alarms, their state, history, quotas and metrics.
    pub const READ: Rule = &[&[Role("admin")], &[Role("reader"), SameProject]];
    /// Creating, changing and deleting alarms.
    pub const WRITE: Rule = &[&[Role("admin")], &[Role("member"), SameProject]];
    /// Seeing all projects; changing quotas.
    pub const ADMINS: Rule = &[&[Role("admin")]];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(creator: &str, project: Option<&str>, roles: &[&str]) -> Caller {
        Caller {
            user_id: Some(created_by(creator).0.to_owned()),
            project_id: project.map(str::to_owned),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            creator: Some(creator.to_owned()),
        }
    }

    #[test]
    fn the_metrics_table_holds() {
        let admin = caller("admin", None, &["admin"]);
        let service = caller("svc", None, &["service"]);
        let creator = caller("u:p", Some("p"), &["member"]);
        let colleague = caller("v:p", Some("p"), &["member"]);
        let owner = caller("w:q", Some("q"), &["member"]);
        let stranger = caller("x:y", Some("y"), &["member"]);
        let target = Target { creator: Some("u:p"), project_id: Some("q") };
        for (rule, expected) in [
            (metrics::ANYONE, [true; 6]),
            (metrics::ADMINS, [true, false, false, false, false, false]),
            (metrics::ADMINS_AND_SERVICES, [true, true, false, false, false, false]),
            (metrics::GET_RESOURCE, [true, false, true, true, true, false]),
            (metrics::UPDATE_RESOURCE, [true, true, true, true, false, false]),
            (metrics::DELETE_RESOURCE, [true, false, true, true, false, false]),
            (metrics::GET_METRIC, [true, true, true, true, true, false]),
            (metrics::POST_MEASURES, [true, true, true, true, false, false]),
            (metrics::DELETE_METRIC, [true, false, true, true, false, false]),
        ] {
            let callers = [&admin, &service, &creator, &colleague, &owner, &stranger];
            assert_eq!(callers.map(|caller| allows(rule, caller, &target)), expected, "{rule:?}");
        }
    }

    #[test]
    fn the_alarms_table_holds() {
        let target = Target { creator: None, project_id: Some("p") };
        for (roles, project, read, write) in [
            (vec!["admin"], "other", true, true),
            (vec!["reader"], "p", true, false),
            (vec!["member"], "p", false, true),
            (vec!["Member", "reader"], "p", true, true),
            (vec!["member", "reader"], "other", false, false),
            (vec!["unknown"], "p", false, false),
        ] {
            let caller = caller("u", Some(project), &roles);
            assert_eq!(allows(alarms::READ, &caller, &target), read, "{roles:?} {project}");
            assert_eq!(allows(alarms::WRITE, &caller, &target), write, "{roles:?} {project}");
        }
    }

    #[test]
    fn nobody_does_not_equal_nobody() {
        let nobody = Caller::default();
        let target = Target::default();
        assert!(!allows(metrics::DELETE_METRIC, &nobody, &target));
        assert!(!allows(metrics::GET_RESOURCE, &nobody, &target));
        // In basic mode the project of a creator string is empty; it matches nobody's.
        let empty = caller("u:", Some(""), &[]);
        assert!(!allows(metrics::DELETE_METRIC, &empty, &Target { creator: Some("v"), project_id: None }));
    }
}
