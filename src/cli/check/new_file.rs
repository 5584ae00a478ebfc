//! Whether an SQLite file can be made where it is to be.

use std::{
    fs::{self, OpenOptions},
    path::Path,
    process,
};

/// Makes a file beside the one that is to be, and takes it away again; says what is in the way and what to do.
///
/// SQLite makes further files there, so that a directory is needed to which one may write.
pub(super) fn try_out(path: &Path) -> Result<(), String> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err("the directory of this file does not exist; make it, or correct DATABASE_URL".to_owned());
    }
    let tried = directory.join(format!(".accolade-check-{}", process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&tried);
    made.and_then(|file| {
        drop(file);
        fs::remove_file(&tried)
    })
    .map_err(|error| {
        format!(
            "no file can be made in the directory of this one: {error}; let this user write there, or correct DATABASE_URL"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_tried_out_where_it_is_to_be_and_nothing_stays() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(try_out(&directory.path().join("accolade.db")), Ok(()));
        assert_eq!(try_out(Path::new("accolade-that-nobody-made.db")), Ok(()));
        assert_eq!(fs::read_dir(directory.path()).expect("it is there").count(), 0);
        let missing = try_out(&directory.path().join("none/accolade.db")).expect_err("no directory");
        assert!(
            missing.contains("does not exist") && missing.contains("DATABASE_URL"),
            "{missing}"
        );
        fs::write(directory.path().join("file"), "").expect("written");
        assert!(try_out(&directory.path().join("file/accolade.db")).is_err());
        // Nobody makes files there.
        let refused = try_out(Path::new("/proc/accolade.db")).expect_err("refused");
        assert!(
            refused.contains("no file can be made") && refused.contains("DATABASE_URL"),
            "{refused}"
        );
    }
}
