//! The T-maze: what was seen at the start says where to turn at the end (Bakker 2002), learnt by imitation.
//!
//! ```text
//! observation   sign     sight    sight    ..  sight    junction
//! action        forward  forward  forward  ..  forward  left or right, as the sign said
//! ```
//!
//! An agent stands before a sign, walks a corridor and comes to a junction. What it sees on the way is one of several sights, drawn
//! anew at every step, and says nothing. The number of steps between sign and junction is drawn for each episode, uniformly from half of
//! `corridor`, rounded up, to all of it: the junction has to be seen, it cannot be counted. The agent is told what an expert does
//! at every step (behavioural cloning); Bakker's learnt from rewards.
//!
//! `accuracy` is that of the turn at the junction, `sequence-accuracy` the share of episodes in which every action is the expert's. It is
//! also the rate of success of an agent that acts by itself, if an episode is lost with its first wrong action: until then an agent has done what
//! the expert did, so that it sees what the expert saw, and from the sign and the sights on it is the same episode.
//!
//! With `hidden`, one sign stands for both directions: nobody can do better than guess at the junction.
//!
//! Tokens: 0 padding, 1 junction, 2 the sign for left, 3 that for right, 4 the sign that hides the direction, then the sights.
//! Actions: 0 forward, 1 left, 2 right.

use sequence::{
    Batch, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};

use super::TaskEntry;
use crate::batches::{TokenSequence, collate, evaluation};
use crate::metrics::{Classification, sequence_accuracy};
use crate::{DataError, settings};

const NAME: &str = "t-maze";
const PADDING: u32 = 0;
const JUNCTION: u32 = 1;
const FIRST_SIGN: u32 = 2;
const HIDING_SIGN: u32 = 4;
const FIRST_SIGHT: u32 = 5;
const FORWARD: u32 = 0;
const FIRST_TURN: u32 = 1;
const ACTIONS: usize = 3;

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "walk a corridor and turn at its end as a sign at its start said",
    defaults: settings::defaults::<Config>,
    corpora: |_| Vec::new(),
    build: |given, _| Ok(Box::new(TMaze::new(settings::parse(NAME, given)?)?)),
};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Steps between sign and junction, at most; at least half as many.
    corridor: usize,
    /// Number of different sights.
    sights: u32,
    /// Whether the sign does not tell the direction.
    hidden: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { corridor: 20, sights: 8, hidden: false }
    }
}

struct TMaze {
    config: Config,
}

impl TMaze {
    fn new(config: Config) -> Result<Self, DataError> {
        settings::within(NAME, "corridor", &config.corridor, 1..=100_000)?;
        settings::within(NAME, "sights", &config.sights, 1..=10_000)?;
        Ok(Self { config })
    }

    fn episode(&self, random: &mut Random) -> TokenSequence {
        let Config { corridor, sights, hidden } = self.config;
        let shortest = corridor.div_ceil(2);
        let steps = shortest + random.index(corridor - shortest + 1);
        let direction = random.below(2);
        let mut inputs = vec![if hidden { HIDING_SIGN } else { FIRST_SIGN + direction }];
        inputs.extend((0..steps).map(|_| FIRST_SIGHT + random.below(sights)));
        inputs.push(JUNCTION);
        let mut targets = vec![FORWARD; inputs.len()];
        targets[steps + 1] = FIRST_TURN + direction;
        TokenSequence { counts: vec![true; inputs.len()], inputs, targets }
    }

    fn batch(&self, random: &mut Random, size: usize) -> Batch {
        let episodes: Vec<_> = (0..size).map(|_| self.episode(random)).collect();
        collate(&episodes, PADDING)
    }

    fn evaluation(&self, seed: u64, stream: Stream) -> Vec<Batch> {
        let mut random = Random::new(seed, stream);
        evaluation(|size| self.batch(&mut random, size))
    }
}

