//! Translation: write a sentence again in another language, word by word.
//!
//! ```text
//! source    tom  ging  naar  boston  .  end
//! input     start  tom  went  to  boston  .
//! target    tom  went  to  boston  .  end
//! ```
//!
//! Sentences come in pairs, from a registered corpus or from a file of one's own, `file:PATH`: one pair a line, first the translation,
//! then the sentence, with a tab between; what follows a second tab, such as an attribution, is not read. Pairs that share a sentence of
//! either language are one group; the groups are dealt out to `folds` folds in a fixed random order, and the fold of the seed is tested, so
//! that no sentence of either language is in two parts. What remains is put in an order of the seed; its first tenth is for choosing, and
//! what follows for training. Each test set has the sources of some lengths, up to the one that names it.
//!
//! The words of each language are the most frequent ones in the training part; every other word is one symbol, unknown. An unknown word of
//! the target is not asked for in training, nobody writes it, and in every score but the cross-entropy it is a mistake.
//!
//! A model reads the target so far as its input ("teacher forcing"). `sequence-accuracy` is that of greedy decoding too: a greedy
//! decoder without a mistake so far has read the true words. From its first mistake on it reads its own, which `accuracy-free-running`
//! and BLEU tell.
//!
//! Tokens of source and input: 0 padding, 1 the start or the end, 2 unknown, then the words, frequent ones first. Classes: those of the
//! input less 1.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Spelled, Stream, Targets, Task,
    TestSet, Writing,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TaskEntry;
use crate::batches::{EVALUATION_BATCH, TokenSequence, collate, with_sources};
use crate::bleu::bleu;
use crate::words::words;
use crate::{Corpora, DataError, settings};

const NAME: &str = "translation";
const DEFAULT_CORPUS: &str = "tatoeba-nld-eng";
const PADDING: u32 = 0;
/// The start of an input and the end of a source.
const MARK: u32 = 1;
const UNKNOWN: u32 = 2;
const FIRST_WORD: u32 = 3;
/// The class of the end; that of the token t is t - 1.
const END: u32 = MARK - 1;
const UNKNOWN_CLASS: u32 = UNKNOWN - 1;
/// Of the groups that are not tested, the part that is for choosing: one of so many.
const VALIDATION_PART: usize = 10;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "write a sentence again in another language, word by word",
    defaults: settings::defaults::<Config>,
    corpora: |given| {
        let corpus = given.get("corpus").map_or(Some(DEFAULT_CORPUS), Value::as_str).unwrap_or_default();
        vec![corpus.to_owned()]
    },
    build: |given, corpora| Ok(Box::new(Translation::from_settings(given, corpora)?)),
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Name of the corpus, or `file:PATH`.
    corpus: String,
    /// Words of each language that are known, the most frequent ones.
    words: u32,
    /// The most words in the sources of each test set, ascending; the fewest are one more than those of the one before. No sentence of any
    /// part, of either language, has more words than the last of them.
    test: Vec<usize>,
    /// Folds, of which one is tested.
    folds: usize,
    /// Pairs of validation and of each test set at most.
    evaluated: usize,
    /// A sentence that is not in the corpus, to look at.
    example_source: String,
    /// Its translation.
    example_target: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            corpus: DEFAULT_CORPUS.to_owned(),
            words: 2000,
            test: vec![4, 6, 8, 10, 12, 15],
            folds: 5,
            evaluated: 500,
            example_source: "Tom zag gisteren Mary in Boston.".to_owned(),
            example_target: "Tom saw Mary in Boston yesterday.".to_owned(),
        }
    }
}

/// A sentence and its translation, in words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    source: Vec<String>,
    target: Vec<String>,
}

/// A pair in tokens, the marks left out.
#[derive(Clone, Debug)]
struct Tokens {
    source: Vec<u32>,
    target: Vec<u32>,
}

/// What a seed makes of the corpus.
struct Parts {
    training: Vec<Tokens>,
    validation: Vec<Tokens>,
    test: Vec<Tokens>,
    example: Tokens,
}

