//! Images of handwritten digits, or signals drawn like them, read piece by piece: say at the end which digit it is.
//!
//! ```text
//! reading   image: steps, values a step   signal   target
//! pixels    64  1                         40  1    at the last step: the digit
//! rows       8  8                         none     at the last step: the digit
//! whole      1  64                         1  40   the digit
//! ```
//!
//! An image has 8 x 8 pixels of 17 levels, 0 to 16, here divided by 16; a signal is one of `mnist-1d` and has 40 points. An image is read from left to right and from top to bottom, as in the
//! pixel-by-pixel task of Le, Jaitly and Hinton (2015); with `permuted`, all images after one and the same random permutation of
//! their pixels, so that neighbours in the image are none in the sequence. With `shuffled`, the digits are dealt out to the images at random,
//! once for all seeds: nothing is left to learn, and what is seen in training says nothing about the rest.
//!
//! With `density`, nothing is asked: images, read whole, are to be modelled themselves. Since a level is whole, a density could be without bound where images
//! have it; each level gets a uniform number from 0 to 1 and is divided by 17 in place of 16 (Theis, van den Oord and Bethge 2016), the same for all seeds.
//!
//! The file has a line for each image: 64 levels and the digit, separated by commas, and no header. Images that repeat an earlier one are
//! dropped; the rest is cut as `labelled.rs` says, in the same way for every reading.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use sequence::{
    Batch, Floor, InputKind, Inputs, Interface, LossKind, Predictions, Random, Score, Stream, Targets, Task,
    TestSet,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TaskEntry;
use crate::batches::EVALUATION_BATCH;
use crate::corpora::mnist_1d;
use crate::labelled::{self, Cut, Cutting, FirstCut};
use crate::metrics::{classification_scores, own_loss};
use crate::{Corpora, DataError, settings};

const NAME: &str = "digits";
const DEFAULT_CORPUS: &str = "handwritten-digits";
const SIGNALS: &str = "mnist-1d";
/// The brightest level.
const BRIGHTEST: u8 = 16;
const DIGITS: usize = 10;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say which digit an image of 8 x 8 pixels or a signal of 40 points shows, read by pixels, by rows or whole",
    defaults: settings::defaults::<Config>,
    corpora: |given| {
        let corpus = given.get("corpus").map_or(Some(DEFAULT_CORPUS), Value::as_str);
        corpus.map(str::to_owned).into_iter().collect()
    },
    build: |given, corpora| Ok(Box::new(Digits::from_settings(given, corpora)?)),
};

/// How much of an image is read at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reading {
    /// A pixel, or a point of a signal.
    Pixels,
    /// A row of eight pixels, of an image.
    Rows,
    /// All of it, for models of one row of features.
    Whole,
}

impl Reading {
    /// Values a step, of an image or signal of `values`.
    fn width(self, values: usize) -> usize {
        match self {
            Self::Pixels => 1,
            Self::Rows => 8,
            Self::Whole => values,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// `handwritten-digits`, `mnist-1d`, or `file:PATH` with images.
    corpus: String,
    /// How much of an image is read at a step.
    reading: Reading,
    /// Whether the pixels of all images are put in one random order first.
    permuted: bool,
    /// Whether the digits are dealt out to the images at random.
    shuffled: bool,
    /// Whether nothing is asked and the images are modelled themselves.
    density: bool,
    /// Training images; 0 uses all.
    examples: usize,
    /// Folds, of which one is tested.
    folds: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            corpus: DEFAULT_CORPUS.to_owned(),
            reading: Reading::Pixels,
            permuted: false,
            shuffled: false,
            density: false,
            examples: 0,
            folds: 10,
        }
    }
}

struct Digits {
    config: Config,
    /// The values of each image in the order in which they are read.
    images: Vec<Vec<f32>>,
    /// The digit of each.
    labels: Vec<u32>,
    first_cut: FirstCut,
}

impl Digits {
    fn from_settings(given: &Value, corpora: &Corpora) -> Result<Self, DataError> {
        let config: Config = settings::parse(NAME, given)?;
        let is_signals = config.corpus == SIGNALS;
        if is_signals && config.reading == Reading::Rows {
            let reason = format!("a signal of `{SIGNALS}` has no rows; read it by `pixels` or `whole`");
            return Err(settings::wrong(NAME, "reading", reason));
        }
        if config.density && config.reading != Reading::Whole {
            let reason = "what is modelled itself is read whole: add `reading = \"whole\"`";
            return Err(settings::wrong(NAME, "density", reason));
        }
        let path = corpora.locate(&config.corpus)?;
        let form = if is_signals { &SIGNAL } else { &IMAGE };
        let records = read(form, &path, &corpora.read_text(&config.corpus)?)?;
        Self::new(config, records)
    }

