//! `nephos`: cloud telemetry and alarming in one program.

mod adapters;
mod cli;
mod commands;
mod databases;
mod hints;
mod identity;
mod leases;
mod lock;
mod ports;
mod process;
mod reload;
mod setup;
mod tls;

use std::process::ExitCode;

use clap::Parser;
use nephos_config::{Mode, Service};

use crate::cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for a configuration with faults.
const BAD_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    nephos_metric_store::pages::prefer_small();
    let cli = Cli::parse();
    // Only the first installation of a process can succeed, and this is it.
    let _first = rustls::crypto::ring::default_provider().install_default().is_ok();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("start the runtime")),
    };
    match runtime.block_on(dispatch(cli)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    setup::tell(&format!("nephos: {error:#}\n"));
    ExitCode::FAILURE
}

async fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let common = cli.common;
    let service = match cli.command.unwrap_or(Command::Run) {
        Command::Run => return serve(&common, Mode::Embedded).await,
        Command::PollingAgent => Service::PollingAgent,
        Command::NotificationAgent => Service::NotificationAgent,
        Command::Collector => Service::Collector,
        Command::Api => Service::Api,
        Command::AlarmEvaluator => Service::AlarmEvaluator,
        Command::AlarmNotifier => Service::AlarmNotifier,
        other => return commands::run(&common, other).await,
    };
    serve(&common, Mode::Distributed(Some(service))).await
}

async fn serve(common: &cli::Common, mode: Mode) -> anyhow::Result<ExitCode> {
    let Some(loaded) = setup::configuration(common, mode)? else {
        return Ok(ExitCode::from(BAD_CONFIGURATION));
    };
    process::run(common, loaded).await?;
    Ok(ExitCode::SUCCESS)
}
