//! The rules of [`mayfly_tests::fuzz`] on the stored corpus and on a fixed number of mutations.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use mayfly_tests::fuzz::{RULES, Random, mutate, shown};

/// Number of mutations for each rule.
const INPUTS: usize = 50_000;

#[test]
fn what_strangers_write_breaks_no_rule() {
    for (name, rule) in RULES {
        let corpus = corpus(name);
        let hold = |data: &[u8]| {
            assert!(catch_unwind(|| rule(data)).is_ok(), "{name} does not hold for b\"{}\"", shown(data));
        };
        corpus.iter().for_each(|data| hold(data));
        let mut random = Random::new(1);
        for _ in 0..INPUTS {
            let data = &corpus[random.below(corpus.len())];
            let other = &corpus[random.below(corpus.len())];
            hold(&mutate(data, other, &mut random));
        }
    }
}

/// Returns the corpus of a rule. Files with a number were written by hand, the others were found.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 10, "the corpus of {name} is not there");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}
