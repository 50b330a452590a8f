//! An interpolated n-gram: the next symbol from counts of what followed the last n - 1 symbols.
//!
//! With c the count of a gram, N the sum and T the number of the counts after its context, and p' the
//! probability after the context without its first symbol:
//!
//! - Witten-Bell (Witten & Bell 1991, method C): p = (c + T p') / (N + T).
//! - Kneser-Ney (Kneser & Ney 1995, interpolated as in Chen & Goodman 1999): p = (max(c - D, 0) + D T p') / N,
//!   one discount an order, D = n1 / (n1 + 2 n2) from the grams counted once and twice. Below the top order
//!   c is the number of different symbols seen before the gram.
//!
//! After a context never seen p = p', and below the unigrams p' = 1 / vocabulary.

use std::borrow::Cow;

use sequence::{
    Batch, Dataset, Density, Fit, InputKind, Inputs, LearnError, Learner, LossKind, Predictions, Predictor,
    Run,
};
use serde::{Deserialize, Serialize};

use crate::examples::next_symbols;
use crate::floors::{fit_without_updates, validation_bytes};

/// Registered name.
pub(crate) const NAME: &str = "n-gram";

/// Longest gram that a definition may ask for.
const MAXIMUM_ORDER: usize = 16;

/// Discount of an order in which no gram was counted once, where n1 / (n1 + 2 n2) would be 0 and leave nothing
/// for symbols not seen.
const FALLBACK_DISCOUNT: f64 = 0.5;

/// Settings of the n-gram model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct NGramConfig {
    /// Symbols in the longest gram, the predicted one included.
    pub order: usize,
    /// How the orders are combined.
    pub smoothing: Smoothing,
}

impl Default for NGramConfig {
    fn default() -> Self {
        Self { order: 6, smoothing: Smoothing::KneserNey }
    }
}

/// How the counts of one order leave probability to the order below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Smoothing {
    /// As much as the context had different continuations.
    WittenBell,
    /// An absolute discount a continuation; lower orders count contexts instead of occurrences.
    KneserNey,
}

/// An n-gram model that has not counted yet.
#[derive(Clone, Copy, Debug)]
pub struct NGram {
    config: NGramConfig,
}

impl NGram {
    /// The model with these settings.
    ///
    /// # Errors
    /// When the order is 0 or above 16.
    pub fn new(config: NGramConfig) -> Result<Self, LearnError> {
        if (1..=MAXIMUM_ORDER).contains(&config.order) {
            Ok(Self { config })
        } else {
            let reason = format!("`order` is {}, it must be from 1 to {MAXIMUM_ORDER}", config.order);
            Err(LearnError::Setting { model: NAME, reason })
        }
    }

    /// Counts the grams of `text`, whose symbols are below `vocabulary`.
    ///
    /// # Panics
    /// When a symbol is not below `vocabulary`.
    #[must_use]
    pub fn count(&self, text: &[u32], vocabulary: usize) -> Counts {
        self.count_all(text, &[text.len()], vocabulary)
    }

    /// Counts the grams of texts that were put one after the other and end at `ends`; none goes from one into the next.
    fn count_all(&self, text: &[u32], ends: &[usize], vocabulary: usize) -> Counts {
        assert!(text.iter().all(|&symbol| (symbol as usize) < vocabulary), "a symbol outside the vocabulary");
        let mut orders = count_grams(text, ends, self.config.order);
        let discounts = match self.config.smoothing {
            Smoothing::WittenBell => Vec::new(),
            Smoothing::KneserNey => {
                count_preceding_symbols(&mut orders);
                orders.iter().map(Order::discount).collect()
            }
        };
        Counts { vocabulary, orders, discounts }
    }
}

impl Learner for NGram {
    fn fit(&self, data: &Dataset, run: &mut Run) -> Result<Fit, LearnError> {
        let unsuitable = |reason: &str| LearnError::Unsuitable { model: NAME, reason: reason.into() };
        let (text, ends) =
            texts(data).ok_or_else(|| unsuitable("it counts a text, and this task has none"))?;
        let interface = data.interface();
        let InputKind::Tokens { vocabulary } = interface.inputs else {
            return Err(unsuitable("it reads symbols, and this task has real-valued inputs"));
        };
        if interface.loss != LossKind::CrossEntropy || interface.outputs != vocabulary {
            return Err(unsuitable("it predicts the next symbol, and this task asks for something else"));
        }
        Ok(fit_without_updates(Box::new(self.count_all(&text, &ends, vocabulary)), data, run))
    }

