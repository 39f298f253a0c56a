//! Who may be believed, how much may be asked for, and the policy file.

use std::time::Duration;

use nephos_config::Mode;
use nephos_config::settings::{AuthMode, LimitSettings, RateSettings};
use nephos_lang::access::{Asker, Rule, Rules, Target};

use crate::support::{Case, faults, run, yaml_faults};

#[test]
fn every_auth_mode_has_its_conditions() {
    for (toml, accepted) in [
        ("auth_mode = \"local\"\nlisten = \"0.0.0.0:8041\"", true),
        ("auth_mode = \"noauth\"", true),
        ("auth_mode = \"noauth\"\nlisten = \"0.0.0.0:8041\"", false),
        ("auth_mode = \"noauth\"\nlisten = \"0.0.0.0:8041\"\ntrusted_proxies = [\"10.0.0.0/8\"]", true),
        ("auth_mode = \"remoteuser\"\nlisten = \"[::]:8041\"", false),
        ("auth_mode = \"remoteuser\"\nlisten = \"[::]:8041\"\ntrusted_proxies = [\"fd00::/8\"]", true),
        ("auth_mode = \"basic\"\nlisten = \"0.0.0.0:8041\"\ntrusted_proxies = [\"10.0.0.0/8\"]", false),
        ("auth_mode = \"basic\"\nlisten = \"0.0.0.0:8041\"\nallow_passwordless = true", true),
    ] {
        let found = faults(Mode::Embedded, &format!("[api]\n{toml}\n"));
        assert_eq!(found.is_empty(), accepted, "{toml}: {found}");
    }
}

#[test]
fn logins_are_set_up_in_the_api_section() {
    let toml = "[api]\nauth_mode = \"remoteuser\"\ntrusted_proxies = [\"10.0.0.1\", \"fd00::/8\"]\n\
                remote_user_header = \"X-Forwarded-User\"\npassword_cache = \"30s\"\n";
    let loaded = run(Mode::Embedded, &Case { files: &[("nephos.toml", toml)], ..Case::default() }).unwrap();
    let api = &loaded.settings.api;
    assert_eq!((api.auth_mode, api.password_cache), (AuthMode::RemoteUser, Duration::from_secs(30)));
    assert_eq!(api.remote_user_header, "x-forwarded-user");
    let networks: Vec<String> = api.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.1/32", "fd00::/8"]);
    let found = faults(Mode::Embedded, "[api]\ntrusted_proxies = [\"10.0.0.0/40\"]\n");
    assert!(found.contains("nephos.toml:2:") && found.contains("is no network"), "{found}");
    let found = faults(Mode::Embedded, "[api]\nremote_user_header = \"a b\"\n");
    assert!(found.contains("is no name of a header"), "{found}");
}

#[test]
fn limits_are_off_unless_they_are_set() {
    let limits = |toml: &str| {
        let case = Case { files: &[("nephos.toml", toml)], ..Case::default() };
        run(Mode::Embedded, &case).unwrap().settings.limits
    };
    let exempt_roles = vec!["admin".to_owned(), "service".to_owned()];
    assert_eq!(limits(""), LimitSettings { exempt_roles, ..LimitSettings::default() });
    let toml = "[limits]\nrequests_per_second = 50\npoints_per_second = 1000\npoints_burst = 5000\n\
                metrics_per_project = 10\nresources_per_project = -1\nexempt_roles = []\n";
    let expected = LimitSettings {
        requests: Some(RateSettings { per_second: 50, burst: 100 }),
        points: Some(RateSettings { per_second: 1000, burst: 5000 }),
        metrics: Some(10),
        resources: None,
        exempt_roles: Vec::new(),
    };
    assert_eq!(limits(toml), expected);
    for (toml, part) in [
        ("[limits]\nrequests_burst = 5\n", "requests_burst has a meaning beside requests_per_second only"),
        ("[limits]\npoints_per_second = 0\n", "0 would refuse everything"),
        ("[limits]\nmetrics = 5\n", "unknown key \"metrics\""),
    ] {
        let found = faults(Mode::Embedded, toml);
        assert!(found.contains(part), "{found}");
    }
}

fn allowed(rules: &Rules, rule: Rule, roles: &[&str]) -> bool {
    let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    rules.allow(rule, &Asker { roles: &roles, ..Asker::default() }, &Target::default())
}

#[test]
fn a_policy_file_takes_the_place_of_shipped_rules_as_yaml_or_json() {
    for text in [
        "# ours\n\"operator\": \"role:ops or rule:context_is_admin\"\n\"get status\": \"rule:operator\"\ncreate metric: \"!\"\n",
        r#"{"operator": [["role:ops"], ["rule:context_is_admin"]], "get status": "rule:operator", "create metric": ["!"]}"#,
    ] {
        let files = &[("nephos.toml", "[api]\npolicy_file = \"p.yaml\"\n"), ("p.yaml", text)];
        let rules = run(Mode::Embedded, &Case { files, ..Case::default() }).unwrap().rules;
        assert!(allowed(&rules, Rule::GetStatus, &["ops"]) && allowed(&rules, Rule::GetStatus, &["admin"]));
        assert!(!allowed(&rules, Rule::GetStatus, &["member"]));
        assert!(!allowed(&rules, Rule::CreateMetric, &["admin"]));
        assert!(allowed(&rules, Rule::CreateResource, &[]), "what is not named stays");
    }
    let files = &[("nephos.toml", "[api]\npolicy_file = \"p.yaml\"\n"), ("p.yaml", "# nothing yet\n")];
    assert_eq!(run(Mode::Embedded, &Case { files, ..Case::default() }).unwrap().rules, Rules::shipped());
}

#[test]
fn faults_of_a_policy_file_are_shown_where_they_are() {
    for (yaml, parts) in [
        ("get status: \"role:admin or\"\n", &["f.yaml:1:13:", "expected a check, found the end"][..]),
        (
            "a: \"@\"\n\nget metrik: \"@\"\n",
            &["f.yaml:3:1:", "no action has this name", "did you mean \"get metric\"?"],
        ),
        ("get metric: \"rule:nobody\"\n", &["f.yaml:1:1:", "\"nobody\", which does not exist"]),
        (
            "a: \"rule:b\"\nb: \"rule:a\"\nget metric: \"rule:a\"\n",
            &["f.yaml:1:1:", "f.yaml:2:1:", "refers to itself"],
        ),
        ("get status: 5\n", &["f.yaml:1:13:", "expected a string"]),
        ("get status: [[\"role:a\", \"x\"]]\n", &["f.yaml:1:25:", "is no check"]),
        ("- a\n", &["f.yaml:1:", "expected rules by name, found a list"]),
        ("get status: \"@\nb: c\n", &["f.yaml:"]),
    ] {
        let found = yaml_faults("api", "policy_file", yaml);
        for part in parts {
            assert!(found.contains(part), "{yaml}: {found}");
        }
    }
    let found = faults(Mode::Embedded, "[api]\npolicy_file = \"missing.yaml\"\n");
    assert!(found.contains("nephos.toml:2:") && found.contains("there is no such file"), "{found}");
}
