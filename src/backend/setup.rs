//! What keeps a backend from being built.

use std::path::PathBuf;

/// Why a backend cannot be built from its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A setting that must be a URL is none.
    #[error("{setting}: not a URL that requests can be sent to")]
    Url {
        /// The setting's name.
        setting: &'static str,
    },
    /// `CA_FILE` cannot be read, or holds no PEM certificate.
    #[error("CA_FILE: {}: {message}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made: {message}")]
    Client {
        /// What it said.
        message: String,
    },
}