    fn peak_bytes(&self, data: &Dataset) -> u64 {
        let of_batch = |batch: &Batch| batch.size * (batch.time + 1);
        let of_set: usize = data.training_set().iter().flatten().map(of_batch).sum();
        let positions = of_set.max(data.training_text().map_or(0, <[u32]>::len)) as u64;
        // A sorted index of positions, and in the worst case for each order as many grams as positions: 16 bytes
        // each, twice that while their lists grow, and 8 to find the shorter grams.
        let grams_per_order = (1..=self.config.order).map(|length| {
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            (data.interface().outputs as u64).saturating_pow(length).min(positions)
        });
        12 * positions + 40 * grams_per_order.sum::<u64>() + validation_bytes(data)
    }
}

/// The counts of a text: a fitted n-gram model.
#[derive(Clone, Debug)]
pub struct Counts {
    vocabulary: usize,
    /// Grams of 1, 2, ... symbols. Together they are a trie: each gram knows where those that continue it are.
    orders: Vec<Order>,
    /// One an order for Kneser-Ney, none for Witten-Bell.
    discounts: Vec<f64>,
}

/// All different grams of one length, sorted by their symbols.
#[derive(Clone, Debug, Default)]
struct Order {
    /// Last symbol of each gram.
    symbols: Vec<u32>,
    /// How often it was seen, or how many different symbols were seen before it.
    counts: Vec<u32>,
    /// Where its continuations start in the next order; one entry more than there are grams.
    first_continuation: Vec<usize>,
}

/// How one order interpolates after one context: p = own + left-over p'.
struct Step<'a> {
    /// The symbols seen after the context, ascending, and their counts.
    symbols: &'a [u32],
    counts: &'a [u32],
    discount: f64,
    left_over: f64,
    total: f64,
}

impl Step<'_> {
    /// The share of a symbol that was counted so often.
    fn own(&self, count: u32) -> f64 {
        (f64::from(count) - self.discount).max(0.0) / self.total
    }
}

impl Order {
    /// n1 / (n1 + 2 n2), with n1 and n2 the grams counted once and twice.
    fn discount(&self) -> f64 {
        let counted = |times| self.counts.iter().filter(|&&count| count == times).count() as f64;
        let (once, twice) = (counted(1), counted(2));
        if once > 0.0 { once / (once + 2.0 * twice) } else { FALLBACK_DISCOUNT }
    }

    /// The gram among `siblings` that ends in `symbol`.
    fn find(&self, siblings: std::ops::Range<usize>, symbol: u32) -> Option<usize> {
        let first = siblings.start;
        self.symbols[siblings].binary_search(&symbol).ok().map(|place| first + place)
    }
}

impl Counts {
    /// Natural log-probabilities of `text`, symbol by symbol; the first has an empty context.
    pub fn log_probabilities<'a>(&'a self, text: &'a [u32]) -> impl Iterator<Item = f64> + 'a {
        (0..text.len()).map(|position| self.probability(&text[..position], text[position]).ln())
    }

    /// Probabilities of every symbol after `context`, of which the last n - 1 symbols count.
    fn distribution(&self, context: &[u32]) -> Vec<f64> {
        let mut probabilities = vec![1.0 / self.vocabulary as f64; self.vocabulary];
        for step in self.steps(context) {
            for probability in &mut probabilities {
                *probability *= step.left_over;
            }
            for (&symbol, &count) in step.symbols.iter().zip(step.counts) {
                probabilities[symbol as usize] += step.own(count);
            }
        }
        probabilities
    }

    /// The entry of `symbol` in the distribution after `context`, without the others.
    fn probability(&self, context: &[u32], symbol: u32) -> f64 {
        self.steps(context).fold(1.0 / self.vocabulary as f64, |lower, step| {
            let own = step.symbols.binary_search(&symbol).map_or(0.0, |place| step.own(step.counts[place]));
            lower * step.left_over + own
        })
    }