impl Task for TMaze {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Tokens { vocabulary: (FIRST_SIGHT + self.config.sights) as usize },
            outputs: ACTIONS,
            loss: LossKind::CrossEntropy,
            maximum_time: self.config.corridor + 2,
        }
    }

    fn training_batch(&self, seed: u64, update: u64, size: usize) -> Batch {
        self.batch(&mut Random::new(seed, Stream::Training(update)), size)
    }

    fn validation(&self, seed: u64) -> Vec<Batch> {
        self.evaluation(seed, Stream::Validation)
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        vec![TestSet { name: "test".to_owned(), batches: self.evaluation(seed, Stream::Test) }]
    }

    /// `accuracy` of the turn, `sequence-accuracy` of the episode, and the mean cross-entropy an action in nats.
    fn scores(&self, batches: &[Batch], predictions: &[Predictions]) -> Vec<Score> {
        let turns = Classification::over(batches, predictions, |length, time| time + 1 == length);
        let actions = Classification::over(batches, predictions, |_, _| true);
        vec![turns.accuracy("accuracy"), sequence_accuracy(batches, predictions), actions.cross_entropy()]
    }

    fn larger_is_better(&self) -> bool {
        true
    }

    fn solved_at(&self) -> Option<f64> {
        Some(0.95)
    }

    /// Of an agent that sees where it is and remembers nothing.
    fn floors(&self) -> Vec<Floor> {
        vec![
            Floor { metric: "accuracy", name: "chance", value: 0.5 },
            Floor { metric: "sequence-accuracy", name: "chance", value: 0.5 },
        ]
    }

    /// The sign.
    fn decisive_positions(&self, batch: &Batch) -> Option<Vec<usize>> {
        (!self.config.hidden).then(|| vec![0; batch.size])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, classes, rows};

    fn of(corridor: usize, hidden: bool) -> TMaze {
        TMaze::new(Config { corridor, hidden, ..Config::default() }).unwrap()
    }

    /// An agent that walks to the junction and turns as it remembers the sign.
    fn agent(batch: &Batch, remembers: impl Fn(u32) -> u32) -> Predictions {
        let tokens = rows(batch);
        testing::predict(batch, ACTIONS, |row, time| {
            let junction = tokens[row].get(time) == Some(&JUNCTION);
            testing::certain(ACTIONS, if junction { remembers(tokens[row][0]) } else { FORWARD })
        })
    }

    /// Share of right turns and of right episodes.
    fn scored(task: &TMaze, batches: &[Batch], remembers: impl Fn(u32) -> u32) -> [f64; 2] {
        let actions: Vec<_> = batches.iter().map(|batch| agent(batch, &remembers)).collect();
        let scores = task.scores(batches, &actions);
        [scores[0].value, scores[1].value]
    }

    #[test]
    fn the_sign_comes_first_the_junction_last_and_every_length_between_occurs() {
        for (corridor, shortest) in [(1, 1), (2, 1), (20, 10), (61, 31)] {
            let task = of(corridor, false);
            let mut lengths = vec![0; corridor + 1];
            for batch in task.test(3).remove(0).batches {
                for (row, inputs) in rows(&batch).iter().enumerate() {
                    let [sign, sights @ .., junction] = inputs.as_slice() else { panic!("an episode") };
                    assert_eq!(*junction, JUNCTION);
                    assert!(sights.iter().all(|sight| (FIRST_SIGHT..FIRST_SIGHT + 8).contains(sight)));
                    let actions = &classes(&batch)[row * batch.time..][..inputs.len()];
                    // The signs are 2 and 3, the turns 1 and 2.
                    assert_eq!(actions[inputs.len() - 1], sign - 1);
                    assert!(actions[..inputs.len() - 1].iter().all(|&action| action == FORWARD));
                    assert!(inputs.len() <= task.interface().maximum_time);
                    lengths[sights.len()] += 1;
                }
                assert_eq!(batch.supervised(), batch.lengths.iter().sum::<usize>());
            }
            // 1,000 episodes over at most 31 lengths.
            assert!(lengths[..shortest].iter().all(|&count| count == 0), "{lengths:?}");
            assert!(lengths[shortest..].iter().all(|&count| count > 0), "{lengths:?}");
        }
    }

    #[test]
    fn the_rule_solves_it_and_without_memory_or_sign_it_is_a_guess() {
        let task = of(20, false);
        let batches = &task.test(3)[0].batches;
        assert_eq!(scored(&task, batches, |sign| sign - 1), [1.0, 1.0]);
        // Half of 1,000 with a standard error of 0.0158; four of them either way.
        for value in scored(&task, batches, |_| FIRST_TURN) {
            assert!((value - 0.5).abs() < 0.064, "{value}");
        }
        let hidden = of(20, true);
        let batches = &hidden.test(3)[0].batches;
        assert!(batches.iter().flat_map(rows).all(|episode| episode[0] == HIDING_SIGN));
        assert!((scored(&hidden, batches, |_| FIRST_TURN)[0] - 0.5).abs() < 0.064);
        assert_eq!(task.decisive_positions(&batches[0]), Some(vec![0; 100]));
        assert!(hidden.decisive_positions(&batches[0]).is_none());
    }

    #[test]
    fn one_wrong_step_loses_the_episode_and_not_the_turn() {
        let task = of(6, false);
        let batches = &task.test(5)[0].batches;
        let stumble = |batch: &Batch| {
            let tokens = rows(batch);
            testing::predict(batch, ACTIONS, |row, time| match tokens[row].get(time) {
                Some(&JUNCTION) => testing::certain(ACTIONS, tokens[row][0] - 1),
                _ => testing::certain(ACTIONS, u32::from(time == 2)),
            })
        };
        let actions: Vec<_> = batches.iter().map(stumble).collect();
        let scores = task.scores(batches, &actions);
        assert_eq!((scores[0].value, scores[1].value), (1.0, 0.0));
    }

    #[test]
    fn no_episode_is_shared_between_splits() {
        let task = of(20, false);
        let training: Vec<_> = (0..500).map(|update| task.training_batch(1, update, 16)).collect();
        let (validation, test) = (task.validation(1), task.test(1).remove(0).batches);
        assert_eq!(testing::shared(&training, &validation), 0);
        assert_eq!(testing::shared(&training, &test), 0);
        assert_eq!(testing::shared(&validation, &test), 0);
        assert_eq!(testing::shared(&training, &training[3..4]), 16);
    }

    #[test]
    fn episodes_are_the_same_on_every_machine() {
        // By `python fixtures/digests.py`, which draws them independently. A change needs a new version.
        assert_eq!(testing::digest(&of(20, false)), "e886653b2401bf37");
        assert_eq!(testing::digest(&of(20, true)), "5612cb070e4e859f");
    }

    #[test]
    fn impossible_settings_are_refused() {
        let refusal = |config| TMaze::new(config).err().unwrap().to_string();
        let corridor = refusal(Config { corridor: 0, ..Config::default() });
        assert_eq!(corridor, "task `t-maze`, setting `corridor`: 0 is outside the allowed 1 to 100000");
        assert!(refusal(Config { sights: 0, ..Config::default() }).contains("`sights`: 0 is outside"));
    }
}
