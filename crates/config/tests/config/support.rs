//! Loads configuration from files written into a folder of its own.

use std::path::Path;

use nephos_config::{Inputs, Loaded, MapEnv, Mode, load};

/// Files by name, with variables and flags over them.
#[derive(Default)]
pub(crate) struct Case<'a> {
    pub(crate) files: &'a [(&'a str, &'a str)],
    pub(crate) variables: &'a [(&'a str, &'a str)],
    pub(crate) flags: &'a [(&'a str, &'a str)],
}

/// What a case gives: everything, or every fault as text, with the folder's name left out.
pub(crate) fn run(mode: Mode, case: &Case<'_>) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), mode, case)
}

pub(crate) fn run_in(folder: &Path, mode: Mode, case: &Case<'_>) -> Result<Loaded, String> {
    for (name, text) in case.files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let mut env = MapEnv::new([("HOME", "/home/me")]);
    let here = format!("{}/", folder.display());
    for (name, value) in case.variables {
        env.variables.insert((*name).to_owned(), value.replace("{here}/", &here));
    }
    let flags: Vec<(String, String)> =
        case.flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let config = folder.join("nephos.toml");
    let config = config.exists().then_some(config.as_path());
    load(&Inputs { mode, config, flags: &flags, env: &env })
        .map_err(|error| error.to_string().replace(&here, ""))
}

/// The faults of one settings file.
pub(crate) fn faults(mode: Mode, toml: &str) -> String {
    match run(mode, &Case { files: &[("nephos.toml", toml)], ..Case::default() }) {
        Ok(_) => String::new(),
        Err(text) => text,
    }
}

/// Asserts what one YAML file of the settings is refused with.
pub(crate) fn yaml_faults(section: &str, key: &str, yaml: &str) -> String {
    let toml = format!("[{section}]\n{key} = \"f.yaml\"\n");
    match run(Mode::Embedded, &Case { files: &[("nephos.toml", &toml), ("f.yaml", yaml)], ..Case::default() })
    {
        Ok(_) => String::new(),
        Err(text) => text,
    }
}
