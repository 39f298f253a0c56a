//! Filters as conditions of statements.
//!
//! Null is as in SQL: only `= null`, `!= null` and `!= value` ever hold for it.

mod look;
mod pattern;

use nephos_lang::filter::{Filter, Operator};
use nephos_model::{AttributeKind, MetricId, ResourceType, Timestamp};
use nephos_sql::{Dialect, Kind, Value};
use nephos_wire::gnocchi::{parse_uuid, time, timespan};
use nephos_wire::python;
use serde_json::Value as Json;
use uuid::Uuid;

use super::read::attribute_expression;
use crate::contract::{IndexError, ResourceSearch};
use crate::metrics::bury;
use crate::query::{Conditions, created_in};
use crate::sql_index::{SqlIndex, WriteError};
use crate::types::GENERIC;
use pattern::{Part, Pattern};

/// What a filter can speak of: an expression over the row `r`, and what it is compared with.
#[derive(Clone, Debug, PartialEq)]
struct Subject {
    expression: String,
    kind: SubjectKind,
    nullable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SubjectKind {
    Id,
    Text,
    /// Nanoseconds since the epoch.
    Time,
    /// A point in time as the text of an attribute.
    Moment,
    Number,
    Whole,
    Flag,
    Uuid,
    /// Nanoseconds of life.
    Lifespan,
    /// What stands before the first colon of the creator.
    CreatorUser,
    /// What stands behind it.
    CreatorProject,
}

/// Turns filters on the resources of one type into conditions.
#[derive(Debug)]
pub(super) struct Translator<'a> {
    pub(super) dialect: Dialect,
    pub(super) definition: &'a ResourceType,
    pub(super) history: bool,
    pub(super) now: Timestamp,
}

