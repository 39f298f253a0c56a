//! The rules there are, with what they say unless an operator says otherwise (metrics-api §2.6, alarms-api §2).

macro_rules! rules {
    ($($variant:ident = $name:literal, $check:literal, $about:literal;)*) => {
        /// What somebody wants to do, or a part that several rules share.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $about] $variant,)*
        }

        impl Rule {
            /// Every rule, by number.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in a policy file.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it says unless a policy file says otherwise.
            pub const fn shipped(self) -> &'static str {
                match self { $(Self::$variant => $check,)* }
            }

            /// What it is about.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)* }
            }
        }
    };
}

rules! {
    ContextIsAdmin = "context_is_admin", "role:admin", "Who is not restricted to a project.";
    AdminOrService = "admin_or_service", "role:admin or role:service", "Administrators and services.";
    Creator = "creator", "user:%(creator)s or project_id:%(created_by_project_id)s", "Who created the target, or others of that project.";
    AdminOrCreator = "admin_or_creator", "role:admin or rule:creator", "Administrators and who created the target.";
    ResourceOwner = "resource_owner", "project_id:%(project_id)s", "Who is of the resource's project.";
    MetricOwner = "metric_owner", "project_id:%(resource.project_id)s", "Who is of the project of the metric's resource.";
    GetStatus = "get status", "role:admin", "Show figures of the metric store.";
    CreateResource = "create resource", "", "Create a resource.";
    GetResource = "get resource", "rule:admin_or_creator or rule:resource_owner", "Show a resource, its history and its metrics.";
    UpdateResource = "update resource", "rule:admin_or_service or rule:creator", "Change a resource, add metrics to it.";
    DeleteResource = "delete resource", "rule:admin_or_creator", "Delete a resource.";
    DeleteResources = "delete resources", "rule:admin_or_creator", "Delete resources by a filter: those the caller may.";
    ListResource = "list resource", "rule:admin_or_creator or rule:resource_owner", "List resources: those the caller may see.";
    SearchResource = "search resource", "rule:admin_or_service or rule:creator or rule:resource_owner", "Search resources and compute on their metrics: those the caller may see.";
    CreateResourceType = "create resource type", "rule:admin_or_service", "Create a resource type.";
    GetResourceType = "get resource type", "", "Show a resource type.";
    UpdateResourceType = "update resource type", "rule:admin_or_service", "Change the attributes of a resource type.";
    DeleteResourceType = "delete resource type", "role:admin", "Delete a resource type.";
    ListResourceType = "list resource type", "", "List resource types.";
    CreateArchivePolicy = "create archive policy", "rule:admin_or_service", "Create an archive policy.";
    GetArchivePolicy = "get archive policy", "", "Show an archive policy.";
    UpdateArchivePolicy = "update archive policy", "role:admin", "Change an archive policy.";
    DeleteArchivePolicy = "delete archive policy", "role:admin", "Delete an archive policy.";
    ListArchivePolicy = "list archive policy", "", "List archive policies.";
    CreateArchivePolicyRule = "create archive policy rule", "role:admin", "Create an archive policy rule.";
    GetArchivePolicyRule = "get archive policy rule", "", "Show an archive policy rule.";
    UpdateArchivePolicyRule = "update archive policy rule", "role:admin", "Rename an archive policy rule.";
    DeleteArchivePolicyRule = "delete archive policy rule", "role:admin", "Delete an archive policy rule.";
    ListArchivePolicyRule = "list archive policy rule", "", "List archive policy rules.";
    CreateMetric = "create metric", "", "Create a metric; on a resource, 'update resource' is needed as well.";
    GetMetric = "get metric", "rule:admin_or_service or rule:creator or rule:metric_owner", "Show a metric and compute on it.";
    DeleteMetric = "delete metric", "rule:admin_or_creator", "Delete a metric.";
    ListMetric = "list metric", "rule:admin_or_creator or rule:metric_owner", "List metrics: those the caller may see.";
    SearchMetric = "search metric", "rule:admin_or_creator or rule:metric_owner", "Search values of metrics.";
    GetMeasures = "get measures", "rule:admin_or_service or rule:creator or rule:metric_owner", "Read measures.";
    PostMeasures = "post measures", "rule:admin_or_service or rule:creator", "Post measures.";
    Segregation = "segregation", "rule:context_is_admin", "Who acts on alarms of every project.";
    GetAlarm = "telemetry:get_alarm", "(role:reader and project_id:%(project_id)s) or role:admin", "Show an alarm.";
    GetAlarms = "telemetry:get_alarms", "(role:reader and project_id:%(project_id)s) or role:admin", "List alarms.";
    GetAlarmsAllProjects = "telemetry:get_alarms:all_projects", "role:admin", "List alarms of all projects.";
    QueryAlarm = "telemetry:query_alarm", "(role:reader and project_id:%(project_id)s) or role:admin", "Query alarms.";
    CreateAlarm = "telemetry:create_alarm", "(role:member and project_id:%(project_id)s) or role:admin", "Create an alarm.";
    ChangeAlarm = "telemetry:change_alarm", "(role:member and project_id:%(project_id)s) or role:admin", "Change an alarm.";
    DeleteAlarm = "telemetry:delete_alarm", "(role:member and project_id:%(project_id)s) or role:admin", "Delete an alarm.";
    GetAlarmState = "telemetry:get_alarm_state", "(role:reader and project_id:%(project_id)s) or role:admin", "Show an alarm's state.";
    ChangeAlarmState = "telemetry:change_alarm_state", "(role:member and project_id:%(project_id)s) or role:admin", "Set an alarm's state.";
    AlarmHistory = "telemetry:alarm_history", "(role:reader and project_id:%(project_id)s) or role:admin", "Show an alarm's history.";
    QueryAlarmHistory = "telemetry:query_alarm_history", "(role:reader and project_id:%(project_id)s) or role:admin", "Query the history of alarms.";
    GetQuotas = "telemetry:get_quotas", "(role:reader and project_id:%(project_id)s) or role:admin", "Show quotas of alarms.";
    UpdateQuotas = "telemetry:update_quotas", "role:admin", "Set quotas of alarms.";
    DeleteQuotas = "telemetry:delete_quotas", "role:admin", "Delete quotas of alarms.";
    GetMetrics = "telemetry:get_metrics", "(role:reader and project_id:%(project_id)s) or role:admin", "Show figures of evaluations.";
    GetMetricsAllProjects = "telemetry:get_metrics:all_projects", "role:admin", "Show figures of evaluations of all projects.";
}

impl Rule {
    /// The rule of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == name)
    }
}
