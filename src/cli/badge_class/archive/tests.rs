use super::*;
use crate::{
    domain::badge_class::BadgeClassKey,
    store::{badge_classes, testing},
};

const PNG: &[u8] = include_bytes!("../../../../deploy/images/honor.png");
const OTHER: &[u8] = include_bytes!("../../../../deploy/images/verified.png");

fn new_class(slug: &str, course: &str, image: &[u8]) -> NewBadgeClass {
    NewBadgeClass {
        key: BadgeClassKey {
            slug: slug.to_owned(),
            issuing_component: "openedx__course".to_owned(),
            course_id: course.to_owned(),
        },
        mode: "honor".to_owned(),
        display_name: format!("The \"{slug}\" ü"),
        description: "Two\nlines".to_owned(),
        criteria: "https://lms.example.com/c".to_owned(),
        image: image.to_vec(),
    }
}

/// A ZIP with these entries.
fn zipped(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(method);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, options).expect("started");
        writer.write_all(bytes).expect("written");
    }
    writer.finish().expect("finished").into_inner()
}

fn classes(image: &str) -> String {
    let class =
        serde_json::json!({"slug": "three", "display_name": "T", "description": "d", "criteria": "c", "image": image});
    serde_json::json!({"badge_classes": [class]}).to_string()
}

fn problem(bytes: &[u8]) -> String {
    assert!(is_archive(bytes));
    let problems = read(bytes).expect_err("refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[test]
fn what_is_exported_is_imported_byte_for_byte() {
    let kept = [
        new_class("a", "", PNG),
        new_class("b", "edX/A/1", OTHER),
        new_class("c", "", PNG),
    ];
    let exported = |classes: &[NewBadgeClass]| {
        let database = testing::sqlite();
        let stored = database.store().transaction("test", |tx| {
            classes
                .iter()
                .try_for_each(|class| badge_classes::get_or_create(tx, class).map(drop))
        });
        stored.expect("stored");
        let (bytes, number) = all(&database.store()).expect("read");
        assert_eq!(number, classes.len());
        bytes.expect("a ZIP")
    };
    let bytes = exported(&kept);
    let imported = read(&bytes).expect("badge classes");
    assert_eq!(imported, kept);
    assert_eq!(exported(&imported), bytes, "and so it goes on");
}

#[test]
fn a_zip_that_somebody_packed_is_read() {
    let text = classes("images/three.png");
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let entries: [(&str, &[u8]); 3] = [
            ("read me.txt", b"x"),
            ("images/three.png", PNG),
            (CLASSES, text.as_bytes()),
        ];
        assert_eq!(read(&zipped(&entries, method)).expect("badge classes")[0].image, PNG);
    }
}

#[test]
fn entries_are_found_by_their_exact_names_only() {
    for image in ["../three.png", "/three.png", "./three.png", "Three.png", "three.png/"] {
        let text = classes(image);
        let bytes = zipped(
            &[(CLASSES, text.as_bytes()), ("three.png", PNG)],
            CompressionMethod::Stored,
        );
        let told = problem(&bytes);
        assert!(told.contains(&format!("{image}: not in the ZIP")), "{told}");
    }
    let inside = zipped(&[("badges/badge_classes.json", b"{}")], CompressionMethod::Stored);
    let told = problem(&inside);
    assert!(told.contains("not in the ZIP") && told.contains("at the top"), "{told}");
    assert!(problem(&zipped(&[], CompressionMethod::Stored)).contains("not in the ZIP"));
}

#[test]
fn a_bomb_is_not_unpacked() {
    let zeros = vec![0; 64 * 1024 * 1024];
    let text = classes("bomb.png");
    let bytes = zipped(
        &[(CLASSES, text.as_bytes()), ("bomb.png", &zeros)],
        CompressionMethod::Deflated,
    );
    assert!(bytes.len() < 100_000);
    assert!(problem(&bytes).contains("bomb.png: too large"));
    let bytes = zipped(&[(CLASSES, &zeros)], CompressionMethod::Deflated);
    assert!(problem(&bytes).contains("too large"));
    let names: Vec<String> = (0..=MAX_ENTRIES).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    assert!(problem(&zipped(&many, CompressionMethod::Stored)).contains("entries"));
}

#[test]
fn damaged_and_encrypted_files_are_told_apart() {
    let text = classes("three.png");
    let whole = zipped(
        &[(CLASSES, text.as_bytes()), ("three.png", PNG)],
        CompressionMethod::Stored,
    );
    assert!(problem(&whole[..whole.len() / 2]).contains("a damaged ZIP"));
    let mut flipped = whole.clone();
    let image = whole
        .windows(8)
        .position(|bytes| bytes == b"\x89PNG\r\n\x1a\n")
        .expect("an image");
    flipped[image + 20] ^= 0xff;
    assert!(problem(&flipped).contains("three.png: damaged"));
    let mut encrypted = whole;
    // The flag is at 6 of a local header and at 8 of a central one.
    for (signature, at) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let headers: Vec<usize> = (0..encrypted.len() - 4)
            .filter(|from| encrypted[*from..].starts_with(signature))
            .collect();
        for header in headers {
            encrypted[header + at] |= 1;
        }
    }
    assert!(problem(&encrypted).contains("without a password"));
}
