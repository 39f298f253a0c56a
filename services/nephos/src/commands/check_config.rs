//! `nephos check-config`: the loader and nothing else.

use std::process::ExitCode;

use nephos_config::{Mode, print_effective};

use crate::cli::Common;
use crate::setup::{configuration, say};

/// Reports every fault of every file; prints effective settings if asked for.
pub(super) fn run(common: &Common, print: bool, distributed: bool) -> anyhow::Result<ExitCode> {
    let mode = if distributed { Mode::Distributed(None) } else { Mode::Embedded };
    let Some(loaded) = configuration(common, mode)? else {
        return Ok(ExitCode::from(crate::BAD_CONFIGURATION));
    };
    if print {
        say(print_effective(&loaded).trim_end());
    } else {
        say("the configuration is without faults");
    }
    Ok(ExitCode::SUCCESS)
}
