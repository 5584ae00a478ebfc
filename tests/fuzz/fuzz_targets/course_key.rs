#![no_main]

#[allow(dead_code, reason = "each target does one of these things")]
#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::course_key(bytes));
