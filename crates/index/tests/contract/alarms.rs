use nephos_index::{
    AlarmFilter, AlarmIndex, AlarmTransition, ChangeFilter, OutboxItem, Page, SortKey, Transition,
};
use nephos_model::{Alarm, AlarmId, AlarmRule, AlarmState, ChangeKind, Severity};
use uuid::Uuid;

use crate::fixture::{Fixture, alarm, at, change, text};

pub(crate) fn item(alarm: &Alarm, due: i64) -> OutboxItem {
    OutboxItem {
        id: Uuid::new_v4(),
        alarm_id: alarm.id,
        action: alarm.alarm_actions[0].clone(),
        payload: "{\"alarm_name\": \"✔\"}".to_owned(),
        created: at(due),
        attempts: 0,
        due: at(due),
    }
}

/// The evaluation of an alarm as it is, at `now`, that turns it to `alarm`.
pub(crate) fn evaluation(alarm: &Alarm, now: i64) -> AlarmTransition {
    AlarmTransition {
        alarm_id: alarm.id,
        read_evaluate_timestamp: alarm.evaluate_timestamp,
        read_timestamp: alarm.timestamp,
        read_state: alarm.state,
        now: at(now),
        transition: Some(Transition {
            state: AlarmState::Alarm,
            reason: "Transition to alarm due to …".to_owned(),
            change: Some(change(alarm, ChangeKind::StateTransition, now)),
        }),
        outbox: vec![item(alarm, now)],
    }
}

pub(crate) async fn alarms_come_back_whole(f: &Fixture) {
    let mut bare = alarm("bare");
    bare.name = None;
    bare.user_id = None;
    bare.project_id = None;
    bare.time_constraints.clear();
    bare.severity = Severity::Critical;
    bare.repeat_actions = true;
    let AlarmRule::ResourcesThreshold(rule) = &mut bare.rule;
    rule.threshold = f64::INFINITY;
    for stored in [alarm("full"), bare] {
        f.index.create_alarm(&stored, None).await.unwrap();
        assert_eq!(f.index.alarm(stored.id).await.unwrap(), Some(stored.clone()));
        let again = f.index.create_alarm(&stored, None).await;
        assert_eq!(text(again), format!("alarm {} already exists", stored.id));
    }
    assert_eq!(f.index.alarm(AlarmId::random()).await.unwrap(), None);
}

pub(crate) async fn filters_are_anded(f: &Fixture) {
    let mut other = alarm("other");
    other.user_id = Some("other user".to_owned());
    other.project_id = Some("other project".to_owned());
    other.enabled = false;
    other.state = AlarmState::Ok;
    other.severity = Severity::Moderate;
    other.timestamp = at(7);
    other.repeat_actions = true;
    let first = alarm("first");
    for stored in [&first, &other] {
        f.index.create_alarm(stored, None).await.unwrap();
    }
    let some = |text: &str| Some(text.to_owned());
    let none = AlarmFilter::default;
    for filter in [
        AlarmFilter { user_id: some("other user"), ..none() },
        AlarmFilter { project_id: some("other project"), ..none() },
        AlarmFilter { name: some("other"), ..none() },
        AlarmFilter { enabled: Some(false), ..none() },
        AlarmFilter { state: Some(AlarmState::Ok), ..none() },
        AlarmFilter { severity: some("moderate"), ..none() },
        AlarmFilter { timestamp: Some(at(7)), ..none() },
        AlarmFilter { repeat_actions: Some(true), type_name: some("gnocchi_resources_threshold"), ..none() },
    ] {
        assert_eq!(f.index.alarms(&filter, &Page::default()).await.unwrap(), [other.clone()], "{filter:?}");
        assert_eq!(f.index.count_alarms(&filter).await.unwrap(), 1);
    }
    for filter in [
        AlarmFilter { name: some("other"), enabled: Some(true), ..none() },
        AlarmFilter { severity: some("high"), ..none() },
        AlarmFilter { type_name: some("event"), ..none() },
    ] {
        assert_eq!(f.index.alarms(&filter, &Page::default()).await.unwrap(), [], "{filter:?}");
        assert_eq!(f.index.count_alarms(&filter).await.unwrap(), 0);
    }
    assert_eq!(f.index.alarms(&none(), &Page::default()).await.unwrap(), [first, other]);
}

pub(crate) async fn severity_sorts_from_least_to_worst(f: &Fixture) {
    for severity in [Severity::Moderate, Severity::Critical, Severity::Low] {
        let stored = Alarm { severity, ..alarm("a") };
        f.index.create_alarm(&stored, None).await.unwrap();
    }
    let sort = vec![SortKey { key: "severity".to_owned(), descending: false, nulls_first: false }];
    let page = Page { sort, ..Page::default() };
    let sorted = f.index.alarms(&AlarmFilter::default(), &page).await.unwrap();
    let severities = sorted.iter().map(|alarm| alarm.severity).collect::<Vec<_>>();
    assert_eq!(severities, [Severity::Low, Severity::Moderate, Severity::Critical]);
}

