//! One symbol decides the class, another often agrees with it, and the rest says nothing: what an explanation should point at is known.
//!
//! ```text
//! cause = "symbol"   f f b f f f c f f f query      c, one of the class's own symbols, decides
//! cause = "order"    f c f f b f f d f f query      c and d are of different classes; the one that comes first decides
//! target                                   class
//! ```
//!
//! All places are drawn at random. The bystander b is the one of two symbols that goes with the class, in a share `agreement` of the sequences,
//! and otherwise the other one. Fillers f say nothing. With as many of them as by default, a filler is about as rare as a cause, so that
//! how often a symbol occurs does not give the cause away. By order the same symbols occur in both classes, and which of them occur
//! says nothing.
//!
//! There are `examples` training sequences; with `labels = "random"` their classes are drawn anew, apart from what they show, and
//! validation asks for the first thousand of them, so that what is chosen is what has learnt them by heart. Test keeps to the rule.
//!
//! Tokens: 0 padding, 1 query, 2 and 3 the bystanders of the two classes, then the causes of class 0, those of class 1, and the fillers, of
//! which the first is put in the place of what is taken away.

use sequence::{
    Batch, Floor, Grounds, InputKind, Inputs, Interface, LossKind, Predictions, Random, Score, Stream, Task,
    TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{EVALUATED, EVALUATION_BATCH, TokenSequence, collate, evaluation};
use crate::metrics::Classification;
use crate::{DataError, settings};

const NAME: &str = "cause-and-bystander";
const PADDING: u32 = 0;
const QUERY: u32 = 1;
const FIRST_BYSTANDER: u32 = 2;
const FIRST_CAUSE: u32 = 4;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say the class that one symbol decides, while another often agrees with it",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(CauseAndBystander::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Positions before the query.
    length: usize,
    /// What decides.
    cause: Cause,
    /// Symbols of each class that can decide.
    causes: u32,
    /// Symbols that say nothing.
    fillers: u32,
    /// Share of the sequences in which the bystander goes with the class.
    agreement: f32,
    /// Training sequences.
    examples: usize,
    /// What the classes of training sequences are.
    labels: Labels,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Cause {
    /// The one symbol of the class.
    Symbol,
    /// Which of two, one of each class, comes first.
    Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Labels {
    /// By the rule.
    Rule,
    /// Drawn at random.
    Random,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            length: 24,
            cause: Cause::Symbol,
            causes: 8,
            fillers: 350,
            agreement: 0.8,
            examples: 2000,
            labels: Labels::Rule,
        }
    }
}

struct CauseAndBystander {
    config: Config,
}

impl CauseAndBystander {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "length", &config.length, 4..=100_000)?;
        settings::within(NAME, "causes", &config.causes, 1..=10_000)?;
        settings::within(NAME, "fillers", &config.fillers, 1..=100_000)?;
        settings::within(NAME, "agreement", &config.agreement, 0.0..=1.0)?;
        settings::within(NAME, "examples", &config.examples, 1..=1_000_000)?;
        Ok(Self { config })
    }

    /// The first filler.
    fn neutral(&self) -> u32 {
        FIRST_CAUSE + 2 * self.config.causes
    }

    fn cause_of(&self, class: u32, random: &mut Random) -> u32 {
        FIRST_CAUSE + class * self.config.causes + random.below(self.config.causes)
    }

    fn sequence(&self, random: &mut Random) -> TokenSequence {
        let Config { length, fillers, agreement, .. } = self.config;
        let class = random.below(2);
        let agrees = random.unit() < agreement;
        let mut inputs: Vec<u32> = (0..length).map(|_| self.neutral() + random.below(fillers)).collect();
        let places = random.distinct(if self.config.cause == Cause::Order { 3 } else { 2 }, length);
        inputs[places[0] as usize] = FIRST_BYSTANDER + if agrees { class } else { 1 - class };
        let own = self.cause_of(class, random);
        match self.config.cause {
            Cause::Symbol => inputs[places[1] as usize] = own,
            Cause::Order => {
                let other = self.cause_of(1 - class, random);
                inputs[places[1].min(places[2]) as usize] = own;
                inputs[places[1].max(places[2]) as usize] = other;
            }
        }
        inputs.push(QUERY);
        let mut targets = vec![0; length];
        targets.push(class);
        let mut counts = vec![false; length];
        counts.push(true);
        TokenSequence { inputs, targets, counts }
    }

    /// The training sequences, one after the other.
    fn training(&self, seed: u64) -> Vec<TokenSequence> {
        let mut random = Random::new(seed, Stream::Training(0));
        let mut sequences: Vec<TokenSequence> =
            (0..self.config.examples).map(|_| self.sequence(&mut random)).collect();
        if self.config.labels == Labels::Random {
            for sequence in &mut sequences {
                sequence.targets[self.config.length] = random.below(2);
            }
        }
        sequences
    }

    fn evaluation(&self, seed: u64, stream: Stream) -> Vec<Batch> {
        let mut random = Random::new(seed, stream);
        evaluation(|size| {
            let sequences: Vec<_> = (0..size).map(|_| self.sequence(&mut random)).collect();
            collate(&sequences, PADDING)
        })
    }
}

