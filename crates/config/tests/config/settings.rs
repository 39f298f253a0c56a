//! `nephos.toml`, variables and flags: what they give, and what they are refused with.

use std::time::Duration;

use nephos_config::settings::{AuthMode, LogFormat};
use nephos_config::{Inputs, MapEnv, Mode, Service, load, print_effective};
use secrecy::ExposeSecret;

use crate::support::{Case, faults, run, run_in};

const APART: Mode = Mode::Distributed(None);

#[test]
fn nothing_at_all_is_a_sound_embedded_configuration() {
    let settings = run(Mode::Embedded, &Case::default()).unwrap().settings;
    assert_eq!(settings.data_dir.to_str(), Some("/home/me/.local/state/nephos"));
    assert_eq!(settings.index.expose(), "sqlite:/home/me/.local/state/nephos/index.sqlite");
    assert_eq!(settings.bus.scheme(), "in-process");
    assert_eq!(settings.state.expose(), "sqlite:/home/me/.local/state/nephos/state.sqlite");
    assert_eq!(settings.store.url.expose(), "file:/home/me/.local/state/nephos/store");
    assert_eq!(settings.store.shards, 1);
    assert_eq!(settings.store.min_free, 1 << 30);
    assert_eq!(settings.api.listen.to_string(), "127.0.0.1:8041");
    assert_eq!(settings.api.auth_mode, AuthMode::Basic);
    assert_eq!(settings.api.max_limit, 1000);
    assert_eq!(settings.evaluator.interval, Duration::from_secs(10));
    assert_eq!(settings.notifier.timeout, Duration::from_secs(30));
    assert_eq!(settings.collector.creator, "admin");
    assert_eq!(settings.collector.queues, 16);
    assert_eq!(settings.polling.host, "host.example");
    assert_eq!(settings.log.format, LogFormat::Text);
}

#[test]
fn data_lives_where_the_user_may_write() {
    for (variables, root, expected) in [
        (&[("HOME", "/home/me")][..], true, "/var/lib/nephos"),
        (&[("HOME", "/home/me")], false, "/home/me/.local/state/nephos"),
        (&[("HOME", "/home/me"), ("XDG_STATE_HOME", "/s")], false, "/s/nephos"),
        (&[("HOME", "/home/me"), ("XDG_STATE_HOME", "relative")], false, "/home/me/.local/state/nephos"),
    ] {
        let mut env = MapEnv::new(variables.iter().copied());
        env.root = root;
        let inputs = Inputs { mode: Mode::Embedded, config: None, flags: &[], env: &env };
        assert_eq!(load(&inputs).unwrap().settings.data_dir.to_str(), Some(expected));
    }
    let env = MapEnv::new([]);
    let error = load(&Inputs { mode: Mode::Embedded, config: None, flags: &[], env: &env }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "default: data_dir must be set: neither XDG_STATE_HOME nor HOME tells where a user's files belong (data_dir)"
    );
}

#[test]
fn variables_win_over_the_file_and_flags_over_both() {
    let case = Case {
        files: &[(
            "nephos.toml",
            "bus = \"amqp://file/\"\n[api]\nlisten = \"127.0.0.1:1\"\nmax_limit = 1\n[log]\nlevel = \"warn\"\n",
        )],
        variables: &[
            ("NEPHOS__API__LISTEN", "127.0.0.1:2"),
            ("NEPHOS__API__MAX_LIMIT", "2"),
            ("NEPHOS__API__TLS__CERT", "/c"),
            ("NEPHOS__API__TLS__KEY", "/k"),
            ("NEPHOS__BUS", "amqp://variable/"),
            ("NEPHOS__CORS__ALLOWED_ORIGIN", "https://a.example, https://b.example:8443"),
            ("NEPHOS__POLLING__ENABLED", "false"),
            ("NEPHOS__EVALUATOR__INTERVAL", "90"),
            ("NEPHOS__STORE__MIN_FREE", ""),
            ("NEPHOS_TEST_POSTGRES_URL", "not ours"),
        ],
        flags: &[("api.listen", "127.0.0.1:3"), ("data_dir", "/flag")],
    };
    let settings = run(Mode::Embedded, &case).unwrap().settings;
    assert_eq!(settings.api.listen.port(), 3);
    assert_eq!(settings.api.max_limit, 2);
    assert_eq!(settings.api.tls.unwrap().key.to_str(), Some("/k"));
    assert_eq!(settings.bus.expose(), "amqp://variable/");
    assert_eq!(settings.cors.allowed_origin, ["https://a.example", "https://b.example:8443"]);
    assert!(!settings.polling.enabled);
    assert_eq!(settings.evaluator.interval, Duration::from_secs(90));
    assert_eq!(settings.store.min_free, 1 << 30);
    assert_eq!(settings.log.level, "warn");
    assert_eq!(settings.index.expose(), "sqlite:/flag/index.sqlite");
}