struct Translation {
    config: Config,
    pairs: Vec<Pair>,
    example: Pair,
    /// The pairs of each group, the groups in a fixed random order.
    groups: Vec<Vec<usize>>,
    /// Those of the seed that was asked for last, because every training batch needs them.
    parts: Mutex<Option<(u64, Arc<Parts>)>>,
}

impl Translation {
    fn from_settings(given: &Value, corpora: &Corpora) -> Result<Self, DataError> {
        let config: Config = settings::parse(NAME, given)?;
        let path = corpora.locate(&config.corpus)?;
        let text = corpora.read_text(&config.corpus)?;
        Self::new(config, &path, &text)
    }

    /// From the text of a file.
    fn new(config: Config, path: &Path, text: &str) -> Result<Self, DataError> {
        settings::within(NAME, "words", &config.words, 1..=1_000_000)?;
        settings::within(NAME, "folds", &config.folds, 2..=100)?;
        settings::within(NAME, "evaluated", &config.evaluated, 1..=1_000_000)?;
        let ascending = config.test.windows(2).all(|pair| pair[0] < pair[1]);
        let Some(&longest) = config.test.last().filter(|_| ascending && config.test[0] > 0) else {
            return Err(settings::wrong(
                NAME,
                "test",
                "lengths must be positive and ascending, and at least one",
            ));
        };
        settings::within(NAME, "test", &longest, 1..=1000)?;
        let of = |source: &str, target: &str| Pair { source: words(source), target: words(target) };
        let example = of(&config.example_source, &config.example_target);
        if [&example.source, &example.target].iter().any(|side| !(1..=longest).contains(&side.len())) {
            let reason =
                format!("it and its translation must have 1 to {longest} words, as the longest of `test`");
            return Err(settings::wrong(NAME, "example-source", reason));
        }

        let mut pairs = BTreeSet::new();
        for (line, number) in text.lines().zip(1_u64..).filter(|(line, _)| !line.trim().is_empty()) {
            let mut columns = line.split('\t');
            let (Some(target), Some(source)) = (columns.next(), columns.next()) else {
                let reason = "a translation, a tab and a sentence are needed".to_owned();
                return Err(DataError::Table { path: path.to_owned(), line: number, reason });
            };
            let pair = of(source, target);
            if pair.source == example.source {
                let reason = format!("the corpus has it, in line {number}; choose one that no part has");
                return Err(settings::wrong(NAME, "example-source", reason));
            }
            if [&pair.source, &pair.target].iter().all(|side| (1..=longest).contains(&side.len())) {
                pairs.insert(pair);
            }
        }
        let pairs: Vec<Pair> = pairs.into_iter().collect();
        for lengths in buckets(&config.test) {
            let found = pairs.iter().filter(|pair| lengths.contains(&pair.source.len())).count();
            if found < 10 * config.folds {
                let (low, high) = lengths.into_inner();
                let reason = format!(
                    "{found} pairs have a source of {low} to {high} words, fewer than ten a fold; use other lengths, fewer `folds` or more data"
                );
                return Err(settings::wrong(NAME, "test", reason));
            }
        }
        let mut groups = groups(&pairs);
        Random::new(0, Stream::Order).shuffle(&mut groups);
        Ok(Self { config, pairs, example, groups, parts: Mutex::new(None) })
    }

