//! The same file as a ZIP: `badge_classes.json` at its top, and the images beside it as they are.
//!
//! Nothing is ever unpacked to disk: an entry is looked up by its exact name and read into memory, as far as its limit.

use std::{
    cell::{Cell, RefCell},
    io::{Cursor, Read, Write},
};

use zip::{CompressionMethod, ZipArchive, ZipWriter, result::ZipError, write::SimpleFileOptions};

use super::bundle::{Bundle, parse};
use crate::{
    domain::{badge_class::NewBadgeClass, image::MAX_BYTES},
    store::{Store, StoreError},
};

/// The entry that names the badge classes.
const CLASSES: &str = "badge_classes.json";
/// Bytes of that entry, at most.
const MAX_CLASSES: usize = 16 * 1024 * 1024;
/// Entries of a file, at most.
const MAX_ENTRIES: usize = 20_000;
/// Bytes that all images have together once they are unpacked, at most.
const MAX_IMAGES: usize = 512 * 1024 * 1024;

/// Whether these bytes begin as a ZIP does, be it empty.
pub(super) fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06")
}

/// Every badge class of the database as a ZIP, and how many there are. The same badge classes give the same bytes.
pub(super) fn all(store: &Store) -> Result<(Result<Vec<u8>, String>, usize), StoreError> {
    let mut images = Vec::new();
    let bundle = super::bundle::all_with(store, |class, image| {
        let name = format!("images/{:04}-{}.png", images.len() + 1, class.key.slug);
        images.push((name.clone(), image));
        name
    })?;
    Ok((
        write(&bundle, &images).map_err(|error| error.to_string()),
        bundle.badge_classes.len(),
    ))
}

fn write(bundle: &Bundle, images: &[(String, Vec<u8>)]) -> Result<Vec<u8>, ZipError> {
    // Images are compressed already.
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let text = serde_json::to_string_pretty(bundle).expect("texts are JSON");
    writer.start_file(CLASSES, stored)?;
    writer.write_all(text.as_bytes())?;
    for (name, image) in images {
        writer.start_file(name, stored)?;
        writer.write_all(image)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// The badge classes of a ZIP, or all that is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<NewBadgeClass>, Vec<String>> {
    let one = |problem: String| vec![problem];
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| one(format!("a damaged ZIP: {error}")))?;
    if archive.len() > MAX_ENTRIES {
        return Err(one(format!(
            "the ZIP has {} entries; at most {MAX_ENTRIES} are taken",
            archive.len()
        )));
    }
    let text = entry(&mut archive, CLASSES, MAX_CLASSES).map_err(|problem| {
        one(format!(
            "{problem}; zip the files themselves, with {CLASSES} at the top"
        ))
    })?;
    let text = String::from_utf8(text).map_err(|_| one(format!("{CLASSES}: not UTF-8")))?;
    let archive = RefCell::new(archive);
    let left = Cell::new(MAX_IMAGES);
    parse(&text, |name| {
        let image = entry(&mut archive.borrow_mut(), name, MAX_BYTES.min(left.get()))?;
        left.set(left.get() - image.len());
        Ok(image)
    })
}

/// The bytes of the entry of this very name.
fn entry(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, limit: usize) -> Result<Vec<u8>, String> {
    let mut file = archive.by_name(name).map_err(|error| said(name, &error))?;
    let mut bytes = Vec::new();
    // What an entry says of its size is not believed.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = file.by_ref().take(most).read_to_end(&mut bytes);
    read.map_err(|error| format!("{name}: damaged in the ZIP: {error}"))?;
    if bytes.len() > limit {
        return Err(format!("{name}: too large in the ZIP: at most {limit} bytes are taken"));
    }
    Ok(bytes)
}

fn said(name: &str, error: &ZipError) -> String {
    match error {
        ZipError::FileNotFound => format!("{name}: not in the ZIP"),
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) | ZipError::InvalidPassword => {
            format!("{name}: encrypted; make the ZIP without a password")
        }
        ZipError::UnsupportedArchive(_) | ZipError::CompressionMethodNotSupported(_) => {
            format!("{name}: packed in a way that is not understood; use deflate, or store it")
        }
        other => format!("{name}: damaged in the ZIP: {other}"),
    }
}

#[cfg(test)]
mod tests;
