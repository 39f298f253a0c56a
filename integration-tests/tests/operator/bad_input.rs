//! Bodies that are too large or make no sense.

use nephos_integration_tests::Nephos;

use super::support::curl;

#[tokio::test]
async fn bad_bodies_are_refused_and_the_next_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("NEPHOS__POLLING__ENABLED", "false"), ("NEPHOS__API__MAX_BODY", "64KiB")];
    let nephos = Nephos::start("run", folder.path(), "nephos", &settings);
    let url = nephos.url("api").await;
    let body = folder.path().join("body");
    let data = format!("@{}", body.display());
    let post = |path: &str, extra: &[&str]| {
        let address = format!("{url}{path}");
        let mut arguments =
            vec!["--header", "content-type: application/json", "--data-binary", &data, &address];
        arguments.extend(extra);
        curl(&arguments)
    };

    std::fs::write(&body, format!("{{\"name\": \"{}\"}}", "x".repeat(64 * 1024))).unwrap();
    for path in ["/v1/metric", "/v2/alarms"] {
        for extra in [&[][..], &["--header", "transfer-encoding: chunked"]] {
            let (status, answer) = post(path, extra);
            assert_eq!(status, "413", "{path} {extra:?}: {answer}");
        }
    }
    for text in ["{\"name\": ", "", "nothing", "[[[", "{\"name\": \"a\"} {", "\u{0}", "[1, 2"] {
        std::fs::write(&body, text).unwrap();
        for path in ["/v1/metric", "/v1/archive_policy", "/v1/batch/metrics/measures", "/v2/alarms"] {
            let (status, answer) = post(path, &[]);
            assert_eq!(status, "400", "{path} {text:?}: {answer}");
        }
    }
    std::fs::write(&body, "[".repeat(60_000)).unwrap();
    assert_eq!(post("/v1/batch/metrics/measures", &[]).0, "400");

    std::fs::write(&body, "{\"name\": \"good\", \"archive_policy_name\": \"low\"}").unwrap();
    assert_eq!(post("/v1/metric", &[]).0, "201");
}
