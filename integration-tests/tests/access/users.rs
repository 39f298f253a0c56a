//! `nephos user …`, and logging in as those users.

use std::path::Path;
use std::process::Command;

use nephos_integration_tests::wait_for;
use serde_json::json;

use super::support::{PATIENCE, World, command};

const LOCAL: (&str, &str) = ("NEPHOS__API__AUTH_MODE", "local");

#[allow(clippy::disallowed_methods)]
fn client() -> std::path::PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = std::env::var_os("NEPHOS_CLIENT_DIR")
        .map_or_else(|| repository.join(".tools/client/bin"), std::path::PathBuf::from);
    let program = folder.join("gnocchi");
    assert!(program.exists(), "{} is missing: run `make client`", program.display());
    program
}

fn gnocchi(arguments: &[&str]) -> (bool, String) {
    let output =
        Command::new(client()).env_clear().env("PATH", "/usr/bin:/bin").args(arguments).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[tokio::test]
async fn users_are_managed_beside_a_running_nephos() {
    let world = World::start(&[LOCAL]).await;
    assert_eq!(world.json(&["user", "list"], ""), json!([]));
    let added = ["user", "add", "alice", "--project", "p", "--project", "q", "--role", "member"];
    let alice = world.json(&[&added[..], &["--password-file", "-"]].concat(), "wonderland\n");
    assert_eq!(alice["roles"], json!(["member"]));
    assert_eq!(alice["projects"], json!(["p", "q"]));
    assert!(!alice.to_string().contains("argon2"), "{alice}");
    let robot = world.json(&["user", "add", "robot", "--no-password"], "");
    assert_eq!((&robot["roles"], &robot["password"]), (&json!(["member", "reader"]), &json!(false)));
    let again = world.command(&["user", "add", "alice", "--no-password"], "").unwrap_err();
    assert_eq!(again, "nephos: user alice already exists\n");
    let table = world.done(&["user", "list"], "");
    assert_eq!(
        table,
        "NAME   STATE    ROLES          PROJECTS  PASSWORD\n\
         alice  enabled  member         p,q       yes\n\
         robot  enabled  member,reader  robot     no\n"
    );
    let api = world.api();
    let alice = api.with_password("alice", "wonderland");
    let metric = alice.post("/v1/metric", &json!({"archive_policy_name": "low"})).await.expect(201).json();
    assert_eq!(metric["creator"], "alice:p");
    api.with_password("robot", "").get("/v1/metric").await.expect(401);

    world.done(&["user", "set-roles", "alice", "admin"], "");
    world.done(&["user", "set-projects", "alice", "q"], "");
    wait_for("the change is seen", PATIENCE, || async {
        let answer = alice.try_send("GET", "/v1/status", None).await?;
        if answer.status == 200 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    world.done(&["user", "set-password", "alice", "--password-file", "-"], "looking-glass\n");
    wait_for("the old password is refused", PATIENCE, || async {
        let answer = alice.try_send("GET", "/v1/metric", None).await?;
        if answer.status == 401 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    let alice = api.with_password("alice", "looking-glass");
    alice.get("/v1/metric").await.expect(200);
    world.done(&["user", "disable", "alice"], "");
    wait_for("she is refused", PATIENCE, || async {
        let answer = alice.try_send("GET", "/v1/metric", None).await?;
        if answer.status == 401 { Ok(()) } else { Err(answer.text) }
    })
    .await;
    world.done(&["user", "enable", "alice"], "");
    world.done(&["user", "delete", "alice"], "");
    let gone = world.command(&["user", "show", "alice"], "").unwrap_err();
    assert_eq!(gone, "nephos: user alice does not exist\n");
}

#[tokio::test]
async fn tokens_stand_for_their_user_until_they_are_revoked_or_end() {
    let world = World::start(&[LOCAL]).await;
    world.done(&["user", "add", "robot", "--no-password", "--project", "p", "--project", "q"], "");
    let create = ["user", "token", "create", "robot", "--label", "dashboard", "--project", "q"];
    let token = world.json(&create, "");
    let secret = token["token"].as_str().unwrap();
    assert!(secret.starts_with("nephos_"));
    let bearer = format!("Bearer {secret}");
    let api = world.api();
    for headers in [("x-auth-token", secret), ("authorization", bearer.as_str())] {
        let api = api.with_headers(&[headers]);
        let metric = api.post("/v1/metric", &json!({"archive_policy_name": "low"})).await.expect(201).json();
        assert_eq!(metric["creator"], "robot:q");
    }
    api.with_headers(&[("x-auth-token", secret), ("x-project-id", "p")]).get("/v1/metric").await.expect(403);
    api.with_headers(&[("x-auth-token", "nephos_wrong")]).get("/v1/metric").await.expect(401);
    let listed = world.done(&["user", "token", "list"], "");
    assert!(
        listed.contains("dashboard") && listed.contains("active") && !listed.contains(secret),
        "{listed}"
    );
    let shown = world.json(&["user", "show", "robot"], "");
    assert_eq!(shown["tokens"][0]["id"], token["id"]);
    let other = world.command(&["user", "token", "create", "robot", "--project", "r"], "").unwrap_err();
    assert_eq!(other, "nephos: user robot is not in project r\n");
    // One that is over in a moment.
    let brief = world.done(&["user", "token", "create", "robot", "--expires", "0.001s"], "");
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    api.with_headers(&[("x-auth-token", brief.trim())]).get("/v1/metric").await.expect(401);
    world.done(&["user", "token", "revoke", token["id"].as_str().unwrap()], "");
    let robot = api.with_headers(&[("x-auth-token", secret)]);
    wait_for("the token is refused", PATIENCE, || async {
        let answer = robot.try_send("GET", "/v1/metric", None).await?;
        if answer.status == 401 { Ok(()) } else { Err(answer.text) }
    })
    .await;
}

#[test]
fn passwords_that_cannot_be_used_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let add = |name: &str, password: &str| {
        command(folder.path(), &["user", "add", name, "--password-file", "-"], password)
    };
    for (name, password, message) in [
        ("a", "short\n", "a password needs at least 8 characters"),
        ("a", "long enough:\n", "a password cannot end with a colon"),
        ("a", "", "read the password from standard input: it is empty"),
        ("a:b", "long enough\n", "a name cannot hold a colon"),
        ("", "long enough\n", "a name cannot be empty"),
    ] {
        let said = add(name, password).unwrap_err();
        assert!(said.contains(message), "{said}");
        assert!(password.trim().len() < 8 || !said.contains(password.trim()), "{said}");
    }
    let asked = command(folder.path(), &["user", "add", "a"], "").unwrap_err();
    assert!(asked.contains("there is no terminal to ask for the password at"), "{asked}");
    let flag = command(folder.path(), &["user", "add", "a", "--password", "secret"], "").unwrap_err();
    assert!(flag.contains("unexpected argument '--password'"), "{flag}");
}

#[tokio::test]
async fn gnocchis_client_logs_in_with_passwords_and_tokens() {
    let world = World::start(&[LOCAL]).await;
    world.add("alice", "wonderland", "p", "member");
    let token = world.done(&["user", "token", "create", "alice"], "");
    let url = world.url.as_str();
    // Its own plug-in takes one text for the user; Keystone's library knows passwords and tokens.
    let own = ["--os-auth-type", "gnocchi-basic", "--user", "alice:wonderland", "--endpoint", url];
    let http = [
        "--os-auth-type",
        "http_basic",
        "--os-username",
        "alice",
        "--os-password",
        "wonderland",
        "--os-endpoint",
        url,
    ];
    let by_token = ["--os-auth-type", "admin_token", "--os-token", token.trim(), "--os-endpoint", url];
    for login in [&own[..], &http, &by_token] {
        let create = ["metric", "create", "--archive-policy-name", "low", "-f", "json"];
        let (success, text) = gnocchi(&[login, &create].concat());
        assert!(success && text.contains("\"alice:p\""), "{login:?}: {text}");
    }
    let wrong = ["--os-auth-type", "gnocchi-basic", "--user", "alice:wrong", "--endpoint", url];
    let (success, text) = gnocchi(&[&wrong[..], &["metric", "list"]].concat());
    assert!(!success && text.contains("401"), "{text}");
}

#[tokio::test]
async fn failed_logins_are_slowed_down_and_no_secret_is_logged() {
    let world = World::start(&[LOCAL, ("NEPHOS__LOG__LEVEL", "trace")]).await;
    world.add("alice", "the right password", "p", "member");
    let token = world.done(&["user", "token", "create", "alice"], "");
    let api = world.api();
    let alice = api.with_password("alice", "the right password");
    alice.get("/v1/metric").await.expect(200);
    api.with_headers(&[("x-auth-token", token.trim())]).get("/v1/metric").await.expect(200);
    api.with_headers(&[("x-auth-token", "nephos_made-up-token")]).get("/v1/metric").await.expect(401);
    api.with_password("a secret as a name", "x").get("/v1/metric").await.expect(401);
    let guess = api.with_password("alice", "a wrong password");
    let mut refused = 0;
    let limited = loop {
        let answer = guess.get("/v1/metric").await;
        if answer.status != 401 {
            break answer;
        }
        refused += 1;
        assert!(refused < 20, "{}", answer.text);
    };
    let limited = limited.expect(429);
    assert!(refused >= 10, "{refused}");
    assert!(limited.text.contains("Too many logins failed"), "{}", limited.text);
    assert!(limited.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    alice.get("/v1/metric").await.expect(200);
    let metrics = api.get("/metrics").await.expect(200).text;
    assert!(metrics.contains("nephos_identity_refused_logins_total{reason=\"limited\"}"), "{metrics}");

    let log = world.nephos.log();
    assert!(log.contains("login failed") && log.contains("alice"), "{log}");
    let secrets = [
        "the right password",
        "a wrong password",
        token.trim(),
        "made-up-token",
        "a secret as a name",
        "argon2id",
        // alice:the right password, alice:a wrong password
        "YWxpY2U6dGhlIHJpZ2h0IHBhc3N3b3Jk",
        "YWxpY2U6YSB3cm9uZyBwYXNzd29yZA",
    ];
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
