//! Classification of texts: say at the last word to which class the text belongs.
//!
//! ```text
//! input    word  word  ...  word
//! target    -     -    ...  class
//! ```
//!
//! Texts come from a registered set or from a file of one's own, `file:PATH`: comma-separated if its name ends in `.csv`, otherwise
//! tab-separated, with a header that names the columns `text` and `class`. Texts that repeat an earlier one are dropped; the rest is
//! cut as `labelled.rs` says. Words that do not occur in the training examples are one symbol, unknown, in all others.
//!
//! Tokens: 0 padding, 1 unknown, then the words of all texts in order of their code points.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TaskEntry;
use crate::batches::{EVALUATION_BATCH, TokenSequence, collate};
use crate::labelled::{self, Cut, Cutting, FirstCut};
use crate::metrics::classification_scores;
use crate::words::words;
use crate::{Corpora, DataError, settings};

const NAME: &str = "text-classification";
const DEFAULT_CORPUS: &str = "sms-spam";
const PADDING: u32 = 0;
const UNKNOWN: u32 = 1;
const FIRST_WORD: u32 = 2;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say to which class a text belongs",
    defaults: settings::defaults::<Config>,
    corpora: |given| {
        let corpus = given.get("corpus").map_or(Some(DEFAULT_CORPUS), Value::as_str).unwrap_or_default();
        match SETS.iter().find(|(name, _)| *name == corpus) {
            Some((_, parts)) => parts.iter().map(|part| part.corpus.to_owned()).collect(),
            None => vec![corpus.to_owned()],
        }
    },
    build: |given, corpora| Ok(Box::new(TextClassification::from_settings(given, corpora)?)),
};

/// The registered sets, and what they are made of.
static SETS: &[(&str, &[Part])] = &[
    ("sms-spam", &[Part { corpus: "sms-spam", layout: Layout::ClassFirst }]),
    (
        "movie-reviews",
        &[
            Part { corpus: "movie-reviews-negative", layout: Layout::OneClass("negative") },
            Part { corpus: "movie-reviews-positive", layout: Layout::OneClass("positive") },
        ],
    ),
    (
        "sst-2",
        &[
            Part { corpus: "sst-2-train", layout: Layout::ClassLast },
            Part { corpus: "sst-2-dev", layout: Layout::ClassLast },
            Part { corpus: "sst-2-test", layout: Layout::ClassLast },
        ],
    ),
    ("trec", &[Part { corpus: "trec", layout: Layout::ClassAndKind }]),
];

/// One file of a set.
struct Part {
    corpus: &'static str,
    layout: Layout,
}

/// How a file of a registered set is written: a text a line.
#[derive(Clone, Copy)]
enum Layout {
    /// The class, a tab, the text.
    ClassFirst,
    /// The text, a tab, the class.
    ClassLast,
    /// The class, a colon, the kind within the class, a space, the text.
    ClassAndKind,
    /// Texts of one class.
    OneClass(&'static str),
}

/// Where one word ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Words {
    /// At a space; for texts that are cut already.
    Spaces,
    /// In lower case, at what is no letter, digit or apostrophe; every other character but space is a word of its own.
    Letters,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Name of the set, or `file:PATH`.
    corpus: String,
    /// Where one word ends.
    words: Words,
    /// Training examples; 0 uses all.
    examples: usize,
    /// Folds, of which one is tested.
    folds: usize,
    /// Whether the validation examples are trained on, too; for models that choose nothing, as in published numbers.
    train_on_validation: bool,
    /// Column of a file of one's own that holds the text.
    text_column: String,
    /// Column of a file of one's own that holds the class.
    class_column: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            corpus: DEFAULT_CORPUS.to_owned(),
            words: Words::Letters,
            examples: 0,
            folds: 10,
            train_on_validation: false,
            text_column: "text".to_owned(),
            class_column: "class".to_owned(),
        }
    }
}

impl Config {
    fn cutting(&self) -> Cutting {
        let Self { folds, examples, train_on_validation, .. } = *self;
        Cutting { folds, examples, train_on_validation }
    }
}