#[test]
fn both_forms_of_a_backend_are_one() {
    for toml in [
        "index = \"postgres://u:p@h/d\"\n",
        "[index]\nurl = \"postgres://u:p@h/d\"\n",
        "index = { url = \"postgresql://u:p@h/d\" }\n",
        "index_file = \"secret\"\n",
        "[index]\nurl_file = \"secret\"\n",
    ] {
        let case =
            Case { files: &[("nephos.toml", toml), ("secret", "postgres://u:p@h/d\n")], ..Case::default() };
        let settings = run(Mode::Embedded, &case).unwrap().settings;
        assert_eq!(settings.index.expose(), "postgres://u:p@h/d", "{toml}");
        assert_eq!(settings.index.to_string(), "postgres://u:***@h/d");
    }
    let case = Case {
        files: &[("nephos.toml", "index_file = \"none\"\n"), ("secret", "postgres://h/d")],
        variables: &[("NEPHOS__INDEX", "postgres://v/d")],
        ..Case::default()
    };
    assert_eq!(run(Mode::Embedded, &case).unwrap().settings.index.expose(), "postgres://v/d");
    let case = Case {
        files: &[("nephos.toml", "index = \"postgres://h/d\"\n"), ("secret", "postgres://s/d")],
        variables: &[("NEPHOS__INDEX_FILE", "{here}/secret")],
        ..Case::default()
    };
    assert_eq!(run(Mode::Embedded, &case).unwrap().settings.index.expose(), "postgres://s/d");
}

#[test]
fn services_apart_need_only_what_they_use() {
    const TOKEN: &str = "store.token_file";
    for (service, variables, missing) in [
        (None, &[][..], &["index", "bus", TOKEN][..]),
        (Some(Service::PollingAgent), &[], &["bus"]),
        (Some(Service::PollingAgent), &[("NEPHOS__BUS", "amqp://127.0.0.1/")], &[]),
        (Some(Service::NotificationAgent), &[], &["bus", "state"]),
        (
            Some(Service::NotificationAgent),
            &[("NEPHOS__BUS", "amqp://127.0.0.1/"), ("NEPHOS__INDEX", "postgres://h/d")],
            &[],
        ),
        (Some(Service::Collector), &[], &["index", "bus", TOKEN]),
        (Some(Service::Api), &[], &["index", TOKEN]),
        (Some(Service::Api), &[("NEPHOS__INDEX", "postgres://h/d")], &[TOKEN]),
        (Some(Service::Api), &[("NEPHOS__INDEX", "postgres://h/d"), ("NEPHOS__STORE__TOKEN", "t")], &[]),
        (Some(Service::AlarmEvaluator), &[], &["index", TOKEN]),
        (Some(Service::AlarmNotifier), &[], &["index"]),
    ] {
        let result = run(Mode::Distributed(service), &Case { variables, ..Case::default() });
        let text = result.as_ref().err().cloned().unwrap_or_default();
        assert_eq!(text.lines().count(), missing.len(), "{service:?}: {text}");
        for (line, name) in text.lines().zip(missing) {
            let start = format!("default: {name} must be set when services run apart");
            assert!(line.starts_with(&start), "{line}");
            let end = if *name == TOKEN { "(store.token_file)" } else { name };
            assert!(line.contains(end), "{line}");
        }
    }
    let case = Case {
        variables: &[
            ("NEPHOS__INDEX", "postgres://h/d"),
            ("NEPHOS__BUS", "amqp://127.0.0.1/"),
            ("NEPHOS__STORE__TOKEN", "t"),
        ],
        ..Case::default()
    };
    let settings = run(APART, &case).unwrap().settings;
    assert_eq!(settings.state, settings.index);
    assert_eq!(settings.store.shards, 16);
    assert_eq!(settings.evaluator.interval, Duration::from_secs(60));
    assert_eq!(settings.observe_listen(Service::Collector).unwrap().to_string(), "127.0.0.1:8063");
    assert_eq!(settings.observe_listen(Service::Api), None);
}

