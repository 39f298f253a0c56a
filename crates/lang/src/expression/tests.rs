use proptest::prelude::*;
use serde_json::json;

use super::*;

#[derive(Debug)]
struct Fields(serde_json::Value);

impl Names for Fields {
    fn resolve<'a>(&'a self, name: &str) -> Option<Value<'a>> {
        self.0.get(name).map(Value::from)
    }
}

fn fields() -> Fields {
    Fields(json!({
        "volume": 7,
        "unit": "B",
        "big": 18_446_744_073_709_551_615_u64,
        "resource_metadata": {
            "cpu_number": 2, "zero": 0, "nothing": null, "text": "abc", "list": [1, 2.5, "x"], "same": [1, 2.5, "x"],
            "flag": true, "empty": {}, "deep": {"er": {"est": 3}},
        },
    }))
}

fn text(value: &Value<'_>) -> String {
    match value {
        Value::Int(value) => value.to_string(),
        Value::Float(value) => format!("{value:?}"),
        Value::Bool(value) => value.to_string(),
        Value::Text(value) => format!("'{value}'"),
        other => other.kind().to_owned(),
    }
}

fn check(source: &str, expected: &str) {
    let expression = Expression::parse(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let fields = fields();
    let outcome = match expression.evaluate(&fields) {
        Ok(value) => text(&value),
        Err(error) => error.to_string(),
    };
    assert_eq!(outcome, expected, "{source}");
}

#[test]
fn arithmetic_is_pythons() {
    for (source, expected) in [
        ("1", "1"),
        (".5", "0.5"),
        ("1e3", "1000.0"),
        ("2.", "2.0"),
        ("10**9", "1000000000"),
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("7 / 2", "3.5"),
        ("-7 // 2", "-4"),
        ("7 // -2", "-4"),
        ("-7 % 3", "2"),
        ("7 % -3", "-2"),
        ("-7.5 // 2", "-4.0"),
        ("-7.5 % 2", "0.5"),
        ("7.5 % -2", "-0.5"),
        ("0.0 // 5", "0.0"),
        ("1 - 2 - 3", "-4"),
        ("2 ** 3 ** 2", "512"),
        ("-2 ** 2", "-4"),
        ("2 ** -1", "0.5"),
        ("(-8) ** 2", "64"),
        ("--5", "5"),
        ("1 ++ 2", "3"),
        ("True + 1", "2"),
        ("-True", "-1"),
        ("2 ** 0.5", "1.4142135623730951"),
        ("'ab' + \"cd\"", "'abcd'"),
        (r"'it\'s\n'", "'it's\n'"),
    ] {
        check(source, expected);
    }
}

#[test]
fn whole_numbers_turn_into_floats_where_they_no_longer_fit() {
    for (source, expected) in [
        ("9223372036854775807 + 1", "9.223372036854775807e18"),
        ("-9223372036854775807 - 10", "-9.223372036854775817e18"),
        ("2 ** 63", "9.223372036854775808e18"),
        ("-(-9223372036854775807 - 1)", "9.223372036854775808e18"),
        ("(-9223372036854775807 - 1) // -1", "9.223372036854775808e18"),
        ("(-9223372036854775807 - 1) % -1", "0"),
        ("99999999999999999999", "99999999999999999999.0"),
        ("big", "18446744073709551615.0"),
    ] {
        let expression = Expression::parse(source).unwrap();
        let fields = fields();
        let value = expression.evaluate(&fields).unwrap();
        assert_eq!(value.as_number(), Some(expected.parse().unwrap()), "{source}");
    }
}

#[test]
fn conditions_take_only_the_branch_they_need() {
    for (source, expected) in [
        ("not 0", "true"),
        ("not 1 == 2", "true"),
        ("1 < 2 < 3", "true"),
        ("1 < 2 > 5", "false"),
        ("3 > 2 > 1 > 0", "true"),
        ("1 < 0 < 1/0", "false"),
        ("1 == 1.0", "true"),
        ("'a' < 'b'", "true"),
        ("'a' == 1", "false"),
        ("1 != 'a'", "true"),
        ("0 or 5", "5"),
        ("3 or 1/0", "3"),
        ("0 and 1/0", "0"),
        ("2 and 3", "3"),
        ("1 if volume else 2", "1"),
        ("1 if 0 else 2 if 0 else 3", "3"),
        ("(1 if 0 else 2) + 1", "3"),
        ("1/0 if 0 else 4", "4"),
        ("(0 or 0 or 6) if (1 and 1) else 1/0", "6"),
        ("1 + (2 if volume > 5 and unit == 'B' else 3)", "3"),
        ("None == None", "true"),
        ("resource_metadata.list == resource_metadata.same", "true"),
        ("resource_metadata == resource_metadata", "false"),
    ] {
        check(source, expected);
    }
}

#[test]
fn names_reach_into_objects_and_missing_ones_count_as_false() {
    for (source, expected) in [
        ("volume * 2", "14"),
        ("unit", "'B'"),
        ("missing or 1", "1"),
        ("missing.at.any.depth or 1", "1"),
        ("missing['x'][0] or 1", "1"),
        ("resource_metadata.cpu_number", "2"),
        ("resource_metadata.zero or 1", "1"),
        ("resource_metadata.nothing or 1", "1"),
        ("resource_metadata.empty or 1", "1"),
        ("resource_metadata.list[0]", "1"),
        ("resource_metadata.list[-1]", "'x'"),
        ("resource_metadata.text[1]", "'b'"),
        ("resource_metadata['deep']['er'].est", "3"),
        ("resource_metadata.flag * 3", "3"),
        ("100.0 / (10**9 * (resource_metadata.cpu_number or 1))", "5e-8"),
        ("missing == missing", "false"),
    ] {
        check(source, expected);
    }
}

#[test]
fn what_has_no_value_says_why() {
    for (source, expected) in [
        ("missing + 1", "+ cannot join a missing value and a number"),
        ("missing < 1", "< cannot join a missing value and a number"),
        ("None + 1", "+ cannot join null and a number"),
        ("'a' * 2", "* cannot join a text and a number"),
        ("'a' < 1", "< cannot join a text and a number"),
        ("1 / 0", "division by zero"),
        ("1 // 0", "division by zero"),
        ("1 % 0", "division by zero"),
        ("1.0 % 0", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("10.0 ** 400", "the power is not a number that fits"),
        ("(-8) ** 0.5", "the power is not a number that fits"),
        ("resource_metadata.list[3]", "a list has no member 3"),
        ("resource_metadata.list[-4]", "a list has no member -4"),
        ("resource_metadata.text.x", "a text has no member x"),
        ("volume.x", "a number has no member x"),
        ("-'a'", "a sign cannot stand before a text"),
    ] {
        check(source, expected);
    }
    let expression = Expression::parse("unit").unwrap();
    let error = expression.evaluate_number(&fields()).unwrap_err();
    assert_eq!(error.to_string(), "the result is a text, not a number");
}

#[test]
fn syntax_errors_are_placed() {
    for (source, message, offset) in [
        ("", "the expression ends too early", 0),
        ("1 +", "the expression ends too early", 3),
        ("1 2", "unexpected number 2", 2),
        ("(1", "the expression ends too early", 2),
        ("1)", "unexpected \")\"", 1),
        ("* 2", "unexpected \"*\"", 0),
        ("a[]", "unexpected \"]\"", 2),
        ("1 if 2", "the expression ends too early", 6),
        ("x = 1", "unexpected \"=\"", 2),
        ("f(1)", "unexpected \"(\"", 1),
        ("lambda x", "unexpected word \"x\"", 7),
        ("1.2.3", "unexpected number 0.3", 3),
        ("1__0", "malformed number", 0),
        ("12ab", "malformed number", 0),
        ("1 + 'abc", "the quotation is never closed", 4),
        ("a $ b", "unexpected '$'", 2),
        ("and", "unexpected word \"and\"", 0),
        ("1 or", "the expression ends too early", 4),
        ("a.if", "unexpected word \"if\"", 2),
        ("é + ü $", "unexpected '$'", 8),
        ("[1]", "unexpected \"[\"", 0),
    ] {
        assert_eq!(Expression::parse(source).unwrap_err(), SyntaxError::new(message, offset), "{source}");
    }
}

#[test]
fn length_and_nesting_are_bounded_but_long_chains_are_fine() {
    assert!(Expression::parse(&"(".repeat(MAX_LENGTH)).unwrap_err().message.starts_with("nested deeper"));
    for nest in ["-", "not ", "2**", "1 if 1 else ", "a["] {
        let error = Expression::parse(&nest.repeat(100)).unwrap_err();
        assert!(error.message.starts_with("nested deeper"), "{nest}: {error}");
    }
    assert!(Expression::parse(&" ".repeat(MAX_LENGTH + 1)).unwrap_err().message.starts_with("longer than"));
    let sum = format!("1{}", "+1".repeat(2_000));
    check(&sum, "2001");
}

proptest! {
    #[test]
    fn any_text_is_answered(source in r"\PC{0,60}") {
        if let Ok(expression) = Expression::parse(&source) {
            let _value: Option<f64> = expression.evaluate_number(&fields()).ok();
        }
    }

    #[test]
    fn any_words_are_answered(words in proptest::collection::vec(proptest::sample::select(vec![
        "1", "0", "2.5", "9223372036854775807", "volume", "missing", "resource_metadata", ".list", ".deep", "[", "]",
        "(", ")", "+", "-", "*", "/", "//", "%", "**", "<", "==", "!=", "and", "or", "not", "if", "else", "'x'", "None",
    ]), 0..20)) {
        if let Ok(expression) = Expression::parse(&words.join(" ")) {
            let _value: Option<f64> = expression.evaluate_number(&fields()).ok();
        }
    }

    #[test]
    fn floor_division_and_remainder_belong_together(left in -1000_i64..1000, right in -50_i64..50) {
        prop_assume!(right != 0);
        let fields = fields();
        let expression = Expression::parse(&format!("{left} // {right} * {right} + {left} % {right} == {left}")).unwrap();
        prop_assert_eq!(expression.evaluate(&fields), Ok(Value::Bool(true)));
        let float = Expression::parse(&format!("{left}.5 // {right} == {left}.5 // {right}.0")).unwrap();
        prop_assert_eq!(float.evaluate(&fields), Ok(Value::Bool(true)));
    }
}
