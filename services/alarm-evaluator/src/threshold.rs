//! Threshold rules: points in, outcome out (alarms-api §11.3 to §11.5). Pure.

use nephos_model::{Alarm, AlarmState, Comparison, Point};
use nephos_wire::python;
use serde_json::{Value, json};

/// What the points of one evaluation say.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All points agree.
    Definite(Verdict),
    /// They do not; the verdict is the newest one's.
    Mixed(Verdict),
    /// Not enough is known.
    Insufficient {
        /// Why, exact text.
        reason: String,
        /// How many points were asked for.
        periods: u32,
        /// The last point, if there was any.
        most_recent: Option<f64>,
    },
}

/// A state and the points behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// `Ok` or `Alarm`.
    pub state: AlarmState,
    /// How many points match the comparison.
    pub matching: usize,
    /// How many points were compared.
    pub total: usize,
    /// The last point.
    pub most_recent: f64,
}

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// How.
    pub comparison: Comparison,
    /// With what.
    pub threshold: f64,
    /// How many of the last points must agree.
    pub periods: u32,
    /// Width of the points in seconds.
    pub granularity: u32,
}

/// Judges the points of the rule's window, ascending in time.
pub fn judge(points: &[Point], limit: Limit) -> Outcome {
    let wanted = i64::from(limit.granularity).saturating_mul(1_000_000_000);
    let values: Vec<f64> = points
        .iter()
        .filter(|point| point.granularity.as_nanos() == wanted)
        .map(|point| point.value)
        .collect();
    let insufficient = |reason| Outcome::Insufficient {
        reason,
        periods: limit.periods,
        most_recent: values.last().copied(),
    };
    let Some(&most_recent) = values.last() else {
        return insufficient(format!("No datapoint for granularity {}", limit.granularity));
    };
    let periods = usize::try_from(limit.periods).unwrap_or(usize::MAX);
    let Some(first) = values.len().checked_sub(periods) else {
        return insufficient(format!("{} datapoints are unknown", limit.periods));
    };
    let compared: Vec<bool> =
        values.iter().skip(first).map(|value| limit.comparison.holds(*value, limit.threshold)).collect();
    let matching = compared.iter().filter(|matches| **matches).count();
    let newest_matches = compared.last().copied().unwrap_or(false);
    let state = if newest_matches { AlarmState::Alarm } else { AlarmState::Ok };
    let verdict = Verdict { state, matching, total: compared.len(), most_recent };
    if matching == 0 || matching == compared.len() {
        Outcome::Definite(verdict)
    } else {
        Outcome::Mixed(verdict)
    }
}

/// What an evaluation does to an alarm.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing.
    Nothing,
    /// Its state changes, and the new state's actions run.
    Transition(Announcement),
    /// Its state stays, and its actions run again.
    Repeat(Announcement),
}

/// A state to tell of.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// The state.
    pub state: AlarmState,
    /// Exact text.
    pub reason: String,
    /// The notification's `reason_data`.
    pub reason_data: Value,
}

/// The transition table of alarms-api §11.4.
pub fn decide(alarm: &Alarm, outcome: &Outcome) -> Decision {
    match outcome {
        Outcome::Insufficient { reason, periods, most_recent } => {
            if alarm.state == AlarmState::InsufficientData {
                return Decision::Nothing;
            }
            Decision::Transition(Announcement {
                state: AlarmState::InsufficientData,
                reason: reason.clone(),
                reason_data: reason_data("unknown", u64::from(*periods), *most_recent),
            })
        }
        Outcome::Definite(verdict) => announce(alarm, verdict, verdict.state),
        Outcome::Mixed(verdict) => {
            let state = if alarm.state == AlarmState::InsufficientData { verdict.state } else { alarm.state };
            announce(alarm, verdict, state)
        }
    }
}

fn announce(alarm: &Alarm, verdict: &Verdict, state: AlarmState) -> Decision {
    let transition = alarm.state != state;
    if !transition && !alarm.repeat_actions {
        return Decision::Nothing;
    }
    let (disposition, count) = match state {
        AlarmState::Ok => ("inside", verdict.total.saturating_sub(verdict.matching)),
        AlarmState::Alarm | AlarmState::InsufficientData => ("outside", verdict.matching),
    };
    let verb = if transition { "Transition to" } else { "Remaining as" };
    let announcement = Announcement {
        state,
        reason: format!(
            "{verb} {} due to {count} samples {disposition} threshold, most recent: {}",
            state.as_str(),
            python::float(verdict.most_recent)
        ),
        reason_data: reason_data(
            disposition,
            u64::try_from(count).unwrap_or(u64::MAX),
            Some(verdict.most_recent),
        ),
    };
    if transition { Decision::Transition(announcement) } else { Decision::Repeat(announcement) }
}

fn reason_data(disposition: &str, count: u64, most_recent: Option<f64>) -> Value {
    json!({"type": "threshold", "disposition": disposition, "count": count, "most_recent": most_recent})
}

#[cfg(test)]
mod tests {
    use nephos_model::{AlarmId, AlarmRule, Granularity, ResourcesThreshold, Severity, Timestamp};

    use super::*;

