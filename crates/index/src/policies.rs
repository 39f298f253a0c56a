//! Archive policies and rules.

use std::sync::Arc;

use async_trait::async_trait;
use nephos_sql::{Constraint, Row};
use nephos_timeseries::{ArchivePolicy, PolicyItem};

use crate::catalog::sort_rules;
use crate::codec;
use crate::contract::{IndexError, PolicyIndex, PolicyRule};
use crate::sql_index::{SqlIndex, WriteError};

const POLICY: &str = "archive policy";
const RULE: &str = "archive policy rule";

#[async_trait]
impl PolicyIndex for SqlIndex {
    async fn create_archive_policy(&self, policy: &ArchivePolicy) -> Result<(), IndexError> {
        let sql =
            "INSERT INTO archive_policy (name, back_window, definition, methods) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING";
        let row = [
            (&policy.name).into(),
            policy.back_window.into(),
            codec::write_definition(&policy.definition).into(),
            codec::write_methods(&policy.methods).into(),
        ];
        let created = self.db.execute(sql, &row).await?;
        self.catalogue.changed();
        if created == 0 { Err(IndexError::already_exists(POLICY, &policy.name)) } else { Ok(()) }
    }

    async fn archive_policies(&self) -> Result<Vec<Arc<ArchivePolicy>>, IndexError> {
        let sql = "SELECT name, back_window, definition, methods FROM archive_policy ORDER BY name";
        self.db.read(sql, &[]).await?.into_iter().map(|row| policy(row).map(Arc::new)).collect()
    }

    async fn archive_policy(&self, name: &str) -> Result<Option<Arc<ArchivePolicy>>, IndexError> {
        self.catalogue.find(|catalog| catalog.policy(name).cloned()).await
    }

    async fn policy_for(&self, policy: Option<&str>, metric: &str) -> Result<Arc<ArchivePolicy>, IndexError> {
        self.catalogue.policy_for(policy, Some(metric)).await
    }

    async fn update_archive_policy(
        &self,
        name: &str,
        definition: &[PolicyItem],
        back_window: Option<u32>,
    ) -> Result<Arc<ArchivePolicy>, IndexError> {
        let updated = self
            .db
            .transaction(|tx| {
                Box::pin(async move {
                    let lock = tx.dialect().for_update();
                    let sql = format!(
                        "SELECT name, back_window, definition, methods FROM archive_policy WHERE name = $1{lock}"
                    );
                    let row = tx.read_one(sql, &[name.into()]).await?;
                    let mut stored = policy(row.ok_or_else(|| IndexError::not_found(POLICY, name))?)?;
                    check_change(&stored, definition)?;
                    stored.definition = definition.to_vec();
                    stored.back_window = back_window.unwrap_or(stored.back_window);
                    tx.execute(
                        "UPDATE archive_policy SET definition = $2, back_window = $3 WHERE name = $1",
                        &[name.into(), codec::write_definition(definition).into(), stored.back_window.into()],
                    )
                    .await?;
                    Ok::<_, WriteError>(stored)
                })
            })
            .await?;
        self.catalogue.changed();
        Ok(Arc::new(updated))
    }

    async fn delete_archive_policy(&self, name: &str) -> Result<(), IndexError> {
        let deleted = self.db.execute("DELETE FROM archive_policy WHERE name = $1", &[name.into()]).await;
        self.catalogue.changed();
        match deleted {
            Ok(0) => Err(IndexError::not_found(POLICY, name)),
            Ok(_) => Ok(()),
            Err(error) if error.constraint() == Some(Constraint::ForeignKey) => {
                Err(IndexError::InUse { what: POLICY, id: name.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn create_rule(&self, rule: &PolicyRule) -> Result<(), IndexError> {
        let sql =
            "INSERT INTO archive_policy_rule (name, metric_pattern, archive_policy_name) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING";
        let row = [(&rule.name).into(), (&rule.metric_pattern).into(), (&rule.archive_policy_name).into()];
        let created = self.db.execute(sql, &row).await;
        self.catalogue.changed();
        match created {
            Ok(0) => Err(IndexError::already_exists(RULE, &rule.name)),
            Ok(_) => Ok(()),
            Err(error) if error.constraint() == Some(Constraint::ForeignKey) => {
                Err(IndexError::not_found(POLICY, &rule.archive_policy_name))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn rules(&self) -> Result<Vec<PolicyRule>, IndexError> {
        let sql = "SELECT name, metric_pattern, archive_policy_name FROM archive_policy_rule";
        let rows = self.db.read(sql, &[]).await?;
        let mut rules = rows.into_iter().map(rule).collect::<Result<Vec<_>, _>>()?;
        sort_rules(&mut rules);
        Ok(rules)
    }

    async fn rule(&self, name: &str) -> Result<Option<PolicyRule>, IndexError> {
        let sql = "SELECT name, metric_pattern, archive_policy_name FROM archive_policy_rule WHERE name = $1";
        self.db.read_one(sql, &[name.into()]).await?.map(rule).transpose()
    }

    async fn rename_rule(&self, name: &str, new_name: &str) -> Result<PolicyRule, IndexError> {
        let sql = "UPDATE archive_policy_rule SET name = $2 WHERE name = $1
             RETURNING name, metric_pattern, archive_policy_name";
        let renamed = self.db.write(sql, &[name.into(), new_name.into()]).await;
        self.catalogue.changed();
        match renamed {
            Ok(rows) => {
                let row = rows.into_iter().next();
                row.ok_or_else(|| IndexError::not_found(RULE, name)).and_then(rule)
            }
            Err(error) if error.constraint() == Some(Constraint::Unique) => {
                Err(IndexError::already_exists(RULE, new_name))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn delete_rule(&self, name: &str) -> Result<(), IndexError> {
        let deleted =
            self.db.execute("DELETE FROM archive_policy_rule WHERE name = $1", &[name.into()]).await?;
        self.catalogue.changed();
        if deleted == 0 { Err(IndexError::not_found(RULE, name)) } else { Ok(()) }
    }
}

fn policy(mut row: Row) -> Result<ArchivePolicy, IndexError> {
    let name = row.take_text(0)?;
    codec::policy(name, row.int(1)?, row.text(2)?, row.text(3)?)
}

fn rule(mut row: Row) -> Result<PolicyRule, IndexError> {
    Ok(PolicyRule {
        name: row.take_text(0)?,
        metric_pattern: row.take_text(1)?,
        archive_policy_name: row.take_text(2)?,
    })
}

/// Only points may differ: granularities must be the same ones, in whatever order (metrics-api §4).
fn check_change(stored: &ArchivePolicy, new: &[PolicyItem]) -> Result<(), IndexError> {
    let refused =
        |reason: String| Err(IndexError::UnsupportedPolicyChange { name: stored.name.clone(), reason });
    if stored.definition.len() != new.len() {
        return refused("Cannot add or drop granularities".to_owned());
    }
    let sorted = |items: &[PolicyItem]| {
        let mut granularities = items.iter().map(|item| item.granularity).collect::<Vec<_>>();
        granularities.sort();
        granularities
    };
    for (old, new) in sorted(&stored.definition).into_iter().zip(sorted(new)) {
        if old != new {
            return refused(format!("{:?} granularity interval was changed", old.as_secs_f64()));
        }
    }
    Ok(())
}
