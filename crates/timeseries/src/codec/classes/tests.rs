use proptest::prelude::*;

use super::*;

fn check(values: &[i64], floats: bool) -> Option<usize> {
    check_with(values, floats, Effort::Quick);
    check_with(values, floats, Effort::Small)
}

fn check_with(values: &[i64], floats: bool, effort: Effort) -> Option<usize> {
    let plan = plan(values, floats, effort).filter(|plan| plan.size < usize::MAX)?;
    let mut out = Vec::new();
    encode(values, &plan, &mut out).unwrap();
    assert!(out.len() <= plan.size + plan.size / 8 + 12, "{} planned {}", out.len(), plan.size);
    let mut decoded = vec![7; values.len()];
    decode(&out, values.len(), &mut decoded, &mut Memory::default()).unwrap();
    assert_eq!(decoded, values);
    Some(out.len())
}

#[test]
fn each_value_lies_in_the_bin_of_its_class() {
    let near = |value: i64| (-3..=3).map(move |by| value.wrapping_add(by));
    let values = (0..57).flat_map(|bit| near(1 << bit).chain(near(-1 << bit))).chain(near(0));
    for value in values.filter(|value| value.unsigned_abs() < 1 << 57) {
        for steps in 0..=MAX_STEPS {
            for signed in [value < 0, true] {
                let division = Division::Log { steps, signed };
                let bin = division.bin(division.class(value).into()).unwrap();
                let within = value.wrapping_sub(bin.base).cast_unsigned();
                assert!(within < 1 << bin.extra, "{value} {division:?} {bin:?}");
            }
        }
    }
}

#[test]
fn rare_symbols_make_frequent_ones_cheap() {
    let rare: Vec<i64> = (0..1440).map(|i| if i % 97 == 0 { 1_000_000 + i } else { 0 }).collect();
    assert!(check(&rare, false).unwrap() < 80);
    let few: Vec<i64> = (0..240).map(|i| (i * i % 11) - 5).collect();
    assert!(check(&few, false).unwrap() < 110);
    assert_eq!(check(&[3; 50], false), None);
    assert_eq!(check(&[], false), None);
}

#[test]
fn weights_are_near_the_counts_they_stand_for() {
    for count in 1..32_768_u32 {
        let stored = f64::from(weight(level(count))) / 2.0;
        let ratio = stored / f64::from(count);
        assert!((0.8..=1.25).contains(&ratio), "{count} as {stored}");
        assert!(level(count) < 32);
    }
}

proptest! {
    #[test]
    fn any_integers_come_back(
        values in prop::collection::vec(
            prop_oneof![
                3 => -50_i64..50,
                1 => any::<i64>().prop_map(|value| value >> 8),
                2 => any::<i32>().prop_map(i64::from),
            ],
            0..500,
        ),
        floats in any::<bool>(),
    ) {
        check(&values, floats);
    }

    #[test]
    fn bits_of_floats_come_back(values in prop::collection::vec(0.01_f64..100.0, 2..500)) {
        let bits: Vec<i64> = values.iter().map(|value| value.to_bits().cast_signed()).collect();
        check(&bits, true);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), rows in 0_usize..600) {
        // Whatever comes of it.
        let mut values = vec![0; rows];
        prop_assert!(decode(&bytes, rows, &mut values, &mut Memory::default()).is_ok() || rows < 600);
    }
}
