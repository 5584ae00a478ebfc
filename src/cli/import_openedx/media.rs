//! The files of Open edX's images.

use std::path::{Component, Path, PathBuf};

/// The directory that the paths of a dump begin at.
pub(super) struct Media {
    directory: PathBuf,
    /// A person named it: what is not there is missing, and nothing stands in for it.
    pub(super) is_given: bool,
}

impl Media {
    /// The directory that is given, or else the one of the file.
    pub(super) fn new(file: &Path, given: Option<&Path>) -> Result<Self, String> {
        if let Some(directory) = given
            && !directory.is_dir()
        {
            return Err(format!("--media {}: no such directory", directory.display()));
        }
        let beside = || file.parent().unwrap_or(Path::new(""));
        Ok(Self {
            directory: given.unwrap_or_else(beside).to_owned(),
            is_given: given.is_some(),
        })
    }

    /// Reads an image; the path may not lead out of the directory.
    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let leads_out = |part: Component<'_>| !matches!(part, Component::Normal(_) | Component::CurDir);
        if Path::new(path).components().any(leads_out) {
            return Err("leads out of the media directory; correct the path".to_owned());
        }
        let file = self.directory.join(path);
        let advice = match self.is_given {
            true => "copy it there",
            false => "give Open edX's media directory with --media DIR, and run again",
        };
        std::fs::read(&file).map_err(|error| format!("{}: {error}; {advice}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_below_the_directory_and_nowhere_else() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path().join("media");
        std::fs::create_dir_all(root.join("badge_classes")).expect("made");
        std::fs::write(directory.path().join("secret.png"), b"secret").expect("written");
        std::fs::write(root.join("badge_classes/a.png"), b"image").expect("written");
        let media = Media::new(Path::new("dump.json"), Some(&root)).expect("a directory");
        assert_eq!(media.read("badge_classes/a.png"), Ok(b"image".to_vec()));
        let absolute = directory.path().join("secret.png");
        for path in [
            "../secret.png",
            "badge_classes/../../secret.png",
            &absolute.display().to_string(),
        ] {
            let problem = media.read(path).expect_err("refused");
            assert!(problem.contains("leads out"), "{path}: {problem}");
        }
        let missing = media.read("badge_classes/b.png").expect_err("missing");
        assert!(
            missing.contains("badge_classes/b.png") && missing.contains("copy it"),
            "{missing}"
        );
        let beside = Media::new(&root.join("dump.json"), None).expect("beside the file");
        assert_eq!(beside.read("badge_classes/a.png"), Ok(b"image".to_vec()));
        assert!(beside.read("b.png").expect_err("missing").contains("--media"));
        assert!(Media::new(Path::new("dump.json"), Some(&root.join("none"))).is_err());
    }
}