pub(crate) async fn updates_and_deletions_need_the_alarm(f: &Fixture) {
    let stored = alarm("a");
    let entry = change(&stored, ChangeKind::Creation, 1);
    f.index.create_alarm(&stored, Some(&entry)).await.unwrap();
    let mut changed = alarm("b");
    changed.id = stored.id;
    changed.enabled = false;
    changed.state = AlarmState::Ok;
    f.index.update_alarm(&changed, Some(&change(&changed, ChangeKind::RuleChange, 2))).await.unwrap();
    assert_eq!(f.index.alarm(stored.id).await.unwrap(), Some(changed.clone()));
    assert_eq!(f.index.alarm_changes(&ChangeFilter::default(), &Page::default()).await.unwrap().len(), 2);
    f.index.delete_alarm(stored.id).await.unwrap();
    assert_eq!(f.index.alarm(stored.id).await.unwrap(), None);
    assert!(f.index.alarm_changes(&ChangeFilter::default(), &Page::default()).await.unwrap().is_empty());
    let gone = format!("alarm {} does not exist", stored.id);
    assert_eq!(text(f.index.update_alarm(&changed, Some(&entry)).await), gone);
    assert_eq!(text(f.index.delete_alarm(stored.id).await), gone);
}

pub(crate) async fn a_state_set_by_hand_leaves_what_was_changed_meanwhile(f: &Fixture) {
    let read = alarm("a");
    f.index.create_alarm(&read, None).await.unwrap();
    let changed = Alarm { description: "new".to_owned(), timestamp: at(5), ..read.clone() };
    f.index.update_alarm(&changed, None).await.unwrap();
    let evaluated = AlarmTransition { transition: None, outbox: Vec::new(), ..evaluation(&changed, 7) };
    assert!(f.index.commit_evaluation(&evaluated).await.unwrap());
    let entry = change(&read, ChangeKind::StateTransition, 8);
    let set =
        Transition { state: AlarmState::Alarm, reason: "by hand".to_owned(), change: Some(entry.clone()) };
    f.index.set_alarm_state(read.id, &set, at(8)).await.unwrap();
    let expected = Alarm {
        evaluate_timestamp: evaluated.now,
        state: AlarmState::Alarm,
        state_reason: "by hand".to_owned(),
        state_timestamp: at(8),
        ..changed
    };
    assert_eq!(f.index.alarm(read.id).await.unwrap(), Some(expected));
    let history = f.index.alarm_changes(&ChangeFilter::default(), &Page::default()).await.unwrap();
    assert_eq!(history, [entry]);
    f.index.delete_alarm(read.id).await.unwrap();
    let gone = format!("alarm {} does not exist", read.id);
    assert_eq!(text(f.index.set_alarm_state(read.id, &set, at(9)).await), gone);
}

pub(crate) async fn history_is_filtered_and_newest_first(f: &Fixture) {
    let (first, second) = (alarm("first"), alarm("second"));
    let mut entries = Vec::new();
    for (number, stored) in [&first, &second].into_iter().enumerate() {
        f.index.create_alarm(stored, None).await.unwrap();
        for when in [1, 2, 3] {
            let mut entry = change(stored, ChangeKind::RuleChange, when);
            if when == 2 {
                entry.kind = ChangeKind::StateTransition;
                entry.severity = Severity::Critical;
                entry.user_id = None;
                entry.on_behalf_of = Some(format!("p{number}"));
                entry.project_id = Some("acting".to_owned());
            }
            f.index.update_alarm(stored, Some(&entry)).await.unwrap();
            entries.push(entry);
        }
    }
    let find = async |filter: ChangeFilter| {
        let found = f.index.alarm_changes(&filter, &Page::default()).await.unwrap();
        assert!(found.is_sorted_by_key(|change| (std::cmp::Reverse(change.timestamp), change.event_id)));
        found
    };
    let none = ChangeFilter::default;
    let of_first = find(ChangeFilter { alarm_id: Some(first.id), ..none() }).await;
    assert_eq!(of_first, [entries[2].clone(), entries[1].clone(), entries[0].clone()]);
    let some = |text: &str| Some(text.to_owned());
    for (filter, count) in [
        (none(), 6),
        (ChangeFilter { kind: some("state transition"), ..none() }, 2),
        (ChangeFilter { kind: some("deletion"), ..none() }, 0),
        (ChangeFilter { user_id: some("user"), ..none() }, 4),
        (ChangeFilter { project_id: some("acting"), ..none() }, 2),
        (ChangeFilter { on_behalf_of: some("p1"), ..none() }, 1),
        (ChangeFilter { severity: some("critical"), ..none() }, 2),
        (ChangeFilter { severity: some("high"), ..none() }, 0),
        (ChangeFilter { from: Some((at(2), true)), ..none() }, 4),
        (ChangeFilter { from: Some((at(2), false)), ..none() }, 2),
        (ChangeFilter { until: Some((at(2), true)), ..none() }, 4),
        (ChangeFilter { until: Some((at(2), false)), ..none() }, 2),
        (
            ChangeFilter {
                from: Some((at(1), false)),
                until: Some((at(3), false)),
                alarm_id: Some(second.id),
                ..none()
            },
            1,
        ),
    ] {
        let description = format!("{filter:?}");
        assert_eq!(find(filter).await.len(), count, "{description}");
    }
}

