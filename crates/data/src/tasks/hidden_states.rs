//! Symbols that hidden states emit, from a hidden Markov model that is known.
//!
//! ```text
//! state s_t    drawn from row s_(t-memory) of the transitions; the first `memory` of them each state equally likely
//! symbol x_t   drawn from row s_t of the emissions
//!
//!              of 20      0   1   2          of 20      0   1   2   3   4   5
//! transitions  state 0   17   2   1          state 0    8   6   2   2   1   1
//!              state 1    1  17   2          state 1    1   1   8   6   2   2
//!              state 2    2   1  17          state 2    2   2   1   1   8   6
//! ```
//!
//! `asks = "symbol"` is language modelling: the next symbol at each position. `asks = "state"` is tagging: the state of each
//! position, all symbols of the sequence being read. With `memory = 1` three hidden states are all there is to know. With 3 there are three
//! such chains that take turns, so that what comes next depends on the state three positions before, and one chain would need 27
//! states to say the same.
//!
//! Training has `examples` sequences of `length` symbols, of which the first `labelled` say what is asked (0: all of them do); a
//! training batch draws from those. A share `missing` of the symbols is not seen: a symbol after the others, 6, stands there, and is never
//! asked for. `excess` is the cross-entropy of the answers less that of the true model on the same positions, which sums over what is missing.

use sequence::{
    Batch, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Random, Score, Stream, Targets, Task,
    TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{EVALUATED, EVALUATION_BATCH, TokenSequence, collate};
use crate::metrics::Classification;
use crate::{DataError, settings};

const NAME: &str = "hidden-states";
const STATES: usize = 3;
const SYMBOLS: usize = 6;

/// Probabilities are given in parts of this.
const PARTS: u32 = 20;
const TRANSITIONS: [[u32; STATES]; STATES] = [[17, 2, 1], [1, 17, 2], [2, 1, 17]];
const EMISSIONS: [[u32; SYMBOLS]; STATES] = [[8, 6, 2, 2, 1, 1], [1, 1, 8, 6, 2, 2], [2, 2, 1, 1, 8, 6]];

/// What is written where a symbol was not seen.
#[expect(clippy::cast_possible_truncation, reason = "there are six symbols")]
const NOT_SEEN: u32 = SYMBOLS as u32;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say the next symbol, or the state, of a known hidden Markov model",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(HiddenStates::new(settings::parse(NAME, given)?)?)),
};

/// What is asked at each position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Asks {
    /// The next symbol.
    Symbol,
    /// The state that emitted this one.
    State,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// What is asked at each position.
    asks: Asks,
    /// Training sequences.
    examples: usize,
    /// Training sequences that say what is asked; 0 for all.
    labelled: usize,
    /// Symbols of a sequence.
    length: usize,
    /// How many positions before lies the state on which a state depends.
    memory: usize,
    /// Share of the symbols that are not seen.
    missing: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self { asks: Asks::Symbol, examples: 500, labelled: 0, length: 40, memory: 1, missing: 0.0 }
    }
}

struct HiddenStates {
    config: Config,
}

/// One outcome, each being so many parts likely.
fn draw<const OUTCOMES: usize>(random: &mut Random, parts: &[u32; OUTCOMES]) -> usize {
    let mut left = random.below(PARTS);
    for (outcome, &of_outcome) in parts.iter().enumerate() {
        if left < of_outcome {
            return outcome;
        }
        left -= of_outcome;
    }
    unreachable!("the parts of a row sum to all")
}

/// Parts as a probability.
fn probability(parts: u32) -> f64 {
    f64::from(parts) / f64::from(PARTS)
}

/// Scales to a sum of 1.
fn normalise(weights: &mut [f64; STATES]) {
    let sum: f64 = weights.iter().sum();
    for weight in weights {
        *weight /= sum;
    }
}

/// The probabilities of the states one step of a chain later.
fn step(states: &[f64; STATES]) -> [f64; STATES] {
    let mut next = [0.0; STATES];
    for (state, row) in states.iter().zip(&TRANSITIONS) {
        next.iter_mut().zip(row).for_each(|(sum, &parts)| *sum += state * probability(parts));
    }
    next
}

/// How likely each state emits a symbol: 1 where none was seen.
fn emits(symbol: u32) -> [f64; STATES] {
    EMISSIONS.map(|row| row.get(symbol as usize).map_or(1.0, |&parts| probability(parts)))
}

