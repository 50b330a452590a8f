//! A hidden Markov model: symbols emitted by a chain of states that are not seen.
//!
//! ```text
//! P(s, x) = start(s_1) prod_t transitions(s_(t-1), s_t) emissions(s_t, x_t)
//! forward      a_t(j) = emissions(j, x_t) sum_i a_(t-1)(i) transitions(i, j),  scaled to a sum of 1 at every t; log P(x) is the
//!              sum of the logarithms of the scales
//! Viterbi      the same with the largest term in place of the sum
//! Baum-Welch   start, transitions, emissions are the expected counts given x, plus `smoothing`, scaled to a sum of 1; again
//! ```
//!
//! Rabiner 1989. What is not known is summed over: a symbol that was not seen has emissions of 1 in its place, a state that is told has those of
//! all other states 0. So one procedure fits symbols alone, states told everywhere, where the expected counts are the counts, and
//! states told in a part of the positions.
//!
//! Where a task asks for the next symbol, the answer is its distribution given those read so far. Where it asks for anything else,
//! each class is a state, and the answer is the probability of the states given the whole sequence (forward and backward), or given
//! what was read so far. A symbol that the model holds for impossible is passed over as if it had not been seen.

use sequence::{
    Batch, Dataset, Density, Fit, InputKind, Inputs, LearnError, Learner, LossKind, Predictions, Predictor,
    Random, Run, Stream, Targets,
};
use serde::{Deserialize, Serialize};

use crate::examples::{next_symbols, symbols};
use crate::floors::{fit_without_updates, validation_bytes};
use crate::{Counting, Reads};

const NAME: &str = "hidden-markov";

/// Bounds of the settings, so that nobody waits for ever.
const MOST_STATES: usize = 1000;
const MOST_RESTARTS: usize = 1000;

/// Settings of the hidden Markov model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct HiddenMarkovConfig {
    /// States, where the next symbol is asked for; elsewhere each class is a state.
    pub states: usize,
    /// Random starts of Baum-Welch, of which the likeliest end is kept; where states are told, it starts once, from their counts.
    pub restarts: usize,
    /// Iterations of Baum-Welch at most, for each start.
    pub iterations: usize,
    /// An iteration that gains less than this, in nats a symbol, is the last.
    pub tolerance: f64,
    /// Added to every expected count.
    pub smoothing: f64,
    /// Whether the last symbol of the vocabulary stands for one that was not seen.
    pub missing_symbol: bool,
    /// Whether states are answered given the whole sequence, and not only what was read so far.
    pub reads_ahead: bool,
}

impl Default for HiddenMarkovConfig {
    fn default() -> Self {
        Self {
            states: 3,
            restarts: 5,
            iterations: 500,
            tolerance: 1e-8,
            smoothing: 0.1,
            missing_symbol: false,
            reads_ahead: true,
        }
    }
}

impl Counting for HiddenMarkovConfig {
    const NAME: &'static str = NAME;
    const SUMMARY: &'static str =
        "hidden Markov model: symbols emitted by a chain of hidden states, fitted by Baum-Welch";
    const CITATION: &'static str = "Baum, Petrie, Soules and Weiss 1970; Rabiner 1989";
    const VERSION: u32 = 1;
    const READS: Reads = Reads::TrainingSet;

    /// Where states are asked for; the next symbol depends on those before it alone.
    fn reads_ahead(&self) -> bool {
        self.reads_ahead
    }

    fn learner(self) -> Result<Box<dyn Learner>, LearnError> {
        let within = |key: &str, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            let reason = format!("`{key}` is {value}, it must be from 1 to {most}");
            Err(LearnError::Setting { model: NAME, reason })
        };
        within("states", self.states, MOST_STATES)?;
        within("restarts", self.restarts, MOST_RESTARTS)?;
        within("iterations", self.iterations, 1_000_000)?;
        for (key, value) in [("smoothing", self.smoothing), ("tolerance", self.tolerance)] {
            if !(value.is_finite() && value >= 0.0) {
                let reason = format!("`{key}` is {value}, it must be 0 or more");
                return Err(LearnError::Setting { model: NAME, reason });
            }
        }
        Ok(Box::new(BaumWelch { config: self }))
    }
}

/// A hidden Markov model that has seen nothing yet.
struct BaumWelch {
    config: HiddenMarkovConfig,
}

/// A sequence as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The symbol of each position, if it was seen.
    pub symbols: Vec<Option<u32>>,
    /// The state of each position, if it is told.
    pub states: Vec<Option<u32>>,
}

impl Observed {
    /// Symbols alone, of which those from `vocabulary` on were not seen.
    #[must_use]
    pub fn of(symbols: &[u32], vocabulary: usize) -> Self {
        let seen = |symbol: &u32| ((*symbol as usize) < vocabulary).then_some(*symbol);
        Self { symbols: symbols.iter().map(seen).collect(), states: vec![None; symbols.len()] }
    }

    fn len(&self) -> usize {
        self.symbols.len()
    }
}

/// What a task asks for at each position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Symbol,
    State,
}

/// The training set as sequences, what is asked of them, and how many symbols there are.
struct Sequences {
    all: Vec<Observed>,
    asks: Asks,
    symbols: usize,
}