    /// The parts under a seed.
    fn parts(&self, seed: u64) -> Arc<Parts> {
        let mut last = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, parts)) = last.as_ref().filter(|(of, _)| *of == seed) {
            return Arc::clone(parts);
        }
        let parts = Arc::new(self.cut(seed));
        *last = Some((seed, Arc::clone(&parts)));
        parts
    }

    fn cut(&self, seed: u64) -> Parts {
        let fold = usize::try_from(seed % self.config.folds as u64).expect("a fold is a small number");
        let placed = self.groups.iter().enumerate();
        let (test, rest): (Vec<_>, Vec<_>) = placed.partition(|(place, _)| place % self.config.folds == fold);
        let mut rest: Vec<&Vec<usize>> = rest.into_iter().map(|(_, group)| group).collect();
        Random::new(seed, Stream::Order).shuffle(&mut rest);
        let (validation, training) = rest.split_at(rest.len() / VALIDATION_PART);
        let training: Vec<&Pair> =
            training.iter().copied().flatten().map(|&pair| &self.pairs[pair]).collect();
        let sources = self.numbered(training.iter().map(|pair| &pair.source));
        let targets = self.numbered(training.iter().map(|pair| &pair.target));
        let tokens = |pair: &Pair| Tokens {
            source: in_tokens(&pair.source, &sources),
            target: in_tokens(&pair.target, &targets),
        };
        let of = |group: &[usize]| group.iter().map(|&pair| tokens(&self.pairs[pair])).collect::<Vec<_>>();
        Parts {
            training: training.into_iter().map(tokens).collect(),
            validation: validation.iter().flat_map(|group| of(group)).take(self.config.evaluated).collect(),
            test: test.into_iter().flat_map(|(_, group)| of(group)).collect(),
            example: tokens(&self.example),
        }
    }

    /// The tokens of the most frequent words, of equally frequent ones those first in order of their code points.
    fn numbered<'a>(&self, sentences: impl Iterator<Item = &'a Vec<String>>) -> HashMap<&'a str, u32> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for word in sentences.flatten() {
            *counts.entry(word).or_insert(0) += 1;
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let tokens = FIRST_WORD..FIRST_WORD + self.config.words;
        counts.into_iter().map(|(word, _)| word).zip(tokens).collect()
    }
}

/// The lengths of the sources of each test set.
fn buckets(test: &[usize]) -> impl Iterator<Item = RangeInclusive<usize>> {
    let fewest = [0].into_iter().chain(test.iter().copied()).map(|most| most + 1);
    fewest.zip(test).map(|(fewest, &most)| fewest..=most)
}

