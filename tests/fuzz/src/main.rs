//! One rule under libFuzzer: `FUZZ_RULE` names it.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mayfly_tests::fuzz::RULES;

static RULE: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_RULE").expect("FUZZ_RULE names a rule");
    RULES.iter().find(|(rule, _)| *rule == name).expect("FUZZ_RULE names a rule").1
});

fuzz_target!(|data: &[u8]| RULE(data));
