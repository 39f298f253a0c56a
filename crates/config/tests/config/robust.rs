//! No bytes whatever stop the loader.

use nephos_config::{Inputs, MapEnv, Mode, load, shipped};
use proptest::prelude::*;

const SETTINGS: &str = "index = \"postgres://u:p@h/d\"\nbus = \"amqp://h/v\"\n[api]\nlisten = \"127.0.0.1:1\"\n[api.tls]\ncert = \"c\"\nkey = \"k\"\n[cors]\nallowed_origin = [\"https://a\"]\n[polling]\nconfig = \"p.yaml\"\n[log]\nlevel = \"info\"\n";

/// Loads a folder's files; panics only if the loader does.
fn survives(settings: &[u8], polling: &[u8], pipeline: &[u8], resources: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("nephos.toml", settings);
    write("p.yaml", polling);
    write("q.yaml", pipeline);
    write("r.yaml", resources);
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let flags = [
        ("polling.config".to_owned(), place("p.yaml")),
        ("pipeline.config".to_owned(), place("q.yaml")),
        ("collector.resources".to_owned(), place("r.yaml")),
    ];
    let env = MapEnv::new([("HOME", "/h")]);
    let config = folder.path().join("nephos.toml");
    let inputs = Inputs { mode: Mode::Distributed(None), config: Some(&config), flags: &flags, env: &env };
    if let Err(error) = load(&inputs) {
        assert!(!error.problems().is_empty());
        assert!(error.render(true).len() >= error.render(false).len());
    }
}

/// A sound file with some of its bytes replaced, removed or doubled.
fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let length = text.len();
    let change = (0..length, prop_oneof![Just(None), any::<u8>().prop_map(Some)], any::<bool>());
    proptest::collection::vec(change, 0..6).prop_map(move |changes| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte, double) in changes {
            let at = at.min(bytes.len().saturating_sub(1));
            match byte {
                Some(byte) if double => bytes.insert(at, byte),
                Some(byte) => bytes[at] = byte,
                None => drop(bytes.remove(at)),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn random_bytes(settings in any::<Vec<u8>>(), yaml in any::<Vec<u8>>()) {
        survives(&settings, &yaml, &yaml, &yaml);
    }

    #[test]
    fn random_yaml_characters(yaml in "[-a-c:\\[\\]{}&*!#|>'\"%@`, \n~<?0-9.]{0,80}") {
        survives(b"", yaml.as_bytes(), yaml.as_bytes(), yaml.as_bytes());
    }

    #[test]
    fn random_variables_and_flags(key in "[A-Za-z_.]{0,20}", value in ".{0,20}") {
        let variable = format!("NEPHOS__{}", key.to_uppercase());
        let env = MapEnv::new([("HOME", "/h"), (variable.as_str(), value.as_str())]);
        let flags = [(key, value.clone())];
        let inputs = Inputs { mode: Mode::Embedded, config: None, flags: &flags, env: &env };
        let shown = load(&inputs).err().map(|error| error.to_string());
        prop_assert!(shown.is_none_or(|text| !text.is_empty()));
    }

    #[test]
    fn random_toml_characters(toml in "[a-c=\\[\\]{}'\"#, \n.0-9:_-]{0,80}") {
        survives(toml.as_bytes(), b"", b"", b"");
    }

    #[test]
    fn sound_files_with_faults(
        settings in mutated(SETTINGS),
        polling in mutated(shipped::POLLING_EMBEDDED),
        pipeline in mutated(shipped::PIPELINE),
        resources in mutated(shipped::RESOURCES),
    ) {
        survives(&settings, &polling, &pipeline, &resources);
    }
}

#[test]
fn deep_toml_is_refused() {
    for text in [
        format!("a = {}", "[".repeat(500_000)),
        format!("a{} = 1", ".a".repeat(400_000)),
        format!("[a{}]\nb = 1", ".a".repeat(400_000)),
        format!("a = {}1{}", "{a=".repeat(100_000), "}".repeat(100_000)),
    ] {
        survives(text.as_bytes(), b"", b"", b"");
    }
}