impl Translator<'_> {
    /// Adds the conditions that a resource is of the type and fits the filter; `few` are all that can, if they are few.
    fn restrict(
        &self,
        filter: &Filter,
        few: Option<Vec<Vec<u8>>>,
        conditions: &mut Conditions,
    ) -> Result<(), IndexError> {
        if self.definition.name != GENERIC {
            // Few resources share a project or an id, many a type: SQLite, which keeps no statistics, is kept from
            // walking all of the type in its order.
            let of_type = match self.dialect {
                Dialect::Sqlite if few.is_some() || is_selective(filter) => "+r.resource_type",
                _ => "r.resource_type",
            };
            conditions.compare(of_type, "=", self.definition.name.as_str());
        }
        if let Some(few) = few {
            let number = conditions.bind(Value::BytesList(few));
            conditions.push(self.dialect.any_of("r.id", number, Kind::Bytes));
        }
        let clause = self.clause(filter, conditions)?;
        conditions.push(clause);
        Ok(())
    }

    fn clause(&self, filter: &Filter, conditions: &mut Conditions) -> Result<String, IndexError> {
        Ok(match filter {
            Filter::All(parts) => self.joined(parts, " AND ", conditions)?,
            Filter::Any(parts) => self.joined(parts, " OR ", conditions)?,
            Filter::Not(part) => format!("(NOT {})", self.clause(part, conditions)?),
            Filter::Compare { operator, attribute, value } => {
                let subject = self.subject(attribute)?;
                let bad = || bad_value(attribute, value);
                self.comparison(&subject, *operator, value, conditions).ok_or_else(bad)?
            }
            Filter::In { attribute, values } => self.membership(attribute, values, conditions)?,
        })
    }

    fn joined(
        &self,
        parts: &[Filter],
        word: &str,
        conditions: &mut Conditions,
    ) -> Result<String, IndexError> {
        let clauses = parts.iter().map(|part| self.clause(part, conditions));
        Ok(balanced(&clauses.collect::<Result<Vec<_>, _>>()?, word))
    }

    fn subject(&self, attribute: &str) -> Result<Subject, IndexError> {
        let known = |expression: &str, kind, nullable| {
            Some(Subject { expression: expression.to_owned(), kind, nullable })
        };
        let found = match attribute {
            "id" => known("r.id", SubjectKind::Id, false),
            "type" => known("r.resource_type", SubjectKind::Text, false),
            "original_resource_id" => known("r.original_resource_id", SubjectKind::Text, false),
            "creator" | "user_id" | "project_id" => known(&format!("r.{attribute}"), SubjectKind::Text, true),
            "started_at" => known("r.started_at", SubjectKind::Time, false),
            "ended_at" => known("r.ended_at", SubjectKind::Time, true),
            "revision_start" => known("r.revision_start", SubjectKind::Time, false),
            "revision_end" if self.history => known("r.revision_end", SubjectKind::Time, true),
            "revision" if self.history => known("r.revision", SubjectKind::Whole, false),
            "lifespan" => known("(r.ended_at - r.started_at)", SubjectKind::Lifespan, true),
            "created_by_user_id" => known("r.creator", SubjectKind::CreatorUser, true),
            "created_by_project_id" => known("r.creator", SubjectKind::CreatorProject, true),
            own => self.definition.attributes.get(own).and_then(|attribute| {
                let kind = match attribute.kind {
                    AttributeKind::String { .. } => SubjectKind::Text,
                    AttributeKind::Number { .. } => SubjectKind::Number,
                    AttributeKind::Uuid => SubjectKind::Uuid,
                    AttributeKind::Bool => SubjectKind::Flag,
                    AttributeKind::Datetime => SubjectKind::Moment,
                };
                let expression = attribute_expression(self.dialect, own, &attribute.kind)?;
                Some(Subject { expression, kind, nullable: true })
            }),
        };
        found.ok_or_else(|| IndexError::UnknownAttribute {
            resource_type: self.definition.name.clone(),
            attribute: attribute.to_owned(),
        })
    }

    /// `None` if the value cannot be compared so.
    fn comparison(
        &self,
        subject: &Subject,
        operator: Operator,
        value: &Json,
        conditions: &mut Conditions,
    ) -> Option<String> {
        let Subject { expression, kind, nullable } = subject;
        if matches!(kind, SubjectKind::CreatorUser | SubjectKind::CreatorProject) {
            return self.creator_part(*kind, operator, value, conditions);
        }
        if operator == Operator::Like {
            if *kind != SubjectKind::Text {
                return None;
            }
            return Some(match text(value) {
                Some(pattern) => self.like(expression, &Pattern::parse(&pattern)?, conditions),
                None => format!("{expression} = NULL"),
            });
        }
        let symbol = match operator {
            Operator::Ne => "<>",
            Operator::Lt => "<",
            Operator::Gt => ">",
            Operator::Le => "<=",
            Operator::Ge => ">=",
            Operator::Eq | Operator::Like => "=",
        };
        if value.is_null() {
            return Some(match operator {
                Operator::Eq => format!("{expression} IS NULL"),
                Operator::Ne => format!("{expression} IS NOT NULL"),
                _ => format!("{expression} {symbol} NULL"),
            });
        }
        let number = conditions.bind(self.convert(*kind, value)?);
        Some(match operator {
            Operator::Ne if *nullable => format!("({expression} IS NULL OR {expression} <> ${number})"),
            _ => format!("{expression} {symbol} ${number}"),
        })
    }

    /// Parts of the creator string know equality and patterns only.
    fn creator_part(
        &self,
        kind: SubjectKind,
        operator: Operator,
        value: &Json,
        conditions: &mut Conditions,
    ) -> Option<String> {
        let wanted = text(value)?;
        let (before, behind) = match kind {
            SubjectKind::CreatorUser => (None, Some(":")),
            _ => (Some(":"), None),
        };
        let mut pattern =
            if operator == Operator::Like { Pattern::parse(&wanted)? } else { Pattern::literal(&wanted) };
        if let Some(colon) = behind {
            pattern.0.extend([Part::Text(colon.to_owned()), Part::Any]);
        }
        if let Some(colon) = before {
            pattern.0.splice(0..0, [Part::Any, Part::Text(colon.to_owned())]);
        }
        Some(match (operator, kind) {
            (Operator::Eq, SubjectKind::CreatorProject) => {
                created_in(self.dialect, "r.creator", conditions.bind(wanted))
            }
            (Operator::Eq | Operator::Like, _) => self.like("r.creator", &pattern, conditions),
            (Operator::Ne, _) => format!("(NOT {})", self.like("r.creator", &pattern, conditions)),
            _ => return None,
        })
    }

    fn like(&self, expression: &str, pattern: &Pattern, conditions: &mut Conditions) -> String {
        match self.dialect {
            // SQLite's LIKE does not tell upper from lower case.
            Dialect::Sqlite => {
                let number = conditions.bind(pattern.glob());
                format!("{expression} GLOB ${number}")
            }
            Dialect::Postgres => {
                let number = conditions.bind(pattern.like());
                format!("{expression} LIKE ${number}")
            }
        }
    }

    fn membership(
        &self,
        attribute: &str,
        values: &[Json],
        conditions: &mut Conditions,
    ) -> Result<String, IndexError> {
        let Subject { expression, kind, .. } = self.subject(attribute)?;
        let mut converted = Vec::with_capacity(values.len());
        for value in values.iter().filter(|value| !value.is_null()) {
            converted.push(self.convert(kind, value).ok_or_else(|| bad_value(attribute, value))?);
        }
        let bytes = |value| if let Value::Bytes(bytes) = value { Some(bytes) } else { None };
        let text = |value| if let Value::Text(text) = value { Some(text) } else { None };
        let whole = |value| if let Value::Int(whole) = value { Some(whole) } else { None };
        let (list, element) = match kind {
            SubjectKind::Id => {
                (Value::BytesList(converted.into_iter().filter_map(bytes).collect()), Kind::Bytes)
            }
            SubjectKind::Text | SubjectKind::Moment | SubjectKind::Uuid => {
                (Value::TextList(converted.into_iter().filter_map(text).collect()), Kind::Text)
            }
            SubjectKind::Time | SubjectKind::Whole | SubjectKind::Lifespan => {
                (Value::IntList(converted.into_iter().filter_map(whole).collect()), Kind::Int)
            }
            SubjectKind::Number | SubjectKind::Flag => {
                let element = if kind == SubjectKind::Flag { Kind::Bool } else { Kind::Float };
                let rows = converted.into_iter().map(|value| vec![value]).collect();
                let number = conditions.bind(Value::Table(rows));
                let table = self.dialect.table(number, &[("wanted", element)]);
                return Ok(format!("{expression} IN (SELECT wanted FROM {table} AS list)"));
            }
            SubjectKind::CreatorUser | SubjectKind::CreatorProject => {
                return Err(bad_value(attribute, values.first().unwrap_or(&Json::Null)));
            }
        };
        let number = conditions.bind(list);
        Ok(self.dialect.any_of(&expression, number, element))
    }

    /// A value as its subject has it.
    #[allow(clippy::cast_possible_truncation)]
    fn convert(&self, kind: SubjectKind, value: &Json) -> Option<Value> {
        let moment = || time::parse_value(value, self.now).ok().map(Timestamp::to_micros_precision);
        Some(match kind {
            SubjectKind::Id => Value::from(value.as_str()?.parse::<Uuid>().ok()?),
            SubjectKind::Text | SubjectKind::CreatorUser | SubjectKind::CreatorProject => {
                Value::Text(text(value)?)
            }
            SubjectKind::Time => Value::from(moment()?),
            SubjectKind::Moment => Value::Text(time::format(moment()?)),
            SubjectKind::Number => Value::Float(number(value)?),
            SubjectKind::Whole => Value::Int(number(value).filter(|number| number.abs() < 9e18)? as i64),
            SubjectKind::Flag => Value::Bool(value.as_bool()?),
            SubjectKind::Uuid => Value::Text(parse_uuid(value.as_str()?)?.hyphenated().to_string()),
            SubjectKind::Lifespan => Value::Int(timespan::parse_value(value).ok()?),
        })
    }
}