impl BaumWelch {
    fn sequences(&self, data: &Dataset) -> Result<Sequences, LearnError> {
        let unsuitable = |reason: &str| LearnError::Unsuitable { model: NAME, reason: reason.to_owned() };
        let interface = data.interface();
        let InputKind::Tokens { vocabulary } = interface.inputs else {
            return Err(unsuitable("it reads one sequence of symbols, and this task has something else"));
        };
        if interface.loss != LossKind::CrossEntropy {
            return Err(unsuitable("it answers symbols or states, and this task asks for a value"));
        }
        let symbols = vocabulary - usize::from(self.config.missing_symbol);
        if symbols == 0 {
            return Err(unsuitable("its only symbol stands for one not seen; leave `missing-symbol` out"));
        }
        if let (None, Some(text)) = (data.training_set(), data.training_text()) {
            if interface.outputs != symbols {
                return Err(unsuitable(
                    "of a text it answers each next symbol, and this task asks for others",
                ));
            }
            let all = vec![Observed::of(text, symbols)];
            return Ok(Sequences { all, asks: Asks::Symbol, symbols });
        }
        let batches = data.training_set().ok_or_else(|| {
            unsuitable("it fits all examples at once, and this task is an endless stream of them")
        })?;
        if let Some(texts) = batches.iter().map(next_symbols).collect::<Option<Vec<_>>>() {
            // Taken for states, which are answered given the whole sequence, the next symbols would be seen.
            if interface.outputs != symbols {
                return Err(unsuitable(&format!(
                    "this task asks for the next of {} symbols, and the model has {symbols}: `missing-symbol` says whether the last \
                     one of the vocabulary stands for one not seen",
                    interface.outputs
                )));
            }
            let all = texts.concat().iter().map(|text| Observed::of(text, symbols)).collect();
            return Ok(Sequences { all, asks: Asks::Symbol, symbols });
        }
        let all = batches.iter().flat_map(|batch| told(batch, symbols)).collect();
        Ok(Sequences { all, asks: Asks::State, symbols })
    }
}

/// Symbols with the states that the targets tell.
fn told(batch: &Batch, vocabulary: usize) -> Vec<Observed> {
    let Targets::Classes(classes) = &batch.targets else { return Vec::new() };
    let sequence = |(row, text): (usize, Vec<u32>)| {
        let first = row * batch.time;
        let state = |place: usize| batch.loss_mask[place].then_some(classes[place]);
        let states = (first..first + text.len()).map(state).collect();
        Observed { states, ..Observed::of(&text, vocabulary) }
    };
    symbols(batch).into_iter().enumerate().map(sequence).collect()
}

impl Learner for BaumWelch {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let HiddenMarkovConfig { restarts, reads_ahead, .. } = self.config;
        let Sequences { all, asks, symbols } = self.sequences(data)?;
        let states = if asks == Asks::Symbol { self.config.states } else { data.interface().outputs };
        let mut random = Random::new(run.seed, Stream::Initialisation);
        let starts: Vec<HiddenMarkov> = match asks {
            Asks::Symbol => {
                (0..restarts).map(|_| HiddenMarkov::random(states, symbols, &mut random)).collect()
            }
            Asks::State => vec![HiddenMarkov::counted(states, symbols, &all)],
        };
        let mut multiply_adds = 0;
        let mut best: Option<(f64, HiddenMarkov)> = None;
        for start in starts {
            let (model, course) = start.baum_welch(&all, &self.config);
            multiply_adds += course.len() as u64 * model.iteration_multiply_adds(&all);
            let end = course.last().copied().unwrap_or(f64::NEG_INFINITY);
            if best.as_ref().is_none_or(|(most, _)| end > *most) {
                best = Some((end, model));
            }
        }
        let (_, model) = best.expect("Baum-Welch has started at least once");
        let fitted = Fitted { model, asks, reads_ahead };
        Ok(Fit { multiply_adds, ..fit_without_updates(Box::new(fitted), data, run) })
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        let of_batch = |batch: &Batch| batch.size * batch.time;
        let of_set: usize = data.training_set().iter().flatten().map(of_batch).sum();
        let positions = of_set.max(data.training_text().map_or(0, <[u32]>::len));
        let states = self.config.states.max(data.interface().outputs);
        // Of a position, the symbol and state of the task and of ours; of a text, which is one sequence, the scaled values, too.
        (positions * (40 + 24 * states) + 8 * states * states) as u64 + validation_bytes(data)
    }
}

/// The parameters: probabilities, of which each row sums to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct HiddenMarkov {
    /// Number of states.
    pub states: usize,
    /// Number of symbols.
    pub symbols: usize,
    /// Of the first state, `[states]`.
    pub start: Vec<f64>,
    /// Of the next state, `[states, states]`.
    pub transitions: Vec<f64>,
    /// Of the symbol, `[states, symbols]`.
    pub emissions: Vec<f64>,
}

/// The scaled forward pass.
struct Forward {
    /// The states given what was seen up to a position, `[time, states]`.
    filtered: Vec<f64>,
    /// The probability of each symbol given those before; 1 where there is nothing to know, and 0 where it is impossible.
    scales: Vec<f64>,
}

