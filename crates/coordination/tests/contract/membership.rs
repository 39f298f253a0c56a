//! Membership.

use std::sync::Arc;
use std::time::Duration;

use nephos_coordination::{LocalGroups, Membership, SqlMembership};

use super::{clock, suite, until};

const TIMEOUT: Duration = Duration::from_secs(3);

/// Makes members of the same groups.
type Groups = Box<dyn Fn(&str) -> Arc<dyn Membership> + Send + Sync>;

async fn local() -> (Groups, ()) {
    let groups = LocalGroups::new(clock(), TIMEOUT);
    (Box::new(move |name| Arc::new(groups.member(name))), ())
}

fn of_db<G>((db, guard): (nephos_sql::Db, G)) -> (Groups, G) {
    (Box::new(move |name| Arc::new(SqlMembership::new(db.clone(), name, TIMEOUT))), guard)
}

macro_rules! membership {
    ($name:ident, $make:expr) => {
        suite!($name, $make;
            members_are_there_from_their_first_beat_to_their_leaving,
            a_silent_member_is_gone_after_the_timeout_and_may_come_back,
            groups_know_nothing_of_each_other,
            many_members_may_beat_at_once);
    };
}
membership!(in_this_process, super::local());
membership!(in_sqlite, async { super::of_db(crate::sqlite().await) });
membership!(in_postgres, async { super::of_db(crate::postgres().await) });

async fn members_are_there_from_their_first_beat_to_their_leaving(groups: Groups) {
    let (b, a) = (groups("b"), groups("a"));
    assert_eq!(b.me(), "b");
    assert!(b.members("g").await.unwrap().is_empty());
    b.beat("g").await.unwrap();
    assert_eq!(a.members("g").await.unwrap(), ["b"]);
    a.beat("g").await.unwrap();
    b.beat("g").await.unwrap();
    assert_eq!(b.members("g").await.unwrap(), ["a", "b"], "sorted, each once");
    b.leave("g").await.unwrap();
    assert_eq!(a.members("g").await.unwrap(), ["a"]);
    b.leave("g").await.unwrap();
    b.beat("g").await.unwrap();
    assert_eq!(a.members("g").await.unwrap(), ["a", "b"]);
}

async fn a_silent_member_is_gone_after_the_timeout_and_may_come_back(groups: Groups) {
    let (silent, talking) = (groups("silent"), groups("talking"));
    silent.beat("g").await.unwrap();
    until("silent is gone", async || {
        talking.beat("g").await.unwrap();
        talking.members("g").await.unwrap() == ["talking"]
    })
    .await;
    silent.beat("g").await.unwrap();
    assert_eq!(talking.members("g").await.unwrap().len(), 2);
}

async fn groups_know_nothing_of_each_other(groups: Groups) {
    let member = groups("m");
    member.beat("one").await.unwrap();
    member.beat("two").await.unwrap();
    member.leave("one").await.unwrap();
    assert!(member.members("one").await.unwrap().is_empty());
    assert_eq!(member.members("two").await.unwrap(), ["m"]);
    assert!(member.members("three").await.unwrap().is_empty());
}

async fn many_members_may_beat_at_once(groups: Groups) {
    let beats: Vec<_> = (0..16)
        .map(|n| {
            let member = groups(&format!("m{:02}", n % 8));
            tokio::spawn(async move { member.beat("g").await })
        })
        .collect();
    for beat in beats {
        beat.await.unwrap().unwrap();
    }
    assert_eq!(groups("m00").members("g").await.unwrap().len(), 8);
}
