//! Language modelling by characters: say the next character of a text.
//!
//! The vocabulary is the characters of the whole text in order of their code points, and the first 90%
//! (rounded down) may be trained on. What follows is held out:
//!
//! | `held-out` | validation | test |
//! |---|---|---|
//! | `halves` | first half of the last 10% | second half |
//! | `whole` | last tenth of the training part | the whole last 10% |
//!
//! `whole` is for comparing with published numbers of models that choose nothing on validation: its
//! validation text is trained on, too, unless `characters` stops short of it.
//!
//! Training batches are random windows of `time` characters from the training prefix, each with the
//! characters that follow as targets. The test text is cut into 50 equal blocks in order, each a test set of its
//! own (`test-block@00` to `test-block@49`), because one text is one sample and its blocks are what an
//! interval can be computed from; the score of the whole is the mean of the blocks. The start of each block is
//! scored, at most `block-characters` predictions, in windows of `time` side by side. Validation is scored
//! likewise on 25 blocks.
//!
//! A window starts without context, so its first predictions know little: every model is given the same
//! windows, and a score here is higher than that of a model which reads on from one window to the next.

use std::ops::Range;

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TaskEntry;
use crate::batches::{EVALUATION_BATCH, TokenSequence, collate};
use crate::metrics::Classification;
use crate::{Corpora, DataError, settings};

const NAME: &str = "character-language-model";
const TEST_BLOCKS: usize = 50;
const VALIDATION_BLOCKS: usize = 25;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say the next character of a text",
    defaults: settings::defaults::<Config>,
    corpora: |given| {
        let named = given.get("corpus").map_or(Some(DEFAULT_CORPUS), Value::as_str);
        named.map(str::to_owned).into_iter().collect()
    },
    build: |given, corpora| Ok(Box::new(CharacterLanguageModel::from_settings(given, corpora)?)),
};

const DEFAULT_CORPUS: &str = "tiny-shakespeare";

/// How the last 10% of the text is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum HeldOut {
    /// First half validation, second half test.
    Halves,
    /// All of it test.
    Whole,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Name of the corpus, or `file:PATH`.
    corpus: String,
    /// Characters of a window.
    time: usize,
    /// Training characters used at most, from the start of the training part; 0 uses all.
    characters: usize,
    /// How the last 10% is used.
    held_out: HeldOut,
    /// Predictions scored at most in each block of validation or test; 0 scores all.
    block_characters: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            corpus: DEFAULT_CORPUS.to_owned(),
            time: 64,
            characters: 1_000_000,
            held_out: HeldOut::Halves,
            block_characters: 512,
        }
    }
}

/// The task over one text.
pub struct CharacterLanguageModel {
    config: Config,
    symbols: Vec<char>,
    /// The whole text.
    tokens: Vec<u32>,
    training: Range<usize>,
    validation: Range<usize>,
    test: Range<usize>,
    floors: Vec<Floor>,
}

impl CharacterLanguageModel {
    /// Reads the corpus that the settings name and cuts it.
    ///
    /// # Errors
    /// When a setting is wrong, the corpus cannot be read, or it is too short for its blocks.
    pub fn from_settings(given: &Value, corpora: &Corpora) -> Result<Self, DataError> {
        let config: Config = settings::parse(NAME, given)?;
        settings::within(NAME, "time", &config.time, 1..=100_000)?;
        if (1..=config.time).contains(&config.characters) {
            let reason = format!(
                "{} is less than one window: 0 (all), or more than `time` = {}",
                config.characters, config.time
            );
            return Err(settings::wrong(NAME, "characters", reason));
        }
        let text = corpora.read_text(&config.corpus)?;
        Self::new(config, &text)
    }

    fn new(config: Config, text: &str) -> Result<Self, DataError> {
        let mut symbols: Vec<char> = text.chars().collect();
        let length = symbols.len();
        check_length(&config, length)?;
        symbols.sort_unstable();
        symbols.dedup();
        if symbols.len() < 2 {
            return Err(settings::wrong(NAME, "corpus", "the text is one character over and over"));
        }
        let token = |character| {
            let place = symbols.binary_search(&character).expect("every character is a symbol");
            u32::try_from(place).expect("there are fewer characters than 2^32")
        };
        let tokens: Vec<u32> = text.chars().map(token).collect();

        let split = length * 9 / 10;
        let middle = split + (length - split) / 2;
        let (validation, test) = match config.held_out {
            HeldOut::Halves => (split..middle, middle..length),
            HeldOut::Whole => (split - split / 10..split, split..length),
        };
        let used = if config.characters == 0 { split } else { config.characters.min(split) };
        if used < config.characters {
            tracing::warn!(
                corpus = config.corpus,
                asked = config.characters,
                used,
                "fewer training characters"
            );
        }
        let mut task =
            Self { config, symbols, tokens, training: 0..used, validation, test, floors: Vec::new() };
        task.floors = task.ignorant_scores();
        Ok(task)
    }

