//! Filters of resources as requests carry them: JSON in the body, or text in the argument `filter`.

use nephos_identity::Caller;
use nephos_lang::SyntaxError;
use nephos_lang::filter::{self, Fault, Filter};
use nephos_wire::gnocchi::{Invalid, Step, resource_id};
use serde_json::Value;

use crate::failure::Failure;
use crate::http::{Args, Payload};
use crate::service::Problem;
use crate::service::problem::capitalised;

/// The filter of a request; `None` if it has none, or an empty one.
pub async fn of_request(payload: &Payload, args: &Args, caller: &Caller) -> Result<Option<Filter>, Failure> {
    if !payload.bytes.is_empty() {
        let document = payload.json().await?;
        return Ok(from_json(&document, caller, &[])?);
    }
    match args.get("filter").filter(|text| !text.is_empty()) {
        Some(text) => Ok(from_text(text, caller, &[])?),
        None => Ok(None),
    }
}

/// Reads the JSON form; `place` is where the document stands in a body.
pub fn from_json(document: &Value, caller: &Caller, place: &[&str]) -> Result<Option<Filter>, Problem> {
    let convert = |id: &str| {
        let converted = resource_id(id, caller.creator.as_deref());
        converted.map(|id| id.to_string()).map_err(|error| error.to_string())
    };
    Filter::from_json(document, &convert).map_err(|fault| invalid(fault, place).into())
}

/// Reads the text form.
pub fn from_text(text: &str, caller: &Caller, place: &[&str]) -> Result<Option<Filter>, Problem> {
    let document = filter::parse_text(text)
        .map_err(|error| Problem::Bad(format!("Invalid filter: {}", syntax(&error))))?;
    from_json(&document, caller, place)
}

/// What is wrong with a text, and where.
pub fn syntax(error: &SyntaxError) -> String {
    let (offset, column) = (error.offset, error.offset + 1);
    format!("{}  (at char {offset}), (line:1, col:{column})", capitalised(&error.message))
}

/// The same fault, `place` steps further down.
pub fn invalid(fault: Fault, place: &[&str]) -> Invalid {
    let above = place.iter().map(|key| Step::Key((*key).to_owned()));
    let below = fault.path.into_iter().map(|step| match step {
        filter::Step::Key(key) => Step::Key(key),
        filter::Step::Index(index) => Step::Index(index),
    });
    Invalid { message: fault.message, path: above.chain(below).collect(), about_value: fault.about_value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_refused_as_clients_know_it() {
        let Err(Problem::Bad(text)) = from_text("id == foobar", &Caller::default(), &[]) else {
            panic!("accepted")
        };
        assert_eq!(text, "Invalid filter: Expected a value, found '='  (at char 4), (line:1, col:5)");
        let Err(Problem::Invalid(invalid)) = from_text("id in []", &Caller::default(), &["search"]) else {
            panic!("accepted")
        };
        assert_eq!(
            invalid.reason(),
            "length of value must be at least 1 for dictionary value @ data['search']['in']['id']"
        );
    }
}
