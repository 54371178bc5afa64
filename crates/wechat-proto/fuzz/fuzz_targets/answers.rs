//! Runs `wechat_proto::fuzz::answers` on whatever the fuzzer finds.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wechat_proto::fuzz::answers(bytes));
