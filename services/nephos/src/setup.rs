//! From the command line to a configuration without faults.

use std::io::{ErrorKind, IsTerminal, Write};

use nephos_config::{Inputs, Loaded, Mode, SystemEnv, load};

use crate::cli::Common;

/// The flags as settings.
pub(crate) fn flags(common: &Common) -> anyhow::Result<Vec<(String, String)>> {
    let mut flags = Vec::new();
    let mut put = |key: &str, value: String| flags.push((key.to_owned(), value));
    if let Some(folder) = &common.data_dir {
        put("data_dir", std::path::absolute(folder)?.display().to_string());
    }
    if let Some(listen) = &common.listen {
        put("api.listen", listen.clone());
    }
    if let Some(level) = &common.log_level {
        put("log.level", level.clone());
    }
    for pair in &common.set {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            anyhow::anyhow!("--set {pair:?} is not SECTION.KEY=VALUE, such as api.max_limit=500")
        })?;
        put(key.trim(), value.to_owned());
    }
    Ok(flags)
}

/// Loads everything, or explains every fault on standard error.
pub(crate) fn configuration(common: &Common, mode: Mode) -> anyhow::Result<Option<Loaded>> {
    let flags = flags(common)?;
    let inputs = Inputs { mode, config: common.config.as_deref(), flags: &flags, env: &SystemEnv };
    match load(&inputs) {
        Ok(loaded) => Ok(Some(loaded)),
        Err(error) => {
            tell(&error.render(std::io::stderr().is_terminal()));
            let count = error.problems().len();
            tell(&format!("{count} {} in the configuration\n", if count == 1 { "fault" } else { "faults" }));
            Ok(None)
        }
    }
}

/// Says something to whoever started the program.
#[allow(clippy::print_stderr)]
pub(crate) fn tell(text: &str) {
    eprint!("{text}");
}

/// Prints a result. Whoever stops reading it, such as `head`, has seen enough.
pub(crate) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        tell(&format!("nephos: standard output: {error}\n"));
    }
}