impl Forward {
    /// The natural logarithm of the probability of the sequence.
    fn log_probability(&self) -> f64 {
        self.scales.iter().map(|scale| scale.ln()).sum()
    }
}

/// Counts as Baum-Welch expects them, in the shapes of a chain.
struct Counts {
    start: Vec<f64>,
    transitions: Vec<f64>,
    emissions: Vec<f64>,
    log_probability: f64,
}

/// Scales to a sum of 1, which is returned; a sum of 0 or less stays as it is.
fn normalise(weights: &mut [f64]) -> f64 {
    let sum: f64 = weights.iter().sum();
    if sum > 0.0 {
        let by = 1.0 / sum;
        for weight in weights {
            *weight *= by;
        }
    }
    sum
}

/// A distribution drawn evenly from all distributions.
fn drawn_row(length: usize, random: &mut Random) -> Vec<f64> {
    let mut row: Vec<f64> = (0..length).map(|_| 1e-3 - (1.0 - f64::from(random.unit())).ln()).collect();
    normalise(&mut row);
    row
}

impl HiddenMarkov {
    /// Where Baum-Welch starts when nothing is told: each row drawn evenly from all distributions.
    #[must_use]
    pub fn random(states: usize, symbols: usize, random: &mut Random) -> Self {
        let start = drawn_row(states, random);
        let transitions = (0..states).flat_map(|_| drawn_row(states, random)).collect();
        let emissions = (0..states).flat_map(|_| drawn_row(symbols, random)).collect();
        Self { states, symbols, start, transitions, emissions }
    }

    /// Where it starts when states are told: their counts, 1 added to each.
    fn counted(states: usize, symbols: usize, all: &[Observed]) -> Self {
        let mut counts = Counts {
            start: vec![1.0; states],
            transitions: vec![1.0; states * states],
            emissions: vec![1.0; states * symbols],
            log_probability: 0.0,
        };
        for sequence in all {
            let mut before = None;
            for (at, (symbol, state)) in sequence.symbols.iter().zip(&sequence.states).enumerate() {
                let state = state.map(|state| state as usize);
                if let (Some(state), Some(symbol)) = (state, symbol) {
                    counts.emissions[state * symbols + *symbol as usize] += 1.0;
                }
                if let (Some(before), Some(state)) = (before, state) {
                    counts.transitions[before * states + state] += 1.0;
                }
                if let (0, Some(state)) = (at, state) {
                    counts.start[state] += 1.0;
                }
                before = state;
            }
        }
        let even = |length: usize, rows: usize| vec![1.0 / length as f64; length * rows];
        let (start, transitions) = (even(states, 1), even(states, states));
        Self { states, symbols, start, transitions, emissions: even(symbols, states) }.refitted(&counts, 0.0)
    }

    /// Multiplies the states of one position by how likely each is to have emitted what was seen there, and to be the one told.
    fn weigh(&self, weights: &mut [f64], symbol: Option<u32>, told: Option<u32>) {
        if let Some(symbol) = symbol {
            let emissions = self.emissions[symbol as usize..].iter().step_by(self.symbols);
            weights.iter_mut().zip(emissions).for_each(|(weight, likely)| *weight *= likely);
        }
        if let Some(told) = told {
            for (state, weight) in weights.iter_mut().enumerate() {
                if state != told as usize {
                    *weight = 0.0;
                }
            }
        }
    }

    /// The next state's distribution, from that of a state.
    fn step(&self, states: &[f64], next: &mut [f64]) {
        next.fill(0.0);
        for (state, row) in states.iter().zip(self.transitions.chunks_exact(self.states)) {
            next.iter_mut().zip(row).for_each(|(sum, likely)| *sum += state * likely);
        }
    }

    /// The natural logarithm of the probability of a sequence, summed over all that is not known of it.
    #[must_use]
    pub fn log_probability(&self, sequence: &Observed) -> f64 {
        self.forward(sequence).log_probability()
    }

    /// The forward pass. What is impossible has a scale of 0 and is passed over.
    fn forward(&self, sequence: &Observed) -> Forward {
        let mut filtered = vec![0.0; sequence.len() * self.states];
        let mut scales = Vec::with_capacity(sequence.len());
        let mut before = self.start.clone();
        let known = sequence.symbols.iter().zip(&sequence.states);
        for (states, (symbol, told)) in filtered.chunks_exact_mut(self.states).zip(known) {
            states.copy_from_slice(&before);
            self.weigh(states, *symbol, *told);
            let scale = normalise(states);
            scales.push(scale);
            if scale <= 0.0 {
                states.copy_from_slice(&before);
            }
            self.step(states, &mut before);
        }
        Forward { filtered, scales }
    }

    /// Of how likely what comes after a position is, how likely it is together with that position.
    fn weigh_after(&self, after: &mut [f64], sequence: &Observed, forward: &Forward, at: usize) {
        if forward.scales[at] > 0.0 {
            self.weigh(after, sequence.symbols[at], sequence.states[at]);
            let by = 1.0 / forward.scales[at];
            for weight in after {
                *weight *= by;
            }
        }
    }