impl HiddenStates {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "examples", &config.examples, 1..=1_000_000)?;
        settings::within(NAME, "labelled", &config.labelled, 0..=config.examples)?;
        settings::within(NAME, "length", &config.length, 2..=10_000)?;
        settings::within(NAME, "memory", &config.memory, 1..=config.length)?;
        settings::within(NAME, "missing", &config.missing, 0.0..=0.99)?;
        Ok(Self { config })
    }

    fn outputs(&self) -> usize {
        match self.config.asks {
            Asks::Symbol => SYMBOLS,
            Asks::State => STATES,
        }
    }

    /// Training sequences that say what is asked.
    fn labelled(&self) -> usize {
        if self.config.labelled == 0 { self.config.examples } else { self.config.labelled }
    }

    /// The sequence of a number in one part of the examples. Each has a stream of its own, so that one can be drawn without
    /// the others; what is missing is drawn last, so that the symbols are the same whatever is.
    fn sequence(&self, base: u64, stream: Stream, number: usize, labelled: bool) -> TokenSequence {
        let Config { asks, length, memory, missing, .. } = self.config;
        let mut random = Random::new(base.wrapping_add(number as u64), stream);
        let (mut states, mut symbols) = (Vec::with_capacity(length + 1), Vec::with_capacity(length + 1));
        for position in 0..=length {
            let state = match position.checked_sub(memory) {
                Some(before) => draw(&mut random, &TRANSITIONS[states[before]]),
                None => random.index(STATES),
            };
            states.push(state);
            symbols.push(draw(&mut random, &EMISSIONS[state]));
        }
        let seen: Vec<bool> = (0..=length).map(|_| random.unit() >= missing).collect();
        let number = |class: usize| u32::try_from(class).expect("classes are few");
        let inputs = (0..length).map(|at| if seen[at] { number(symbols[at]) } else { NOT_SEEN }).collect();
        let (targets, counts): (Vec<u32>, Vec<bool>) = match asks {
            Asks::Symbol => {
                let next = |at: usize| (if seen[at] { number(symbols[at]) } else { 0 }, labelled && seen[at]);
                (1..=length).map(next).unzip()
            }
            Asks::State => states[..length].iter().map(|&state| (number(state), labelled)).unzip(),
        };
        let targets = targets.iter().zip(&counts).map(|(&target, &counts)| if counts { target } else { 0 });
        TokenSequence { inputs, targets: targets.collect(), counts }
    }

    fn evaluated(&self, seed: u64, stream: Stream) -> Vec<Batch> {
        let base = Random::new(seed, stream).bits();
        let all: Vec<_> = (0..EVALUATED).map(|number| self.sequence(base, stream, number, true)).collect();
        all.chunks(EVALUATION_BATCH).map(|sequences| collate(sequences, NOT_SEEN)).collect()
    }

    /// What the true model answers at each position of a sequence: probabilities, summed over all that was not seen.
    fn truth(&self, symbols: &[u32]) -> Vec<Vec<f64>> {
        let Config { asks, memory, .. } = self.config;
        let positions = match asks {
            Asks::Symbol => symbols.len() + 1,
            Asks::State => symbols.len(),
        };
        // Of each position, the states given what came before in its chain.
        let mut before = vec![[1.0 / STATES as f64; STATES]; positions];
        let filtered = |before: &[f64; STATES], symbol| {
            let mut states = *before;
            states.iter_mut().zip(emits(symbol)).for_each(|(state, likely)| *state *= likely);
            normalise(&mut states);
            states
        };
        for position in memory..positions {
            before[position] = step(&filtered(&before[position - memory], symbols[position - memory]));
        }
        if asks == Asks::Symbol {
            let of_symbol = |states: &[f64; STATES], symbol: usize| {
                states.iter().zip(&EMISSIONS).map(|(state, row)| state * probability(row[symbol])).sum()
            };
            let next = |states| (0..SYMBOLS).map(|symbol| of_symbol(states, symbol)).collect();
            return before[1..].iter().map(next).collect();
        }
        // And how likely is what comes after, up to a factor.
        let mut after = vec![[1.0; STATES]; positions];
        for position in (0..positions.saturating_sub(memory)).rev() {
            let (later, likely) = (after[position + memory], emits(symbols[position + memory]));
            for (of_state, row) in after[position].iter_mut().zip(&TRANSITIONS) {
                let next = row.iter().zip(&likely).zip(&later);
                *of_state = next.map(|((&parts, likely), later)| probability(parts) * likely * later).sum();
            }
            normalise(&mut after[position]);
        }
        let smoothed = |position: usize| {
            let mut states = filtered(&before[position], symbols[position]);
            states.iter_mut().zip(&after[position]).for_each(|(state, later)| *state *= later);
            normalise(&mut states);
            states.to_vec()
        };
        (0..positions).map(smoothed).collect()
    }

    /// The cross-entropy of the true model at the supervised positions, in nats.
    fn true_cross_entropy(&self, batches: &[Batch]) -> f64 {
        let (mut nats, mut positions) = (0.0, 0);
        for batch in batches {
            let (Inputs::Tokens(tokens), Targets::Classes(classes)) = (&batch.inputs, &batch.targets) else {
                unreachable!("symbols are read, and classes are asked for");
            };
            for (row, &length) in batch.lengths.iter().enumerate() {
                let first = row * batch.time;
                let answers = self.truth(&tokens[first..first + length]);
                for (place, answer) in (first..).zip(&answers).filter(|(place, _)| batch.loss_mask[*place]) {
                    nats -= libm::log(answer[classes[place] as usize]);
                    positions += 1;
                }
            }
        }
        nats / f64::from(positions)
    }
}