#[test]
fn faults_name_place_and_key() {
    for (toml, expected) in [
        (
            "[api]\nlisen = \"127.0.0.1:1\"\n",
            "nephos.toml:2:1: unknown key \"lisen\", did you mean \"listen\"? (api.lisen)\n    2 | lisen = \"127.0.0.1:1\"\n      | ^^^^^",
        ),
        (
            "[apy]\nx = 1\n",
            "nephos.toml:1:2: unknown key \"apy\", did you mean \"api\"? (apy)\n    1 | [apy]\n      |  ^^^",
        ),
        (
            "[pipeline]\ncolour = 1\n",
            "nephos.toml:2:1: unknown key \"colour\"; known are config (pipeline.colour)\n    2 | colour = 1\n      | ^^^^^^",
        ),
        (
            "[api]\nmax_limit = \"many\"\n",
            "nephos.toml:2:13: expected a whole number, found a string (api.max_limit)\n    2 | max_limit = \"many\"\n      |             ^^^^^^",
        ),
        (
            "[api]\nmax_limit = 0\n",
            "nephos.toml:2:13: 0 is not between 1 and 1000000 (api.max_limit)\n    2 | max_limit = 0\n      |             ^",
        ),
        (
            "api = 5\n",
            "nephos.toml:1:7: expected a table, found an integer (api)\n    1 | api = 5\n      |       ^",
        ),
        (
            "[api]\nlisten = \"here\"\n",
            "nephos.toml:2:10: expected an IP address and a port, such as \"127.0.0.1:8041\" or \"[::]:8041\" (api.listen)\n    2 | listen = \"here\"\n      |          ^^^^^^",
        ),
        (
            "[api]\nauth_mode = \"keystone\"\n",
            "nephos.toml:2:13: \"keystone\" is not in this version (api.auth_mode)\n    2 | auth_mode = \"keystone\"\n      |             ^^^^^^^^^^",
        ),
        (
            "[api]\nauth_mode = \"bassic\"\n",
            "nephos.toml:2:13: unknown value \"bassic\", did you mean \"basic\"? (api.auth_mode)\n    2 | auth_mode = \"bassic\"\n      |             ^^^^^^^^",
        ),
        (
            "[api.panko]\nlisten = \"127.0.0.1:8977\"\n",
            "nephos.toml:1:6: panko is not in this version (api.panko)\n    1 | [api.panko]\n      |      ^^^^^",
        ),
        (
            "[api]\nallow_passwordless = \"yes\"\n",
            "nephos.toml:2:22: expected true or false, found a string (api.allow_passwordless)\n    2 | allow_passwordless = \"yes\"\n      |                      ^^^^^",
        ),
        (
            "[api]\nmax_body = \"lots\"\n",
            "nephos.toml:2:12: expected a size (bytes, or a text such as \"512KiB\", \"64MiB\", \"1GiB\") (api.max_body)\n    2 | max_body = \"lots\"\n      |            ^^^^^^",
        ),
        (
            "[api]\noperation_timeout = -1\n",
            "nephos.toml:2:21: expected a length of time (seconds, or a text such as \"10s\", \"5m\", \"1h30m\") (api.operation_timeout)\n    2 | operation_timeout = -1\n      |                     ^^",
        ),
        (
            "[evaluator]\ninterval = \"10ms\"\n",
            "nephos.toml:2:12: 10ms is not between 1s and 365250d (evaluator.interval)\n    2 | interval = \"10ms\"\n      |            ^^^^^^",
        ),
        (
            "[api.tls]\ncert = \"c\"\n",
            "nephos.toml:2:8: cert needs key beside it (api.tls.cert)\n    2 | cert = \"c\"\n      |        ^^^",
        ),
        (
            "[polling]\nnamespaces = [\"compute\", \"ipmi\"]\n",
            "nephos.toml:2:14: \"ipmi\" is not in this version (polling.namespaces)\n    2 | namespaces = [\"compute\", \"ipmi\"]\n      |              ^^^^^^^^^^^^^^^^^^^",
        ),
        (
            "[polling]\nbatch_size = 101\n",
            "nephos.toml:2:14: 101 is not between 1 and 100 (polling.batch_size)\n    2 | batch_size = 101\n      |              ^^^",
        ),
        (
            "[[notification.listener]]\nurl = \"amqp://h\"\n",
            "nephos.toml:1:16: listener is not in this version (notification.listener)\n    1 | [[notification.listener]]\n      |                ^^^^^^^^",
        ),
        (
            "[log]\nlevel = \"info,nephos=loud\"\n",
            "nephos.toml:2:9: unknown level \"loud\"; known are off, error, warn, info, debug, trace (log.level)\n    2 | level = \"info,nephos=loud\"\n      |         ^^^^^^^^^^^^^^^^^^",
        ),
        (
            "[cors]\nallowed_origin = [\"https://a.example/path\"]\n",
            "nephos.toml:2:18: \"https://a.example/path\" is no origin: expected a scheme, host and port such as \"https://console.example\" (cors.allowed_origin)\n    2 | allowed_origin = [\"https://a.example/path\"]\n      |                  ^^^^^^^^^^^^^^^^^^^^^^^^^^",
        ),
        (
            "[store]\nadvertise = \"amqp://h\"\n",
            "nephos.toml:2:13: expected an http:// or https:// URL, found amqp: (store.advertise)\n    2 | advertise = \"amqp://h\"\n      |             ^^^^^^^^^^",
        ),
        (
            "[archive_policy]\ndefault_aggregation_methods = [\"mean\", \"nunique\"]\n",
            "nephos.toml:2:31: unknown aggregation method \"nunique\" (archive_policy.default_aggregation_methods)\n    2 | default_aggregation_methods = [\"mean\", \"nunique\"]\n      |                               ^^^^^^^^^^^^^^^^^^^",
        ),
        (
            "[store]\ntoken = \"a\"\ntoken_file = \"b\"\n",
            "nephos.toml:3:14: token and token_file cannot both be set (store.token_file)\n    3 | token_file = \"b\"\n      |              ^^^",
        ),
        (
            "[store]\ntoken_file = \"b\"\n",
            "nephos.toml:2:14: cannot read b: there is no such file (store.token_file)\n    2 | token_file = \"b\"\n      |              ^^^",
        ),
        (
            "[log]\nlevel = 2026-01-01\n",
            "nephos.toml:2:9: no setting is a date; quote it if it is a name\n    2 | level = 2026-01-01\n      |         ^^^^^^^^^^",
        ),
        (
            "[polling]\nconfig = \"none.yaml\"\n",
            "nephos.toml:2:10: cannot read none.yaml: there is no such file (polling.config)\n    2 | config = \"none.yaml\"\n      |          ^^^^^^^^^^^",
        ),
    ] {
        assert_eq!(faults(Mode::Embedded, toml), expected, "{toml}");
    }
}