struct TextClassification {
    config: Config,
    /// The words of each text.
    texts: Vec<Vec<u32>>,
    /// The class of each.
    labels: Vec<u32>,
    /// Names of the classes, in order.
    classes: Vec<String>,
    vocabulary: usize,
    first_cut: FirstCut,
}

impl TextClassification {
    fn from_settings(given: &Value, corpora: &Corpora) -> Result<Self, DataError> {
        let config: Config = settings::parse(NAME, given)?;
        let mut labelled = Vec::new();
        match SETS.iter().find(|(name, _)| *name == config.corpus) {
            Some((_, parts)) => {
                for part in *parts {
                    read_lines(&corpora.read_text(part.corpus)?, part.layout, &mut labelled);
                }
            }
            None if config.corpus.starts_with("file:") => {
                let path = corpora.locate(&config.corpus)?;
                let text = corpora.read_text(&config.corpus)?;
                let table = crate::separated::read(&path, &text)?;
                let (text, class) = (table.column(&config.text_column)?, table.column(&config.class_column)?);
                labelled.extend(table.rows.iter().map(|row| (row[class].clone(), row[text].clone())));
            }
            None => {
                let known: Vec<String> = SETS.iter().map(|(name, _)| format!("`{name}`")).collect();
                let reason = format!(
                    "no set of texts is named `{}`; known are {}, or `file:PATH`",
                    config.corpus,
                    known.join(", ")
                );
                return Err(settings::wrong(NAME, "corpus", reason));
            }
        }
        Self::new(config, &labelled)
    }

    /// From pairs of class and text.
    fn new(config: Config, labelled: &[(String, String)]) -> Result<Self, DataError> {
        let mut seen = HashSet::new();
        let distinct: Vec<&(String, String)> =
            labelled.iter().filter(|(_, text)| seen.insert(text)).collect();
        let repeats = labelled.len() - distinct.len();
        if repeats > 0 {
            tracing::debug!(corpus = config.corpus, repeats, "texts that repeat an earlier one are dropped");
        }
        let classes: BTreeSet<&str> = distinct.iter().map(|(class, _)| class.as_str()).collect();
        let classes: Vec<String> = classes.into_iter().map(str::to_owned).collect();
        if classes.len() < 2 {
            let reason = match classes.first() {
                Some(class) => format!("`{}` has one class, `{class}`, where two are needed", config.corpus),
                None => format!("`{}` has no texts", config.corpus),
            };
            return Err(settings::wrong(NAME, "corpus", reason));
        }
        let words: Vec<Vec<String>> = distinct.iter().map(|(_, text)| config.words.of(text)).collect();
        let vocabulary: BTreeSet<&str> = words.iter().flatten().map(String::as_str).collect();
        let numbers: BTreeMap<&str, u32> = vocabulary.into_iter().zip(FIRST_WORD..).collect();
        let texts =
            words.iter().map(|text| text.iter().map(|word| numbers[word.as_str()]).collect()).collect();
        let label = |class: &String| {
            let place = classes.binary_search(class).expect("every class is among the classes");
            u32::try_from(place).expect("there are fewer than 2^32 classes")
        };
        let labels: Vec<u32> = distinct.iter().map(|(class, _)| label(class)).collect();
        labelled::check(NAME, &labels, &classes, config.cutting())?;
        let vocabulary = numbers.len() + FIRST_WORD as usize;
        Ok(Self { config, texts, labels, classes, vocabulary, first_cut: FirstCut::default() })
    }

    fn cut(&self, seed: u64) -> Arc<Cut> {
        self.first_cut.of(&self.labels, self.config.cutting(), seed)
    }