    /// For each position and state how likely what comes after is, over how likely it is given what came before, `[time, states]`.
    fn backward(&self, sequence: &Observed, forward: &Forward) -> Vec<f64> {
        let mut after = vec![1.0; sequence.len() * self.states];
        let mut weights = vec![0.0; self.states];
        for at in (1..sequence.len()).rev() {
            let (earlier, later) = after.split_at_mut(at * self.states);
            weights.copy_from_slice(&later[..self.states]);
            self.weigh_after(&mut weights, sequence, forward, at);
            let here = &mut earlier[(at - 1) * self.states..];
            for (sum, row) in here.iter_mut().zip(self.transitions.chunks_exact(self.states)) {
                *sum = row.iter().zip(&weights).map(|(likely, weight)| likely * weight).sum();
            }
        }
        after
    }

    /// The states of each position given the whole sequence, `[time, states]`.
    #[must_use]
    pub fn smoothed(&self, sequence: &Observed) -> Vec<f64> {
        let forward = self.forward(sequence);
        let after = self.backward(sequence, &forward);
        let mut states = forward.filtered;
        states.iter_mut().zip(after).for_each(|(state, after)| *state *= after);
        states.chunks_exact_mut(self.states).for_each(|row| {
            normalise(row);
        });
        states
    }

    /// The likeliest sequence of states, and the natural logarithm of its probability together with the symbols (Viterbi 1967). Of equally
    /// likely states the first is taken.
    #[must_use]
    pub fn viterbi(&self, sequence: &Observed) -> (Vec<usize>, f64) {
        let logs = |values: &[f64]| -> Vec<f64> { values.iter().map(|value| value.ln()).collect() };
        let (start, transitions) = (logs(&self.start), logs(&self.transitions));
        let emitted = |at: usize| {
            let mut weights = vec![1.0; self.states];
            self.weigh(&mut weights, sequence.symbols[at], sequence.states[at]);
            logs(&weights)
        };
        let largest = |values: &mut dyn Iterator<Item = f64>| {
            let first = (0, f64::NEG_INFINITY);
            values.enumerate().fold(first, |best, one| if one.1 > best.1 { one } else { best })
        };
        let mut best: Vec<f64> = match sequence.len() {
            0 => return (Vec::new(), 0.0),
            _ => start.iter().zip(emitted(0)).map(|(start, emitted)| start + emitted).collect(),
        };
        // Of each later position and state, the best state before.
        let mut before: Vec<Vec<usize>> = Vec::new();
        for at in 1..sequence.len() {
            let reached = |state: usize| {
                largest(
                    &mut (0..self.states).map(|from| best[from] + transitions[from * self.states + state]),
                )
            };
            let (from, scores): (Vec<usize>, Vec<f64>) = (0..self.states).map(reached).unzip();
            best = scores.iter().zip(emitted(at)).map(|(score, emitted)| score + emitted).collect();
            before.push(from);
        }
        let (mut state, log_probability) = largest(&mut best.iter().copied());
        let mut path = vec![state];
        for from in before.iter().rev() {
            state = from[state];
            path.push(state);
        }
        path.reverse();
        (path, log_probability)
    }

    /// States and symbols of a new sequence.
    ///
    /// # Panics
    /// When there are more than 2^32 states or symbols.
    #[must_use]
    pub fn sample(&self, length: usize, random: &mut Random) -> (Vec<u32>, Vec<u32>) {
        let mut draw = |row: &[f64]| {
            let mut left = f64::from(random.unit());
            let below = |likely: &f64| {
                left -= likely;
                left < 0.0
            };
            // Rounding may leave a little after the last.
            row.iter().position(below).unwrap_or(row.len() - 1)
        };
        let (mut states, mut symbols) = (Vec::new(), Vec::new());
        let mut row = self.start.as_slice();
        for _ in 0..length {
            let state = draw(row);
            row = &self.transitions[state * self.states..][..self.states];
            let symbol = draw(&self.emissions[state * self.symbols..][..self.symbols]);
            for (drawn, all) in [(state, &mut states), (symbol, &mut symbols)] {
                all.push(u32::try_from(drawn).expect("there are fewer states and symbols than 2^32"));
            }
        }
        (states, symbols)
    }

    /// The distribution of a symbol, from that of its state.
    fn emitted(&self, states: &[f64]) -> Vec<f64> {
        let mut symbols = vec![0.0; self.symbols];
        for (state, row) in states.iter().zip(self.emissions.chunks_exact(self.symbols)) {
            symbols.iter_mut().zip(row).for_each(|(sum, likely)| *sum += state * likely);
        }
        symbols
    }