fn batches(sequences: &[TokenSequence]) -> Vec<Batch> {
    sequences.chunks(EVALUATION_BATCH).map(|sequences| collate(sequences, PADDING)).collect()
}

impl Task for CauseAndBystander {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Tokens { vocabulary: (self.neutral() + self.config.fillers) as usize },
            outputs: 2,
            loss: LossKind::CrossEntropy,
            maximum_time: self.config.length + 1,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        let all = self.training(seed);
        let mut random = Random::new(seed, Stream::Training(update + 1));
        let drawn: Vec<TokenSequence> = (0..size)
            .map(|_| {
                let TokenSequence { inputs, targets, counts } = &all[random.index(all.len())];
                TokenSequence { inputs: inputs.clone(), targets: targets.clone(), counts: counts.clone() }
            })
            .collect();
        collate(&drawn, PADDING)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        match self.config.labels {
            Labels::Rule => self.evaluation(seed, Stream::Validation),
            Labels::Random => batches(&self.training(seed)[..EVALUATED.min(self.config.examples)]),
        }
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        vec![TestSet { name: "test".to_owned(), batches: self.evaluation(seed, Stream::Test) }]
    }

    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        let answers = Classification::over(batches, predictions, |_, _| true);
        vec![answers.accuracy("accuracy"), answers.cross_entropy()]
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        Some(0.99)
    }

    /// Chance, and what the bystander alone is right about.
    fn floors(&self) -> Vec<Floor> {
        let agreement = f64::from(self.config.agreement);
        vec![
            Floor { metric: "accuracy", name: "chance", value: 0.5 },
            Floor { metric: "accuracy", name: "bystander", value: agreement.max(1.0 - agreement) },
            Floor { metric: "cross-entropy", name: "chance", value: std::f64::consts::LN_2 },
        ]
    }

    /// By order, the first of the two.
    fn decisive_positions(&self, batch: &Batch) -> Option<Vec<usize>> {
        let Inputs::Tokens(tokens) = &batch.inputs else { return None };
        let causes = FIRST_CAUSE..self.neutral();
        tokens.chunks(batch.time).map(|row| row.iter().position(|token| causes.contains(token))).collect()
    }

    fn grounds(&self, batch: &Batch) -> Option<Grounds> {
        let Inputs::Tokens(tokens) = &batch.inputs else { return None };
        let bystander =
            |row: &[u32]| row.iter().position(|token| (FIRST_BYSTANDER..FIRST_CAUSE).contains(token));
        let bystanders = tokens.chunks(batch.time).map(bystander).collect::<Option<Vec<usize>>>()?;
        Some(Grounds { causes: self.decisive_positions(batch)?, bystanders, neutral: self.neutral() })
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(batches(&self.training(seed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, rows};

    fn of(config: Config) -> CauseAndBystander {
        CauseAndBystander::new(config).unwrap()
    }

    /// The class of each sequence.
    fn answers(batch: &Batch) -> Vec<u32> {
        classes(batch).chunks(batch.time).map(|targets| targets[batch.time - 1]).collect()
    }

    fn by_rule(task: &CauseAndBystander, batch: &Batch) -> Vec<u32> {
        let causes = task.grounds(batch).unwrap().causes;
        let class = |(row, place): (Vec<u32>, usize)| (row[place] - FIRST_CAUSE) / task.config.causes;
        rows(batch).into_iter().zip(causes).map(class).collect()
    }

    #[test]
    fn the_cause_decides_and_the_bystander_agrees_as_often_as_asked_for() {
        for cause in [Cause::Symbol, Cause::Order] {
            let task = of(Config { cause, ..Config::default() });
            let (mut agreeing, mut all) = (0, 0);
            for batch in &task.test(2)[0].batches {
                let classes = answers(batch);
                assert_eq!(by_rule(&task, batch), classes);
                let grounds = task.grounds(batch).unwrap();
                for ((row, place), class) in rows(batch).iter().zip(grounds.bystanders).zip(classes) {
                    agreeing += usize::from(row[place] - FIRST_BYSTANDER == class);
                    all += 1;
                    let causes = row.iter().filter(|&&token| (FIRST_CAUSE..task.neutral()).contains(&token));
                    assert_eq!(causes.count(), if cause == Cause::Order { 2 } else { 1 });
                    assert!(row[24] == QUERY && row.len() == 25 && grounds.neutral == 20);
                }
            }
            // 0.8 of 1,000, standard deviation 12.6; four of them.
            assert!(all == 1000 && agreeing.abs_diff(800) < 51, "{agreeing}");
        }
    }

    #[test]
    fn by_order_the_same_symbols_occur_in_both_classes() {
        let task = of(Config { cause: Cause::Order, causes: 1, ..Config::default() });
        for batch in &task.test(2)[0].batches {
            assert!(rows(batch).iter().all(|row| row.contains(&4) && row.contains(&5)));
        }
    }

    #[test]
    fn a_cause_is_about_as_rare_as_a_filler() {
        let task = of(Config::default());
        let mut counts = vec![0_usize; 370];
        for batch in task.training_set(1).unwrap() {
            rows(&batch).into_iter().flatten().for_each(|token| counts[token as usize] += 1);
        }
        // Expected 2,000 / 16 = 125 of each cause and 2,000 x 22 / 350 = 126 of each filler.
        let mean = |part: &[usize]| part.iter().sum::<usize>() as f64 / part.len() as f64;
        assert_eq!(mean(&counts[4..20]), 125.0);
        assert!((mean(&counts[20..]) - 44_000.0 / 350.0).abs() < 1e-9);
    }

    #[test]
    fn random_labels_are_asked_for_again_and_the_test_keeps_to_the_rule() {
        let task = of(Config { labels: Labels::Random, ..Config::default() });
        let right = |batches: &[Batch]| -> usize {
            let same = |batch: &Batch| {
                by_rule(&task, batch)
                    .iter()
                    .zip(answers(batch))
                    .filter(|(rule, class)| **rule == *class)
                    .count()
            };
            batches.iter().map(same).sum()
        };
        // Half of 2,000, standard deviation 22; four of them.
        let training = task.training_set(1).unwrap();
        assert!(right(&training).abs_diff(1000) < 90);
        assert_eq!((task.validation(1), right(&task.test(1)[0].batches)), (training[..10].to_vec(), 1000));
        let by_rule = of(Config::default());
        let inputs = |task: &CauseAndBystander| task.training_set(1).unwrap()[3].inputs.clone();
        assert_eq!(inputs(&task), inputs(&by_rule));
    }

    #[test]
    fn training_batches_draw_from_the_training_set_and_no_test_example_is_among_them() {
        let task = of(Config::default());
        let all = task.training_set(1).unwrap();
        assert_eq!(testing::shared(&all, &[task.training_batch(1, 3, 64)]), 64);
        assert_eq!(testing::shared(&all, &task.validation(1)), 0);
        assert_eq!(testing::shared(&all, &task.test(1)[0].batches), 0);
    }

    #[test]
    fn shuffled_labels_bring_the_rule_to_the_floor() {
        let task = of(Config::default());
        let batches = &task.test(3)[0].batches;
        let oracle = |batch: &Batch| {
            let classes = by_rule(&task, batch);
            testing::predict(batch, 2, |row, _| testing::certain(2, classes[row]))
        };
        let answers: Vec<_> = batches.iter().map(oracle).collect();
        assert_eq!(task.scores(batches, &answers)[0], Score { metric: "accuracy", value: 1.0, count: 1000 });
        let shuffled: Vec<_> = batches.iter().map(testing::shuffle_labels).collect();
        // Half, with a standard error of 0.016; four of them.
        assert!((task.scores(&shuffled, &answers)[0].value - 0.5).abs() < 0.064);
    }

    #[test]
    fn examples_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&of(Config::default())), "267eef1a811274b7");
        let order = Config { cause: Cause::Order, labels: Labels::Random, ..Config::default() };
        assert_eq!(testing::digest(&of(order)), "e8c2bdd436576697");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| CauseAndBystander::new(config).err().unwrap().to_string();
        let standard = Config::default();
        let short = refusal(Config { length: 3, ..standard });
        assert_eq!(
            short,
            "task `cause-and-bystander`, setting `length`: 3 is outside the allowed 4 to 100000"
        );
        assert!(refusal(Config { agreement: 1.5, ..standard }).contains("`agreement`: 1.5 is outside"));
    }
}