    /// The examples as a model reads them that knows these words.
    fn sequences(&self, examples: &[usize], known: &HashSet<u32>) -> Vec<TokenSequence> {
        let sequence = |&example: &usize| {
            let word = |word: &u32| if known.contains(word) { *word } else { UNKNOWN };
            let mut inputs: Vec<u32> = self.texts[example].iter().map(word).collect();
            if inputs.is_empty() {
                inputs.push(UNKNOWN);
            }
            let last = inputs.len() - 1;
            let mut targets = vec![0; inputs.len()];
            targets[last] = self.labels[example];
            let mut counts = vec![false; inputs.len()];
            counts[last] = true;
            TokenSequence { inputs, targets, counts }
        };
        examples.iter().map(sequence).collect()
    }

    /// The words of these examples.
    fn known(&self, examples: &[usize]) -> HashSet<u32> {
        examples.iter().flat_map(|&example| &self.texts[example]).copied().collect()
    }

    fn batches(&self, examples: &[usize], known: &HashSet<u32>) -> Vec<Batch> {
        let sequences = self.sequences(examples, known);
        sequences.chunks(EVALUATION_BATCH).map(|sequences| collate(sequences, PADDING)).collect()
    }
}

/// Adds the class and text of each line.
fn read_lines(text: &str, layout: Layout, labelled: &mut Vec<(String, String)>) {
    for line in text.lines() {
        let (class, text) = match layout {
            // Registered files are checked against their digest, so every line has its separator.
            Layout::ClassFirst => line.split_once('\t').unwrap_or_default(),
            Layout::ClassLast => line.split_once('\t').map(|(text, class)| (class, text)).unwrap_or_default(),
            Layout::ClassAndKind => {
                let (label, text) = line.split_once(' ').unwrap_or_default();
                (label.split(':').next().unwrap_or_default(), text)
            }
            Layout::OneClass(class) => (class, line),
        };
        labelled.push((class.to_owned(), text.trim().to_owned()));
    }
}

impl Words {
    fn of(self, text: &str) -> Vec<String> {
        match self {
            Self::Spaces => text.split_whitespace().map(str::to_owned).collect(),
            Self::Letters => words(text),
        }
    }
}