    /// Expected counts of what is not known, summed over all sequences.
    fn expected_counts(&self, all: &[Observed]) -> Counts {
        let mut counts = Counts {
            start: vec![0.0; self.states],
            transitions: vec![0.0; self.transitions.len()],
            emissions: vec![0.0; self.emissions.len()],
            log_probability: 0.0,
        };
        let mut after = vec![0.0; self.states];
        let mut weights = vec![0.0; self.states];
        for sequence in all.iter().filter(|sequence| sequence.len() > 0) {
            let forward = self.forward(sequence);
            counts.log_probability += forward.log_probability();
            // As in `backward`, but of one position at a time.
            after.fill(1.0);
            for at in (0..sequence.len()).rev() {
                let here = &forward.filtered[at * self.states..(at + 1) * self.states];
                for (weight, (state, after)) in weights.iter_mut().zip(here.iter().zip(&after)) {
                    *weight = state * after;
                }
                if let Some(symbol) = sequence.symbols[at] {
                    let sums = counts.emissions[symbol as usize..].iter_mut().step_by(self.symbols);
                    sums.zip(&weights).for_each(|(sum, state)| *sum += state);
                }
                if at == 0 {
                    counts.start.iter_mut().zip(&weights).for_each(|(sum, state)| *sum += state);
                    break;
                }
                self.weigh_after(&mut after, sequence, &forward, at);
                weights.copy_from_slice(&after);
                let before = &forward.filtered[(at - 1) * self.states..at * self.states];
                let rows = self.transitions.chunks_exact(self.states);
                let sums = counts.transitions.chunks_exact_mut(self.states);
                for (((from, row), sums), after) in before.iter().zip(rows).zip(sums).zip(&mut after) {
                    let mut all = 0.0;
                    for ((sum, likely), weight) in sums.iter_mut().zip(row).zip(&weights) {
                        let both = likely * weight;
                        *sum += from * both;
                        all += both;
                    }
                    *after = all;
                }
            }
        }
        counts
    }

    /// The chain of these counts, `smoothing` being added to each. A row of which nothing was counted stays as it was.
    fn refitted(&self, counts: &Counts, smoothing: f64) -> Self {
        let rows = |counts: &[f64], old: &[f64], length: usize| -> Vec<f64> {
            let mut new: Vec<f64> = counts.iter().map(|count| count + smoothing).collect();
            for (row, old) in new.chunks_exact_mut(length).zip(old.chunks_exact(length)) {
                if normalise(row) <= 0.0 {
                    row.copy_from_slice(old);
                }
            }
            new
        };
        Self {
            start: rows(&counts.start, &self.start, self.states),
            transitions: rows(&counts.transitions, &self.transitions, self.states),
            emissions: rows(&counts.emissions, &self.emissions, self.symbols),
            ..*self
        }
    }

    /// What Baum-Welch raises: the log-probability of all sequences, and of the parameters under the Dirichlet distribution that
    /// `smoothing` stands for, up to a constant.
    fn objective(&self, log_probability: f64, smoothing: f64) -> f64 {
        if smoothing == 0.0 {
            return log_probability;
        }
        let parameters = self.start.iter().chain(&self.transitions).chain(&self.emissions);
        log_probability + smoothing * parameters.map(|parameter| parameter.ln()).sum::<f64>()
    }

    /// Raises the likelihood of all sequences; the objective before each iteration, which no later one lowers.
    #[must_use]
    pub fn baum_welch(self, all: &[Observed], config: &HiddenMarkovConfig) -> (Self, Vec<f64>) {
        let symbols: usize = all.iter().map(Observed::len).sum();
        let enough = config.tolerance * symbols.max(1) as f64;
        let mut model = self;
        let mut course: Vec<f64> = Vec::new();
        for _ in 0..config.iterations {
            let counts = model.expected_counts(all);
            let objective = model.objective(counts.log_probability, config.smoothing);
            let gain = course.last().map_or(f64::INFINITY, |last| objective - last);
            course.push(objective);
            model = model.refitted(&counts, config.smoothing);
            if gain < enough {
                break;
            }
        }
        (model, course)
    }

    /// Multiply-adds of one iteration: each pair of states forward, backward and in the counts, and each state with its symbol.
    fn iteration_multiply_adds(&self, all: &[Observed]) -> u64 {
        let positions: usize = all.iter().map(Observed::len).sum();
        (positions * (3 * self.states * self.states + 3 * self.states)) as u64
    }
}

/// A fitted hidden Markov model.
#[derive(Clone, Debug)]
struct Fitted {
    model: HiddenMarkov,
    asks: Asks,
    reads_ahead: bool,
}

impl Fitted {
    /// Probabilities of the answers at each position.
    fn answers(&self, symbols: &[u32]) -> Vec<Vec<f64>> {
        let observed = Observed::of(symbols, self.model.symbols);
        let states = if self.asks == Asks::State && self.reads_ahead {
            self.model.smoothed(&observed)
        } else {
            self.model.forward(&observed).filtered
        };
        let states = states.chunks_exact(self.model.states);
        match self.asks {
            Asks::State => states.map(<[f64]>::to_vec).collect(),
            Asks::Symbol => states.map(|states| self.next_symbol(states)).collect(),
        }
    }

    fn next_symbol(&self, states: &[f64]) -> Vec<f64> {
        let mut next = vec![0.0; states.len()];
        self.model.step(states, &mut next);
        self.model.emitted(&next)
    }

    fn outputs(&self) -> usize {
        if self.asks == Asks::Symbol { self.model.symbols } else { self.model.states }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "predictions are f32")]
fn log_probabilities(probabilities: &[f64]) -> impl Iterator<Item = f32> + '_ {
    probabilities.iter().map(|probability| probability.ln() as f32)
}