    /// The whole test text, of which [`Task::test`] scores the starts of 50 blocks.
    #[must_use]
    pub fn test_text(&self) -> &[u32] {
        &self.tokens[self.test.clone()]
    }

    /// The scored part of each of `count` equal blocks of `text`: one character more than predictions.
    fn blocks(&self, text: &Range<usize>, count: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let stride = text.len() / count;
        let scored = match self.config.block_characters {
            0 => stride,
            most => stride.min(most.saturating_add(1)),
        };
        let start = text.start;
        (0..count).map(move |block| start + block * stride..start + block * stride + scored)
    }

    /// Windows of `time` predictions side by side; the last may be shorter.
    fn windows(&self, block: Range<usize>) -> impl Iterator<Item = TokenSequence> {
        let last = block.end - 1;
        let window = move |start: usize| self.window(start..last.min(start + self.config.time));
        (block.start..last).step_by(self.config.time).map(window)
    }

    /// The characters of a range, and as targets those that follow each.
    fn window(&self, range: Range<usize>) -> TokenSequence {
        TokenSequence {
            targets: self.tokens[range.start + 1..=range.end].to_vec(),
            counts: vec![true; range.len()],
            inputs: self.tokens[range].to_vec(),
        }
    }

    /// Scores of predictors that look at no context, on the predictions that the test scores.
    fn ignorant_scores(&self) -> Vec<Floor> {
        // Add-one estimates of the frequencies in the training prefix.
        let mut counts = vec![1_u32; self.symbols.len()];
        for &token in &self.tokens[self.training.clone()] {
            counts[token as usize] += 1;
        }
        let total: f64 = counts.iter().copied().map(f64::from).sum();
        let most_frequent = (0..counts.len()).rev().max_by_key(|&symbol| counts[symbol]);
        let scored: Vec<usize> = self
            .blocks(&self.test, TEST_BLOCKS)
            .flat_map(|block| &self.tokens[block.start + 1..block.end])
            .map(|&token| token as usize)
            .collect();
        let nats: f64 = scored.iter().map(|&symbol| (total / f64::from(counts[symbol])).ln()).sum();
        let hits = scored.iter().filter(|&&symbol| Some(symbol) == most_frequent).count();
        let predictions = scored.len() as f64;
        vec![
            Floor { metric: "cross-entropy", name: "uniform", value: (self.symbols.len() as f64).ln() },
            Floor { metric: "cross-entropy", name: "unigram", value: nats / predictions },
            Floor { metric: "accuracy", name: "most-frequent", value: hits as f64 / predictions },
        ]
    }
}

/// Each test block must hold at least one window and the character after it.
fn check_length(config: &Config, length: usize) -> Result<(), DataError> {
    let characters_a_window = match config.held_out {
        HeldOut::Halves => 20 * TEST_BLOCKS,
        HeldOut::Whole => 10 * TEST_BLOCKS,
    };
    let minimum = characters_a_window * (config.time + 1);
    if length >= minimum {
        return Ok(());
    }
    let longest = (length / characters_a_window).saturating_sub(1);
    let remedy = if longest > 0 { format!(", or `time` = {longest} or less") } else { String::new() };
    Err(DataError::ShortText {
        corpus: config.corpus.clone(),
        found: length,
        minimum,
        reason: format!(
            "each of the {TEST_BLOCKS} test blocks must hold a window of {} characters; use a longer text{remedy}",
            config.time
        ),
    })
}