impl Task for TextClassification {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Tokens { vocabulary: self.vocabulary },
            outputs: self.classes.len(),
            loss: LossKind::CrossEntropy,
            maximum_time: self.texts.iter().map(Vec::len).max().unwrap_or(0).max(1),
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let cut = self.cut(seed);
        let training = &cut.training;
        let mut random = Random::new(seed, Stream::Training(update));
        let drawn: Vec<usize> = (0..size).map(|_| training[random.index(training.len())]).collect();
        collate(&self.sequences(&drawn, &self.known(training)), PADDING)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        let cut = self.cut(seed);
        self.batches(&cut.validation, &self.known(&cut.training))
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        let cut = self.cut(seed);
        let batches = self.batches(&cut.test, &self.known(&cut.training));
        vec![TestSet { name: "test".to_owned(), batches }]
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        classification_scores(batches, predictions)
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    /// Of the whole set.
    fn floors(&self) -> Vec<Floor> {
        labelled::floors(&self.labels, self.classes.len())
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        let cut = self.cut(seed);
        let training = &cut.training;
        Some(self.batches(training, &self.known(training)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{self, classes, rows};

    /// 40 distinct messages of two classes, some of them repeated.
    fn messages() -> Vec<(String, String)> {
        let message = |number: usize| match number % 2 {
            0 => ("ham".to_owned(), format!("see you at {number}, ok?")),
            _ => ("spam".to_owned(), format!("WIN {number} now!")),
        };
        (0..40).chain([3, 3, 4]).map(message).collect()
    }

    fn of(config: &Value) -> Result<TextClassification, String> {
        let config = settings::parse(NAME, config).unwrap();
        TextClassification::new(config, &messages()).map_err(|error| error.to_string())
    }

    #[test]
    fn texts_are_cut_into_words() {
        let letters = Words::Letters.of("Don't GO, it's 5 pm!!");
        assert_eq!(letters, ["don't", "go", ",", "it's", "5", "pm", "!", "!"]);
        assert_eq!(Words::Spaces.of(" it 's  GOOD , "), ["it", "'s", "GOOD", ","]);
        assert!(Words::Letters.of("  ").is_empty());
    }

    #[test]
    fn the_class_is_asked_for_at_the_last_word() {
        let task = of(&json!({"folds": 4})).unwrap();
        assert_eq!((task.texts.len(), task.classes.len()), (40, 2), "repeats are dropped");
        for batch in task.training_set(1).unwrap() {
            for (row, sequence) in rows(&batch).iter().enumerate() {
                let last = row * batch.time + sequence.len() - 1;
                let asked: Vec<usize> =
                    (row * batch.time..(row + 1) * batch.time).filter(|&at| batch.loss_mask[at]).collect();
                assert_eq!(asked, [last]);
                // Spam has four words, ham seven: class 1 is spam.
                assert_eq!(classes(&batch)[last], u32::from(sequence.len() == 4));
                assert!(sequence.iter().all(|&word| word >= FIRST_WORD));
            }
        }
    }

    #[test]
    fn words_not_seen_in_training_are_unknown_elsewhere() {
        let task = of(&json!({"folds": 4, "examples": 10})).unwrap();
        let training: HashSet<u32> = task.training_set(1).unwrap().iter().flat_map(rows).flatten().collect();
        assert!(!training.contains(&UNKNOWN));
        let tested: Vec<u32> = task.test(1).remove(0).batches.iter().flat_map(rows).flatten().collect();
        // Each message has a number of its own, which no other has.
        assert_eq!(tested.iter().filter(|&&word| word == UNKNOWN).count(), 10);
        assert!(tested.iter().all(|word| *word == UNKNOWN || training.contains(word)));
    }

    #[test]
    fn parts_share_no_text() {
        let task = of(&json!({"folds": 4})).unwrap();
        let cut = task.cut(2);
        assert_eq!((cut.training.len(), cut.validation.len(), cut.test.len()), (27, 3, 10));
        let mut all = cut.training.clone();
        all.extend(cut.validation.iter().chain(&cut.test));
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
        assert_eq!(testing::shared(&task.training_set(2).unwrap(), &[task.training_batch(2, 1, 50)]), 50);
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        assert!(of(&json!({"folds": 30})).err().unwrap().contains("fewer than two a fold"));
        assert!(
            of(&json!({"folds": 4, "examples": 28}))
                .err()
                .unwrap()
                .contains("more than there are for training, 27")
        );
        let single = vec![("ham".to_owned(), "hello".to_owned())];
        let message = TextClassification::new(Config::default(), &single).err().unwrap().to_string();
        assert!(message.contains("one class, `ham`"), "{message}");
        let corpora = Corpora { search: Vec::new(), cache: "nowhere".into() };
        let unknown =
            TextClassification::from_settings(&json!({"corpus": "sms"}), &corpora).err().unwrap().to_string();
        assert!(unknown.contains("no set of texts is named `sms`; known are `sms-spam`"), "{unknown}");
    }

    #[test]
    fn a_file_of_ones_own_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my.tsv");
        let lines: Vec<String> = messages().iter().map(|(class, text)| format!("{text}\t{class}")).collect();
        std::fs::write(&path, format!("message\tlabel\n{}\n", lines.join("\n"))).unwrap();
        let corpora = Corpora { search: Vec::new(), cache: "nowhere".into() };
        let given = json!({
            "corpus": format!("file:{}", path.display()), "text-column": "message", "class-column": "label", "folds": 4
        });
        let task = TextClassification::from_settings(&given, &corpora).unwrap();
        assert_eq!(
            (task.texts.len(), task.classes.as_slice()),
            (40, &["ham".to_owned(), "spam".to_owned()][..])
        );
        let unnamed = json!({"corpus": format!("file:{}", path.display())});
        let message = TextClassification::from_settings(&unnamed, &corpora).err().unwrap().to_string();
        assert!(
            message.contains("my.tsv, line 1: no column is named `text`; there are `message`, `label`"),
            "{message}"
        );
        assert_eq!(
            (ENTRY.corpora)(&json!({"corpus": "movie-reviews"})),
            ["movie-reviews-negative", "movie-reviews-positive"]
        );
    }
}
