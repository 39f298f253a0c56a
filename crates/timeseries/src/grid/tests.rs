use super::*;

const NAN: f64 = f64::NAN;

fn at(secs: &[i64]) -> Vec<Timestamp> {
    secs.iter().map(|secs| Timestamp::from_secs(*secs)).collect()
}

fn step(secs: i64) -> Granularity {
    Granularity::from_secs(secs).unwrap()
}

fn grid(secs: &[i64], columns: &[&[f64]]) -> Grid<'static> {
    Grid {
        granularity: step(1),
        timestamps: Arc::new(at(secs)),
        columns: columns.iter().map(|column| Cow::Owned(column.to_vec())).collect(),
    }
}

fn series(secs: &[i64], values: &[f64]) -> (Vec<Timestamp>, Vec<f64>) {
    (at(secs), values.to_vec())
}

/// Equal, and NaN where NaN is expected.
fn check(grid: &Grid<'_>, secs: &[i64], columns: &[&[f64]]) {
    assert_eq!(grid.timestamps(), at(secs));
    assert_eq!(grid.width(), columns.len());
    for (number, expected) in columns.iter().enumerate() {
        let found = grid.column(number);
        let same = found.len() == expected.len()
            && found.iter().zip(*expected).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
        assert!(same, "series {number}: {found:?}, not {expected:?}");
    }
}

fn overlap(needed: f64, open_start: bool, open_stop: bool) -> Overlap {
    Overlap { needed, open_start, open_stop }
}

fn across(name: &str) -> Across {
    name.parse().unwrap()
}

#[test]
fn series_stand_on_the_union_of_their_timestamps() {
    let some = || vec![series(&[2, 4], &[2.0, 4.0]), series(&[], &[]), series(&[1, 2, 5], &[1.0, 20.0, 5.0])];
    let rows = &[1, 2, 4, 5];
    for (fill, first, last) in [
        (Fill::Null, [NAN, 2.0, 4.0, NAN], [1.0, 20.0, NAN, 5.0]),
        (Fill::Value(0.5), [0.5, 2.0, 4.0, 0.5], [1.0, 20.0, 0.5, 5.0]),
        (Fill::Forward, [NAN, 2.0, 4.0, 4.0], [1.0, 20.0, 20.0, 5.0]),
        (Fill::Backward, [2.0, 2.0, 4.0, NAN], [1.0, 20.0, 5.0, 5.0]),
        (Fill::ForwardThenBackward, [2.0, 2.0, 4.0, 4.0], [1.0, 20.0, 20.0, 5.0]),
        (Fill::BackwardThenForward, [2.0, 2.0, 4.0, 4.0], [1.0, 20.0, 5.0, 5.0]),
    ] {
        let empty = if let Fill::Value(value) = fill { [value; 4] } else { [NAN; 4] };
        check(&Grid::align(step(1), some(), fill), rows, &[&first, &empty, &last]);
    }
    let same = vec![series(&[1, 2], &[1.0, 2.0]), series(&[1, 2], &[3.0, NAN])];
    check(&Grid::align(step(1), same, Fill::Null), &[1, 2], &[&[1.0, 2.0], &[3.0, NAN]]);
    check(&Grid::align(step(1), Vec::new(), Fill::Null), &[], &[]);
}

#[test]
fn overlap_is_required_where_series_are_complete() {
    let some = || grid(&[1, 2, 3, 4], &[&[NAN, 2.0, 3.0, 4.0], &[1.0, 2.0, NAN, 4.0], &[1.0, 2.0, 3.0, 4.0]]);
    let mut whole = some();
    assert_eq!(whole.require_overlap(overlap(50.0, false, false)), Ok(()));
    assert_eq!(whole.timestamps().len(), 4);
    let mut cut = some();
    assert_eq!(cut.require_overlap(overlap(66.0, true, true)), Ok(()));
    check(&cut, &[2, 3, 4], &[&[2.0, 3.0, 4.0], &[2.0, NAN, 4.0], &[2.0, 3.0, 4.0]]);
    let error = some().require_overlap(overlap(75.0, true, true)).unwrap_err();
    assert_eq!(error.to_string(), "Less than 75.000000% of datapoints overlap in this timespan (66.67%)");
    let mut apart = grid(&[1, 2], &[&[1.0, NAN], &[NAN, 2.0]]);
    assert_eq!(apart.require_overlap(overlap(0.5, true, true)).unwrap_err().to_string(), "No overlap");
    assert_eq!(apart.require_overlap(overlap(0.0, true, true)), Ok(()));
    assert_eq!(grid(&[], &[&[]]).require_overlap(overlap(0.0, true, true)), Ok(()));
}

