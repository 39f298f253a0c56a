use std::collections::BTreeSet;

use nephos_index::{AlarmIndex, AlarmTransition, ChangeFilter, OutboxItem, OutboxResult, Page};
use nephos_model::{Alarm, ChangeKind};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::alarms::{evaluation, item};
use crate::fixture::{Fixture, alarm, at};

const SECOND: i64 = 1_000_000_000;

async fn with_items(f: &Fixture, dues: impl IntoIterator<Item = i64>) -> (Alarm, Vec<OutboxItem>) {
    let stored = alarm("a");
    f.index.create_alarm(&stored, None).await.unwrap();
    let outbox = dues.into_iter().map(|due| item(&stored, due)).collect::<Vec<_>>();
    let commit = AlarmTransition { transition: None, outbox: outbox.clone(), ..evaluation(&stored, 1_500) };
    assert!(f.index.commit_evaluation(&commit).await.unwrap());
    (stored, outbox)
}

fn ids(items: &[OutboxItem]) -> Vec<Uuid> {
    items.iter().map(|item| item.id).collect()
}

pub(crate) async fn claims_hide_notifications_until_they_run_out(f: &Fixture) {
    let (_, items) = with_items(f, [30, 10, 20, 40]).await;
    assert_eq!(f.index.next_outbox_due().await.unwrap(), Some(at(10)));
    assert!(f.index.claim_outbox(at(9), 60 * SECOND, 10).await.unwrap().is_empty());
    let first = f.index.claim_outbox(at(30), 60 * SECOND, 2).await.unwrap();
    assert_eq!(ids(&first), [items[1].id, items[2].id], "oldest first, up to the limit");
    let claimed = OutboxItem { due: at(90), ..items[1].clone() };
    assert_eq!(first[0], claimed, "whole, and not due before the claim ends");
    let second = f.index.claim_outbox(at(30), 60 * SECOND, 10).await.unwrap();
    assert_eq!(ids(&second), [items[0].id], "one is claimed, one is not due");
    assert_eq!(f.index.next_outbox_due().await.unwrap(), Some(at(40)));
    // Nobody settled them: they come back, one attempt older.
    let again = f.index.claim_outbox(at(90), 60 * SECOND, 10).await.unwrap();
    assert_eq!(ids(&again), [items[1].id, items[2].id, items[0].id, items[3].id]);
    assert_eq!(again.iter().map(|item| item.attempts).collect::<Vec<_>>(), [1, 1, 1, 0]);
}

pub(crate) async fn settled_notifications_go_wait_or_die(f: &Fixture) {
    let (_, items) = with_items(f, [10, 20, 30]).await;
    f.index.claim_outbox(at(30), 60 * SECOND, 10).await.unwrap();
    let settle = async |id, result| f.index.settle_outbox(id, at(35), &result).await.unwrap();
    settle(items[0].id, OutboxResult::Delivered).await;
    settle(items[1].id, OutboxResult::Retry { due: at(50), error: "503".to_owned() }).await;
    settle(items[2].id, OutboxResult::Dead { error: "404".to_owned() }).await;
    assert_eq!(f.index.next_outbox_due().await.unwrap(), Some(at(50)));
    let later = f.index.claim_outbox(at(9_999), SECOND, 10).await.unwrap();
    assert_eq!(ids(&later), [items[1].id]);
    assert_eq!(later[0].attempts, 1);
    // Settling again, or what is gone, changes nothing.
    settle(items[2].id, OutboxResult::Retry { due: at(1), error: String::new() }).await;
    settle(items[2].id, OutboxResult::Dead { error: "again".to_owned() }).await;
    settle(items[0].id, OutboxResult::Dead { error: "gone".to_owned() }).await;
    settle(items[0].id, OutboxResult::Delivered).await;
    settle(items[1].id, OutboxResult::Delivered).await;
    assert_eq!(f.index.next_outbox_due().await.unwrap(), None);
    assert_eq!(f.index.alarm_changes(&ChangeFilter::default(), &Page::default()).await.unwrap().len(), 1);
}

pub(crate) async fn dead_notifications_show_in_the_history_without_credentials(f: &Fixture) {
    let (stored, items) = with_items(f, [10]).await;
    let dead = OutboxResult::Dead { error: "404 Not Found".to_owned() };
    f.index.settle_outbox(items[0].id, at(77), &dead).await.unwrap();
    let entries = f.index.alarm_changes(&ChangeFilter::default(), &Page::default()).await.unwrap();
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!((entry.alarm_id, entry.kind, entry.timestamp), (stored.id, ChangeKind::RuleChange, at(77)));
    assert_eq!(
        (&entry.on_behalf_of, &entry.user_id, entry.severity),
        (&stored.project_id, &None, stored.severity)
    );
    let detail: Value = serde_json::from_str(&entry.detail).unwrap();
    assert_eq!(detail, json!({"notification": {"action": "https://host/hook", "error": "404 Not Found"}}));
}

pub(crate) async fn racing_claimers_never_share_a_notification(f: &Fixture) {
    let (_, items) = with_items(f, 0..60).await;
    let other = f.other().await;
    let claims = (0..12).map(|number| {
        let index = if number % 2 == 0 { &f.index } else { &other };
        async move { index.claim_outbox(at(100), 60 * SECOND, 7).await.unwrap() }
    });
    let mut claimed = ids(&futures_util::future::join_all(claims).await.concat());
    // Whoever found rows locked by another may have got fewer: the rest is still there.
    claimed.extend(ids(&f.index.claim_outbox(at(100), 60 * SECOND, 60).await.unwrap()));
    assert_eq!(claimed.len(), 60);
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), ids(&items).into_iter().collect());
}

pub(crate) async fn notifications_go_with_their_alarm(f: &Fixture) {
    let (stored, items) = with_items(f, [10, 20]).await;
    f.index.delete_alarm(stored.id).await.unwrap();
    assert_eq!(f.index.next_outbox_due().await.unwrap(), None);
    let dead = OutboxResult::Dead { error: "late".to_owned() };
    f.index.settle_outbox(items[0].id, at(50), &dead).await.unwrap();
}
