use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::SyntaxError;

fn read(document: &Value) -> Result<Option<Filter>, Fault> {
    Filter::from_json(document, &|id| {
        if id.contains('/') {
            Err("'/' is not supported in resource id".to_owned())
        } else {
            Ok(format!("<{id}>"))
        }
    })
}

#[test]
fn every_operator_has_its_names() {
    for (names, operator) in [
        (&["=", "==", "eq"][..], Operator::Eq),
        (&["!=", "≠", "ne"], Operator::Ne),
        (&["<", "lt"], Operator::Lt),
        (&[">", "gt"], Operator::Gt),
        (&["<=", "≤", "le"], Operator::Le),
        (&[">=", "≥", "ge"], Operator::Ge),
        (&["like"], Operator::Like),
    ] {
        for name in names {
            let filter = read(&json!({*name: {"host": "a"}})).unwrap().unwrap();
            assert_eq!(filter, Filter::Compare { operator, attribute: "host".to_owned(), value: json!("a") });
        }
    }
}

#[test]
fn conditions_nest_and_ids_are_converted() {
    let filter = read(&json!({"∨": [{"and": [{"=": {"id": "a"}}]}, {"not": {"in": {"id": ["b", "c"]}}}]}));
    let expected = Filter::Any(vec![
        Filter::All(vec![Filter::equals("id", "<a>")]),
        Filter::Not(Box::new(Filter::In {
            attribute: "id".to_owned(),
            values: vec![json!("<b>"), json!("<c>")],
        })),
    ]);
    assert_eq!(filter.unwrap().unwrap(), expected);
    assert_eq!(read(&json!({})), Ok(None));
}

#[test]
fn faults_tell_what_and_where() {
    let key = |key: &str| Step::Key(key.to_owned());
    for (document, message, path, about_value) in [
        (json!([]), "expected a dictionary", vec![], true),
        (json!({"a": 1, "b": 2}), "length of value must be at most 1", vec![], true),
        (json!({"resource_ids": []}), "not a valid value", vec![key("resource_ids")], false),
        (json!({"and": {"project_id": "x"}}), "expected a list", vec![key("and")], true),
        (json!({"and": []}), "length of value must be at least 1", vec![key("and")], true),
        (
            json!({"and": [{"=": {}}]}),
            "length of value must be at least 1",
            vec![key("and"), Step::Index(0), key("=")],
            true,
        ),
        (json!({"not": [1]}), "expected a dictionary", vec![key("not")], true),
        (json!({"not": {}}), "length of value must be at least 1", vec![key("not")], true),
        (
            json!({"like": {"id": ["fa%"]}}),
            "value must not be one of ['id']",
            vec![key("like"), key("id")],
            false,
        ),
        (json!({"ne": {"p": ["x"]}}), "expected str", vec![key("ne"), key("p")], true),
        (json!({"in": {"id": []}}), "length of value must be at least 1", vec![key("in"), key("id")], true),
        (json!({"in": {"id": "x"}}), "expected a list", vec![key("in"), key("id")], true),
        (json!({"in": {"p": [1, {}]}}), "expected str", vec![key("in"), key("p"), Step::Index(1)], true),
        (json!({"=": {"id": 5}}), "expected str", vec![key("="), key("id")], true),
        (json!({"=": {"id": "a/b"}}), "'/' is not supported in resource id", vec![key("="), key("id")], true),
        (json!({"=": "x"}), "expected a dictionary", vec![key("=")], true),
    ] {
        let expected = Fault { message: message.to_owned(), path, about_value };
        assert_eq!(read(&document), Err(expected), "{document}");
    }
}

#[test]
fn depth_and_number_are_limited() {
    let mut deep = json!({"=": {"a": 1}});
    for _ in 0..MAX_DEPTH {
        deep = json!({"not": deep});
    }
    assert_eq!(read(&deep).unwrap_err().message, "nested deeper than 64");
    let many = json!({"or": vec![json!({"=": {"a": 1}}); MAX_CONDITIONS]});
    assert_eq!(read(&many).unwrap_err().message, "more than 4096 conditions");
    assert!(parse_text(&"(".repeat(100_000)).unwrap_err().message.starts_with("nested deeper"));
    assert!(parse_text(&"not ".repeat(100_000)).unwrap_err().message.starts_with("nested deeper"));
}

#[test]
fn text_has_the_same_meaning_as_json() {
    let uuid = "faef212f-0bf4-4030-a461-2186fef79be0";
    for (text, document) in [
        ("host = h1", json!({"=": {"host": "h1"}})),
        ("host eq 'h 1'", json!({"eq": {"host": "h 1"}})),
        ("cores >= -1.5e1", json!({">=": {"cores": -15.0}})),
        ("cores ≤ 3", json!({"≤": {"cores": 3.0}})),
        ("ended_at = null", json!({"=": {"ended_at": null}})),
        ("locked != False", json!({"!=": {"locked": false}})),
        ("notable = nullable", json!({"=": {"notable": "nullable"}})),
        ("inside in [a, 2, \"c d\", None]", json!({"in": {"inside": ["a", 2.0, "c d", null]}})),
        ("id in []", json!({"in": {"id": []}})),
        (
            "not a = 1 and b = 2 or c = 3",
            json!({"or": [{"and": [{"not": {"=": {"a": 1.0}}}, {"=": {"b": 2.0}}]}, {"=": {"c": 3.0}}]}),
        ),
        (
            "a = 1 ∧ (b = 2 ∨ c = 3) and d = 4",
            json!({"and": [{"=": {"a": 1.0}}, {"or": [{"=": {"b": 2.0}}, {"=": {"c": 3.0}}]}, {"=": {"d": 4.0}}]}),
        ),
        ("'new-attribute' like %", json!(null)),
        ("a like 'x%'", json!({"like": {"a": "x%"}})),
    ] {
        match document {
            Value::Null => assert!(parse_text(text).is_err(), "{text}"),
            document => assert_eq!(parse_text(text), Ok(document), "{text}"),
        }
    }
    assert_eq!(parse_text(&format!("id={uuid}")), Ok(json!({"=": {"id": uuid}})));
    let compact = uuid.replace('-', "");
    assert_eq!(parse_text(&format!("id in [{compact}]")), Ok(json!({"in": {"id": [compact]}})));
}

#[test]
fn syntax_errors_tell_what_was_expected() {
    for (text, message, offset) in [
        ("id == foobar", "expected a value, found '='", 4),
        ("", "expected a value, found end of text", 0),
        ("a", "expected an operator, found end of text", 1),
        ("a = 1 b", "expected end of text, found 'b'", 6),
        ("(a = 1", "expected ')', found end of text", 6),
        ("5 = a", "expected an attribute, found '5'", 0),
        ("a = 'x", "expected a closed text, found '\\''", 4),
        ("a in [[1]]", "expected no list within a list, found '1'", 7),
        ("a in [1 2]", "expected ',' or ']', found '2'", 8),
    ] {
        assert_eq!(parse_text(text), Err(SyntaxError::new(message, offset)), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in ".{0,60}") {
        let _either = parse_text(&text);
    }

    #[test]
    fn near_misses_are_answered(text in "(a|id|not|and|or|in|like|=|>=|≠|∧|\\(|\\)|\\[|\\]|,|'|\"|1|-|\\.|e| |[0-9a-f]{8}-){0,24}") {
        if let Ok(document) = parse_text(&text) {
            let _either = read(&document);
        }
    }
}
