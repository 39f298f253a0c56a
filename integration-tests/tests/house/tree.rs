//! The source tree.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file with its path from the root.
pub(crate) fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for folder in ["crates", "pipeline", "services", "integration-tests"] {
        walk(&root().join(folder), &mut found);
    }
    assert!(found.len() > 50, "only {} sources found", found.len());
    found
}

fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("list folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target" && name != "testdata") {
                walk(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("read source");
            let name = path.strip_prefix(root()).expect("below the root").display().to_string();
            found.push((name, text));
        }
    }
}
