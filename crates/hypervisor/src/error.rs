//! What can go wrong while reading.

use std::fmt;
use std::path::PathBuf;

use crate::text::Fault;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HypervisorError {
    /// The file is there but cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The file is not in the shape the kernel documents.
    #[error("{}: {fault}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The fault.
        fault: Fault,
    },
}

impl HypervisorError {
    /// A word for counting: `denied`, `read` or `malformed`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => "denied",
            Self::Read { .. } => "read",
            Self::Malformed { .. } => "malformed",
        }
    }
}

/// Something that this process cannot read on this host, for a note at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// What is missing, in the user's words.
    pub what: &'static str,
    /// Where it was looked for.
    pub path: PathBuf,
    /// Why it cannot be read.
    pub reason: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.what, self.path.display(), self.reason)
    }
}
