//! The seeds of the fuzz targets (tests/fuzz), without a fuzzer: what was found once stays a test.

#[path = "../fuzz/bodies.rs"]
mod bodies;

/// Does with each seed what the target of this name does.
fn sow(target: &str, body: fn(&[u8])) {
    let folder = format!("{}/tests/fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let seeds = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut sown = 0;
    for seed in seeds {
        let path = seed.expect("the folder can be read").path();
        println!("{}", path.display());
        body(&std::fs::read(&path).expect("a seed can be read"));
        sown += 1;
    }
    assert!(sown > 0, "{folder} has no seeds");
}

#[test]
fn any_record_is_decoded_or_refused() {
    sow("wire", bodies::wire);
}

#[test]
fn any_course_key_is_kept_or_refused() {
    sow("course_key", bodies::course_key);
}

#[test]
fn any_configuration_is_printed_as_it_was_meant_or_refused() {
    sow("event_badges", bodies::event_badges);
}

#[test]
fn any_image_can_be_baked_or_is_refused() {
    sow("image", bodies::image);
}

#[test]
fn any_request_is_answered_without_an_error_of_the_server() {
    sow("query", bodies::query);
}

#[test]
fn any_token_is_believed_for_its_signature_and_time_or_refused() {
    sow("token", bodies::token);
}

#[test]
fn each_target_has_seeds_and_a_test() {
    let targets = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/fuzz_targets"));
    let tests = include_str!("seeds.rs");
    for target in targets.expect("there are targets") {
        let path = target.expect("the folder can be read").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(tests.contains(&format!("sow(\"{name}\", bodies::{name})")), "{name}");
    }
}
