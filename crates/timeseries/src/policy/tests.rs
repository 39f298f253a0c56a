use super::*;

const SECOND: u64 = 1_000_000_000;

fn spec(granularity: Option<i64>, points: Option<u64>, timespan: Option<u64>) -> ItemSpec {
    ItemSpec {
        granularity: granularity.map(|secs| Granularity::from_secs(secs).unwrap()),
        points,
        timespan: timespan.map(Duration::from_secs),
    }
}

fn names(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

fn methods(entries: &[&str]) -> Vec<AggregationMethod> {
    entries.iter().map(|entry| entry.parse().unwrap()).collect()
}

#[test]
fn the_third_of_granularity_points_and_timespan_is_worked_out() {
    let cases = [
        (spec(Some(60), Some(10), None), 60 * SECOND, Some(10), Some(600 * SECOND)),
        (spec(Some(7), None, Some(3600)), 7 * SECOND, Some(514), Some(3598 * SECOND)),
        (spec(None, Some(1000), Some(3600)), 3_600_000_000, Some(1000), Some(3600 * SECOND)),
        (spec(None, Some(7), Some(1)), 142_857_142, Some(7), Some(999_999_994)),
        (spec(Some(60), Some(10), Some(600)), 60 * SECOND, Some(10), Some(600 * SECOND)),
        (spec(Some(60), None, None), 60 * SECOND, None, None),
    ];
    for (spec, granularity, points, timespan) in cases {
        let item = PolicyItem::new(spec).unwrap();
        assert_eq!(item.granularity.as_nanos().unsigned_abs(), granularity, "{spec:?}");
        assert_eq!(item.points, points, "{spec:?}");
        assert_eq!(item.timespan(), timespan.map(Duration::from_nanos), "{spec:?}");
    }
}

#[test]
fn inconsistent_items_are_refused_with_the_texts_clients_know() {
    let cases = [
        (spec(Some(60), Some(10), Some(601)), "timespan ≠ granularity × points"),
        (spec(Some(60), None, Some(59)), "Calculated number of points is < 0"),
        (spec(Some(60), None, Some(0)), "Calculated number of points is < 0"),
        (spec(None, Some(10), None), "At least two of granularity/points/timespan must be provided"),
        (spec(None, None, Some(10)), "At least two of granularity/points/timespan must be provided"),
        (spec(None, None, None), "At least two of granularity/points/timespan must be provided"),
        (spec(Some(60), Some(0), None), "Number of points should be > 0"),
        (spec(None, Some(2_000_000_000), Some(1)), "Granularity should be > 0"),
        (spec(Some(60), Some(200_000_000), None), "timespan is longer than 292 years"),
        (spec(Some(60), Some(u64::MAX), None), "timespan is longer than 292 years"),
        (spec(Some(60), None, Some(10_000_000_000)), "timespan is longer than 292 years"),
        (spec(Some(60), None, Some(u64::MAX)), "timespan is longer than 292 years"),
        (spec(None, Some(2), Some(10_000_000_000)), "timespan is longer than 292 years"),
    ];
    for (spec, text) in cases {
        assert_eq!(PolicyItem::new(spec).unwrap_err().to_string(), text, "{spec:?}");
    }
}

#[test]
fn two_items_of_one_width_are_refused_by_its_seconds() {
    let mut item = spec(Some(1), Some(10), None);
    let twice =
        |item| resolve_definition(&[spec(Some(60), Some(1), None), item, item]).unwrap_err().to_string();
    assert_eq!(twice(item), "More than one archive policy uses granularity `1.0'");
    item.granularity = Granularity::from_nanos(1);
    assert_eq!(twice(item), "More than one archive policy uses granularity `1e-09'");
    item.granularity = Granularity::from_nanos(100_000_000);
    assert_eq!(twice(item), "More than one archive policy uses granularity `0.1'");
    assert_eq!(resolve_definition(&[]), Err(PolicyError::EmptyDefinition));
}

#[test]
fn definition_keeps_the_order_of_its_author() {
    let items =
        [spec(Some(3600), Some(2), None), spec(Some(1), Some(5), None), spec(Some(60), Some(3), None)];
    let policy = ArchivePolicy::new("p", 2, &items, &[], &methods(&["mean"])).unwrap();
    let widths: Vec<_> =
        policy.definition.iter().map(|item| item.granularity.as_nanos() / 1_000_000_000).collect();
    assert_eq!(widths, [3600, 1, 60]);
    assert_eq!(policy.coarsest(), Granularity::from_secs(3600));
    assert_eq!(policy.methods, methods(&["mean"]));
    assert_eq!(policy.item(Granularity::from_secs(60).unwrap()).unwrap().points, Some(3));
}

#[test]
fn method_lists_expand_by_their_rules() {
    let defaults = methods(&["mean", "max"]);
    let cases: [(&[&str], &[&str]); 9] = [
        (&[], &["mean", "max"]),
        (&["last", "count"], &["last", "count"]),
        (&["last", "last"], &["last"]),
        (&["-max"], &["mean"]),
        (&["+rate:95pct", "-mean"], &["max", "rate:95pct"]),
        (&["-mean", "+mean"], &["max", "mean"]),
        (&["mean", "-mean"], &[]),
        (&["mean", "-sum", "+min"], &["mean", "min"]),
        (&["+mean", "+mean"], &["mean", "max"]),
    ];
    for (entries, expected) in cases {
        assert_eq!(expand_methods(&names(entries), &defaults), Ok(methods(expected)), "{entries:?}");
    }
    assert_eq!(expand_methods(&names(&["*"]), &defaults).unwrap().len(), 216);
    let most = expand_methods(&names(&["*", "-mean", "-rate:1pct"]), &defaults).unwrap();
    assert_eq!(most.len(), 214);
    assert!(!most.contains(&"rate:1pct".parse().unwrap()));
}

#[test]
fn unknown_methods_are_named_as_they_were_written() {
    for entry in ["wtf", "-wtf", "+100pct", "-*", "", "-", "**"] {
        let error =
            ArchivePolicy::new("p", 0, &[spec(Some(1), Some(1), None)], &names(&["mean", entry]), &[]);
        assert_eq!(error, Err(PolicyError::Method(UnknownMethod(entry.to_owned()))));
    }
}

#[test]
fn only_points_of_a_definition_can_change() {
    let items = [spec(Some(1), Some(60), None), spec(Some(60), Some(60), None)];
    let policy = ArchivePolicy::new("✔", 0, &items, &[], &[]).unwrap();
    let check = |items: &[ItemSpec]| {
        policy.check_change(&resolve_definition(items).unwrap()).map_err(|error| error.to_string())
    };
    assert_eq!(check(&[spec(Some(60), None, None), spec(Some(1), Some(10), None)]), Ok(()));
    assert_eq!(
        check(&[spec(Some(1), Some(60), None)]),
        Err("Archive policy ✔ does not support change: Cannot add or drop granularities".to_owned())
    );
    assert_eq!(
        check(&[spec(Some(60), Some(60), None), spec(Some(2), Some(60), None)]),
        Err("Archive policy ✔ does not support change: 1.0 granularity interval was changed".to_owned())
    );
}

#[test]
fn well_known_policies_are_those_of_an_installation() {
    let policies = ArchivePolicy::well_known(&ArchivePolicy::DEFAULT_METHODS);
    let shown: Vec<String> = policies
        .iter()
        .map(|policy| {
            let items: Vec<String> = policy
                .definition
                .iter()
                .map(|item| format!("{}×{}", item.granularity.as_secs_f64(), item.points.unwrap()))
                .collect();
            format!("{} {} {} {}", policy.name, policy.back_window, items.join(" "), policy.methods.len())
        })
        .collect();
    assert_eq!(
        shown,
        [
            "low 0 300×8640 6",
            "medium 0 60×10080 3600×8760 6",
            "high 0 1×3600 60×10080 3600×8760 6",
            "bool 3600 1×31536000 1",
            "nephos 1 10×2160 60×10080 3600×8760 6",
        ]
    );
}
