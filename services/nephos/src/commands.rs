//! The operator's commands.

mod backup;
mod check_config;
mod exchange;
mod meters;
mod migrate;
mod pipeline_test;
mod plain;
mod policy;
mod poll;
mod restore;
mod status;
mod store;
mod table;
mod user;

use std::process::ExitCode;

use clap::CommandFactory;
use nephos_config::Mode;

use crate::cli::{Cli, Command, Common, PipelineCommand};
use crate::setup::say;
use crate::{BAD_CONFIGURATION, setup};

/// Runs a command that is no service.
pub(crate) async fn run(common: &Common, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::CheckConfig { print, distributed } => check_config::run(common, print, distributed),
        Command::Migrate => migrate::run(common).await,
        Command::Version => {
            version();
            Ok(ExitCode::SUCCESS)
        }
        Command::Status { url, user, password_file, output } => {
            let password = password_file.map(|file| user::read_password(&file)).transpose()?;
            status::run(&url, &user, password.as_ref(), output.format).await
        }
        Command::Meters { output } => with_configuration(common, |loaded| meters::run(loaded, output.format)),
        Command::Poll { once: _, meter, output } => {
            let Some(loaded) = setup::configuration(common, Mode::Embedded)? else {
                return Ok(ExitCode::from(BAD_CONFIGURATION));
            };
            poll::run(&loaded, &meter, output.format).await
        }
        Command::Pipeline(PipelineCommand::Test { file, output }) => {
            with_configuration(common, |loaded| pipeline_test::run(loaded, &file, output.format))
        }
        Command::User(command) => user::run(common, command).await,
        Command::Policy(command) => with_configuration(common, |loaded| policy::run(loaded, command)),
        Command::Store(command) => store::run(common, command).await,
        Command::Backup { folder } => match setup::configuration(common, Mode::Embedded)? {
            Some(loaded) => backup::run(&loaded, &folder).await,
            None => Ok(ExitCode::from(BAD_CONFIGURATION)),
        },
        Command::Restore { folder, force } => {
            with_configuration(common, |loaded| restore::run(loaded, &folder, force))
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "nephos", &mut script);
            say(String::from_utf8_lossy(&script).trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Run
        | Command::PollingAgent
        | Command::NotificationAgent
        | Command::Collector
        | Command::Api
        | Command::AlarmEvaluator
        | Command::AlarmNotifier => anyhow::bail!("services are not commands"),
    }
}

fn with_configuration(
    common: &Common,
    command: impl FnOnce(&nephos_config::Loaded) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    match setup::configuration(common, Mode::Embedded)? {
        Some(loaded) => command(&loaded),
        None => Ok(ExitCode::from(BAD_CONFIGURATION)),
    }
}

fn version() {
    say(&format!("nephos {}", env!("CARGO_PKG_VERSION")));
    say("metric store format 2 (not yet declared stable)");
    say("Gnocchi API v1, Aodh API v2, oslo.messaging envelope 2.0");
}