#[test]
fn urls_are_refused_without_being_repeated() {
    for (toml, message) in [
        ("index = \"mysql://u:secret@h/d\"", "mysql: is not in this version; known are sqlite:, postgres:"),
        ("index = \"postgers://u:secret@h/d\"", "unknown scheme \"postgers\", did you mean postgres?"),
        ("index = \"gopher://u:secret@h/d\"", "unknown scheme \"gopher\"; known are sqlite:, postgres:"),
        ("index = \"u:secret@h\"", "unknown scheme \"u\"; known are sqlite:, postgres:"),
        ("index = \"secret\"", "expected a URL; known schemes are sqlite:, postgres:"),
        ("index = \"postgres:u:secret@h\"", "expected postgres://…"),
        ("index = \"postgres://u:secret@h:port/d\"", "not a URL: invalid port number"),
        ("index = \"postgres:///d\"", "the URL has no host"),
        ("index = \"sqlite:\"", "sqlite: needs a path, as in sqlite:/var/lib/nephos/…"),
        ("index = \"sqlite::memory:\"", "sqlite: needs a path, as in sqlite:/var/lib/nephos/…"),
        ("index = \"sqlite:/a?mode=ro\"", "a sqlite: URL takes no parameters"),
        ("index = \"\"", "it is empty"),
        ("index = 5", "expected a string, found an integer"),
        ("bus = \"amqp:///v\"", "the URL has no host"),
        ("bus = \"in-process:x\"", "nothing may follow in-process:"),
        ("bus = \"rabbit://h\"", "rabbit: is not in this version; known are in-process:, amqp:, amqps:"),
        ("store = \"gs://bucket\"", "gs: is not in this version; known are file:, s3:"),
        ("store = \"s3:bucket\"", "expected s3://bucket or s3://bucket/prefix"),
        ("store = \"s3:///prefix\"", "expected s3://bucket or s3://bucket/prefix"),
        ("store = \"s3://id:secret@bucket\"", "keys have no place in this URL: see store.access_key_id"),
        (
            "store = \"s3://bucket?region=x\"",
            "a port or parameters have no place in this URL: set store.endpoint and store.region",
        ),
        (
            "state = \"redis://:secret@h\"",
            "redis: is not in this version; known are memory:, sqlite:, postgres:",
        ),
    ] {
        let text = faults(Mode::Embedded, toml);
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let key = toml.split(' ').next().unwrap();
        let column = toml.find(['"', '5']).unwrap() + 1;
        assert_eq!(first, format!("nephos.toml:1:{column}: {message} ({key}.url)"), "{toml}");
        let word = toml.contains("://") && rest.contains("secret");
        assert!(!first.contains("secret") && !word, "{toml}: {text}");
    }
}

