//! Accounts, their tokens, and what projects use.

use nephos_index::{
    Account, AccountChange, AccountIndex, AccountToken, IndexError, MetricIndex, NewMetric, ResourceIndex,
    Usage, UsageIndex,
};
use uuid::Uuid;

use crate::fixture::{Fixture, at, new_metric, new_resource, rid};

fn account(name: &str) -> Account {
    Account {
        name: name.to_owned(),
        password: Some("$argon2id$v=19$…".to_owned()),
        roles: vec!["member".to_owned(), "rôle \"x\"".to_owned()],
        projects: vec!["p".to_owned(), "a".to_owned()],
        enabled: true,
        created_at: at(1),
        changed_at: at(2),
    }
}

fn token(account: &str, seconds: i64) -> AccountToken {
    AccountToken {
        id: Uuid::new_v4(),
        account: account.to_owned(),
        label: Some("for the dashboard".to_owned()),
        project: Some("p".to_owned()),
        created_at: at(seconds),
        expires_at: Some(at(seconds + 100)),
    }
}

pub(crate) async fn accounts_come_back_whole_and_by_name(fixture: &Fixture) {
    let index = &fixture.index;
    let plain = Account { password: None, projects: Vec::new(), enabled: false, ..account("Bob") };
    for account in [&account("bob"), &account("élodie"), &plain] {
        index.create_account(account).await.unwrap();
    }
    assert_eq!(index.accounts().await.unwrap(), [plain.clone(), account("bob"), account("élodie")]);
    assert_eq!(index.account("Bob").await.unwrap(), Some(plain));
    assert_eq!(index.account("BOB").await.unwrap(), None);
}

pub(crate) async fn names_are_taken_once_and_changes_need_the_account(fixture: &Fixture) {
    let index = &fixture.index;
    index.create_account(&account("bob")).await.unwrap();
    let again = index.create_account(&account("bob")).await;
    assert!(matches!(again, Err(IndexError::AlreadyExists { what: "user", .. })), "{again:?}");
    index.update_account("bob", &AccountChange { now: at(5), ..Default::default() }).await.unwrap();
    assert_eq!(index.account("bob").await.unwrap(), Some(Account { changed_at: at(5), ..account("bob") }));
    let change = AccountChange {
        password: Some("new".to_owned()),
        roles: Some(vec!["admin".to_owned()]),
        projects: Some(Vec::new()),
        enabled: Some(false),
        now: at(9),
    };
    index.update_account("bob", &change).await.unwrap();
    let expected = Account {
        password: Some("new".to_owned()),
        roles: vec!["admin".to_owned()],
        projects: Vec::new(),
        enabled: false,
        changed_at: at(9),
        ..account("bob")
    };
    assert_eq!(index.account("bob").await.unwrap(), Some(expected));
    index.delete_account("bob").await.unwrap();
    for missing in [index.update_account("bob", &change).await, index.delete_account("bob").await] {
        assert!(matches!(missing, Err(IndexError::NotFound { what: "user", .. })), "{missing:?}");
    }
}

pub(crate) async fn tokens_are_found_by_their_digest_until_they_are_revoked(fixture: &Fixture) {
    let index = &fixture.index;
    index.create_account(&account("bob")).await.unwrap();
    index.create_account(&account("amy")).await.unwrap();
    let (old, new) = (token("bob", 10), token("bob", 20));
    let endless = AccountToken { label: None, project: None, expires_at: None, ..token("amy", 30) };
    for (number, token) in [(2, &new), (1, &old), (3, &endless)] {
        index.create_token(token, &[number; 32]).await.unwrap();
    }
    assert_eq!(index.tokens(None).await.unwrap(), [endless.clone(), old.clone(), new.clone()]);
    assert_eq!(index.tokens(Some("bob")).await.unwrap(), [old.clone(), new]);
    assert_eq!(index.account_by_token(&[1; 32]).await.unwrap(), Some((account("bob"), old.clone())));
    assert_eq!(index.account_by_token(&[3; 32]).await.unwrap(), Some((account("amy"), endless)));
    assert_eq!(index.account_by_token(&[9; 32]).await.unwrap(), None);
    index.revoke_token(old.id).await.unwrap();
    assert_eq!(index.account_by_token(&[1; 32]).await.unwrap(), None);
    let again = index.revoke_token(old.id).await;
    assert!(matches!(again, Err(IndexError::NotFound { what: "token", .. })), "{again:?}");
}

pub(crate) async fn tokens_go_with_their_account(fixture: &Fixture) {
    let index = &fixture.index;
    let nobodys = index.create_token(&token("bob", 1), &[1; 32]).await;
    assert!(matches!(nobodys, Err(IndexError::NotFound { what: "user", .. })), "{nobodys:?}");
    index.create_account(&account("bob")).await.unwrap();
    index.create_token(&token("bob", 1), &[1; 32]).await.unwrap();
    index.delete_account("bob").await.unwrap();
    assert_eq!(index.tokens(None).await.unwrap(), []);
}

pub(crate) async fn usage_is_counted_by_the_project_of_creators(fixture: &Fixture) {
    let index = fixture.with_policies().await;
    assert!(index.usage().await.unwrap().is_empty());
    let by = |creator: Option<&str>| creator.map(str::to_owned);
    for creator in [Some("u:p"), Some("v:p"), Some("basic"), None] {
        index.create_metric(&NewMetric { creator: by(creator), ..new_metric(None, None) }).await.unwrap();
    }
    let mut resource = new_resource("generic", rid(1));
    resource.creator = by(Some("u:q:r"));
    index.create_resource(&resource).await.unwrap();
    let expected = [
        ("basic".to_owned(), Usage { metrics: 1, resources: 0 }),
        ("p".to_owned(), Usage { metrics: 2, resources: 0 }),
        ("q:r".to_owned(), Usage { metrics: 0, resources: 1 }),
    ];
    assert_eq!(index.usage().await.unwrap(), expected.into());
}
