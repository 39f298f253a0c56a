//! Who calls, and what they may do (metrics-api §2.5, §2.6; alarms-api §2).

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Caller {
    /// User id.
    pub user_id: Option<String>,
    /// Project id.
    pub project_id: Option<String>,
    /// Roles, as sent.
    pub roles: Vec<String>,
    /// Gnocchi's creator string: `<user>` in basic mode, `<user>:<project>` where both come from headers.
    pub creator: Option<String>,
}
