//! `[statsd]`: off until its resource is named, guarded beyond loopback.

use std::time::Duration;

use nephos_config::Mode;

use crate::support::{Case, faults, run};

#[test]
fn statsd_is_off_until_the_resource_of_its_metrics_is_named() {
    assert_eq!(run(Mode::Embedded, &Case::default()).unwrap().settings.statsd, None);
    let toml = "[statsd]\nresource_id = \"statsd\"\n";
    let case = Case { files: &[("nephos.toml", toml)], ..Case::default() };
    let statsd = run(Mode::Embedded, &case).unwrap().settings.statsd.unwrap();
    assert_eq!(statsd.listen.to_string(), "127.0.0.1:8125");
    assert_eq!((statsd.creator.as_str(), statsd.max_metrics), ("admin", 10_000));
    assert_eq!(statsd.flush_delay, Duration::from_secs(10));
    assert_eq!((statsd.user_id, statsd.project_id, statsd.archive_policy_name), (None, None, None));
}

#[test]
fn what_makes_no_sense_or_lets_strangers_in_is_refused() {
    for (toml, expected) in [
        (
            "[statsd]\nflush_delay = \"1s\"\n",
            "2:15: statsd.resource_id must be set beside it: it names the resource that metrics belong to (statsd.flush_delay)",
        ),
        (
            "[statsd]\nresource_id = \"statsd\"\nlisten = \"0.0.0.0:8125\"\n",
            "3:10: StatsD asks nobody who they are, so anybody who reaches 0.0.0.0:8125 could write measures: listen on loopback, or set api.allow_passwordless = true (statsd.listen)",
        ),
        (
            "[api]\nallow_passwordless = true\n[statsd]\nresource_id = \"statsd\"\nlisten = \"0.0.0.0:8125\"\n",
            "",
        ),
    ] {
        let text = faults(Mode::Embedded, toml);
        let first = text.lines().next().unwrap_or_default();
        assert_eq!(first.strip_prefix("nephos.toml:").unwrap_or_default(), expected, "{text}");
    }
}