    /// What each order makes of the one below, from the shortest context up to the longest that was seen.
    fn steps<'a>(&'a self, context: &'a [u32]) -> impl Iterator<Item = Step<'a>> + 'a {
        (0..self.orders.len().min(context.len() + 1)).map_while(|length| {
            let continuations = self.continuations(&context[context.len() - length..])?;
            let Order { symbols, counts, .. } = &self.orders[length];
            let (symbols, counts) = (&symbols[continuations.clone()], &counts[continuations]);
            let total = f64::from(counts.iter().sum::<u32>());
            let different = counts.iter().filter(|&&count| count > 0).count() as f64;
            if different == 0.0 {
                return None;
            }
            let (discount, left_over, total) = match self.discounts.get(length) {
                Some(discount) => (*discount, discount * different, total),
                None => (0.0, different, total + different),
            };
            Some(Step { symbols, counts, discount, left_over: left_over / total, total })
        })
    }

    /// Where the grams that continue `context` are in their order; `None` if it was never seen.
    fn continuations(&self, context: &[u32]) -> Option<std::ops::Range<usize>> {
        let mut range = 0..self.orders[0].symbols.len();
        for (order, &symbol) in self.orders.iter().zip(context) {
            let gram = order.find(range, symbol)?;
            range = order.first_continuation[gram]..order.first_continuation[gram + 1];
        }
        Some(range)
    }
}

impl Density for Counts {
    #[expect(clippy::cast_possible_truncation, reason = "predictions are f32")]
    fn next_log_probabilities(&self, context: &[u32]) -> Vec<f32> {
        self.distribution(context).into_iter().map(|probability| probability.ln() as f32).collect()
    }
}

impl Predictor for Counts {
    /// Each sequence of the batch starts with an empty context, as for every other model.
    fn predict(&self, batch: &Batch) -> Predictions {
        let Inputs::Tokens(tokens) = &batch.inputs else {
            unreachable!("fitting refuses tasks whose inputs are not symbols");
        };
        let values = tokens
            .chunks(batch.time.max(1))
            .flat_map(|sequence| (1..=sequence.len()).map(|read| &sequence[..read]))
            .flat_map(|context| self.next_log_probabilities(context))
            .collect();
        Predictions { outputs: self.vocabulary, values }
    }

    fn body_parameters(&self) -> usize {
        0
    }

    fn total_parameters(&self) -> usize {
        self.orders.iter().map(|order| order.counts.len()).sum()
    }

    fn density(&self) -> Option<&dyn Density> {
        Some(self)
    }
}

/// What is counted: a text, or the sequences of a finite training set that asks for the next symbol, one after the other, and
/// where each ends.
fn texts<'a>(data: &'a Dataset) -> Option<(Cow<'a, [u32]>, Vec<usize>)> {
    if let Some(text) = data.training_text() {
        return Some((Cow::Borrowed(text), vec![text.len()]));
    }
    let sequences = data.training_set()?.iter().map(next_symbols).collect::<Option<Vec<_>>>()?.concat();
    let ends = sequences.iter().scan(0, |end, sequence| {
        *end += sequence.len();
        Some(*end)
    });
    let ends = ends.collect();
    Some((Cow::Owned(sequences.concat()), ends))
}

/// Counts the grams of 1 to `longest` symbols in texts that end at `ends`.
///
/// Positions are sorted by the symbols that follow them, so that equal grams of every length are neighbours.
fn count_grams(text: &[u32], ends: &[usize], longest: usize) -> Vec<Order> {
    let end_of = |start: usize| match ends {
        [end] => *end,
        _ => ends[ends.partition_point(|&end| end <= start)],
    };
    let from = |start: usize| &text[start..end_of(start).min(start + longest)];
    let mut starts: Vec<usize> = (0..text.len()).collect();
    starts.sort_unstable_by(|&first, &second| from(first).cmp(from(second)));

    let mut orders = vec![Order::default(); longest];
    let mut previous: &[u32] = &[];
    for start in starts {
        let gram = from(start);
        let shared = gram.iter().zip(previous).take_while(|(symbol, other)| symbol == other).count();
        for (length, &symbol) in gram.iter().enumerate() {
            if length >= shared {
                let continuations = orders.get(length + 1).map_or(0, |order| order.symbols.len());
                let order = &mut orders[length];
                order.symbols.push(symbol);
                order.counts.push(0);
                order.first_continuation.push(continuations);
            }
            if let Some(count) = orders[length].counts.last_mut() {
                *count += 1;
            }
        }
        previous = gram;
    }
    for length in 0..longest {
        let continuations = orders.get(length + 1).map_or(0, |order| order.symbols.len());
        orders[length].first_continuation.push(continuations);
    }
    orders
}

