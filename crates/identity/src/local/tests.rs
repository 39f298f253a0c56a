use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use nephos_model::ManualClock;

use super::*;

#[derive(Debug, Default)]
struct Kept {
    accounts: Mutex<HashMap<String, Account>>,
    tokens: Mutex<HashMap<Digest, Grant>>,
    asked: AtomicUsize,
    is_away: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Accounts for Kept {
    async fn account(&self, name: &str) -> Result<Option<Account>, AccountsError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.is_away.load(Ordering::SeqCst) {
            return Err(AccountsError { reason: "gone".to_owned() });
        }
        Ok(self.accounts.lock().unwrap().get(name).cloned())
    }

    async fn token(&self, digest: &Digest) -> Result<Option<Grant>, AccountsError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.tokens.lock().unwrap().get(digest).cloned())
    }
}

struct World {
    kept: Arc<Kept>,
    clock: Arc<ManualClock>,
    local: Local,
}

fn account(name: &str, password: &str, projects: &[&str]) -> Account {
    Account {
        name: name.to_owned(),
        password: Some(password::hash(password).unwrap()),
        roles: vec!["member".to_owned()],
        projects: projects.iter().map(|project| (*project).to_owned()).collect(),
        enabled: true,
    }
}

fn world() -> World {
    let (kept, clock) = (Arc::new(Kept::default()), Arc::new(ManualClock::new(Timestamp::from_secs(1_000))));
    kept.accounts.lock().unwrap().insert("alice".to_owned(), account("alice", "wonderland", &["p", "q"]));
    let options = LocalOptions { remember: Duration::from_secs(300), proxies: Proxies::default() };
    let local = Local::new(Arc::clone(&kept) as _, Arc::clone(&clock) as _, options);
    World { kept, clock, local }
}