/// Text of a scalar as Python's `str` gives it; `None` for null.
fn text(value: &Json) -> Option<String> {
    Some(match value {
        Json::Null | Json::Array(_) | Json::Object(_) => return None,
        Json::Bool(true) => "True".to_owned(),
        Json::Bool(false) => "False".to_owned(),
        Json::String(text) => text.clone(),
        Json::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => python::float(float),
            _ => number.to_string(),
        },
    })
}

fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.trim().parse().ok(),
        Json::Bool(flag) => Some(f64::from(u8::from(*flag))),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

fn bad_value(attribute: &str, value: &Json) -> IndexError {
    let value = text(value).unwrap_or_else(|| "None".to_owned());
    IndexError::BadFilterValue { value, attribute: attribute.to_owned() }
}

/// Whether all that fits a filter has one of a few values of what an index finds.
fn is_selective(filter: &Filter) -> bool {
    const FOUND: [&str; 3] = ["id", "project_id", "original_resource_id"];
    match filter {
        Filter::Compare { operator: Operator::Eq, attribute, value } => {
            FOUND.contains(&attribute.as_str()) && !value.is_null()
        }
        Filter::In { attribute, .. } => FOUND.contains(&attribute.as_str()),
        Filter::All(parts) => parts.iter().any(is_selective),
        _ => false,
    }
}