    fn new(config: Config, records: Vec<(Vec<f32>, u32)>) -> Result<Self, DataError> {
        let mut seen = HashSet::new();
        let bits = |image: &[f32]| image.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let distinct = records.into_iter().filter(|(image, _)| seen.insert(bits(image)));
        let (mut images, mut labels): (Vec<_>, Vec<_>) = distinct.unzip();
        if config.permuted {
            let order = permutation(images.first().map_or(0, Vec::len));
            for image in &mut images {
                *image = order.iter().map(|&pixel| image[pixel]).collect();
            }
        }
        if config.density && config.corpus != SIGNALS {
            let mut random = Random::new(2, Stream::Sampling);
            for value in images.iter_mut().flatten() {
                *value = (*value * f32::from(BRIGHTEST) + random.unit()) / f32::from(BRIGHTEST + 1);
            }
        }
        if config.shuffled {
            Random::new(1, Stream::Sampling).shuffle(&mut labels);
        }
        let names: Vec<String> = (0..DIGITS).map(|digit| digit.to_string()).collect();
        let task = Self { config, images, labels, first_cut: FirstCut::default() };
        labelled::check(NAME, &task.labels, &names, task.cutting())?;
        Ok(task)
    }

    /// Values a step.
    fn width(&self) -> usize {
        self.config.reading.width(self.images[0].len())
    }

    /// Steps an image.
    fn time(&self) -> usize {
        self.images[0].len() / self.width()
    }

    fn cutting(&self) -> Cutting {
        let Config { folds, examples, .. } = self.config;
        Cutting { folds, examples, train_on_validation: false }
    }

    fn cut(&self, seed: u64) -> Arc<Cut> {
        self.first_cut.of(&self.labels, self.cutting(), seed)
    }

    fn batch(&self, examples: &[usize]) -> Batch {
        let (width, time) = (self.width(), self.time());
        let values = examples.iter().flat_map(|&example| &self.images[example]).copied().collect();
        let size = examples.len();
        let mut targets = vec![0; size * time];
        let mut loss_mask = vec![false; size * time];
        for (row, &example) in examples.iter().enumerate() {
            let last = (row + 1) * time - 1;
            targets[last] = if self.config.density { 0 } else { self.labels[example] };
            loss_mask[last] = true;
        }
        let batch = Batch {
            size,
            time,
            inputs: Inputs::Features { width, values },
            source: None,
            targets: Targets::Classes(targets),
            loss_mask,
            lengths: vec![time; size],
        };
        batch.assert_consistent();
        batch
    }

    fn batches(&self, examples: &[usize]) -> Vec<Batch> {
        examples.chunks(EVALUATION_BATCH).map(|examples| self.batch(examples)).collect()
    }
}

/// The pixel that is read at each place when pixels are permuted.
fn permutation(pixels: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..pixels).collect();
    Random::new(0, Stream::Sampling).shuffle(&mut order);
    order
}

/// How a line of a file is written: values, then a digit.
struct Form {
    values: usize,
    /// What a value is read as, or what it should be.
    value: fn(&str) -> Result<f32, String>,
}

const IMAGE: Form =
    Form { values: 64, value: |text| Ok(f32::from(whole(text, BRIGHTEST)?) / f32::from(BRIGHTEST)) };
const SIGNAL: Form = Form {
    values: mnist_1d::POINTS,
    value: |text| text.trim().parse().map_err(|_| format!("`{text}` is no number")),
};

fn whole(text: &str, largest: u8) -> Result<u8, String> {
    match text.trim().parse::<u8>() {
        Ok(number) if number <= largest => Ok(number),
        _ => Err(format!("`{text}` is no whole number from 0 to {largest}")),
    }
}

/// The values and the digit of each line.
fn read(form: &Form, path: &Path, text: &str) -> Result<Vec<(Vec<f32>, u32)>, DataError> {
    let record = |(line, text): (u64, &str)| {
        let wrong = |reason: String| DataError::Table { path: path.to_owned(), line, reason };
        let parts: Vec<&str> = text.split(',').collect();
        let [values @ .., digit] = parts.as_slice() else { unreachable!("a split has a first part") };
        if values.len() != form.values {
            let reason = format!("{} values, where {} and a digit are expected", parts.len(), form.values);
            return Err(wrong(reason));
        }
        let image = values.iter().map(|value| (form.value)(value)).collect::<Result<_, _>>();
        Ok((image.map_err(wrong)?, u32::from(whole(digit, 9).map_err(wrong)?)))
    };
    (1..).zip(text.lines()).map(record).collect()
}