/// Replaces the counts below the top order by the number of different symbols seen before each gram.
fn count_preceding_symbols(orders: &mut [Order]) {
    // For each gram of one order, the gram without its first symbol in the order below: empty for single symbols.
    let mut shorter: Vec<usize> = Vec::new();
    for length in 1..orders.len() {
        let (below, above) = (&orders[length - 1], &orders[length]);
        let mut preceding = vec![0; below.symbols.len()];
        let mut shorter_above = Vec::with_capacity(above.symbols.len());
        for prefix in 0..below.symbols.len() {
            let siblings = match shorter.get(prefix) {
                None => 0..below.symbols.len(),
                Some(&gram) => {
                    let starts = &orders[length - 2].first_continuation;
                    starts[gram]..starts[gram + 1]
                }
            };
            for gram in below.first_continuation[prefix]..below.first_continuation[prefix + 1] {
                let suffix = below
                    .find(siblings.clone(), above.symbols[gram])
                    .expect("the end of a gram in the text is itself a gram in the text");
                preceding[suffix] += 1;
                shorter_above.push(suffix);
            }
        }
        orders[length - 1].counts = preceding;
        shorter = shorter_above;
    }
}

#[cfg(test)]
mod tests {
    use sequence::{Random, Stream, Targets};

    use super::*;

    fn model(order: usize, smoothing: Smoothing) -> NGram {
        NGram::new(NGramConfig { order, smoothing }).unwrap()
    }