/// Clauses in one, bracketed so that its depth grows with the logarithm of their number: databases bound the depth.
fn balanced(clauses: &[String], word: &str) -> String {
    match clauses {
        [] => "1 = 1".to_owned(),
        [one] => one.clone(),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            format!("({}{word}{})", balanced(left, word), balanced(right, word))
        }
    }
}

impl SqlIndex {
    /// Adds the conditions that a resource is of the type and fits the filter. Resources that share a text or number of an
    /// attribute are looked up first if they are few; where they are many, a page of a listing meets enough of them on its way.
    pub(super) async fn restrict(
        &self,
        translator: &Translator<'_>,
        filter: &Filter,
        conditions: &mut Conditions,
    ) -> Result<(), IndexError> {
        const FEW: usize = 5_000;
        let mut few = None;
        for look in translator.looks(filter) {
            let (sql, params) = look.statement(self.db.dialect(), FEW + 1);
            let rows = self.db.list(sql, &[Kind::Bytes], &params).await?;
            if rows.len() <= FEW {
                let ids = rows.iter().map(|row| row.bytes(0).map(<[u8]>::to_vec));
                few = Some(ids.collect::<Result<_, _>>()?);
                break;
            }
        }
        translator.restrict(filter, few, conditions)
    }

    /// Deletes what fits a search, with metrics and history.
    pub(super) async fn remove_resources(
        &self,
        search: &ResourceSearch,
    ) -> Result<(u64, Vec<MetricId>), IndexError> {
        let dialect = self.db.dialect();
        let definition = self.catalogue.resource_type(&search.resource_type).await?;
        let mut conditions = Conditions::default();
        match &search.filter {
            Some(filter) => {
                let translator =
                    Translator { dialect, definition: &definition, history: false, now: search.now };
                self.restrict(&translator, filter, &mut conditions).await?;
            }
            None if search.resource_type != GENERIC => {
                conditions.compare("r.resource_type", "=", search.resource_type.as_str());
            }
            None => {}
        }
        let (sql, params) = (
            &conditions.statement("SELECT r.id FROM resource AS r", dialect.for_update()),
            conditions.params(),
        );
        let (removed, buried) = self
            .db
            .transaction(|tx| {
                Box::pin(async move {
                    let rows = tx.read(sql.clone(), params).await?;
                    let ids = rows.iter().map(|row| row.bytes(0).map(<[u8]>::to_vec));
                    let ids = ids.collect::<Result<Vec<_>, _>>()?;
                    let removed = ids.len() as u64;
                    let ids = Value::BytesList(ids);
                    let of_them = dialect.any_of("resource_id", 1, Kind::Bytes);
                    let buried = bury(tx, &of_them, ids.clone()).await?;
                    let sql = format!("DELETE FROM resource WHERE {}", dialect.any_of("id", 1, Kind::Bytes));
                    tx.execute(sql, &[ids]).await?;
                    Ok::<_, WriteError>((removed, buried))
                })
            })
            .await?;
        self.known.changed();
        Ok((removed, buried.into_iter().map(|metric| metric.id).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_clauses_nest_shallowly() {
        let clauses = vec!["x".to_owned(); 1_000];
        let text = balanced(&clauses, " OR ");
        let depth = text.chars().scan(0_i32, |depth, letter| {
            *depth += i32::from(letter == '(') - i32::from(letter == ')');
            Some(*depth)
        });
        assert_eq!(depth.max(), Some(10));
        assert_eq!(text.matches('x').count(), 1_000);
    }

    #[test]
    fn scalars_become_text_as_in_python() {
        for (value, expected) in [
            (serde_json::json!(true), Some("True")),
            (serde_json::json!(5), Some("5")),
            (serde_json::json!(5.0), Some("5.0")),
            (serde_json::json!("x"), Some("x")),
            (serde_json::json!(null), None),
        ] {
            assert_eq!(text(&value).as_deref(), expected, "{value}");
        }
    }
}
