use proptest::prelude::*;

use super::*;
use crate::method::Stat;

const MEAN: AggregationMethod = AggregationMethod::plain(Stat::Mean);
const STD: AggregationMethod = AggregationMethod::plain(Stat::Std);
const LAST: AggregationMethod = AggregationMethod::plain(Stat::Last);

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn buckets(methods: &[AggregationMethod], rows: &[(i64, Option<f64>)]) -> BucketColumns {
    let mut buckets = BucketColumns::new(methods);
    for (secs, value) in rows {
        buckets.push_row(at(*secs), |method| if method == STD { *value } else { Some(*secs as f64) });
    }
    buckets
}

#[test]
fn a_missing_value_is_not_a_nan() {
    let buckets = buckets(&[STD], &[(1, Some(f64::NAN)), (2, None), (3, Some(0.0))]);
    let column = buckets.column(STD).unwrap();
    assert!(column.get(0).unwrap().is_nan());
    assert_eq!(column.get(1), None);
    assert_eq!(column.get(3), None);
    assert_eq!(buckets.points(STD).map(|(start, _)| start).collect::<Vec<_>>(), [at(1), at(3)]);
    assert_eq!(buckets.points(MEAN).count(), 0);
    assert_eq!(buckets, buckets.clone());
}

#[test]
fn newer_buckets_replace_those_from_their_first_on() {
    let mut old = buckets(&[MEAN, STD], &[(0, None), (10, Some(1.0)), (20, Some(2.0)), (30, Some(3.0))]);
    old.overwrite(&buckets(&[STD, LAST], &[(20, None), (30, Some(9.0)), (40, Some(8.0))]));
    assert_eq!(old.starts(), [0, 10, 20, 30, 40].map(at));
    assert_eq!(old.points(STD).collect::<Vec<_>>(), [(at(10), 1.0), (at(30), 9.0), (at(40), 8.0)]);
    assert_eq!(old.points(MEAN).collect::<Vec<_>>(), [(at(0), 0.0), (at(10), 10.0)]);
    assert_eq!(old.points(LAST).collect::<Vec<_>>(), [(at(20), 20.0), (at(30), 30.0), (at(40), 40.0)]);
    assert_eq!(old.newest(STD), Some(at(40)));
    assert_eq!(old.newest(MEAN), Some(at(10)));
    let before = old.clone();
    old.overwrite(&BucketColumns::new(&[MEAN]));
    assert_eq!(old, before);
}

#[test]
fn splitting_takes_the_older_part_out() {
    let rows = [(0, None), (10, Some(1.0)), (20, None), (30, Some(3.0))];
    let mut newer = buckets(&[MEAN, STD], &rows);
    let older = newer.split_before(at(15));
    assert_eq!(older, buckets(&[MEAN, STD], &rows[..2]));
    assert_eq!(newer, buckets(&[MEAN, STD], &rows[2..]));
    newer.clear();
    assert_eq!(newer, BucketColumns::new(&[MEAN, STD]));
}

#[test]
fn parts_must_fit() {
    let column = |rows| {
        let mut column = Column::new(MEAN);
        (0..rows).for_each(|_| column.push(None));
        column
    };
    assert!(BucketColumns::from_parts(vec![at(1), at(2)], vec![column(2)]).is_some());
    assert!(BucketColumns::from_parts(vec![at(1), at(1)], vec![column(2)]).is_none());
    assert!(BucketColumns::from_parts(vec![at(1), at(2)], vec![column(2), column(1)]).is_none());
}

proptest! {
    #[test]
    fn presence_is_a_list_of_booleans(rows in proptest::collection::vec(any::<bool>(), 0..300), keep in 0_usize..300) {
        let mut presence = Presence::default();
        let mut model = rows.clone();
        rows.iter().for_each(|row| presence.push(*row));
        presence.truncate(keep);
        model.truncate(keep);
        presence.push(true);
        model.push(true);
        prop_assert_eq!(presence.iter().collect::<Vec<_>>(), model.clone());
        prop_assert_eq!(presence.count(), model.iter().filter(|row| **row).count());
        prop_assert_eq!(presence.all(), model.iter().all(|row| *row));
        let mut again = Presence::default();
        model.iter().for_each(|row| again.push(*row));
        prop_assert_eq!(presence, again);
    }
}