    fn points(values: &[f64]) -> Vec<Point> {
        let granularity = Granularity::from_secs(60).unwrap();
        (0..)
            .zip(values)
            .map(|(index, value)| Point {
                timestamp: Timestamp::from_secs(index * 60),
                granularity,
                value: *value,
            })
            .collect()
    }

    fn limit(periods: u32) -> Limit {
        Limit { comparison: Comparison::Gt, threshold: 10.0, periods, granularity: 60 }
    }

    fn alarm(state: AlarmState, repeat_actions: bool) -> Alarm {
        Alarm {
            id: AlarmId::random(),
            name: Some("a".into()),
            description: String::new(),
            enabled: true,
            rule: AlarmRule::ResourcesThreshold(ResourcesThreshold {
                metric: "m".into(),
                resource_id: "r".into(),
                resource_type: "host".into(),
                aggregation_method: "mean".into(),
                threshold: 10.0,
                comparison_operator: Comparison::Gt,
                evaluation_periods: 2,
                granularity: 60,
            }),
            ok_actions: vec![],
            alarm_actions: vec![],
            insufficient_data_actions: vec![],
            repeat_actions,
            severity: Severity::Low,
            state,
            state_reason: String::new(),
            state_timestamp: Timestamp::EPOCH,
            timestamp: Timestamp::EPOCH,
            evaluate_timestamp: Timestamp::EPOCH,
            time_constraints: vec![],
            user_id: None,
            project_id: None,
        }
    }

    /// `T:<reason>` transition, `R:<reason>` repeat, `-` nothing.
    fn outcome(state: AlarmState, repeat: bool, values: &[f64]) -> String {
        match decide(&alarm(state, repeat), &judge(&points(values), limit(2))) {
            Decision::Nothing => "-".into(),
            Decision::Transition(it) => format!("T:{}", it.reason),
            Decision::Repeat(it) => format!("R:{}", it.reason),
        }
    }

    #[test]
    fn transition_table() {
        use AlarmState::{Alarm as A, InsufficientData as I, Ok as O};
        let high = "Transition to alarm due to 2 samples outside threshold, most recent: 30.0";
        let low = "Transition to ok due to 2 samples inside threshold, most recent: 1.5";
        let cases: &[(AlarmState, bool, &[f64], String)] = &[
            (I, false, &[20.0, 30.0], format!("T:{high}")),
            (O, false, &[20.0, 30.0], format!("T:{high}")),
            (A, false, &[20.0, 30.0], "-".into()),
            (
                A,
                true,
                &[20.0, 30.0],
                "R:Remaining as alarm due to 2 samples outside threshold, most recent: 30.0".into(),
            ),
            (A, false, &[2.0, 1.5], format!("T:{low}")),
            (
                O,
                true,
                &[2.0, 1.5],
                "R:Remaining as ok due to 2 samples inside threshold, most recent: 1.5".into(),
            ),
            (
                I,
                false,
                &[2.0, 30.0],
                "T:Transition to alarm due to 1 samples outside threshold, most recent: 30.0".into(),
            ),
            (
                I,
                false,
                &[30.0, 2.0],
                "T:Transition to ok due to 1 samples inside threshold, most recent: 2.0".into(),
            ),
            (O, false, &[2.0, 30.0], "-".into()),
            (
                O,
                true,
                &[2.0, 30.0],
                "R:Remaining as ok due to 1 samples inside threshold, most recent: 30.0".into(),
            ),
            (
                A,
                true,
                &[30.0, 2.0],
                "R:Remaining as alarm due to 1 samples outside threshold, most recent: 2.0".into(),
            ),
            (A, false, &[30.0], "T:2 datapoints are unknown".into()),
            (O, true, &[], "T:No datapoint for granularity 60".into()),
            (I, true, &[], "-".into()),
            // Only the last two points count.
            (O, false, &[1.0, 1.0, 20.0, 30.0], format!("T:{high}")),
        ];
        for (state, repeat, values, expected) in cases {
            assert_eq!(&outcome(*state, *repeat, values), expected, "{state:?} repeat={repeat} {values:?}");
        }
    }

    #[test]
    fn points_of_another_granularity_do_not_count() {
        let mut all = points(&[20.0, 30.0]);
        all.push(Point { granularity: Granularity::from_secs(300).unwrap(), ..all[0] });
        assert!(matches!(judge(&all, limit(2)), Outcome::Definite(_)));
        assert!(matches!(judge(&all, limit(3)), Outcome::Insufficient { most_recent: Some(_), .. }));
    }

    #[test]
    fn reason_data_tells_disposition_count_and_last_point() {
        let Decision::Transition(told) =
            decide(&alarm(AlarmState::Ok, false), &judge(&points(&[3.0]), limit(2)))
        else {
            panic!("no transition")
        };
        assert_eq!(
            told.reason_data,
            json!({"type": "threshold", "disposition": "unknown", "count": 2, "most_recent": 3.0})
        );
    }

    #[test]
    fn nan_matches_nothing() {
        assert!(matches!(
            judge(&points(&[f64::NAN, f64::NAN]), limit(2)),
            Outcome::Definite(Verdict { state: AlarmState::Ok, .. })
        ));
    }
}