impl World {
    async fn ask(&self, pairs: &[(&'static str, &str)]) -> Result<Caller, IdentityError> {
        self.ask_from(pairs, "192.0.2.1").await
    }

    async fn ask_from(&self, pairs: &[(&'static str, &str)], peer: &str) -> Result<Caller, IdentityError> {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        self.local.identify(&pairs.iter().map(pair).collect(), Some(peer.parse().unwrap())).await
    }

    async fn log_in(&self, name: &str, password: &str) -> Result<Caller, IdentityError> {
        self.ask(&[("authorization", &basic(name, password))]).await
    }

    fn change(&self, change: impl FnOnce(&mut Account)) {
        change(self.kept.accounts.lock().unwrap().get_mut("alice").unwrap());
    }

    fn remembered(&self) -> usize {
        self.local.verified.len()
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

#[tokio::test]
async fn who_knows_the_password_is_in_the_first_project_or_the_one_asked_for() {
    let world = world();
    let caller = world.log_in("alice", "wonderland").await.unwrap();
    assert_eq!(caller.creator.as_deref(), Some("alice:p"));
    assert_eq!((caller.user_id.as_deref(), caller.project_id.as_deref()), (Some("alice"), Some("p")));
    let header = basic("alice", "wonderland:");
    let caller = world.ask(&[("authorization", &header), ("x-project-id", "q"), ("x-roles", "admin")]).await;
    let caller = caller.unwrap();
    assert_eq!((caller.creator.as_deref(), caller.is_admin()), (Some("alice:q"), false));
    let other = world.ask(&[("authorization", &header), ("x-project-id", "r")]).await;
    assert_eq!(other, Err(IdentityError::OtherProject));
}

#[tokio::test]
async fn wrong_names_and_passwords_are_refused_alike() {
    let world = world();
    for (name, password) in
        [("alice", "wonderlan"), ("alice", ""), ("bob", "wonderland"), ("Alice", "wonderland")]
    {
        assert_eq!(world.log_in(name, password).await, Err(IdentityError::Wrong), "{name} {password}");
    }
    assert_eq!(world.ask(&[("x-user-id", "alice")]).await, Err(IdentityError::Missing));
    assert_eq!(world.remembered(), 0);
}

#[tokio::test]
async fn a_password_is_verified_once_and_an_account_looked_up_once_a_second() {
    let world = world();
    for _ in 0..20 {
        world.log_in("alice", "wonderland").await.unwrap();
    }
    assert_eq!((world.remembered(), world.kept.asked.load(Ordering::SeqCst)), (1, 1));
    world.clock.advance(Duration::from_secs(1));
    world.log_in("alice", "wonderland").await.unwrap();
    assert_eq!((world.remembered(), world.kept.asked.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test]
async fn a_changed_password_and_a_disabled_account_count_within_a_second() {
    let world = world();
    world.log_in("alice", "wonderland").await.unwrap();
    world.change(|alice| alice.password = Some(password::hash("looking-glass").unwrap()));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.log_in("alice", "wonderland").await, Err(IdentityError::Wrong));
    world.log_in("alice", "looking-glass").await.unwrap();
    world.change(|alice| alice.enabled = false);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.log_in("alice", "looking-glass").await, Err(IdentityError::Wrong));
    world.change(|alice| alice.enabled = true);
    world.clock.advance(Duration::from_secs(1));
    world.log_in("alice", "looking-glass").await.unwrap();
}

#[tokio::test]
async fn what_was_verified_long_ago_is_verified_again() {
    let world = world();
    world.log_in("alice", "wonderland").await.unwrap();
    let digest = world.local.keyed("alice", "wonderland");
    let stored = world.kept.accounts.lock().unwrap()["alice"].password.clone().unwrap();
    assert!(world.local.is_remembered(&digest, &stored));
    world.clock.advance(Duration::from_secs(300));
    assert!(!world.local.is_remembered(&digest, &stored));
    world.log_in("alice", "wonderland").await.unwrap();
    assert!(world.local.is_remembered(&digest, &stored));
}

#[tokio::test]
async fn who_fails_too_often_must_wait_but_not_who_is_known() {
    let world = world();
    world.log_in("alice", "wonderland").await.unwrap();
    for _ in 0..10 {
        assert_eq!(world.log_in("alice", "guess").await, Err(IdentityError::Wrong));
    }
    let limited = world.log_in("alice", "guess").await;
    assert_eq!(limited, Err(IdentityError::Limited { wait: Duration::from_secs(10) }));
    assert!(world.log_in("alice", "wonderland").await.is_ok(), "what is remembered needs no guess");
    let elsewhere = world.ask_from(&[("authorization", &basic("alice", "guess"))], "192.0.2.2").await;
    assert_eq!(elsewhere, Err(IdentityError::Wrong), "another address has failures of its own");
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.log_in("alice", "guess").await, Err(IdentityError::Wrong));
    assert!(matches!(world.log_in("alice", "guess").await, Err(IdentityError::Limited { .. })));
}

#[tokio::test]
async fn tokens_stand_for_their_accounts_until_they_end_or_are_revoked() {
    let world = world();
    let token = token::generate();
    let alice = world.kept.accounts.lock().unwrap()["alice"].clone();
    let grant =
        Grant { account: alice, project: Some("q".to_owned()), expires: Some(Timestamp::from_secs(1_100)) };
    world.kept.tokens.lock().unwrap().insert(token::digest(&token), grant);
    let bearer = format!("Bearer {token}");
    for pairs in [[("x-auth-token", token.as_str())], [("authorization", bearer.as_str())]] {
        let caller = world.ask(&pairs).await.unwrap();
        assert_eq!(caller.creator.as_deref(), Some("alice:q"));
    }
    let other = world.ask(&[("x-auth-token", &token), ("x-project-id", "p")]).await;
    assert_eq!(other, Err(IdentityError::OtherProject));
    assert_eq!(world.ask(&[("x-auth-token", "nephos_x")]).await, Err(IdentityError::Wrong));
    world.kept.tokens.lock().unwrap().clear();
    assert!(world.ask(&[("x-auth-token", &token)]).await.is_ok());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.ask(&[("x-auth-token", &token)]).await, Err(IdentityError::Wrong));
}

#[tokio::test]
async fn an_expired_token_is_refused_at_that_very_moment() {
    let world = world();
    let token = token::generate();
    let alice = world.kept.accounts.lock().unwrap()["alice"].clone();
    let grant = Grant { account: alice, project: None, expires: Some(Timestamp::from_secs(1_001)) };
    world.kept.tokens.lock().unwrap().insert(token::digest(&token), grant);
    assert!(world.ask(&[("x-auth-token", &token)]).await.is_ok());
    world.clock.advance(Duration::from_millis(1_000));
    assert_eq!(world.ask(&[("x-auth-token", &token)]).await, Err(IdentityError::Wrong));
}

#[tokio::test]
async fn without_a_database_nobody_is_called_wrong() {
    let world = world();
    world.log_in("alice", "wonderland").await.unwrap();
    world.kept.is_away.store(true, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.log_in("alice", "wonderland").await, Err(IdentityError::Away));
}

#[test]
fn nothing_secret_is_shown() {
    let world = world();
    let alice = world.kept.accounts.lock().unwrap()["alice"].clone();
    let shown = format!("{alice:?} {:?}", world.local);
    assert!(shown.contains("alice") && !shown.contains("argon2"), "{shown}");
}