impl Predictor for Fitted {
    /// Positions of the padding have even answers.
    fn predict(&self, batch: &Batch) -> Predictions {
        let Inputs::Tokens(tokens) = &batch.inputs else {
            unreachable!("fitting refuses tasks whose inputs are not symbols");
        };
        let outputs = self.outputs();
        let even = vec![1.0 / outputs as f64; outputs];
        let mut values = Vec::with_capacity(batch.size * batch.time * outputs);
        for (row, &length) in batch.lengths.iter().enumerate() {
            let answers = self.answers(&tokens[row * batch.time..][..length]);
            for answer in answers {
                values.extend(log_probabilities(&answer));
            }
            (length..batch.time).for_each(|_| values.extend(log_probabilities(&even)));
        }
        Predictions { outputs, values }
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.model.start.len() + self.model.transitions.len() + self.model.emissions.len()
    }

    fn density(&self) -> Option<&dyn Density> {
        (self.asks == Asks::Symbol).then_some(self)
    }
}

impl Density for Fitted {
    fn next_log_probabilities(&self, context: &[u32]) -> Vec<f32> {
        let filtered = self.model.forward(&Observed::of(context, self.model.symbols)).filtered;
        let next = match filtered.chunks_exact(self.model.states).last() {
            Some(states) => self.next_symbol(states),
            None => self.model.emitted(&self.model.start),
        };
        log_probabilities(&next).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two states, of which the first emits symbol 0 three times of four and the second symbol 1 always; the first is left half the
    /// time, the second never.
    fn small() -> HiddenMarkov {
        HiddenMarkov {
            states: 2,
            symbols: 2,
            start: vec![0.5, 0.5],
            transitions: vec![0.5, 0.5, 0.0, 1.0],
            emissions: vec![0.75, 0.25, 0.0, 1.0],
        }
    }

    fn three() -> HiddenMarkov {
        HiddenMarkov {
            states: 3,
            symbols: 4,
            start: vec![0.6, 0.3, 0.1],
            transitions: vec![0.7, 0.2, 0.1, 0.15, 0.7, 0.15, 0.1, 0.3, 0.6],
            emissions: vec![0.5, 0.3, 0.1, 0.1, 0.1, 0.1, 0.6, 0.2, 0.05, 0.15, 0.1, 0.7],
        }
    }

    fn seen(symbols: &[u32], vocabulary: usize) -> Observed {
        Observed::of(symbols, vocabulary)
    }

    fn samples(chain: &HiddenMarkov, count: usize, length: usize) -> Vec<Observed> {
        let mut random = Random::new(4, Stream::Sampling);
        (0..count).map(|_| seen(&chain.sample(length, &mut random).1, chain.symbols)).collect()
    }

    const EXACT: HiddenMarkovConfig = HiddenMarkovConfig {
        states: 3,
        restarts: 5,
        iterations: 60,
        tolerance: 0.0,
        smoothing: 0.0,
        missing_symbol: false,
        reads_ahead: true,
    };

    #[test]
    fn two_symbols_by_hand() {
        // 0 can only come from the first state: 1/2 * 3/4. Then 1: first state again 1/2 * 1/4, or second 1/2 * 1: 5/8 together.
        let forward = small().forward(&seen(&[0, 1], 2));
        assert!((forward.log_probability() - (0.375_f64 * 0.625).ln()).abs() < 1e-15);
        // Of the 5/8, 1/8 are of the first state.
        let expected = [1.0, 0.0, 0.2, 0.8];
        assert!(forward.filtered.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15));
        let (path, log_probability) = small().viterbi(&seen(&[0, 1], 2));
        assert_eq!(path, [0, 1]);
        assert!((log_probability - (0.375_f64 * 0.5).ln()).abs() < 1e-15);
        // 1 then 0: the first must have been of the first state, although the second is likelier to emit it.
        assert_eq!(small().smoothed(&seen(&[1, 0], 2)), [1.0, 0.0, 1.0, 0.0]);
        assert_eq!(small().viterbi(&seen(&[1, 0], 2)).0, [0, 0]);
    }

    #[test]
    fn what_is_not_seen_is_summed_over() {
        // One symbol of five is not seen: its probability is the sum over all that it could be.
        let chain = three();
        let whole: f64 =
            (0..4).map(|symbol| chain.forward(&seen(&[0, 2, symbol, 3, 1], 4)).log_probability().exp()).sum();
        let missing = chain.forward(&seen(&[0, 2, 4, 3, 1], 4));
        assert!((missing.log_probability().exp() - whole).abs() < 1e-15);
        // A state that is told: the part of the sum that has it.
        let parts: f64 = (0..3)
            .map(|state| {
                let mut told = seen(&[0, 2, 4, 3, 1], 4);
                told.states[1] = Some(state);
                chain.forward(&told).log_probability().exp()
            })
            .sum();
        assert!((parts - whole).abs() < 1e-15);
        // Nothing seen at all is certain.
        assert!(chain.forward(&seen(&[4, 4, 4], 4)).log_probability().abs() < 1e-15);
    }

