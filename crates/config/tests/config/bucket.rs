//! `store = "s3://…"` and the settings beside it.

use nephos_config::{Mode, Service, print_effective};
use secrecy::ExposeSecret;

use crate::support::{Case, faults, run_in};

#[test]
fn a_bucket_needs_its_keys_where_shards_are_opened_and_nowhere_else() {
    let toml = "index = \"postgres://h/d\"\nbus = \"amqp://127.0.0.1\"\n[store]\nurl = \"s3://bucket\"\ntoken = \"t\"\n";
    for (mode, expected) in [
        (Mode::Distributed(Some(Service::Collector)), true),
        (Mode::Distributed(None), true),
        (Mode::Distributed(Some(Service::Api)), false),
        (Mode::Distributed(Some(Service::AlarmEvaluator)), false),
    ] {
        let text = faults(mode, toml);
        let wanted = text.contains("store.access_key_id must be set for an s3: URL")
            && text.contains("store.secret_access_key_file must be set for an s3: URL");
        assert_eq!(wanted, expected, "{mode:?}: {text}");
        assert!(expected || text.is_empty(), "{mode:?}: {text}");
    }
}

#[test]
fn a_bucket_is_described_by_url_and_keys() {
    let toml = "index = \"postgres://h/d\"\nbus = \"amqp://127.0.0.1\"\n[store]\nurl = \"s3://bucket/some/prefix/\"\ntoken = \"t\"\n\
                endpoint = \"https://ceph.example/\"\nregion = \"here\"\ncache = \"1GiB\"\n";
    let case = Case {
        files: &[("nephos.toml", toml), ("id", "me\n"), ("key", "hidden\n")],
        variables: &[
            ("NEPHOS__STORE__ACCESS_KEY_ID_FILE", "{here}/id"),
            ("NEPHOS__STORE__SECRET_ACCESS_KEY_FILE", "{here}/key"),
        ],
        ..Case::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let loaded = run_in(folder.path(), Mode::Distributed(Some(Service::Collector)), &case).unwrap();
    let store = &loaded.settings.store;
    assert!(store.is_shared());
    let s3 = store.s3.as_ref().unwrap();
    assert_eq!((s3.bucket.as_str(), s3.prefix.as_str()), ("bucket", "some/prefix"));
    assert_eq!(s3.endpoint.as_deref(), Some("https://ceph.example"));
    assert_eq!((s3.region.as_str(), s3.cache), ("here", 1 << 30));
    assert_eq!((s3.access_key_id.as_str(), s3.secret_access_key.expose_secret()), ("me", "hidden"));
    assert!(!format!("{:?}", loaded.settings).contains("hidden"));
    assert!(!print_effective(&loaded).contains("hidden"));
}

#[test]
fn keys_of_a_bucket_are_refused_elsewhere_and_unprotected_endpoints_everywhere() {
    let first = |toml: &str| faults(Mode::Embedded, toml).lines().next().unwrap_or_default().to_owned();
    assert_eq!(
        first("[store]\nregion = \"here\"\n"),
        "nephos.toml:2:10: region belongs to an s3: store, and this one is file: (store.region)"
    );
    let toml = "[store]\nurl = \"s3://bucket\"\nendpoint = \"http://ceph.example\"\naccess_key_id = \"me\"\n\
                secret_access_key = \"hidden\"\n";
    assert_eq!(
        first(toml),
        "nephos.toml:3:12: measures would cross the network unprotected: use https, or set store.allow_http = true \
         (store.endpoint)"
    );
    assert_eq!(faults(Mode::Embedded, &format!("{toml}allow_http = true\n")), "");
}