    fn text(symbols: &str) -> Vec<u32> {
        symbols.bytes().map(|byte| u32::from(byte - b'a')).collect()
    }

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
    }

    #[test]
    fn witten_bell_by_hand() {
        // abab over a vocabulary of 3. Unigrams: a 2, b 2, N = 4, T = 2: p(a) = (2 + 2/3) / 6 = 4/9, p(c) = 1/9.
        // After a: b 2, N = 2, T = 1: p(b) = (2 + 4/9) / 3 = 22/27, p(c) = (1/9) / 3 = 1/27.
        let counts = model(2, Smoothing::WittenBell).count(&text("abab"), 3);
        let unigram = counts.distribution(&[]);
        close(unigram[0], 4.0 / 9.0);
        close(unigram[2], 1.0 / 9.0);
        let after_a = counts.distribution(&text("ba"));
        close(after_a[1], 22.0 / 27.0);
        close(after_a[2], 1.0 / 27.0);
        // c was never seen: what follows it is the unigram.
        assert_eq!(counts.distribution(&text("c")), unigram);
        // Stored: a, b, ab, ba.
        assert_eq!((counts.total_parameters(), counts.body_parameters()), (4, 0));
    }

    #[test]
    fn no_gram_goes_from_one_sequence_into_the_next() {
        // ab and ab: b is never followed, so that ba is no gram, as it is in abab.
        let model = model(2, Smoothing::WittenBell);
        let apart = model.count_all(&text("abab"), &[2, 4], 3);
        let together = model.count(&text("abab"), 3);
        assert_eq!(apart.distribution(&text("b")), apart.distribution(&[]));
        assert_ne!(together.distribution(&text("b")), together.distribution(&[]));
        assert_eq!(apart.distribution(&text("a")), together.distribution(&text("a")));
        assert_eq!((apart.total_parameters(), together.total_parameters()), (3, 4));
    }

    #[test]
    fn kneser_ney_by_hand() {
        // abac, vocabulary 4. Bigrams ab, ba, ac once each: D = 3 / 3 = 1. Before a: {b}; before b: {a};
        // before c: {a}: three unigrams counted once, D = 1, so p(unigram) = (0 + 3 / 4) / 3 = 1/4 each.
        // After a: b and c once, (0 + 1 * 2 * 1/4) / 2 = 1/4.
        let counts = model(2, Smoothing::KneserNey).count(&text("abac"), 4);
        close(counts.distribution(&text("a"))[1], 0.25);
        // abcbcb: bigrams ab 1, bc 2, cb 2: D = 1 / 5. Before b: {a, c}, before c: {b}, before a: none, so D = 1/3.
        // p(b) = (2 - 1/3 + 2/3 * 1/4) / 3 = 11/18, p(a) = 1/18, p(c) = 2/9 + 1/18 = 5/18.
        // After b: c twice, p(c) = (2 - 1/5 + 1/5 * 5/18) / 2 = 167/180.
        let counts = model(2, Smoothing::KneserNey).count(&text("abcbcb"), 4);
        let unigram = counts.distribution(&[]);
        close(unigram[1], 11.0 / 18.0);
        close(unigram[0], 1.0 / 18.0);
        close(counts.distribution(&text("ab"))[2], 167.0 / 180.0);
    }

    #[test]
    fn probabilities_are_positive_and_sum_to_one() {
        let mut random = Random::new(1, Stream::Test);
        for _ in 0..200 {
            let vocabulary = 1 + random.below(9);
            let order = 1 + random.index(6);
            let mut draw =
                |length: usize| -> Vec<u32> { (0..length).map(|_| random.below(vocabulary)).collect() };
            let (sample, context) = (draw(60), draw(8));
            for smoothing in [Smoothing::WittenBell, Smoothing::KneserNey] {
                for sample in [&sample[..], &sample[..3], &[]] {
                    let counts = model(order, smoothing).count(sample, vocabulary as usize);
                    for read in 0..=context.len() {
                        let probabilities = counts.distribution(&context[..read]);
                        let sum: f64 = probabilities.iter().sum();
                        assert!((sum - 1.0).abs() < 1e-12, "{sum}: {smoothing:?} {order} {sample:?}");
                        assert!(probabilities.iter().all(|&probability| probability > 0.0));
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_scores_as_its_distributions_say() {
        let mut random = Random::new(3, Stream::Test);
        let mut draw = |length: usize| -> Vec<u32> { (0..length).map(|_| random.below(5)).collect() };
        let (sample, scored) = (draw(60), draw(40));
        for smoothing in [Smoothing::WittenBell, Smoothing::KneserNey] {
            let counts = model(4, smoothing).count(&sample, 6);
            for (position, found) in counts.log_probabilities(&scored).enumerate() {
                let expected = counts.distribution(&scored[..position])[scored[position] as usize].ln();
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn counts_equal_those_of_every_substring() {
        let mut random = Random::new(2, Stream::Test);
        let text: Vec<u32> = (0..300).map(|_| random.below(4)).collect();
        let raw = count_grams(&text, &[text.len()], 3);
        let mut preceding = raw.clone();
        count_preceding_symbols(&mut preceding);
        for (length, order) in raw.iter().enumerate() {
            let mut grams: Vec<&[u32]> = text.windows(length + 1).collect();
            grams.sort_unstable();
            let occurrences: Vec<u32> =
                grams.chunk_by(|a, b| a == b).map(|run| run.len().try_into().unwrap()).collect();
            assert_eq!(order.counts, occurrences);
            grams.dedup();
            assert_eq!(order.symbols, grams.iter().map(|gram| gram[length]).collect::<Vec<_>>());
            if length < 2 {
                let preceding_symbols = |gram: &[u32]| -> u32 {
                    let before = |first| move |longer: &[u32]| longer[0] == first && longer[1..] == *gram;
                    (0..4).map(|first| u32::from(text.windows(length + 2).any(before(first)))).sum()
                };
                let expected: Vec<u32> = grams.iter().map(|gram| preceding_symbols(gram)).collect();
                assert_eq!(preceding[length].counts, expected);
            }
        }
        assert_eq!(preceding[2].counts, raw[2].counts);
    }

    #[test]
    fn a_batch_row_starts_with_an_empty_context() {
        let counts = model(3, Smoothing::WittenBell).count(&text("abcabdabcabd"), 4);
        let batch = Batch {
            size: 2,
            time: 3,
            inputs: Inputs::Tokens(text("abdabc")),
            source: None,
            targets: Targets::Classes(vec![0; 6]),
            loss_mask: vec![true; 6],
            lengths: vec![3, 3],
        };
        let predictions = counts.predict(&batch);
        assert_eq!(predictions.values.len(), 6 * 4);
        assert_eq!(predictions.at(1), counts.next_log_probabilities(&text("ab")));
        assert_eq!(predictions.at(3), counts.next_log_probabilities(&text("a")));
        // The twin: the row before would have changed the answer.
        assert_ne!(predictions.at(3), counts.next_log_probabilities(&text("abda")));
    }

    #[test]
    fn an_order_of_zero_is_refused_and_settings_are_kebab_case() {
        let error = NGram::new(NGramConfig { order: 0, ..NGramConfig::default() }).unwrap_err();
        assert_eq!(error.to_string(), "model `n-gram`: `order` is 0, it must be from 1 to 16");
        let config: NGramConfig = serde_json::from_str(r#"{"smoothing": "witten-bell"}"#).unwrap();
        assert_eq!(config, NGramConfig { order: 6, smoothing: Smoothing::WittenBell });
        assert!(serde_json::from_str::<NGramConfig>(r#"{"ordr": 6}"#).is_err());
    }
}