    #[test]
    fn finite_sizes_are_no_special_case() {
        // One state: symbols are independent. One position: the mixture of the start.
        let one = HiddenMarkov {
            states: 1,
            symbols: 2,
            start: vec![1.0],
            transitions: vec![1.0],
            emissions: vec![0.9, 0.1],
        };
        assert!((one.forward(&seen(&[0, 1, 0], 2)).log_probability() - 0.081_f64.ln()).abs() < 1e-14);
        assert_eq!(one.viterbi(&seen(&[1], 2)).0, [0]);
        assert!((three().forward(&seen(&[2], 4)).log_probability() - 0.25_f64.ln()).abs() < 1e-15);
        let (fitted, course) = one.baum_welch(&[seen(&[0, 1, 1, 1], 2), seen(&[], 2)], &EXACT);
        assert_eq!(fitted.emissions, [0.25, 0.75]);
        assert!(course[0].is_finite() && three().smoothed(&seen(&[], 4)).is_empty());
        assert_eq!(three().viterbi(&seen(&[], 4)), (Vec::new(), 0.0));
    }

    #[test]
    fn what_is_impossible_is_passed_over() {
        // After 1, 1 the second state may be certain, which never emits 0.
        let only_second = HiddenMarkov { start: vec![0.0, 1.0], ..small() };
        let forward = only_second.forward(&seen(&[1, 0, 1], 2));
        assert_eq!(forward.log_probability(), f64::NEG_INFINITY);
        assert_eq!(forward.filtered, [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        let states = only_second.smoothed(&seen(&[1, 0, 1], 2));
        assert!(states.iter().all(|state| state.is_finite()), "{states:?}");
    }

    #[test]
    fn baum_welch_never_lowers_the_likelihood() {
        let truth = three();
        let all = samples(&truth, 60, 20);
        let mut random = Random::new(9, Stream::Initialisation);
        for (states, smoothing) in [(3, 0.0), (3, 0.5), (2, 0.0), (5, 0.1)] {
            let config = HiddenMarkovConfig { smoothing, ..EXACT };
            let (_, course) = HiddenMarkov::random(states, 4, &mut random).baum_welch(&all, &config);
            let total = course[course.len() - 1] - course[0];
            assert!(course.windows(2).all(|pair| pair[1] >= pair[0] - 1e-9), "{course:?}");
            assert!(total > 10.0, "{states} states gain {total}");
        }
        // Also where symbols are missing and some states are told.
        let mut partly = all.clone();
        for (row, sequence) in partly.iter_mut().enumerate() {
            sequence.symbols.iter_mut().skip(row % 3).step_by(3).for_each(|symbol| *symbol = None);
            sequence.states[row % 20] = Some(u32::try_from(row % 3).unwrap());
        }
        let (_, course) = HiddenMarkov::random(3, 4, &mut random).baum_welch(&partly, &EXACT);
        assert!(course.windows(2).all(|pair| pair[1] >= pair[0] - 1e-9), "{course:?}");
    }

    #[test]
    fn parameters_are_found_again_up_to_the_names_of_the_states() {
        let truth = HiddenMarkov {
            transitions: vec![0.8, 0.15, 0.05, 0.1, 0.75, 0.15, 0.05, 0.1, 0.85],
            emissions: vec![0.7, 0.1, 0.1, 0.1, 0.1, 0.8, 0.05, 0.05, 0.05, 0.05, 0.3, 0.6],
            ..three()
        };
        let all = samples(&truth, 500, 30);
        let mut random = Random::new(2, Stream::Initialisation);
        let config = HiddenMarkovConfig { iterations: 200, tolerance: 1e-8, ..EXACT };
        let fits = (0..3).map(|_| HiddenMarkov::random(3, 4, &mut random).baum_welch(&all, &config));
        let (fitted, course) = fits.max_by(|a, b| a.1[a.1.len() - 1].total_cmp(&b.1[b.1.len() - 1])).unwrap();
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let off = |order: &[usize; 3]| {
            let mut off = 0.0_f64;
            for (state, &other) in order.iter().enumerate() {
                for (next, &other_next) in order.iter().enumerate() {
                    let (a, b) = (state * 3 + next, other * 3 + other_next);
                    off = off.max((truth.transitions[a] - fitted.transitions[b]).abs());
                }
                for symbol in 0..4 {
                    let (a, b) = (state * 4 + symbol, other * 4 + symbol);
                    off = off.max((truth.emissions[a] - fitted.emissions[b]).abs());
                }
            }
            off
        };
        let least = orders.iter().map(off).fold(f64::INFINITY, f64::min);
        assert!(least < 0.05, "{least}: {fitted:?}");
        // And what was fitted is at least as likely as the truth on the same sequences.
        let of_truth: f64 = all.iter().map(|sequence| truth.forward(sequence).log_probability()).sum();
        assert!(course[course.len() - 1] > of_truth);
    }

    #[test]
    fn samples_have_the_distribution_of_the_model() {
        // 4,000 pairs of symbols, one a sequence: positions 3 and 4. Chi-square with 15 degrees of freedom; its 0.999 quantile is
        // 37.70 (scipy.stats.chi2.ppf(0.999, 15)).
        let chi_square = |chain: &HiddenMarkov, of: &HiddenMarkov| {
            let mut random = Random::new(6, Stream::Sampling);
            let mut counts = [0.0; 16];
            for _ in 0..4000 {
                let symbols = chain.sample(4, &mut random).1;
                counts[(4 * symbols[2] + symbols[3]) as usize] += 1.0;
            }
            let expected = |pair: u32| {
                4000.0 * of.forward(&seen(&[4, 4, pair / 4, pair % 4], 4)).log_probability().exp()
            };
            (0..16).map(|pair| (counts[pair as usize] - expected(pair)).powi(2) / expected(pair)).sum::<f64>()
        };
        let right = chi_square(&three(), &three());
        assert!(right < 37.70, "{right}");
        // The twin: of a model whose states are drawn anew every time it would be found out.
        let mut independent = three();
        independent.transitions = [0.32, 0.43, 0.25].repeat(3);
        let wrong = chi_square(&three(), &independent);
        assert!(wrong > 37.70, "{wrong}");
    }

    #[test]
    fn where_all_states_are_told_parameters_are_their_shares() {
        let told = Observed {
            symbols: [0, 1, 1, 0, 1].map(Some).to_vec(),
            states: [0, 0, 1, 1, 0].map(Some).to_vec(),
        };
        let all = [told];
        let (fitted, _) = HiddenMarkov::counted(2, 2, &all).baum_welch(&all, &EXACT);
        // By hand: 0 is left to 0 and to 1 once each, 1 to 1 and to 0; 0 emits 0, 1, 1.
        assert_eq!(fitted.start, [1.0, 0.0]);
        assert_eq!(fitted.transitions, [0.5, 0.5, 0.5, 0.5]);
        let expected = [1.0 / 3.0, 2.0 / 3.0, 0.5, 0.5];
        assert!(fitted.emissions.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
        // Smoothed by one, by hand: start 2/3 and 1/3, emissions of 0 2/5 and 3/5.
        let config = HiddenMarkovConfig { smoothing: 1.0, ..EXACT };
        let (smoothed, _) = HiddenMarkov::counted(2, 2, &all).baum_welch(&all, &config);
        assert!((smoothed.start[0] - 2.0 / 3.0).abs() < 1e-12 && (smoothed.emissions[1] - 0.6).abs() < 1e-12);
    }

    #[test]
    fn the_density_is_that_of_the_next_symbol_and_sees_no_later_one() {
        let fitted = Fitted { model: three(), asks: Asks::Symbol, reads_ahead: true };
        let batch = |tokens: &[u32]| Batch {
            size: 1,
            time: tokens.len(),
            inputs: Inputs::Tokens(tokens.to_vec()),
            source: None,
            targets: Targets::Classes(vec![0; tokens.len()]),
            loss_mask: vec![true; tokens.len()],
            lengths: vec![tokens.len()],
        };
        let answers = fitted.predict(&batch(&[0, 2, 3, 1]));
        let other = fitted.predict(&batch(&[0, 2, 0, 1]));
        assert_eq!(answers.values[..8], other.values[..8]);
        assert_ne!(answers.values[8..], other.values[8..]);
        for read in 1..=4 {
            assert_eq!(
                fitted.density().unwrap().next_log_probabilities(&[0, 2, 3, 1][..read]),
                answers.at(read - 1)
            );
        }
        // P(x1 .. x4) is the product of the densities.
        let product: f32 = [0_u32, 2, 3, 1]
            .iter()
            .enumerate()
            .map(|(at, &symbol)| fitted.next_log_probabilities(&[0, 2, 3, 1][..at])[symbol as usize])
            .sum();
        let whole = three().forward(&seen(&[0, 2, 3, 1], 4)).log_probability();
        assert!((f64::from(product) - whole).abs() < 1e-5);
        // A tagger reads ahead, unless it is told not to, and its padding does not matter.
        let tagger = Fitted { asks: Asks::State, ..fitted.clone() };
        assert!(tagger.density().is_none());
        assert_ne!(tagger.predict(&batch(&[0, 2, 3, 1])).at(1), tagger.predict(&batch(&[0, 2, 0, 1])).at(1));
        let filter = Fitted { reads_ahead: false, ..tagger.clone() };
        assert_eq!(filter.predict(&batch(&[0, 2, 3, 1])).at(1), filter.predict(&batch(&[0, 2, 0, 1])).at(1));
        let mut padded = batch(&[0, 2, 3, 1]);
        padded.lengths = vec![3];
        assert_eq!(tagger.predict(&padded).values[..9], tagger.predict(&batch(&[0, 2, 3])).values[..9]);
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config: HiddenMarkovConfig| config.learner().err().unwrap().to_string();
        assert!(
            refusal(HiddenMarkovConfig { states: 0, ..EXACT })
                .contains("`states` is 0, it must be from 1 to 1000")
        );
        assert!(refusal(HiddenMarkovConfig { restarts: 0, ..EXACT }).contains("`restarts` is 0"));
        assert!(refusal(HiddenMarkovConfig { iterations: 0, ..EXACT }).contains("`iterations` is 0"));
        assert!(refusal(HiddenMarkovConfig { smoothing: -1.0, ..EXACT }).contains("`smoothing` is -1"));
        assert!(refusal(HiddenMarkovConfig { tolerance: f64::NAN, ..EXACT }).contains("`tolerance` is NaN"));
    }
}
