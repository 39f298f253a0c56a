//! What a person is told when Nephos runs embedded: where it listens, what it polls, what to try next.

use nephos_config::Loaded;
use nephos_config::polling::Schedule;
use nephos_config::settings::{AuthMode, Settings};

use crate::setup::tell;

/// Folder of the command-line clients that `make client` installs; set by `make run`.
const CLIENT_DIR: &str = "NEPHOS_CLIENT_DIR";

/// Prints them on standard error, beside the log, when a person is likely to read it.
pub(crate) fn print(settings: &Settings, loaded: &Loaded, url: &str) {
    tell(&text(settings, loaded, url, &client_prefix()));
}

fn client_prefix() -> String {
    use nephos_config::Env;
    let folder = nephos_config::SystemEnv.variables().remove(CLIENT_DIR);
    folder.filter(|folder| !folder.is_empty()).map(|folder| format!("{folder}/")).unwrap_or_default()
}

fn text(settings: &Settings, loaded: &Loaded, url: &str, client: &str) -> String {
    let host = &settings.polling.host;
    let mut text = format!("\nNephos {} measures {host}\n\n", env!("CARGO_PKG_VERSION"));
    text.push_str(&format!("  listens on   {url}\n  keeps data in {}\n", settings.data_dir.display()));
    if settings.polling.enabled {
        for source in &loaded.polling.sources {
            let when = match &source.schedule {
                Schedule::Interval(interval) => format!("every {} s", interval.as_secs()),
                Schedule::Cron(cron) => format!("at {} {}", cron.expression, cron.timezone),
            };
            text.push_str(&format!("  polls        {} {when}\n", source.name));
        }
    } else {
        text.push_str("  polls        nothing ([polling] enabled = false)\n");
    }
    // Who logs in with a password is asked for it.
    let (login, password) = match settings.api.auth_mode {
        AuthMode::Local => {
            text.push_str("  logs in      users that `nephos user add NAME` creates\n");
            ("admin", ":PASSWORD")
        }
        _ => ("admin:", ""),
    };
    let rule = format!(
        "{{\"metric\": \"cpu_util\", \"resource_id\": \"{host}\", \"resource_type\": \"host\", \
         \"aggregation_method\": \"mean\", \"granularity\": 10, \"comparison_operator\": \"gt\", \"threshold\": 90}}"
    );
    text.push_str(&format!(
        "\nTry next, in another terminal:\n\n\
         1. this host's CPU utilisation in percent\n\
         \n  curl -s -u {login} '{url}/v1/resource/generic/{host}/metric/cpu_util/measures?granularity=10'\n\
         \n2. the same with the gnocchi client\n\
         \n  {client}gnocchi --os-auth-type gnocchi-basic --user admin{password} --endpoint {url} \\\n    \
         measures show --resource-id {host} --granularity 10 cpu_util\n\
         \n3. an alarm that is logged here when the CPU is busy\n\
         \n  curl -s -u {login} -H 'content-type: application/json' {url}/v2/alarms -d '{{\"name\": \"cpu busy\", \
         \"type\": \"gnocchi_resources_threshold\",\n    \"gnocchi_resources_threshold_rule\": {rule},\n    \
         \"alarm_actions\": [\"log://\"], \"ok_actions\": [\"log://\"]}}'\n\n\
         Ctrl-C stops. `nephos --help` tells more.\n\n"
    ));
    text
}
