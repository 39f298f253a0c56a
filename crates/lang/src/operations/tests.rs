use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::SyntaxError;

/// Steps in tests are numbers of seconds.
fn read(document: &Value) -> Result<Operation, Fault> {
    Operation::from_json(document, &|step| {
        let seconds = step.as_i64().or_else(|| step.as_str()?.parse().ok())?;
        (seconds > 0).then_some(seconds * 1_000_000_000)
    })
}

fn read_text(text: &str) -> Result<Operation, Fault> {
    read(&parse_text(text).unwrap())
}

#[test]
fn texts_and_lists_mean_the_same() {
    for (text, list) in [
        ("(metric m mean)", json!(["metric", "m", "mean"])),
        ("(metric (m mean) (cpu.* rate:max))", json!(["metric", ["m", "mean"], ["cpu.*", "rate:max"]])),
        ("(metric ((m mean)))", json!(["metric", [["m", "mean"]]])),
        ("(aggregate rate:mean (metric m mean))", json!(["aggregate", "rate:mean", ["metric", "m", "mean"]])),
        ("(rolling std 3 (metric m mean))", json!(["rolling", "std", 3, ["metric", "m", "mean"]])),
        ("(resample 95pct 60 (metric m mean))", json!(["resample", "95pct", 60, ["metric", "m", "mean"]])),
        ("(≥ (abs (metric m mean)) 1.5e3)", json!(["≥", ["abs", ["metric", "m", "mean"]], 1500])),
        ("(clip (metric m mean) 1 2)", json!(["clip", ["metric", "m", "mean"], 1, "2"])),
        ("(increase (metric m last))", json!(["increase", ["metric", "m", "last"]])),
        ("(top 5 mean (metric cpu.* mean))", json!(["top", 5, "mean", ["metric", "cpu.*", "mean"]])),
        ("(bottom 2 last (metric m max))", json!(["bottom", "2", "last", ["metric", "m", "max"]])),
        ("(rateofchangesec(metric m mean))", json!(["rateofchangesec", ["metric", "m", "mean"]])),
    ] {
        assert_eq!(read_text(text), read(&list), "{text}");
    }
    let quoted = read_text("(metric \"cpu util\" 'mean'))) more").unwrap();
    assert_eq!(quoted, read(&json!(["metric", "cpu util", "mean"])).unwrap());
}

#[test]
fn operations_write_themselves_as_they_are_read() {
    for text in [
        "(metric m mean)",
        "(metric (m mean) (n max))",
        "(/ (* 100 (aggregate mean (metric m mean))) (+ 1 -2.5))",
        "(rolling var 2 (resample rate:last 0.5 (metric m mean)))",
        "(aggregate sum (top 3 max (increasesec (metric m last))))",
        "(bottom 1 var (increase (metric m last)))",
        "(clip_max (clip_min (neg (rateofchange (metric m mean))) 1) 5)",
    ] {
        let operation = Operation::from_json(&parse_text(text).unwrap(), &|_| Some(500_000_000)).unwrap();
        assert_eq!(operation.to_string(), text);
    }
}

#[test]
fn references_come_once_in_order() {
    let operation = read_text("(- (metric (b mean) (a max)) (metric (a max) (b mean) (b min)))").unwrap();
    let found = operation.references();
    let names: Vec<_> = found.iter().map(|r| format!("{} {}", r.name, r.method)).collect();
    assert_eq!(names, ["b mean", "a max", "b min"]);
    assert_eq!(read_text("(+ 1 2)").unwrap().references(), Vec::<&Reference>::new());
}

