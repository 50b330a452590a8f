//! Counts a text with our n-gram, or scores another, one character a symbol; `bench/n_gram.py` times it beside `KenLM`.
//!
//! ```sh
//! cargo run --release --example n_gram -- 6 training.txt            # counts
//! cargo run --release --example n_gram -- 6 training.txt test.txt   # counts, then scores
//! ```
//!
//! The second form prints the processor seconds of scoring alone, and the mean of -ln p over the characters of the test.
#![expect(clippy::print_stdout, reason = "the numbers are the purpose")]

use std::collections::BTreeMap;
use std::hint::black_box;

use experiment::machine::processor_seconds;
use models::{NGram, NGramConfig, Smoothing};

// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Characters of tiny Shakespeare, as many as the definitions have.
const VOCABULARY: usize = 65;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [order, paths @ ..] = arguments.as_slice() else { panic!("ORDER TRAINING [TEST]") };
    let config =
        NGramConfig { order: order.parse().expect("the order is a number"), smoothing: Smoothing::KneserNey };
    let mut symbols = BTreeMap::new();
    let mut texts = paths.iter().map(|path| {
        let text = std::fs::read_to_string(path).expect("the text can be read");
        let mut symbol = |character| {
            let next = u32::try_from(symbols.len()).expect("there are fewer characters than 2^32");
            *symbols.entry(character).or_insert(next)
        };
        text.chars().map(&mut symbol).collect::<Vec<u32>>()
    });
    let training = texts.next().expect("a training text is given");
    let counts = NGram::new(config).expect("the order is allowed").count(&training, VOCABULARY);
    let Some(test) = texts.next() else {
        black_box(counts);
        return;
    };
    let seconds = || processor_seconds().expect("the system tells processor time");
    let start = seconds();
    let nats = -counts.log_probabilities(&test).sum::<f64>() / test.len() as f64;
    println!("{:.6} {nats:.6}", seconds() - start);
}