#[test]
fn reductions_across_series_ignore_nan() {
    let some = || grid(&[1, 2, 3], &[&[5.0, NAN, NAN], &[1.0, 1.0, NAN], &[9.0, 4.0, NAN], &[3.0, 1.0, NAN]]);
    for (name, expected) in [
        ("mean", [4.5, 2.0, NAN]),
        ("sum", [18.0, 6.0, 0.0]),
        ("min", [1.0, 1.0, NAN]),
        ("max", [9.0, 4.0, NAN]),
        ("median", [4.0, 1.0, NAN]),
        ("var", [8.75, 2.0, NAN]),
        ("std", [8.75_f64.sqrt(), 2.0_f64.sqrt(), NAN]),
        ("count", [4.0, 3.0, 0.0]),
    ] {
        check(&some().aggregate(across(name)), &[1, 2, 3], &[&expected]);
        let rates = [expected[1] - expected[0], expected[2] - expected[1]];
        check(&some().aggregate(across(&format!("rate:{name}"))), &[2, 3], &[&rates]);
        // A single row is reduced alike.
        let row = grid(&[1], &[&[5.0], &[1.0], &[9.0], &[3.0]]);
        check(&row.aggregate(across(name)), &[1], &[&[expected[0]]]);
    }
    assert!("first".parse::<Across>().is_err());
}

#[test]
fn windows_roll_over_points_and_not_over_time() {
    let some = || grid(&[1, 2, 9, 10], &[&[1.0, 3.0, NAN, 4.0], &[4.0, 3.0, 2.0, 1.0]]);
    let rolled = some().rolling(across("mean"), 2).unwrap();
    check(&rolled, &[2, 9, 10], &[&[2.0, 3.0, 4.0], &[3.5, 2.5, 1.5]]);
    let rates = some().rolling(across("rate:sum"), 2).unwrap();
    check(&rates, &[9, 10], &[&[-1.0, 1.0], &[-2.0, -2.0]]);
    let error = some().rolling(across("mean"), 300).unwrap_err();
    assert_eq!(error.to_string(), "Rolling window '300' is greater than serie length '4'");
}

#[test]
fn steps_regroup_each_series() {
    let some = || grid(&[0, 30, 60, 100, 190], &[&[5.0, 1.0, 9.0, 3.0, 2.0], &[1.0, NAN, 1.0, 2.0, 3.0]]);
    for (name, secs, first, second) in [
        ("mean", &[0, 60, 180][..], &[3.0, 6.0, 2.0][..], &[NAN, 1.5, 3.0][..]),
        ("count", &[0, 60, 180], &[2.0, 2.0, 1.0], &[2.0, 2.0, 1.0]),
        ("last", &[0, 60, 180], &[1.0, 3.0, 2.0], &[NAN, 2.0, 3.0]),
        ("min", &[0, 60, 180], &[1.0, 3.0, 2.0], &[1.0, 1.0, 3.0]),
        ("std", &[0, 60], &[8.0_f64.sqrt(), 18.0_f64.sqrt()], &[NAN, 0.5_f64.sqrt()]),
        ("rate:sum", &[0, 60, 180], &[-4.0, 2.0, -1.0], &[NAN, NAN, 1.0]),
    ] {
        let resampled = some().resample(name.parse().unwrap(), step(60));
        check(&resampled, secs, &[first, second]);
        assert_eq!(resampled.granularity(), step(60));
    }
}

#[test]
fn differences_start_with_the_second_point() {
    let some = || grid(&[0, 10, 12], &[&[1.0, 6.0, 4.0]]);
    check(&some().differences(), &[10, 12], &[&[5.0, -2.0]]);
    check(&some().differences_by_second(), &[0, 10, 12], &[&[NAN, 0.5, -1.0]]);
    check(&grid(&[], &[&[]]).differences(), &[], &[&[]]);
    check(&grid(&[], &[&[]]).differences_by_second(), &[], &[&[]]);
}

#[test]
fn grids_combine_value_by_value_if_they_match() {
    let two = grid(&[1, 2], &[&[1.0, 2.0], &[3.0, 4.0]]);
    let one = grid(&[1, 2], &[&[10.0, 20.0]]);
    let sum = two.clone().zip(one.clone(), |a, b| a + b).unwrap();
    check(&sum, &[1, 2], &[&[11.0, 22.0], &[13.0, 24.0]]);
    let difference = one.zip(two.clone(), |a, b| a - b).unwrap();
    check(&difference, &[1, 2], &[&[9.0, 18.0], &[7.0, 16.0]]);
    let three = grid(&[1, 2], &[&[1.0, 2.0], &[3.0, 4.0], &[5.0, 6.0]]);
    assert_eq!(two.clone().zip(three, |a, _| a), Err(GridError::Widths { left: 2, right: 3 }));
    assert_eq!(two.clone().zip(grid(&[1, 3], &[&[1.0, 2.0]]), |a, _| a), Err(GridError::Mismatch));
    let selected = two.select(&[1, 7]);
    check(&selected, &[1, 2], &[&[3.0, 4.0]]);
    check(&selected.map(|value| value * 2.0), &[1, 2], &[&[6.0, 8.0]]);
}