#[test]
fn faults_are_those_of_the_api() {
    for (document, text) in [
        (json!([]), "Operation must not be empty"),
        (json!({"foo": "bar"}), "Expected a tuple/list, got a dict"),
        (json!(5), "Expected a tuple/list, got a number"),
        (json!(["metric"]), "Operation need at least one argument"),
        (json!(["metric", "m"]), "'metric' operation invalid"),
        (json!(["metric", ["m", "mean"], "n"]), "'metric' operation invalid"),
        (json!([["metric"], 1]), "'[\"metric\"]' operation invalid"),
        (json!(["notexist", ["abs", ["metric", "m", "mean"]]]), "'notexist' operation invalid"),
        (json!(["abs", ["notexist", 1]]), "'notexist' operation invalid"),
        (json!(["abs", []]), "Operation must not be empty"),
        (json!(["abs", {}]), "Expected a tuple/list, got a dict"),
        (json!(["rolling", "blah", 2, ["metric", "m", "mean"]]), "'rolling' operation invalid"),
        (json!(["rolling", "mean", ["metric", "m", "mean"]]), "'rolling' operation invalid"),
        (json!(["rolling", "mean", 0, ["metric", "m", "mean"]]), "'rolling' operation invalid"),
        (json!(["rolling", "first", 2, ["metric", "m", "mean"]]), "'rolling' operation invalid"),
        (json!(["resample", "mean", "soon", ["metric", "m", "mean"]]), "'resample' operation invalid"),
        (json!(["resample", "var", 60, ["metric", "m", "mean"]]), "'resample' operation invalid"),
        (json!(["resample", "0pct", 60, ["metric", "m", "mean"]]), "'resample' operation invalid"),
        (json!(["aggregate", "mean", 5]), "'aggregate' operation invalid"),
        (json!(["rateofchange", ["+", 1, 2]]), "'rateofchange' operation invalid"),
        (json!(["increase", 5]), "'increase' operation invalid"),
        (json!(["top", 0, "mean", ["metric", "m", "mean"]]), "'top' operation invalid"),
        (json!(["top", -1, "mean", ["metric", "m", "mean"]]), "'top' operation invalid"),
        (json!(["top", "many", "mean", ["metric", "m", "mean"]]), "'top' operation invalid"),
        (json!(["bottom", 3, "rate:mean", ["metric", "m", "mean"]]), "'bottom' operation invalid"),
        (json!(["bottom", 3, ["metric", "m", "mean"]]), "'bottom' operation invalid"),
        (json!(["top", 3, "mean", 7]), "'top' operation invalid"),
        (json!(["+", 1]), "'+' operation invalid"),
        (json!(["+", 1, null]), "Expected a tuple/list, got a null"),
    ] {
        assert_eq!(read(&document).unwrap_err().to_string(), text, "{document}");
    }
}

#[test]
fn texts_that_are_no_form_tell_what_is_missing() {
    for (text, message, offset) in [
        ("", "expected '(', found end of text", 0),
        ("(metroc foo bar", "expected ')', found end of text", 15),
        ("metric m mean", "expected '(', found 'm'", 0),
        (")", "expected '(', found ')'", 0),
    ] {
        assert_eq!(parse_text(text), Err(SyntaxError::new(message, offset)), "{text}");
    }
}

#[test]
fn depth_and_number_are_limited() {
    let mut deep = json!(["metric", "m", "mean"]);
    for _ in 0..MAX_DEPTH {
        deep = json!(["abs", deep]);
    }
    assert_eq!(read(&deep), Err(Fault::TooDeep));
    assert!(parse_text(&"(".repeat(1_000_000)).unwrap_err().message.starts_with("nested deeper"));
    let mut many = vec![json!("metric")];
    many.resize(MAX_NODES + 2, json!(["m", "mean"]));
    assert_eq!(read(&Value::Array(many)), Err(Fault::TooMany));
    assert!(parse_text(&"(m".repeat(30)).is_err());
    assert!(parse_text(&format!("(m {})", "x ".repeat(MAX_NODES * 4))).is_err());
}

proptest! {
    #[test]
    fn any_text_is_answered(text in ".{0,60}") {
        if let Ok(document) = parse_text(&text) {
            let _either = read(&document);
        }
    }

    #[test]
    fn near_misses_are_answered(words in proptest::collection::vec(
        prop::sample::select(vec![
            "(", ")", "(metric m mean)", "aggregate ", "rolling ", "resample ", "mean ", "2 ", "+ ", "clip ", "abs ",
            "(metric (a b) (c d))", "\"", "-1e9 ", "rateofchange ", "increase ", "top ", "bottom ",
        ]),
        0..20,
    )) {
        if let Ok(document) = parse_text(&words.concat())
            && let Ok(operation) = read(&document)
        {
            prop_assert_eq!(read_text(&operation.to_string()).map(|again| again.to_string()), Ok(operation.to_string()));
        }
    }
}
