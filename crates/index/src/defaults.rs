//! What a new index starts with.

use nephos_model::{ResourceType, ResourceTypeState};
use nephos_sql::Tx;
use nephos_timeseries::ArchivePolicy;

use crate::codec;
use crate::contract::{IndexError, PolicyRule};
use crate::sql_index::{SqlIndex, WriteError};
use crate::types::{self, GENERIC};

/// What a new index starts with.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// Policies, created only in an index without any policy and rule.
    pub policies: Vec<ArchivePolicy>,
    /// Rules, created together with the policies.
    pub rules: Vec<PolicyRule>,
    /// Resource types besides `generic`; each is created if there is none of its name.
    pub resource_types: Vec<ResourceType>,
}

impl SqlIndex {
    /// Creates what is missing of `defaults`, and the type `generic`. May run at every start and in many processes at
    /// once. For a truly empty start leave policies and rules out.
    pub async fn ensure_defaults(&self, defaults: &Defaults) -> Result<(), IndexError> {
        self.db
            .transaction(|tx| {
                Box::pin(async move {
                    let generic = ResourceType {
                        name: GENERIC.to_owned(),
                        attributes: [].into(),
                        state: ResourceTypeState::Active,
                    };
                    for resource_type in std::iter::once(&generic).chain(&defaults.resource_types) {
                        tx.execute(types::INSERT, &types::insert_params(resource_type)).await?;
                    }
                    create_policies(tx, defaults).await
                })
            })
            .await?;
        self.catalogue.changed();
        Ok(())
    }
}

async fn create_policies(tx: &mut Tx<'_>, defaults: &Defaults) -> Result<(), WriteError> {
    let sql = "SELECT (SELECT count(*) FROM archive_policy) + (SELECT count(*) FROM archive_policy_rule)";
    if tx.read_one(sql, &[]).await?.map_or(Ok(0), |row| row.int(0))? > 0 {
        return Ok(());
    }
    for policy in &defaults.policies {
        tx.execute(
            "INSERT INTO archive_policy (name, back_window, definition, methods) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
            &[
                (&policy.name).into(),
                policy.back_window.into(),
                codec::write_definition(&policy.definition).into(),
                codec::write_methods(&policy.methods).into(),
            ],
        )
        .await?;
    }
    for rule in &defaults.rules {
        tx.execute(
            "INSERT INTO archive_policy_rule (name, metric_pattern, archive_policy_name) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
            &[(&rule.name).into(), (&rule.metric_pattern).into(), (&rule.archive_policy_name).into()],
        )
        .await?;
    }
    Ok(())
}
