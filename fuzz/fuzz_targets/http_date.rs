#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| tower_keep_response_cache::fuzzing::http_date(data));