impl Task for Digits {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        let (outputs, loss) =
            if self.config.density { (1, LossKind::Density) } else { (DIGITS, LossKind::CrossEntropy) };
        Interface {
            inputs: InputKind::Features { width: self.width() },
            outputs,
            loss,
            maximum_time: self.time(),
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let cut = self.cut(seed);
        let training = &cut.training;
        let mut random = Random::new(seed, Stream::Training(update));
        let drawn: Vec<usize> = (0..size).map(|_| training[random.index(training.len())]).collect();
        self.batch(&drawn)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        self.batches(&self.cut(seed).validation)
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        vec![TestSet { name: "test".to_owned(), batches: self.batches(&self.cut(seed).test) }]
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        if self.config.density {
            return vec![own_loss(batches, predictions)];
        }
        classification_scores(batches, predictions)
    }

    fn larger_is_better(&self) -> bool {
        !self.config.density
    }

    fn solved_at(&self) -> Option<f64> {
        None
    }

    /// Of the whole set.
    fn floors(&self) -> Vec<Floor> {
        if self.config.density {
            return Vec::new();
        }
        labelled::floors(&self.labels, DIGITS)
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(self.batches(&self.cut(seed).training))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::testing::{self, classes};

    const PIXELS: usize = 64;

    /// 120 distinct images, of which the first pixels say the number of the image, and the first of them once more.
    fn records() -> Vec<(Vec<f32>, u32)> {
        let image = |number: u8| {
            let levels = [number % 16, number / 16].map(|level| f32::from(level) / 16.0);
            let image = levels.into_iter().chain([0.0; PIXELS - 2]).collect();
            (image, u32::from(number % 10))
        };
        (0..120).chain([0]).map(image).collect()
    }

    fn of(config: &Value) -> Digits {
        Digits::new(settings::parse(NAME, config).unwrap(), records()).unwrap()
    }

    fn values(batch: &Batch) -> &[f32] {
        let Inputs::Features { values, .. } = &batch.inputs else { panic!("features") };
        values
    }

    #[test]
    fn every_reading_has_the_same_images_and_asks_at_the_last_step() {
        let readings = [("pixels", 64), ("rows", 8), ("whole", 1)];
        let tasks = readings.map(|(reading, time)| (of(&json!({"reading": reading, "folds": 3})), time));
        for (task, time) in &tasks {
            for set in [task.training_set(1).unwrap(), task.validation(1), task.test(1).remove(0).batches] {
                for batch in set {
                    assert_eq!((batch.time, batch.supervised()), (*time, batch.size));
                    for (row, image) in values(&batch).chunks(PIXELS).enumerate() {
                        let last = (row + 1) * time - 1;
                        assert!(batch.loss_mask[last]);
                        let number = 16.0 * (image[0] + 16.0 * image[1]);
                        assert_eq!(classes(&batch)[last] as f32, number % 10.0);
                    }
                }
            }
        }
        let drawn = tasks.each_ref().map(|(task, _)| values(&task.training_batch(2, 3, 5)).to_vec());
        assert!(drawn[0] == drawn[1] && drawn[1] == drawn[2]);
    }

    #[test]
    fn parts_share_no_image() {
        let task = of(&json!({"folds": 3}));
        let sets = [task.training_set(1).unwrap(), task.validation(1), task.test(1).remove(0).batches];
        let sizes = sets.each_ref().map(|set| set.iter().map(|batch| batch.size).sum::<usize>());
        // Of 120, a third is tested and a tenth of the rest is for choosing.
        assert_eq!(sizes, [72, 8, 40]);
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            assert_eq!(testing::shared(&sets[one], &sets[other]), 0);
        }
        assert_eq!(testing::shared(&sets[0], &[task.training_batch(1, 7, 50)]), 50);
        // The cut that is kept is that of the first seed alone.
        assert_ne!(task.cut(2), task.cut(1));
        assert_eq!(task.cut(2), of(&json!({"folds": 3})).cut(2));
    }