/// The pairs that belong together because they share a sentence, or each shares one with a third, and so on; in order of their first.
fn groups(pairs: &[Pair]) -> Vec<Vec<usize>> {
    fn root(parents: &mut [usize], mut node: usize) -> usize {
        while parents[node] != node {
            parents[node] = parents[parents[node]];
            node = parents[node];
        }
        node
    }
    let mut parents: Vec<usize> = (0..pairs.len()).collect();
    let (mut sources, mut targets) = (HashMap::new(), HashMap::new());
    for (place, pair) in pairs.iter().enumerate() {
        let same =
            [*sources.entry(&pair.source).or_insert(place), *targets.entry(&pair.target).or_insert(place)];
        for other in same {
            let (one, other) = (root(&mut parents, place), root(&mut parents, other));
            parents[one.max(other)] = one.min(other);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for place in 0..pairs.len() {
        groups.entry(root(&mut parents, place)).or_default().push(place);
    }
    groups.into_values().collect()
}

fn in_tokens(sentence: &[String], numbers: &HashMap<&str, u32>) -> Vec<u32> {
    sentence.iter().map(|word| numbers.get(word.as_str()).copied().unwrap_or(UNKNOWN)).collect()
}

/// Pairs as a batch; where unknown words are not asked for, they do not count.
fn batch<'a>(pairs: impl IntoIterator<Item = &'a Tokens>, ask_unknown: bool) -> Batch {
    let (sources, targets): (Vec<_>, Vec<_>) = pairs
        .into_iter()
        .map(|Tokens { source, target }| {
            let source = TokenSequence {
                inputs: [source.as_slice(), &[MARK]].concat(),
                targets: vec![0; source.len() + 1],
                counts: vec![false; source.len() + 1],
            };
            let classes = target.iter().map(|token| token - 1).chain([END]);
            let target = TokenSequence {
                inputs: [&[MARK], target.as_slice()].concat(),
                targets: classes.clone().collect(),
                counts: classes.map(|class| ask_unknown || class != UNKNOWN_CLASS).collect(),
            };
            (source, target)
        })
        .unzip();
    with_sources(collate(&targets, PADDING), collate(&sources, PADDING))
}

fn batches(pairs: &[&Tokens]) -> Vec<Batch> {
    pairs.chunks(EVALUATION_BATCH).map(|pairs| batch(pairs.iter().copied(), true)).collect()
}

/// The likeliest class that is written, none if one is not a number.
fn likeliest(log_probabilities: &[f32]) -> Option<u32> {
    let mut best = END;
    for (&value, class) in log_probabilities.iter().zip(0_u32..) {
        if value.is_nan() {
            return None;
        }
        if class != UNKNOWN_CLASS && value > log_probabilities[best as usize] {
            best = class;
        }
    }
    Some(best)
}

fn classes(batch: &Batch) -> &[u32] {
    let Targets::Classes(classes) = &batch.targets else { unreachable!("the targets are classes") };
    classes
}

/// The classes of each target, the end left out.
fn references(batch: &Batch) -> impl Iterator<Item = &[u32]> {
    let of = |(row, &length): (usize, &usize)| &classes(batch)[row * batch.time..][..length - 1];
    batch.lengths.iter().enumerate().map(of)
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

impl Task for Translation {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        let tokens = (FIRST_WORD + self.config.words) as usize;
        Interface {
            inputs: InputKind::Conditioned { source: tokens, vocabulary: tokens },
            outputs: tokens - 1,
            loss: LossKind::CrossEntropy,
            maximum_time: self.config.test.last().map_or(1, |longest| longest + 1),
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let training = &self.parts(seed).training;
        let mut random = Random::new(seed, Stream::Training(update));
        batch((0..size).map(|_| &training[random.index(training.len())]), false)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        batches(&self.parts(seed).validation.iter().collect::<Vec<_>>())
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        let parts = self.parts(seed);
        let set = |lengths: RangeInclusive<usize>| {
            let of_length = parts.test.iter().filter(|pair| lengths.contains(&pair.source.len()));
            let pairs: Vec<&Tokens> = of_length.take(self.config.evaluated).collect();
            TestSet { name: format!("test@{}", lengths.end()), batches: batches(&pairs) }
        };
        buckets(&self.config.test).map(set).collect()
    }

    /// `accuracy` a word, the end left out, under teacher forcing; `sequence-accuracy`, the end included; the mean cross-entropy in nats over
    /// what is known; and the share of words that are unknown, of targets and of sources.
    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        assert_eq!(batches.len(), predictions.len(), "one prediction a batch");
        let (mut sequences, mut whole) = (0, 0);
        let (mut words, mut right, mut unknown) = (0, 0, 0);
        let (mut read, mut unknown_read) = (0, 0);
        let (mut nats, mut known) = (0.0, 0_usize);
        for (batch, predictions) in batches.iter().zip(predictions) {
            for (row, &length) in batch.lengths.iter().enumerate() {
                let mut mistakes = 0;
                for time in 0..length {
                    let position = row * batch.time + time;
                    let target = classes(batch)[position];
                    let correct =
                        target != UNKNOWN_CLASS && likeliest(predictions.at(position)) == Some(target);
                    mistakes += usize::from(!correct);
                    if target == UNKNOWN_CLASS {
                        unknown += 1;
                    } else {
                        nats -= f64::from(predictions.at(position)[target as usize]);
                        known += 1;
                    }
                    if time + 1 < length {
                        words += 1;
                        right += usize::from(correct);
                    }
                }
                sequences += 1;
                whole += usize::from(mistakes == 0);
            }
            if let Some(sequence::Inputs::Tokens(tokens)) = batch.source.as_ref().map(|source| &source.inputs)
            {
                read += tokens.iter().filter(|&&token| token >= UNKNOWN).count();
                unknown_read += tokens.iter().filter(|&&token| token == UNKNOWN).count();
            }
        }
        let score = |metric, value| Score { metric, value, count: sequences };
        vec![
            score("accuracy", share(right, words)),
            score("sequence-accuracy", share(whole, sequences)),
            score("cross-entropy", nats / known as f64),
            score("unknown-words", share(unknown, words)),
            score("unknown-words-of-source", share(unknown_read, read)),
        ]
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    /// Of all pairs: the share of the most frequent word.
    fn floors(&self) -> Vec<Floor> {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for word in self.pairs.iter().flat_map(|pair| &pair.target) {
            *counts.entry(word).or_insert(0) += 1;
        }
        let most = counts.values().copied().max().unwrap_or(0);
        let value = share(most, counts.values().sum());
        vec![Floor { metric: "accuracy", name: "most-frequent", value }]
    }

    fn writing(&self) -> Option<Writing> {
        Some(Writing { start: MARK, end: END, unknown: Some(UNKNOWN_CLASS), offset: 1 })
    }

    /// The share of the words of the translations at whose place the same word was written, and BLEU.
    fn written_scores(&self, batches: &[Batch], written: &[Vec<Vec<u32>>]) -> Vec<Score> {
        let pairs = || {
            let of = |(batch, written)| references(batch).zip(written);
            batches.iter().zip(written).flat_map(of)
        };
        let right = |(reference, written): (&[u32], &Vec<u32>)| {
            let pairs = reference.iter().zip(written);
            pairs.filter(|(reference, written)| reference == written && **reference != UNKNOWN_CLASS).count()
        };
        let words = pairs().map(|(reference, _)| reference.len()).sum();
        let score = |metric, value| Score { metric, value, count: pairs().count() };
        vec![
            score("accuracy-free-running", share(pairs().map(right).sum(), words)),
            score("bleu", bleu(pairs().map(|(reference, written)| (written.as_slice(), reference)))),
        ]
    }

    fn spelled(&self, seed: u64) -> Option<Spelled> {
        let spelled = |words: &[String]| [words, &["end".to_owned()]].concat();
        Some(Spelled {
            batch: batch([&self.parts(seed).example], true),
            source: spelled(&self.example.source),
            target: spelled(&self.example.target),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;
    use crate::testing::{self, rows};

    /// Sentences of 2 to 7 words `aN`, each translated from back to front with `bN` for `aN`; every fourth has a second translation, and
    /// the translation of every tenth is that of another, too.
    fn text() -> String {
        let mut random = Random::new(3, Stream::Test);
        let mut lines = Vec::new();
        for number in 0..600 {
            let length = 2 + random.index(6);
            let symbols: Vec<u32> = (0..length).map(|_| random.below(12)).collect();
            let of = |letter: char, symbols: &[u32]| -> String {
                symbols.iter().map(|symbol| format!("{letter}{symbol}")).collect::<Vec<_>>().join(" ")
            };
            let source = of('a', &symbols);
            let mut written: Vec<u32> = symbols.clone();
            written.reverse();
            let target = of('b', &written);
            if number % 4 == 0 {
                lines.push(format!("{target} again\t{source}"));
            }
            if number % 10 == 0 {
                lines.push(format!("{target}\t{source} too"));
            }
            lines.push(format!("{target}\t{source}"));
        }
        lines.join("\n")
    }

    fn config() -> Config {
        Config {
            words: 10,
            test: vec![3, 5, 8],
            evaluated: 100,
            example_source: "a1 a2 a3 a1 a2 a3 a1 a2".to_owned(),
            example_target: "b2 b1 b3 b2 b1 b3 b2 b1".to_owned(),
            ..Config::default()
        }
    }

    fn of(config: Config) -> Result<Translation, String> {
        Translation::new(config, Path::new("pairs.tsv"), &text()).map_err(|error| error.to_string())
    }

    fn task() -> Translation {
        of(config()).unwrap()
    }

    #[test]
    fn a_batch_by_hand() {
        let pair = Tokens { source: vec![5, 2], target: vec![3, 2, 4] };
        let other = Tokens { source: vec![6], target: vec![7] };
        let batch = |asked| batch([&pair, &other], asked);
        assert_eq!(rows(batch(true).source.as_ref().unwrap()), [vec![5, 2, MARK], vec![6, MARK]]);
        assert_eq!(rows(&batch(true)), [vec![MARK, 3, 2, 4], vec![MARK, 7]]);
        assert_eq!(classes(&batch(true)), [2, 1, 3, END, 6, END, 0, 0]);
        assert_eq!(batch(true).loss_mask, [true, true, true, true, true, true, false, false]);
        // In training the unknown word is not asked for.
        assert_eq!(batch(false).loss_mask, [true, false, true, true, true, true, false, false]);
    }

    #[test]
    fn no_sentence_of_either_language_is_in_two_parts() {
        let task = task();
        let mut tested = vec![0; task.pairs.len()];
        for seed in 0..5 {
            let fold = |place: usize| place % 5 == usize::try_from(seed).unwrap();
            let mut sentences = [HashSet::new(), HashSet::new()];
            for (place, group) in task.groups.iter().enumerate() {
                for &pair in group {
                    let Pair { source, target } = &task.pairs[pair];
                    sentences[usize::from(fold(place))].extend([source, target]);
                    tested[pair] += usize::from(fold(place));
                }
            }
            assert_eq!(sentences[0].intersection(&sentences[1]).count(), 0);
        }
        assert!(tested.iter().all(|&times| times == 1), "every pair is tested once");
        // Groups hold what shares a sentence: some have more than one pair.
        assert!(task.groups.iter().any(|group| group.len() > 2));
        // The twin: pairs dealt out by themselves do share sentences.
        let sides = |part: usize| -> HashSet<&Vec<String>> {
            let of = task.pairs.iter().enumerate().filter(|(place, _)| place % 2 == part);
            of.flat_map(|(_, pair)| [&pair.source, &pair.target]).collect()
        };
        assert!(sides(0).intersection(&sides(1)).count() > 0);
    }

    #[test]
    fn words_are_those_of_the_training_part() {
        let task = task();
        let parts = task.parts(1);
        let known: HashSet<u32> = parts.training.iter().flat_map(|pair| &pair.target).copied().collect();
        // Ten words of some thirteen are known.
        assert_eq!(known.len(), 11, "{known:?}");
        assert!(known.contains(&UNKNOWN) && known.iter().all(|&token| token < FIRST_WORD + 10));
        let count = |token: u32| {
            parts.training.iter().flat_map(|pair| &pair.target).filter(|&&other| other == token).count()
        };
        assert!((FIRST_WORD..FIRST_WORD + 9).all(|token| count(token) >= count(token + 1)));
        let batch = task.training_batch(1, 0, 64);
        assert!(batch.supervised() < batch.lengths.iter().sum());
        let scores = task.scores(&task.validation(1), &answers(&task.validation(1), |_, target| target));
        assert!(scores[3].value > 0.05 && scores[4].value > 0.05, "{scores:?}");
    }

    /// Answers that are sure of what `answer` makes of the place and the target there.
    fn answers(batches: &[Batch], answer: impl Fn(usize, u32) -> u32) -> Vec<Predictions> {
        let of = |batch: &Batch| {
            testing::predict(batch, 12, |row, time| {
                testing::certain(12, answer(time, classes(batch)[row * batch.time + time]))
            })
        };
        batches.iter().map(of).collect()
    }

    #[test]
    fn an_unknown_word_is_never_right() {
        let task = task();
        let batches = task.validation(1);
        let scores = task.scores(&batches, &answers(&batches, |_, target| target));
        assert!((scores[0].value - (1.0 - scores[3].value)).abs() < 1e-12, "{scores:?}");
        assert!(scores[1].value < 1.0 && scores[2].value == 0.0);
        let wrong = task.scores(&batches, &answers(&batches, |_, target| (target + 3) % 12));
        assert!(wrong[0].value < 0.2 && wrong[1].value == 0.0, "{wrong:?}");
        let written: Vec<Vec<Vec<u32>>> =
            batches.iter().map(|batch| references(batch).map(<[u32]>::to_vec).collect()).collect();
        let scores = task.written_scores(&batches, &written);
        assert!(
            (scores[0].value
                - (1.0 - task.scores(&batches, &answers(&batches, |_, target| target))[3].value))
                .abs()
                < 1e-12
        );
        // A word too many in front moves every other one from its place, and costs little of BLEU.
        let moved: Vec<Vec<Vec<u32>>> = written
            .iter()
            .map(|batch| batch.iter().map(|row| [&[2], row.as_slice()].concat()).collect())
            .collect();
        let moved = task.written_scores(&batches, &moved);
        assert!(moved[0].value < 0.3 && moved[1].value > 0.5, "{moved:?}");
        assert_eq!(task.written_scores(&batches[..1], &[vec![Vec::new(); 100]])[1].value, 0.0);
    }

    #[test]
    fn test_sets_have_the_lengths_that_they_name() {
        let task = task();
        for (set, lengths) in task.test(2).iter().zip([1..=3, 4..=5, 6..=8]) {
            assert_eq!(set.name, format!("test@{}", lengths.end()));
            let sources = set.batches.iter().flat_map(|batch| rows(batch.source.as_ref().unwrap()));
            assert!(sources.clone().count() > 10);
            assert!(sources.into_iter().all(|source| lengths.contains(&(source.len() - 1))));
        }
        let few = of(Config { evaluated: 7, ..config() }).unwrap();
        let sizes =
            few.test(2).into_iter().map(|set| set.batches.iter().map(|batch| batch.size).sum::<usize>());
        assert!(sizes.into_iter().all(|size| size == 7));
        assert_eq!(few.validation(2)[0].size, 7);
    }

    #[test]
    fn no_test_example_is_trained_on() {
        let task = task();
        let training: Vec<_> = (0..200).map(|update| task.training_batch(1, update, 16)).collect();
        let whole = Config { words: 100, ..config() };
        let whole = of(whole).unwrap();
        let known: Vec<_> = (0..200).map(|update| whole.training_batch(1, update, 16)).collect();
        for set in whole.test(1) {
            assert_eq!(testing::shared(&known, &set.batches), 0, "{}", set.name);
        }
        assert_eq!(
            testing::shared(&training, &training[7..8]),
            16,
            "the check does find an example that leaks"
        );
    }

    #[test]
    fn the_example_is_in_words_and_in_tokens() {
        let Spelled { batch, source, target } = task().spelled(1).unwrap();
        assert_eq!((source.len(), target.len()), (9, 9));
        assert_eq!((target[0].as_str(), target[8].as_str()), ("b2", "end"));
        assert_eq!((batch.size, batch.lengths[0], batch.source.unwrap().lengths[0]), (1, 9, 9));
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&task()), "16efe38a52fc4eba");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| of(config).err().unwrap();
        assert!(refusal(Config { words: 0, ..config() }).contains("`words`: 0 is outside"));
        assert!(refusal(Config { test: vec![5, 3], ..config() }).contains("`test`: lengths must be"));
        assert!(refusal(Config { test: vec![], ..config() }).contains("`test`: lengths must be"));
        assert!(refusal(Config { test: vec![3, 5, 8, 200], ..config() }).contains("of 9 to 200 words"));
        let known = Config {
            example_source: text().lines().next().unwrap().split_once('\t').unwrap().1.to_owned(),
            ..config()
        };
        assert!(refusal(known).contains("`example-source`: the corpus has it, in line 1"));
        let empty = Config { example_target: " ".to_owned(), ..config() };
        assert!(refusal(empty).contains("must have 1 to 8 words"));
        let path = Path::new("pairs.tsv");
        let message = Translation::new(config(), path, "a\tb\nno tab here").err().unwrap().to_string();
        assert_eq!(message, "pairs.tsv, line 2: a translation, a tab and a sentence are needed");
        let attributed = format!("{}\tby someone", text().replace('\n', "\tby someone\n"));
        let attributed = Translation::new(config(), path, &attributed).unwrap();
        assert_eq!(attributed.pairs, task().pairs);
        let corpora = Corpora { search: Vec::new(), cache: "nowhere".into() };
        let missing = (ENTRY.build)(&json!({}), &corpora).err().unwrap().to_string();
        assert!(missing.contains("seqlab data fetch tatoeba-nld-eng"), "{missing}");
        assert_eq!((ENTRY.corpora)(&json!({"corpus": "file:my.tsv"})), ["file:my.tsv"]);
    }
}