pub(crate) async fn due_alarms_are_those_never_evaluated_then_the_oldest(f: &Fixture) {
    let mut expected = Vec::new();
    // (definition, last evaluation): the first two were not evaluated since their definition.
    for (name, defined, evaluated, enabled) in [
        ("redefined", 900, 300, true),
        ("new", 1_000, 1_000, true),
        ("old", 100, 200, true),
        ("older still", 100, 150, true),
        ("recent", 100, 950, true),
        ("disabled", 100, 120, false),
        ("not before its time", 100, 5_000, true),
    ] {
        let mut stored = alarm(name);
        (stored.timestamp, stored.evaluate_timestamp, stored.enabled) = (at(defined), at(evaluated), enabled);
        f.index.create_alarm(&stored, None).await.unwrap();
        expected.push(stored);
    }
    let due = f.index.due_alarms(at(900), 10).await.unwrap();
    let names = due.iter().map(|alarm| alarm.name.as_deref().unwrap()).collect::<Vec<_>>();
    assert_eq!(names, ["redefined", "new", "older still", "old"]);
    assert_eq!(due[3], expected[2]);
    assert_eq!(f.index.due_alarms(at(900), 2).await.unwrap(), due[..2]);
    // The bound itself is not before it.
    assert_eq!(f.index.due_alarms(at(200), 10).await.unwrap().len(), 3);
}

pub(crate) async fn evaluations_move_the_alarm_on_and_leave_history_and_notifications(f: &Fixture) {
    let stored = alarm("a");
    f.index.create_alarm(&stored, None).await.unwrap();
    let first = evaluation(&stored, 2_000);
    assert!(f.index.commit_evaluation(&first).await.unwrap());
    let expected = Alarm {
        state: AlarmState::Alarm,
        state_reason: "Transition to alarm due to …".to_owned(),
        state_timestamp: at(2_000),
        evaluate_timestamp: at(2_000),
        ..stored.clone()
    };
    assert_eq!(f.index.alarm(stored.id).await.unwrap().as_ref(), Some(&expected));
    let entries = f.index.alarm_changes(&ChangeFilter::default(), &Page::default()).await.unwrap();
    assert_eq!(entries, [first.transition.as_ref().unwrap().change.clone().unwrap()]);
    assert_eq!(f.index.next_outbox_due().await.unwrap(), Some(at(2_000)));
    // Without a transition only the time of evaluation moves; actions may run again.
    let again = AlarmTransition {
        transition: None,
        outbox: vec![item(&stored, 1_500)],
        ..evaluation(&expected, 3_000)
    };
    assert!(f.index.commit_evaluation(&again).await.unwrap());
    let expected = Alarm { evaluate_timestamp: at(3_000), ..expected };
    assert_eq!(f.index.alarm(stored.id).await.unwrap().as_ref(), Some(&expected));
    assert_eq!(f.index.next_outbox_due().await.unwrap(), Some(at(1_500)));
    assert!(f.index.due_alarms(at(3_000), 10).await.unwrap().is_empty());
}

pub(crate) async fn evaluations_of_outdated_alarms_write_nothing(f: &Fixture) {
    let stored = alarm("a");
    f.index.create_alarm(&stored, None).await.unwrap();
    let redefined = Alarm { timestamp: at(1_001), ..stored.clone() };
    let evaluated = Alarm { evaluate_timestamp: at(1_001), ..stored.clone() };
    let reset = Alarm { state: AlarmState::Ok, ..stored.clone() };
    let gone = Alarm { id: AlarmId::random(), ..stored.clone() };
    for outdated in [redefined, evaluated, reset, gone] {
        assert!(!f.index.commit_evaluation(&evaluation(&outdated, 2_000)).await.unwrap());
    }
    assert_eq!(f.index.alarm(stored.id).await.unwrap(), Some(stored));
    assert!(f.index.alarm_changes(&ChangeFilter::default(), &Page::default()).await.unwrap().is_empty());
    assert_eq!(f.index.next_outbox_due().await.unwrap(), None);
}

pub(crate) async fn racing_evaluations_have_one_winner(f: &Fixture) {
    let other = f.other().await;
    let stored = alarm("a");
    f.index.create_alarm(&stored, None).await.unwrap();
    let commits = (0..10_i64).map(|number| {
        let index = if number % 2 == 0 { &f.index } else { &other };
        let evaluation = evaluation(&stored, 2_000 + number);
        async move { index.commit_evaluation(&evaluation).await.unwrap() }
    });
    let won = futures_util::future::join_all(commits).await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
    assert_eq!(f.index.claim_outbox(at(9_000), 1, 100).await.unwrap().len(), 1);
    assert_eq!(f.index.alarm_changes(&ChangeFilter::default(), &Page::default()).await.unwrap().len(), 1);
}