    #[test]
    fn a_permutation_moves_pixels_and_not_images() {
        // By `python fixtures/digests.py`: the shuffle of 0 to 63.
        let order = permutation(PIXELS);
        assert_eq!(order[..8], [56, 54, 14, 45, 9, 41, 11, 62]);
        assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), PIXELS);
        let (plain, permuted) = (of(&json!({"folds": 3})), of(&json!({"folds": 3, "permuted": true})));
        let (plain, permuted) = (plain.training_batch(1, 0, 20), permuted.training_batch(1, 0, 20));
        assert_eq!(plain.targets, permuted.targets);
        for (plain, permuted) in values(&plain).chunks(PIXELS).zip(values(&permuted).chunks(PIXELS)) {
            assert!(order.iter().map(|&pixel| plain[pixel]).eq(permuted.iter().copied()));
        }
    }

    #[test]
    fn shuffled_digits_are_as_frequent_and_belong_to_other_images() {
        let (plain, shuffled) = (of(&json!({"folds": 3})), of(&json!({"folds": 3, "shuffled": true})));
        assert_eq!(plain.images, shuffled.images);
        let sorted = |task: &Digits| {
            let mut labels = task.labels.clone();
            labels.sort_unstable();
            labels
        };
        assert_eq!(sorted(&plain), sorted(&shuffled));
        let kept = plain.labels.iter().zip(&shuffled.labels).filter(|(one, other)| one == other).count();
        // A tenth of 120, with a standard error of 3.3; four of them.
        assert!(kept < 26, "{kept}");
        assert_eq!(shuffled.floors()[0], Floor { metric: "accuracy", name: "most-frequent", value: 0.1 });
    }

    #[test]
    fn images_to_be_modelled_have_noise_within_their_level() {
        let settings = json!({"density": true, "reading": "whole", "folds": 3});
        let (noisy, plain) = (of(&settings), of(&json!({"reading": "whole", "folds": 3})));
        assert_eq!((noisy.interface().loss, noisy.interface().outputs), (LossKind::Density, 1));
        assert_eq!(classes(&noisy.training_batch(1, 0, 50)), [0; 50]);
        let values = |task: &Digits| values(&task.training_batch(1, 0, 50)).to_vec();
        let above: Vec<f32> = values(&noisy)
            .iter()
            .zip(values(&plain))
            .map(|(noisy, level)| 17.0 * noisy - 16.0 * level)
            .collect();
        assert!(above.iter().all(|noise| (-1e-4..1.0001).contains(noise)));
        let mean = above.iter().sum::<f32>() / above.len() as f32;
        // 1/2, with a standard error of 0.29 / sqrt(3200) = 0.005; four of them.
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        let corpora = Corpora { search: Vec::new(), cache: std::path::PathBuf::new() };
        let refused = Digits::from_settings(&json!({"density": true}), &corpora).err().unwrap();
        assert!(refused.to_string().contains("read whole"), "{refused}");
    }

    #[test]
    fn signals_are_read_by_points_or_whole() {
        let folder = tempfile::tempdir().unwrap();
        let corpora = Corpora { search: Vec::new(), cache: folder.path().to_owned() };
        let of = |reading: &str| {
            let settings = json!({"corpus": SIGNALS, "reading": reading, "folds": 5});
            Digits::from_settings(&settings, &corpora)
        };
        let (points, whole) = (of("pixels").unwrap(), of("whole").unwrap());
        let sets = [points.training_set(1).unwrap(), points.validation(1), points.test(1).remove(0).batches];
        assert_eq!(sets.map(|set| set.iter().map(|batch| batch.size).sum::<usize>()), [3600, 400, 1000]);
        let (by_points, at_once) = (points.training_batch(1, 0, 3), whole.training_batch(1, 0, 3));
        assert_eq!((by_points.time, at_once.time), (40, 1));
        assert_eq!(values(&by_points), values(&at_once));
        assert!(of("rows").err().unwrap().to_string().contains("has no rows"));
    }

    #[test]
    fn a_file_is_read_and_what_is_no_image_is_named() {
        let line = |levels: usize, digit: &str| "0,".repeat(levels) + digit;
        let of = |text: &str| read(&IMAGE, Path::new("my.csv"), text).map_err(|error| error.to_string());
        assert_eq!(of(&format!("{}\n", line(64, "7"))), Ok(vec![(vec![0.0; PIXELS], 7)]));
        let two = |second: String| of(&format!("{}\n{second}", line(64, "7"))).unwrap_err();
        assert_eq!(two(line(63, "7")), "my.csv, line 2: 64 values, where 64 and a digit are expected");
        assert_eq!(two(line(64, "10")), "my.csv, line 2: `10` is no whole number from 0 to 9");
        assert!(two(line(64, "7").replacen('0', "17", 1)).contains("`17` is no whole number from 0 to 16"));
        let few = Digits::new(Config { folds: 20, ..Config::default() }, records()).err().unwrap();
        assert!(few.to_string().contains("fewer than two a fold"), "{few}");
    }
}