#[test]
fn nothing_unguarded_is_served_beyond_loopback() {
    for (mode, toml, expected) in [
        (
            Mode::Embedded,
            "[api]\nlisten = \"0.0.0.0:8041\"\n",
            "nephos.toml:2:10: auth_mode \"basic\" checks no password, so anybody who reaches 0.0.0.0:8041 could do anything: listen on loopback, set api.auth_mode = \"local\", or set api.allow_passwordless = true (api.listen)",
        ),
        (
            Mode::Embedded,
            "[api]\nauth_mode = \"noauth\"\n[api.aodh]\nlisten = \"[::]:8042\"\n",
            "nephos.toml:4:10: auth_mode \"noauth\" checks no password, so anybody who reaches [::]:8042 could do anything: listen on loopback, name the proxies in api.trusted_proxies, or set api.allow_passwordless = true (api.aodh.listen)",
        ),
        (Mode::Embedded, "[api]\nlisten = \"0.0.0.0:8041\"\nallow_passwordless = true\n", ""),
        (Mode::Embedded, "[api]\nlisten = \"[::1]:8041\"\n", ""),
        (Mode::Embedded, "[api]\nlisten = \"localhost:0\"\n", ""),
        (
            Mode::Distributed(Some(Service::Api)),
            "index = \"postgres://h/d\"\n[store]\ntoken = \"t\"\nlisten = \"0.0.0.0:8051\"\n",
            "",
        ),
        (
            Mode::Distributed(Some(Service::AlarmNotifier)),
            "index = \"postgres://h/d\"\n[store]\nlisten = \"0.0.0.0:8051\"\n",
            "",
        ),
        (
            Mode::Distributed(Some(Service::AlarmEvaluator)),
            "index = \"postgres://h/d\"\n[store]\ntoken_file = \"gone\"\n",
            "nephos.toml:3:14: cannot read gone: there is no such file (store.token_file)",
        ),
        (
            Mode::Distributed(Some(Service::Collector)),
            "index = \"postgres://h/d\"\nbus = \"amqp://127.0.0.1/\"\n[store]\ntoken = \"t\"\nlisten = \"0.0.0.0:8051\"\n",
            "nephos.toml:5:10: store.advertise must be set: others cannot reach every address there is (store.listen)",
        ),
        (
            APART,
            "index = \"postgres://h/d\"\nbus = \"amqp://127.0.0.1/\"\n[store]\ntoken = \"t\"\nlisten = \"[::]:8051\"\n",
            "nephos.toml:5:10: store.advertise must be set: others cannot reach every address there is (store.listen)",
        ),
        (
            Mode::Distributed(Some(Service::PollingAgent)),
            "bus = \"amqp://rabbit/nephos\"\n",
            "default: publisher.telemetry_secret_file must be set when the bus is on another machine: samples are signed with it (publisher.telemetry_secret)",
        ),
        (
            Mode::Distributed(Some(Service::PollingAgent)),
            "bus = \"amqp://rabbit/nephos\"\n[publisher]\ntelemetry_secret = \"s\"\n",
            "",
        ),
        (
            Mode::Distributed(Some(Service::PollingAgent)),
            "bus = \"in-process\"\n",
            "nephos.toml:1:7: in-process: serves one process only; services that run apart need amqp://user@host:5672/nephos (bus.url)",
        ),
        (
            Mode::Distributed(Some(Service::Api)),
            "index = \"sqlite:/a\"\n[store]\ntoken = \"t\"\n",
            "nephos.toml:1:9: sqlite: serves one process only; services that run apart need postgres://user@host/database (index.url)",
        ),
    ] {
        let text = faults(mode, toml);
        assert_eq!(text.lines().next().unwrap_or_default(), expected, "{toml}");
    }
}