impl Task for HiddenStates {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Tokens { vocabulary: SYMBOLS + usize::from(self.config.missing > 0.0) },
            outputs: self.outputs(),
            loss: LossKind::CrossEntropy,
            maximum_time: self.config.length,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let base = Random::new(seed, Stream::Training(0)).bits();
        let mut random = Random::new(seed, Stream::Training(update + 1));
        let drawn = (0..size).map(|_| random.index(self.labelled()));
        let sequences: Vec<_> =
            drawn.map(|number| self.sequence(base, Stream::Training(0), number, true)).collect();
        collate(&sequences, NOT_SEEN)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        self.evaluated(seed, Stream::Validation)
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        vec![TestSet { name: "test".to_owned(), batches: self.evaluated(seed, Stream::Test) }]
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        let answers = Classification::over(batches, predictions, |_, _| true);
        let cross_entropy = answers.cross_entropy();
        let excess = cross_entropy.value - self.true_cross_entropy(batches);
        let excess = Score { metric: "excess", value: excess, ..cross_entropy };
        vec![cross_entropy, answers.accuracy("accuracy"), excess]
    }

    fn larger_is_better(&self) -> bool {
        false
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    /// All states are equally likely at every position, so that the shares of the symbols are the mean of the emissions.
    fn floors(&self) -> Vec<Floor> {
        let shares: Vec<f64> = match self.config.asks {
            Asks::Symbol => (0..SYMBOLS)
                .map(|symbol| {
                    EMISSIONS.iter().map(|row| probability(row[symbol])).sum::<f64>() / STATES as f64
                })
                .collect(),
            Asks::State => vec![1.0 / STATES as f64; STATES],
        };
        let entropy = -shares.iter().map(|share| share * libm::log(*share)).sum::<f64>();
        let most = shares.iter().copied().fold(0.0, f64::max);
        vec![
            Floor { metric: "cross-entropy", name: "shares", value: entropy },
            Floor { metric: "accuracy", name: "most-frequent", value: most },
        ]
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        let base = Random::new(seed, Stream::Training(0)).bits();
        let of = |number| self.sequence(base, Stream::Training(0), number, number < self.labelled());
        Some(vec![collate(&(0..self.config.examples).map(of).collect::<Vec<_>>(), NOT_SEEN)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, predict, rows};

    fn of(config: Config) -> HiddenStates {
        HiddenStates::new(config).unwrap()
    }

    const TAGGING: Config =
        Config { asks: Asks::State, examples: 20, labelled: 0, length: 40, memory: 1, missing: 0.0 };

    /// The probability of a whole sequence of states and symbols.
    fn joint(memory: usize, states: &[usize], symbols: &[u32]) -> f64 {
        let of_state = |at: usize| match at.checked_sub(memory) {
            Some(before) => probability(TRANSITIONS[states[before]][states[at]]),
            None => 1.0 / 3.0,
        };
        (0..states.len()).map(|at| of_state(at) * emits(symbols[at])[states[at]]).product()
    }

    /// All sequences of so many digits below a base.
    fn every(base: usize, digits: u32) -> impl Iterator<Item = Vec<usize>> {
        (0..base.pow(digits))
            .map(move |number| (0..digits).map(|digit| number / base.pow(digit) % base).collect())
    }

    #[test]
    fn rows_sum_to_all_and_every_state_is_equally_likely() {
        assert!(TRANSITIONS.iter().all(|row| row.iter().sum::<u32>() == PARTS));
        assert!(EMISSIONS.iter().all(|row| row.iter().sum::<u32>() == PARTS));
        // From an even start: columns sum to all, too.
        assert!((0..3).all(|state| TRANSITIONS.iter().map(|row| row[state]).sum::<u32>() == PARTS));
        // By hand: symbols have 11 and 9 of 60 in turn, so that the entropy is 3 (11/60 ln 60/11 + 9/60 ln 60/9).
        let entropy = 3.0 * (11.0 / 60.0 * (60.0_f64 / 11.0).ln() + 9.0 / 60.0 * (60.0_f64 / 9.0).ln());
        let floors = of(Config::default()).floors();
        assert!((floors[0].value - entropy).abs() < 1e-12 && (floors[1].value - 11.0 / 60.0).abs() < 1e-12);
    }

    #[test]
    fn sequences_have_the_probabilities_of_the_rows() {
        for memory in [1, 3] {
            let task = of(Config { examples: 2500, memory, ..TAGGING });
            let set = &task.training_set(5).unwrap()[0];
            let (symbols, states) = (rows(set), classes(set));
            let (mut moves, mut emitted) = ([[0_u32; 3]; 3], [[0_u32; 6]; 3]);
            for (row, symbols) in symbols.iter().enumerate() {
                let states = &states[row * 40..][..40];
                for at in 0..40 {
                    emitted[states[at] as usize][symbols[at] as usize] += 1;
                    if at >= memory {
                        moves[states[at - memory] as usize][states[at] as usize] += 1;
                    }
                }
            }
            let near = |counts: &[u32], parts: &[u32]| {
                let total = f64::from(counts.iter().sum::<u32>());
                for (&count, &parts) in counts.iter().zip(parts) {
                    // Some 33,000 draws a row: four standard errors are below 0.011.
                    assert!((f64::from(count) / total - probability(parts)).abs() < 0.011, "{counts:?}");
                }
            };
            for state in 0..3 {
                near(&moves[state], &TRANSITIONS[state]);
                near(&emitted[state], &EMISSIONS[state]);
            }
        }
    }

    #[test]
    fn the_true_answers_are_those_of_enumeration() {
        // Six positions of three states: 729 sequences, of which the probabilities are summed; one symbol was not seen.
        let symbols = [0, 2, NOT_SEEN, 5, 4, 1];
        for memory in [1, 2, 3] {
            let asked = |asks| of(Config { asks, length: 6, memory, ..TAGGING }).truth(&symbols);
            let mut sums = vec![[0.0; 3]; 6];
            for states in every(3, 6) {
                let probability = joint(memory, &states, &symbols);
                states.iter().zip(&mut sums).for_each(|(&state, sum)| sum[state] += probability);
            }
            for (answer, mut sum) in asked(Asks::State).iter().zip(sums) {
                normalise(&mut sum);
                assert!(answer.iter().zip(sum).all(|(a, b)| (a - b).abs() < 1e-12), "{memory}");
            }
            // The next symbol after five, and after one: its probability with what was seen, over that alone.
            for read in [1_u32, 5] {
                let total = |symbols: &[u32]| -> f64 {
                    every(3, read + 1).map(|states| joint(memory, &states, symbols)).sum()
                };
                let known = &symbols[..read as usize];
                let next =
                    |symbol: u32| total(&[known, &[symbol]].concat()) / total(&[known, &[NOT_SEEN]].concat());
                let answer = &asked(Asks::Symbol)[read as usize - 1];
                for symbol in 0..6 {
                    assert!((answer[symbol as usize] - next(symbol)).abs() < 1e-12, "{memory} {read}");
                }
            }
        }
    }

    #[test]
    fn the_true_model_has_no_excess_and_others_have() {
        for asks in [Asks::Symbol, Asks::State] {
            for (memory, missing) in [(1, 0.0), (3, 0.0), (1, 0.4)] {
                let task = of(Config { asks, memory, missing, ..TAGGING });
                let batches = task.validation(2);
                let outputs = task.outputs();
                #[expect(clippy::cast_possible_truncation, reason = "predictions are f32")]
                let truth = |batch: &Batch| {
                    let answers: Vec<_> = rows(batch).iter().map(|row| task.truth(row)).collect();
                    predict(batch, outputs, |row, time| {
                        answers[row][time].iter().map(|probability| probability.ln() as f32).collect()
                    })
                };
                let even = |batch: &Batch| predict(batch, outputs, |_, _| testing::even(outputs, 0..outputs));
                let scores = |answers: Vec<Predictions>| task.scores(&batches, &answers);
                let of_truth = scores(batches.iter().map(truth).collect());
                assert!(of_truth[2].value.abs() < 1e-6, "{of_truth:?}");
                // The states say more than nothing: at least 0.01 nats, and the next symbol after three steps the least.
                let of_even = scores(batches.iter().map(even).collect());
                assert!(of_even[2].value > 0.01 && of_even[0].value > of_truth[0].value, "{of_even:?}");
                assert!((of_even[0].value - (outputs as f64).ln()).abs() < 1e-6, "{of_even:?}");
            }
        }
    }

    #[test]
    fn the_next_symbol_is_the_target_unless_it_is_not_seen() {
        let task = of(Config { asks: Asks::Symbol, missing: 0.3, ..TAGGING });
        let (mut hidden, mut all) = (0, 0);
        for batch in task.test(3).remove(0).batches {
            for (row, inputs) in rows(&batch).iter().enumerate() {
                for at in 0..39 {
                    let place = row * 40 + at;
                    assert_eq!(batch.loss_mask[place], inputs[at + 1] != NOT_SEEN);
                    let expected = if inputs[at + 1] == NOT_SEEN { 0 } else { inputs[at + 1] };
                    assert_eq!(classes(&batch)[place], expected);
                    hidden += u32::from(inputs[at + 1] == NOT_SEEN);
                    all += 1;
                }
            }
        }
        // Four standard errors of 39,000 draws.
        assert!((f64::from(hidden) / f64::from(all) - 0.3).abs() < 0.0093, "{hidden} of {all}");
        assert_eq!(task.interface().inputs, InputKind::Tokens { vocabulary: 7 });
        assert_eq!(of(TAGGING).interface().inputs, InputKind::Tokens { vocabulary: 6 });
        // What is seen is the same as where nothing is missing.
        let complete = of(Config { asks: Asks::Symbol, ..TAGGING }).test(3).remove(0).batches;
        for (hidden, whole) in rows(&task.test(3)[0].batches[0]).iter().zip(rows(&complete[0])) {
            assert!(hidden.iter().zip(whole).all(|(&seen, symbol)| seen == NOT_SEEN || seen == symbol));
        }
    }

    #[test]
    fn batches_draw_from_the_labelled_sequences_of_the_training_set() {
        let task = of(Config { labelled: 5, ..TAGGING });
        let set = task.training_set(1).unwrap();
        let sequences = rows(&set[0]);
        assert_eq!((sequences.len(), set[0].supervised()), (20, 5 * 40));
        assert!(classes(&set[0])[5 * 40..].iter().all(|&class| class == 0), "no label is told");
        let drawn = task.training_batch(1, 3, 200);
        assert!(rows(&drawn).iter().all(|row| sequences[..5].contains(row)) && drawn.supervised() == 8000);
        assert_eq!(testing::shared(&set, &task.test(1)[0].batches), 0);
        // Fewer examples are the first of more.
        let few = of(Config { examples: 7, ..TAGGING }).training_set(1).unwrap();
        assert_eq!(rows(&few[0]), sequences[..7]);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&of(Config::default())), "112b34c8e1148b2b");
        let tagging = Config { memory: 3, missing: 0.25, examples: 500, ..TAGGING };
        assert_eq!(testing::digest(&of(tagging)), "26ad9067084c26d8");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| HiddenStates::new(config).err().unwrap().to_string();
        assert!(refusal(Config { examples: 0, ..TAGGING }).contains("`examples`: 0 is outside"));
        assert!(
            refusal(Config { labelled: 21, ..TAGGING })
                .contains("`labelled`: 21 is outside the allowed 0 to 20")
        );
        assert!(
            refusal(Config { memory: 41, ..TAGGING }).contains("`memory`: 41 is outside the allowed 1 to 40")
        );
        assert!(refusal(Config { missing: 1.0, ..TAGGING }).contains("`missing`: 1 is outside"));
    }
}