impl Task for CharacterLanguageModel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        let vocabulary = self.symbols.len();
        Interface {
            inputs: InputKind::Tokens { vocabulary },
            outputs: vocabulary,
            loss: LossKind::CrossEntropy,
            maximum_time: self.config.time,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let mut random = Random::new(seed, Stream::Training(update));
        let starts = self.training.len() - self.config.time;
        let windows: Vec<_> = (0..size)
            .map(|_| {
                let start = random.index(starts);
                self.window(start..start + self.config.time)
            })
            .collect();
        collate(&windows, 0)
    }

    /// The same for every seed: the text is one sample.
    fn validation(&self, _seed: u64) -> Vec<Batch> {
        let windows: Vec<_> =
            self.blocks(&self.validation, VALIDATION_BLOCKS).flat_map(|block| self.windows(block)).collect();
        windows.chunks(EVALUATION_BATCH).map(|windows| collate(windows, 0)).collect()
    }

    /// The same for every seed: the text is one sample.
    fn test(&self, _seed: u64) -> Vec<TestSet> {
        let set = |(index, block)| {
            let windows: Vec<_> = self.windows(block).collect();
            let batches = windows.chunks(EVALUATION_BATCH).map(|windows| collate(windows, 0)).collect();
            TestSet { name: format!("test-block@{index:02}"), batches }
        };
        self.blocks(&self.test, TEST_BLOCKS).enumerate().map(set).collect()
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        let answers = Classification::over(batches, predictions, |_, _| true);
        vec![answers.cross_entropy(), answers.accuracy("accuracy")]
    }

    fn larger_is_better(&self) -> bool {
        false
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    /// `unigram` and `most-frequent` know the frequencies of the training prefix and nothing of the context.
    fn floors(&self) -> Vec<Floor> {
        self.floors.clone()
    }

    fn training_text(&self) -> Option<&[u32]> {
        Some(&self.tokens[self.training.clone()])
    }

    fn symbols(&self) -> Option<&[char]> {
        Some(&self.symbols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, rows};
    use serde_json::json;

    /// Letters of uneven frequency: `a` half of the time.
    fn text(length: usize) -> String {
        let mut random = Random::new(8, Stream::Sampling);
        let mut letter =
            || if random.below(2) == 0 { 'a' } else { char::from(b"bcdefghij"[random.index(9)]) };
        (0..length).map(|_| letter()).collect()
    }

    fn of(config: Config, length: usize) -> CharacterLanguageModel {
        CharacterLanguageModel::new(config, &text(length)).unwrap()
    }

    /// Text of windows side by side: the inputs in order, and the last target.
    fn joined(batches: &[Batch]) -> Vec<u32> {
        let last = batches.last().map(|batch| {
            let row = (batch.size - 1) * batch.time;
            classes(batch)[row + batch.lengths[batch.size - 1] - 1]
        });
        batches.iter().flat_map(rows).flatten().chain(last).collect()
    }

    #[test]
    fn the_vocabulary_is_sorted_and_the_text_is_split_at_nine_tenths() {
        let task = of(Config { characters: 0, ..Config::default() }, 70_000);
        let expected: Vec<char> = ('a'..='j').collect();
        assert_eq!(task.symbols().unwrap(), expected);
        assert_eq!(
            (&task.training, &task.validation, &task.test),
            (&(0..63_000), &(63_000..66_500), &(66_500..70_000))
        );
        let start: String =
            task.training_text().unwrap()[..40].iter().map(|&token| expected[token as usize]).collect();
        assert_eq!(start, text(40));
        let whole = of(Config { characters: 0, held_out: HeldOut::Whole, ..Config::default() }, 70_000);
        assert_eq!((&whole.validation, &whole.test), (&(56_700..63_000), &(63_000..70_000)));
        assert_eq!(whole.test_text().len(), 7_000);
        let prefix = of(Config { characters: 5_000, ..Config::default() }, 70_000);
        assert_eq!(prefix.training_text().unwrap().len(), 5_000);
    }

    #[test]
    fn every_target_is_the_next_character_and_training_stays_in_its_prefix() {
        let task = of(Config { characters: 200, ..Config::default() }, 70_000);
        let prefix = task.training_text().unwrap();
        let mut starts = vec![0; 200];
        for update in 0..100 {
            let batch = task.training_batch(2, update, 16);
            for (row, inputs) in rows(&batch).iter().enumerate() {
                let targets = &classes(&batch)[row * 64..][..64];
                assert_eq!(inputs[1..], targets[..63]);
                let window: Vec<u32> = inputs.iter().chain(targets.last()).copied().collect();
                let start =
                    prefix.windows(65).position(|found| found == window).expect("a part of the prefix");
                starts[start] += 1;
            }
        }
        // 1,600 draws over 136 places: every place that leaves room for a window, and no other.
        assert!(
            starts[..136].iter().all(|&count| count > 0) && starts[136..].iter().all(|&count| count == 0)
        );
    }

    #[test]
    fn the_test_is_fifty_blocks_in_order() {
        let task = of(Config { block_characters: 0, time: 20, ..Config::default() }, 71_234);
        let sets = task.test(1);
        assert_eq!(sets.len(), 50);
        assert_eq!((sets[0].name.as_str(), sets[49].name.as_str()), ("test-block@00", "test-block@49"));
        // 71,234 characters: training 64,110, held out 7,124, test 3,562, so 71 a block and 70 predictions.
        let stride = 71;
        for (index, set) in sets.iter().enumerate() {
            assert_eq!(joined(&set.batches), task.test_text()[index * stride..(index + 1) * stride]);
            assert_eq!(set.batches.iter().map(Batch::supervised).sum::<usize>(), 70);
        }
        let capped = of(Config { block_characters: 32, time: 20, ..Config::default() }, 71_234);
        for (short, long) in capped.test(1).iter().zip(&sets) {
            assert_eq!(joined(&short.batches), joined(&long.batches)[..33]);
            assert_eq!(short.batches[0].lengths, [20, 12]);
        }
    }

    #[test]
    fn no_character_of_the_test_is_seen_before() {
        for (held_out, validation_is_trained_on) in [(HeldOut::Halves, false), (HeldOut::Whole, true)] {
            let task = of(Config { characters: 0, held_out, ..Config::default() }, 70_000);
            assert!(task.training.end <= task.test.start && task.validation.end <= task.test.start);
            let (training, text) = (task.training_text().unwrap(), |batches: &[Batch]| joined(batches));
            let occurs = |part: &[u32]| training.windows(part.len()).any(|found| found == part);
            for set in task.test(1) {
                assert!(!occurs(&text(&set.batches)[..40]), "{}", set.name);
            }
            // The check does find a text that was trained on.
            assert_eq!(occurs(&text(&task.validation(1))[..40]), validation_is_trained_on);
        }
    }

    #[test]
    fn floors_are_those_of_predictors_without_context() {
        let task = of(Config::default(), 70_000);
        let training = task.training_text().unwrap();
        let frequency = |symbol: u32| training.iter().filter(|&&token| token == symbol).count() as f32;
        let unigram: Vec<f32> =
            (0..10).map(|symbol| ((frequency(symbol) + 1.0) / (training.len() as f32 + 10.0)).ln()).collect();
        let (mut nats, mut accuracy) = (0.0, 0.0);
        for set in task.test(1) {
            let answers: Vec<_> =
                set.batches.iter().map(|batch| testing::predict(batch, 10, |_, _| unigram.clone())).collect();
            let scores = task.scores(&set.batches, &answers);
            nats += scores[0].value / 50.0;
            accuracy += scores[1].value / 50.0;
        }
        let floors = task.floors();
        assert_eq!(floors[0].value, 10_f64.ln());
        assert!((nats - floors[1].value).abs() < 1e-6, "{nats}");
        assert!((accuracy - floors[2].value).abs() < 1e-9, "{accuracy}");
        // The source: half `a`, the rest even over nine letters, so ln 2 + (ln 9) / 2 = 1.792 nats; its
        // standard deviation is 1.1 a character, over 3,450 characters 0.019.
        assert!((nats - 1.792).abs() < 0.08 && (accuracy - 0.5).abs() < 0.04, "{nats} {accuracy}");
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&of(Config::default(), 70_000)), "317a1401edf3e4a0");
    }

    #[test]
    fn the_corpus_is_known_from_partial_settings() {
        assert_eq!((ENTRY.corpora)(&json!({"time": 32})), ["tiny-shakespeare"]);
        assert_eq!((ENTRY.corpora)(&json!({"corpus": "file:my.txt"})), ["file:my.txt"]);
        assert_eq!((ENTRY.corpora)(&json!({"corpus": 3})), [""; 0]);
    }

    #[test]
    fn a_text_of_ones_own_works() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.txt");
        std::fs::write(&path, text(21_000)).unwrap();
        let corpora = Corpora { search: Vec::new(), cache: folder.path().to_owned() };
        let given = json!({"corpus": format!("file:{}", path.display()), "time": 20});
        let task = (ENTRY.build)(&given, &corpora).unwrap();
        assert_eq!(task.test(1).len(), 50);
        // With the default time of 64, 50 blocks of 65 characters are 5% of 65,000.
        let given = json!({"corpus": format!("file:{}", path.display())});
        let short = (ENTRY.build)(&given, &corpora).err().unwrap().to_string();
        assert!(short.contains("has 21000 characters, but at least 65000 are needed"), "{short}");
        assert!(short.contains("`time` = 20 or less"), "{short}");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let corpora = Corpora { search: Vec::new(), cache: "nowhere".into() };
        let refusal = |given| (ENTRY.build)(&given, &corpora).err().unwrap().to_string();
        assert!(refusal(json!({"time": 0})).contains("`time`: 0 is outside the allowed 1"));
        assert!(
            refusal(json!({"characters": 64}))
                .contains("`characters`: 64 is less than one window: 0 (all), or more than `time` = 64")
        );
        assert!(refusal(json!({"held-out": "half"})).contains("expected `halves` or `whole`"));
        assert!(refusal(json!({"corpus": "shakespeare"})).contains("no corpus is named `shakespeare`"));
        assert!(refusal(json!({})).contains("seqlab data fetch tiny-shakespeare"));
        let constant = CharacterLanguageModel::new(Config::default(), &"a".repeat(70_000)).err().unwrap();
        assert!(constant.to_string().contains("one character over and over"));
    }
}
