//! Who may do what, by the names that services use, and what a caller may see of a list.

pub use nephos_lang::access::created_by;

use crate::{Caller, Rule, Target};

/// Whether `rule` lets `caller` act on `target`.
pub fn allows(rule: Rule, caller: &Caller, target: &Target<'_>) -> bool {
    caller.rules.allow(rule, &caller.asker(), target)
}

/// What of a list a rule lets a caller see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Everything; the rest is set as well then.
    pub all: bool,
    /// What belongs to the caller's project.
    pub of_project: bool,
    /// What somebody of the caller's project created.
    pub created_in_project: bool,
    /// What the caller created; callers without a project see nothing.
    pub created: bool,
}

impl Sight {
    /// Everything.
    pub const ALL: Self = Self { all: true, of_project: true, created_in_project: true, created: true };

    /// Asks the rule about what a list may hold.
    pub fn of(rule: Rule, caller: &Caller) -> Self {
        let project = caller.project_id.as_deref().filter(|project| !project.is_empty());
        let by_project = project.map(|project| format!(":{project}"));
        let may = |target: Target<'_>| allows(rule, caller, &target);
        let all = may(Target::default());
        Self {
            all,
            of_project: all
                || project
                    .is_some_and(|project| may(Target { project_id: Some(project), ..Target::default() })),
            created_in_project: all
                || by_project
                    .is_some_and(|creator| may(Target { creator: Some(&creator), ..Target::default() })),
            created: all
                || caller
                    .creator
                    .as_deref()
                    .filter(|_| project.is_some())
                    .is_some_and(|creator| may(Target { creator: Some(creator), ..Target::default() })),
        }
    }

    /// Whether there is nothing to see.
    pub fn is_nothing(self) -> bool {
        !(self.all || self.of_project || self.created_in_project || self.created)
    }
}

/// The rules of the metrics API (metrics-api §2.6).
pub mod metrics {
    use super::Rule;

    /// Reading a resource.
    pub const GET_RESOURCE: Rule = Rule::GetResource;
    /// Finding values in measures.
    pub const SEARCH_METRIC: Rule = Rule::SearchMetric;
    /// Changing a resource.
    pub const UPDATE_RESOURCE: Rule = Rule::UpdateResource;
    /// Deleting a resource.
    pub const DELETE_RESOURCE: Rule = Rule::DeleteResource;
    /// Reading a metric.
    pub const GET_METRIC: Rule = Rule::GetMetric;
    /// Reading measures.
    pub const GET_MEASURES: Rule = Rule::GetMeasures;
    /// Posting measures.
    pub const POST_MEASURES: Rule = Rule::PostMeasures;
    /// Deleting a metric.
    pub const DELETE_METRIC: Rule = Rule::DeleteMetric;
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
            ..Caller::default()
        }
    }

    #[test]
    fn the_metrics_table_holds() {
        use Rule::*;
        let admin = caller("admin", None, &["admin"]);
        let service = caller("svc", None, &["service"]);
        let creator = caller("u:p", Some("p"), &["member"]);
        let colleague = caller("v:p", Some("p"), &["member"]);
        let owner = caller("w:q", Some("q"), &["member"]);
        let stranger = caller("x:y", Some("y"), &["member"]);
        let target = Target { creator: Some("u:p"), project_id: Some("q"), user_id: None };
        let anybody = [
            CreateResource,
            CreateMetric,
            GetArchivePolicy,
            ListArchivePolicy,
            GetArchivePolicyRule,
            ListArchivePolicyRule,
            GetResourceType,
            ListResourceType,
        ];
        let admins = [
            GetStatus,
            UpdateArchivePolicy,
            DeleteArchivePolicy,
            CreateArchivePolicyRule,
            UpdateArchivePolicyRule,
            DeleteArchivePolicyRule,
            DeleteResourceType,
        ];
        let services = [CreateArchivePolicy, CreateResourceType, UpdateResourceType];
        let table = [
            (&anybody[..], [true; 6]),
            (&admins, [true, false, false, false, false, false]),
            (&services, [true, true, false, false, false, false]),
            (&[GetResource, ListResource, ListMetric, SearchMetric], [true, false, true, true, true, false]),
            (&[UpdateResource, PostMeasures], [true, true, true, true, false, false]),
            (&[DeleteResource, DeleteResources, DeleteMetric], [true, false, true, true, false, false]),
            (&[SearchResource, GetMetric, GetMeasures], [true, true, true, true, true, false]),
        ];
        for (rules, expected) in table {
            for rule in rules {
                let callers = [&admin, &service, &creator, &colleague, &owner, &stranger];
                assert_eq!(callers.map(|caller| allows(*rule, caller, &target)), expected, "{rule:?}");
            }
        }
    }

    #[test]
    fn the_alarms_table_holds() {
        let target = Target { project_id: Some("p"), ..Target::default() };
        for (roles, project, read, write) in [
            (vec!["admin"], "other", true, true),
            (vec!["reader"], "p", true, false),
            (vec!["member"], "p", false, true),
            (vec!["Member", "reader"], "p", true, true),
            (vec!["member", "reader"], "other", false, false),
            (vec!["unknown"], "p", false, false),
        ] {
            let caller = caller("u", Some(project), &roles);
            assert_eq!(allows(Rule::GetAlarms, &caller, &target), read, "{roles:?} {project}");
            assert_eq!(allows(Rule::ChangeAlarm, &caller, &target), write, "{roles:?} {project}");
        }
    }

    #[test]
    fn nobody_does_not_equal_nobody() {
        let nobody = Caller::default();
        let target = Target::default();
        assert!(!allows(Rule::DeleteMetric, &nobody, &target));
        assert!(!allows(Rule::GetResource, &nobody, &target));
        // In basic mode the project of a creator string is empty; it matches nobody's.
        let empty = caller("u:", Some(""), &[]);
        assert!(!allows(Rule::DeleteMetric, &empty, &Target { creator: Some("v"), ..Target::default() }));
    }

    #[test]
    fn rules_tell_what_may_be_seen_of_a_list() {
        let sight = |rule, caller: &Caller| {
            let Sight { all, of_project, created_in_project, created } = Sight::of(rule, caller);
            [all, of_project, created_in_project, created]
        };
        let (admin, member) = (caller("a:p", Some("p"), &["admin"]), caller("u:p", Some("p"), &["member"]));
        assert_eq!(sight(Rule::ListResource, &admin), [true; 4]);
        assert_eq!(sight(Rule::ListResource, &member), [false, true, true, true]);
        assert_eq!(sight(Rule::DeleteResources, &member), [false, false, true, true]);
        assert_eq!(sight(Rule::ListMetric, &caller("u", Some("u"), &[])), [false, true, true, true]);
        assert!(Sight::of(Rule::ListMetric, &caller("u:", None, &["member"])).is_nothing());
        assert!(Sight::of(Rule::ListMetric, &Caller::default()).is_nothing());
        assert!(!Sight::of(Rule::SearchResource, &caller("s:x", Some("x"), &["service"])).is_nothing());
    }
}