#[test]
fn every_fault_of_every_file_is_told_at_once() {
    let case = Case {
        files: &[
            (
                "nephos.toml",
                "[api]\nlisen = 1\nmax_limit = 0\n[polling]\nconfig = \"p.yaml\"\n[pipeline]\nconfig = \"q.yaml\"\n[collector]\nresources = \"r.yaml\"\n",
            ),
            ("p.yaml", "sources:\n  - name: a\n    interval: 0\n    meters: [cpu, \"!x\"]\n"),
            ("q.yaml", "sources: [\n"),
            ("r.yaml", "resources:\n  - resource_type: 5\n    metrics: {}\n"),
        ],
        variables: &[("NEPHOS__API__LISEN", "x"), ("NEPHOS__LOG__FORMAT", "xml")],
        flags: &[("evaluator.intervall", "5")],
    };
    let text = run(Mode::Embedded, &case).unwrap_err();
    let places: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "nephos.toml:3:13",
            "p.yaml:3:15",
            "p.yaml:4:13",
            "q.yaml:1:10",
            "r.yaml:2:20",
            "NEPHOS__API__LISEN",
            "NEPHOS__LOG__FORMAT",
            "flag evaluator.intervall",
        ],
        "{text}"
    );
}

#[test]
fn a_broken_settings_file_ends_only_itself() {
    let case = Case {
        files: &[("nephos.toml", "index = \"postgres://u:secret@h/d\"\n[api\nlisten = 1\n")],
        variables: &[("NEPHOS__LOG__FORMAT", "xml")],
        ..Case::default()
    };
    let text = run(APART, &case).unwrap_err();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("nephos.toml:2:5: not TOML: "), "{text}");
    assert_eq!(
        lines.last(),
        Some(&"NEPHOS__LOG__FORMAT: unknown value \"xml\"; known are text, json (log.format)")
    );
    assert_eq!(lines.len(), 4, "{text}");
}

#[test]
fn a_missing_settings_file_is_named() {
    let env = MapEnv::new([("HOME", "/h")]);
    let path = std::path::Path::new("/nowhere/nephos.toml");
    let error =
        load(&Inputs { mode: Mode::Embedded, config: Some(path), flags: &[], env: &env }).unwrap_err();
    assert_eq!(error.to_string(), "--config: cannot read /nowhere/nephos.toml: there is no such file");
}

#[test]
fn effective_settings_are_shown_with_origin_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let case = Case {
        files: &[
            (
                "nephos.toml",
                "index = \"postgres://u:hunter2@h/d\"\n[store]\ntoken = \"hunter2\"\n[publisher]\ntelemetry_secret_file = \"s\"\n[api]\nmax_body = 1048576\n",
            ),
            ("s", "hunter2"),
        ],
        variables: &[("NEPHOS__BUS", "amqp://u:hunter2@127.0.0.1/v")],
        flags: &[("log.level", "debug")],
    };
    let loaded = run_in(folder.path(), Mode::Embedded, &case).unwrap();
    assert_eq!(loaded.settings.publisher.telemetry_secret.expose_secret(), "hunter2");
    let shown = print_effective(&loaded).replace(&format!("{}/", folder.path().display()), "");
    let has = |line: &str| {
        assert!(
            shown.lines().any(|shown| shown.split_whitespace().eq(line.split_whitespace())),
            "{line}\n{shown}"
        )
    };
    has("[index]");
    has("url = \"postgres://u:***@h/d\" # nephos.toml:1:9");
    has("url = \"amqp://u:***@127.0.0.1/v\" # NEPHOS__BUS");
    has("token = \"***\" # nephos.toml:3:9");
    has("telemetry_secret_file = \"s\" # nephos.toml:5:25");
    has("max_body = \"1MiB\" # nephos.toml:7:12");
    has("level = \"debug\" # flag log.level");
    has("interval = \"10s\" # default");
    has("default_aggregation_methods = [\"mean\", \"min\", \"max\", \"sum\", \"std\", \"count\"] # default");
    assert!(!shown.contains("hunter2"));
    assert!(!format!("{loaded:?}").contains("hunter2"));
}

#[test]
fn what_is_printed_loads_as_the_same() {
    let first = run(Mode::Embedded, &Case::default()).unwrap();
    let printed = print_effective(&first);
    let hidden: String =
        printed.lines().filter(|line| !line.contains("***")).map(|line| format!("{line}\n")).collect();
    let second =
        run(Mode::Embedded, &Case { files: &[("nephos.toml", &hidden)], ..Case::default() }).unwrap();
    assert_eq!(format!("{:?}", first.settings), format!("{:?}", second.settings));
}
