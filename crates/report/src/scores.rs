//! The result tables of a card: one task, model by setting, with floors and individual seeds.

use analysis::statistics::RestrictedMean;
use record::cell::Outcome;
use record::definition::{Definition, ModelArm};
use record::metric::{is_description, is_solved, larger_is_better, smaller_is_better};
use serde::Serialize;

use crate::figure::{longest_solved, name_with_role, seeds_in_words};
use crate::grid::Grid;
use crate::number::{count, duration, estimate, number};
use crate::tables::{
    EVALUATION, Mean, Query, Sample, Seed, Tables, base, distinct, is_ceiling, natural, setting_value,
};

/// All result tables of one task.
#[derive(Serialize)]
pub(crate) struct TaskScores {
    /// Label of the task.
    task: String,
    /// Tables that the card shows, then those it folds away.
    shown: Vec<ScoreTable>,
    folded: Vec<ScoreTable>,
    /// Every seed by itself.
    seeds: String,
    /// How many seeds.
    seed_count: String,
    /// Marks used in the tables that need a word.
    notes: Vec<&'static str>,
}

/// One table with its heading.
#[derive(Serialize)]
pub(crate) struct ScoreTable {
    heading: String,
    table: String,
}

/// Where a number stands in a table: a column.
#[derive(Clone, PartialEq)]
struct Column {
    setting: String,
    split: String,
    /// With its budget, such as `cross-entropy@seconds`.
    metric: String,
}

impl Column {
    /// `beside_budgets`: other columns show the metric at other budgets than that of training.
    fn heading(&self, beside_budgets: bool) -> String {
        let budget = match self.metric.split_once('@').map(|(_, budget)| budget) {
            Some("multiply-adds") => "equal multiply-adds",
            Some("seconds") => "equal seconds",
            Some("pytorch-seconds") => "equal PyTorch seconds",
            Some(other) => other,
            None if beside_budgets => "equal updates",
            None => "",
        };
        // The heading of the table says what is of training.
        let split = if ["test", "fit"].contains(&self.split.as_str()) { "" } else { &self.split };
        let parts: Vec<&str> =
            [self.setting.as_str(), split, budget].into_iter().filter(|part| !part.is_empty()).collect();
        if parts.is_empty() { self.split.replace("fit", "training") } else { parts.join(", ") }
    }
}

/// Stands beside scores that do not clear the strongest floor.
const NOT_ABOVE_FLOOR: &str = "▽";

/// The result tables of every task that has rows, in the order of the definition.
pub(crate) fn scores(definition: &Definition, tables: &Tables) -> Vec<TaskScores> {
    definition
        .tasks
        .iter()
        .filter_map(|task| Scores { definition, tables, task: &task.label }.read())
        .collect()
}

/// The metrics of a task that a claim, control or figure reads.
pub(crate) fn metrics_in_use(definition: &Definition, task: &str) -> Vec<String> {
    use record::definition::Part;
    let parts = definition.claims.iter().flat_map(|claim| &claim.parts).filter(|part| part.task() == task);
    let judged = parts.flat_map(|part| match part {
        Part::SolveRate { metric, .. } => vec![metric.clone()],
        Part::Difference { metric, .. } | Part::Identity { metric, .. } => vec![base(metric).to_owned()],
        Part::Discrimination { metric, outcome, .. } => vec![outcome.clone(), base(metric).to_owned()],
        Part::StepTime { .. } => Vec::new(),
    });
    let drawn = definition.figures.iter().filter(|figure| figure.task == task);
    let controlled = definition.controls.iter().filter(|control| control.task == task);
    let others = drawn
        .map(|figure| base(&figure.metric).to_owned())
        .chain(controlled.map(|control| control.metric.clone()));
    distinct(judged.chain(others))
}

/// What a metric says whose name begins with its kind.
fn description(metric: &str) -> String {
    let of = |prefix: &str| metric.strip_prefix(prefix).map(|what| what.replace('-', " "));
    let exponent =
        of("exponent-of-").map(|what| format!("exponent: the power of the length by which {what} grow"));
    let doubling = || of("doubling-of-").map(|what| format!("{what} over those at half the length"));
    let share = || of("share-of-").map(|what| format!("share of {what} that lets positions see each other"));
    let bystander = || {
        of("bystander-above-")
            .map(|way| format!("share of sequences in which the bystander ranks above the cause by {way}"))
    };
    let deletion =
        || of("deletion-").map(|way| format!("probability left while positions are deleted by {way}"));
    exponent
        .or_else(doubling)
        .or_else(share)
        .or_else(bystander)
        .or_else(deletion)
        .unwrap_or_else(|| metric.to_owned())
}

struct Scores<'a> {
    definition: &'a Definition,
    tables: &'a Tables,
    task: &'a str,
}

impl Scores<'_> {
    fn read(&self) -> Option<TaskScores> {
        let rows = || {
            self.tables.runs.kinds().filter(|row| {
                row.task == self.task
                    && row.phase == EVALUATION
                    && (row.split.starts_with("test") || row.metric == "updates-to-solve")
                    && !row.split.starts_with("test-block@")
            })
        };
        let in_use = metrics_in_use(self.definition, self.task);
        let mut metrics = distinct(rows().map(|row| base(&row.metric)));
        // What claims read comes first.
        metrics.sort_by_key(|metric| in_use.iter().position(|name| name == metric).unwrap_or(usize::MAX));
        let used = |metric: &&str| in_use.iter().any(|name| name == metric);
        let any_used = metrics.iter().any(&used);
        let (mut shown, mut folded, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        let mut seeds_of: Vec<(&str, Vec<Column>)> = Vec::new();
        for metric in metrics {
            let mut columns = distinct(rows().filter(|row| base(&row.metric) == metric).map(|row| Column {
                setting: row.setting.clone(),
                split: row.split.clone(),
                metric: row.metric.clone(),
            }));
            columns.sort_by(|a, b| {
                natural(&a.setting, &b.setting)
                    .then_with(|| natural(&a.split, &b.split))
                    .then_with(|| a.metric.cmp(&b.metric))
            });
            let table = ScoreTable {
                heading: Self::heading_of(metric),
                table: self.table(metric, &columns, &mut notes),
            };
            // Where nothing says what matters, everything is shown.
            if used(&metric) || !any_used || is_solved(metric) {
                shown.push(table);
                seeds_of.push((metric, columns));
            } else {
                folded.push(table);
            }
        }
        if let Some(steps) = self.step_times() {
            shown.push(steps);
        }
        (!shown.is_empty()).then(|| TaskScores {
            task: self.task.to_owned(),
            shown,
            folded,
            seeds: self.individual_seeds(&seeds_of),
            seed_count: self.seed_count(),
            notes: distinct(notes),
        })
    }

    fn heading_of(metric: &str) -> String {
        let (what, direction) = match metric {
            "solved" => ("seeds that solved the task", "more is better"),
            "solved-extended" => {
                ("seeds that solved the first setting they had failed, given more updates", "more is better")
            }
            "updates-to-solve" => ("updates until solved", "less is better"),
            "accuracy-slope" => {
                ("change of accuracy with each symbol of length, over the test sets", "more is better")
            }
            "sequence-accuracy" => ("sequences without a mistake", "more is better"),
            "accuracy-free-running" => (
                "accuracy where a model reads what it has written, in place of what it should have",
                "more is better",
            ),
            "bleu" => ("BLEU of what a model writes, from 0 to 1; shown, never judged", "more is better"),
            "unknown-words" => ("words of the target that no model knows, and none can get right", "share"),
            "unknown-words-of-source" => ("words of the source that no model knows", "share"),
            "slope" => ("slope of the gradient", "decades a step"),
            "half-life" => ("half-life of the gradient, where it decays", "steps"),
            "reach" => ("furthest lag that any gradient reaches", "steps, up to the largest measured"),
            "log10-gradient" => ("gradient at a lag (test@LAG), median over sequences", "decimal logarithm"),
            "log10-gradient-95" => {
                ("gradient at a lag (test@LAG), 95th percentile over sequences", "decimal logarithm")
            }
            "log10-first-block" => ("gradient of the first block", "decimal logarithm"),
            "log10-last-block" => ("gradient of the last block", "decimal logarithm"),
            "log10-first-over-last" => {
                ("gradient of the first block over that of the last", "decimal logarithm")
            }
            "log10-block" => ("gradient of a block (test@BLOCK)", "decimal logarithm"),
            "update-size" => ("size of an update beside the weights", "mean ratio of norms"),
            "update-size-variation" => {
                ("variation of the sizes of updates over matrices and time", "standard deviation over mean")
            }
            "position-explained" => {
                ("position: variance explained by the probe up to POSITION (test@POSITION)", "1 is all")
            }
            "position-error" => (
                "position: distance of the probe's answer at the end of its range (test@POSITION)",
                "positions; less is better",
            ),
            "auroc" => {
                ("the decisive position ranked by its gradient", "area under the ROC curve; 0.5 is chance")
            }
            "auroc-of-state" => (
                "the decisive position ranked by the gradient of the last state",
                "area under the ROC curve; 0.5 is chance",
            ),
            "auroc-at-random" => {
                ("a position at random, ranked in the same way", "area under the ROC curve; 0.5 is chance")
            }
            "auroc-native" => {
                ("the cause ranked by the model's own explanation", "area under the ROC curve; 0.5 is chance")
            }
            "auroc-occlusion" => (
                "the cause ranked by what each position's absence takes away",
                "area under the ROC curve; 0.5 is chance",
            ),
            "auroc-gradient-times-input" => (
                "the cause ranked by gradient times input, or weight times value",
                "area under the ROC curve; 0.5 is chance",
            ),
            "auroc-attention" => ("the cause ranked by attention", "area under the ROC curve; 0.5 is chance"),
            "auroc-attention-rollout" => {
                ("the cause ranked by attention rollout", "area under the ROC curve; 0.5 is chance")
            }
            "auroc-path" => {
                ("the cause ranked by the path in the tree", "area under the ROC curve; 0.5 is chance")
            }
            "bystander-above-native" => (
                "sequences in which the model's own explanation ranks the bystander above the cause",
                "share; less is better",
            ),
            "deletion-native" => (
                "probability left while positions are deleted by the model's own explanation",
                "less is better",
            ),
            "deletion-random" => ("probability left while positions are deleted in random order", "mean"),
            "permuted-attention" => (
                "change of the answer where the last position's attention is permuted",
                "total variation; 0 is none",
            ),
            "token-cosine" => ("how alike positions are", "mean cosine; 1 is the same"),
            "multiply-adds" => ("multiply-adds of the matrix products", "less is better"),
            "mixing-multiply-adds" => {
                ("multiply-adds of what lets positions see each other, alone", "less is better")
            }
            "bytes" => ("most bytes held at once, forward and backward", "less is better"),
            "mixing-bytes" => {
                ("most bytes held by what lets positions see each other, alone", "less is better")
            }
            "seconds" => ("processor seconds", "less is better"),
            "mixing-seconds" => {
                ("processor seconds of what lets positions see each other, alone", "less is better")
            }
            "waiting-steps" => ("steps along the sequence that wait for each other", "less is better"),
            "memory-bytes" => ("bytes remembered of the positions so far", "less is better"),
            "calibration-error" => ("how far probabilities are from frequencies", "less is better"),
            "kl-joint" => ("divergence from the true joint distribution", "nats; less is better"),
            "kl-marginal" => ("divergence from the true distribution of the inputs", "nats; less is better"),
            "kl-conditional" => {
                ("divergence from the true probabilities of the classes", "nats; less is better")
            }
            "bias-squared" => ("bias squared", "less is better"),
            "bias-share" => ("bias squared over bias squared and variance", "1 is bias alone"),
            "expected-error" => ("bias squared, variance and noise together", "less is better"),
            "gap-at-best" => {
                ("validation less training loss, at the best validation score", "less is better")
            }
            "gap-at-end" => ("validation less training loss, at the end", "less is better"),
            "gap-at-matched-loss" => {
                ("validation less training loss, where a training loss is first reached", "less is better")
            }
            "overfitting-detected" => ("runs in which the loss shows overfitting", "1 is all"),
            "overfitting-detected-by-error" => ("runs in which the error shows overfitting", "1 is all"),
            "error-over-training-error" => ("test error over training error", "1 is none of it overfitted"),
            "adjusted-rand-index" => (
                "adjusted Rand index: agreement with the true groups",
                "1 is the same, 0 is chance; more is better",
            ),
            "rand-index-of-truth" => {
                ("adjusted Rand index of the true distribution, which knows where the groups are", "1 is all")
            }
            "rand-index-at-random" => {
                ("adjusted Rand index of the same groups, dealt out at random", "0 is chance")
            }
            "groups" => ("groups that test examples were put into", "number"),
            "generative" => ("tells the density of an example and draws new ones", "1 is yes"),
            "exact-likelihood" => ("tells the density of an example", "1 is yes"),
            "draws" => ("draws new examples", "1 is yes"),
            "angle-to-truth" => {
                ("largest angle to the subspace that examples were drawn from", "degrees; less is better")
            }
            "angle-to-principal" => {
                ("largest angle to the principal directions of the training set", "degrees")
            }
            "angle-at-random" => {
                ("largest angle of as many directions at random to the true ones", "degrees")
            }
            other if is_description(other) => return description(other),
            other if larger_is_better(other) => return format!("{} (more is better)", description(other)),
            other if smaller_is_better(other) => return format!("{} (less is better)", description(other)),
            other => return description(other),
        };
        format!("{what} ({direction})")
    }

    /// Models by columns, floors at the end.
    fn table(&self, metric: &str, columns: &[Column], notes: &mut Vec<&'static str>) -> String {
        let ladder = (metric == "solved").then(|| self.longest()).flatten();
        let budgets = columns.iter().any(|column| column.metric.contains('@'));
        let headings = columns.iter().map(|column| column.heading(budgets));
        let reach = ladder.as_ref().map(|_| "half the seeds reach".to_owned());
        let head = ["model".to_owned()].into_iter().chain(reach).chain(headings);
        let mut grid = Grid::new(head);
        for arm in self.definition.models_on(self.task) {
            let samples: Vec<Sample> = columns.iter().map(|column| self.sample(arm, column)).collect();
            if samples.iter().all(|sample| sample.seeds.is_empty()) {
                continue;
            }
            let longest = ladder.as_ref().map(|(key, top)| self.longest_of(arm, key, *top));
            let cells = samples.iter().zip(columns).map(|(sample, column)| self.cell(sample, column, notes));
            grid.push([name_with_role(arm)].into_iter().chain(longest).chain(cells).collect());
        }
        for floor in self.tables.floors(self.task, metric) {
            let cells = columns.iter().map(|column| {
                let value = self.tables.floor(self.task, floor, &column.metric, &column.setting);
                value.map_or_else(|| "-".to_owned(), number)
            });
            let part = if is_ceiling(floor) { "ceiling" } else { "floor" };
            grid.push([format!("*{floor}* ({part})")].into_iter().chain(cells).collect());
        }
        grid.markdown()
    }

    fn sample(&self, arm: &ModelArm, column: &Column) -> Sample {
        self.tables.sample(&Query {
            task: self.task,
            model: &arm.label,
            setting: &column.setting,
            phase: EVALUATION,
            split: &column.split,
            metric: &column.metric,
        })
    }

    /// The setting that the staircase climbs, and its top step.
    fn longest(&self) -> Option<(String, f64)> {
        let rows = || self.tables.runs.kinds().filter(|row| row.task == self.task && row.phase == EVALUATION);
        rows().find(|row| row.metric == "longest")?;
        let solved = || rows().filter(|row| row.metric == "solved");
        let keys = distinct(
            solved().flat_map(|row| row.setting.split(' ')).filter_map(|part| Some(part.split_once('=')?.0)),
        );
        // The key with the most values is the one that is climbed.
        let values = |key: &str| -> Vec<f64> {
            distinct(solved().filter_map(|row| setting_value(&row.setting, key)?.parse().ok()))
        };
        let key = keys.into_iter().max_by_key(|key| values(key).len())?;
        let top = values(key).into_iter().fold(f64::NEG_INFINITY, f64::max);
        Some((key.to_owned(), top))
    }

    fn longest_sample(&self, arm: &ModelArm) -> Sample {
        self.tables.sample(&Query {
            task: self.task,
            model: &arm.label,
            setting: "",
            phase: EVALUATION,
            split: "fit",
            metric: "longest",
        })
    }

    fn longest_of(&self, arm: &ModelArm, key: &str, top: f64) -> String {
        let sample = self.longest_sample(arm);
        if sample.seeds.is_empty() {
            return "-".to_owned();
        }
        match longest_solved(sample.reached_by_half(), top).as_str() {
            "none" => "none".to_owned(),
            value => format!("**{key} {value}**"),
        }
    }

    /// One place of a table.
    fn cell(&self, sample: &Sample, column: &Column, notes: &mut Vec<&'static str>) -> String {
        let seeds = sample.seeds.len();
        let not_tried = sample.count(Outcome::NotAttempted);
        let lost = [(Outcome::Diverged, "diverged"), (Outcome::Failed, "failed")];
        if seeds == 0 {
            return "-".to_owned();
        }
        if not_tried == seeds {
            return "not tried".to_owned();
        }
        if let Some((_, name)) = lost.into_iter().find(|(outcome, _)| sample.count(*outcome) == seeds) {
            return name.to_owned();
        }
        let mut remarks: Vec<String> = Vec::new();
        if not_tried > 0 {
            remarks.push(format!("{not_tried} not tried"));
        }
        let lost = lost.into_iter().map(|(outcome, name)| (sample.count(outcome), name));
        remarks.extend(lost.filter(|(runs, _)| *runs > 0).map(|(runs, name)| format!("{runs} {name}")));
        let value = match column.metric.as_str() {
            metric if is_solved(metric) => format!("{}/{seeds}", sample.solved()),
            "updates-to-solve" => {
                let (mean, unfinished) = updates_to_solve(sample);
                if unfinished > 0 {
                    remarks.insert(0, format!("{unfinished} not solved"));
                }
                mean
            }
            metric => match sample.mean() {
                None => "-".to_owned(),
                Some(mean) => {
                    let mean_in_words = mean_in_words(mean, metric);
                    if self.clears_floor(mean, column) {
                        mean_in_words
                    } else {
                        notes.push("▽ no better than the strongest floor: the interval does not clear it.");
                        format!("{mean_in_words} {NOT_ABOVE_FLOOR}")
                    }
                }
            },
        };
        if remarks.is_empty() { value } else { format!("{value} ({})", remarks.join(", ")) }
    }

    /// Whether a mean, interval and all, is better than the strongest floor.
    fn clears_floor(&self, mean: Mean, column: &Column) -> bool {
        let floors = self.tables.floors(self.task, &column.metric);
        let mut floors = floors
            .into_iter()
            .filter(|name| !is_ceiling(name))
            .filter_map(|name| self.tables.floor(self.task, name, &column.metric, &column.setting));
        let (low, high) =
            mean.interval.map_or((mean.value, mean.value), |interval| (interval.low, interval.high));
        if larger_is_better(&column.metric) {
            floors.all(|floor| low > floor)
        } else {
            floors.all(|floor| high < floor)
        }
    }

    /// Median and quartiles of the timed steps.
    fn step_times(&self) -> Option<ScoreTable> {
        let rows =
            || self.tables.timing.iter().filter(|row| row.task == self.task && row.metric == "step-seconds");
        let mut settings = distinct(rows().map(|row| row.setting.as_str()));
        settings.sort_by(|a, b| natural(a, b));
        let heads = settings.iter().map(|setting| if setting.is_empty() { "all" } else { setting });
        let mut grid = Grid::new(["model"].into_iter().chain(heads));
        for arm in self.definition.models_on(self.task) {
            let cells: Vec<String> = settings
                .iter()
                .map(|setting| {
                    let of_arm = rows().filter(|row| row.model == arm.label && row.setting == *setting);
                    let ours: Vec<f64> = of_arm.map(|row| row.value).collect();
                    let time = setting_value(setting, "time").and_then(|time| time.parse().ok());
                    let theirs = self.tables.pytorch.iter();
                    let theirs = theirs.filter(|step| step.model == arm.label && Some(step.time) == time);
                    let theirs: Vec<f64> = theirs.map(|step| step.seconds).collect();
                    let ratio = if ours.is_empty() || theirs.is_empty() {
                        String::new()
                    } else {
                        format!(", {} × PyTorch", number(quantile(&ours, 0.5) / quantile(&theirs, 0.5)))
                    };
                    quartiles(&ours) + &ratio
                })
                .collect();
            if cells.iter().any(|cell| cell != "-") {
                grid.push([name_with_role(arm)].into_iter().chain(cells).collect());
            }
        }
        let peer = if self.tables.pytorch.is_empty() { "" } else { ", as a multiple of PyTorch's median" };
        (!grid.is_empty()).then(|| ScoreTable {
            heading: format!("time of a training step: median, quartiles in brackets{peer} (less is better)"),
            table: grid.markdown(),
        })
    }

    /// A column a seed; a row for each model and place.
    fn individual_seeds(&self, metrics: &[(&str, Vec<Column>)]) -> String {
        let seeds = self.tables.seeds(|row| row.task == self.task && row.phase == EVALUATION);
        let numbers = seeds.iter().map(|seed| format!("seed {seed}"));
        let head = ["model", "metric", "setting"].map(str::to_owned).into_iter().chain(numbers);
        let mut grid = Grid::new(head);
        let mut push = |arm: &ModelArm, metric: &str, place: String, sample: &Sample| {
            if !sample.seeds.is_empty() {
                let cells = seeds.iter().map(|&seed| {
                    let before = sample.seeds.partition_point(|other| other.number < seed);
                    let found = sample.seeds.get(before).filter(|found| found.number == seed);
                    found.map_or_else(|| "-".to_owned(), |found| one_seed(found, metric))
                });
                let names = [name_with_role(arm), metric.to_owned(), place];
                grid.push(names.into_iter().chain(cells).collect());
            }
        };
        for arm in self.definition.models_on(self.task) {
            if let Some((key, _)) = self.longest() {
                push(arm, "longest", key, &self.longest_sample(arm));
            }
            for (metric, columns) in metrics {
                let budgets = columns.iter().any(|column| column.metric.contains('@'));
                for column in columns {
                    push(arm, metric, column.heading(budgets), &self.sample(arm, column));
                }
            }
        }
        grid.markdown()
    }

    fn seed_count(&self) -> String {
        let arms = self.definition.models_on(self.task);
        let seeds = |model: &str| {
            self.tables.seeds(|row| row.task == self.task && row.phase == EVALUATION && row.model == model)
        };
        let sizes: Vec<usize> = arms.map(|arm| seeds(&arm.label).len()).filter(|&size| size > 0).collect();
        seeds_in_words(&sizes)
    }
}

/// A mean with its interval; a single seed has none.
pub(crate) fn mean_in_words(mean: Mean, metric: &str) -> String {
    let whole = metric == "updates";
    match mean.interval {
        Some(interval) => estimate(mean.value, interval.low, interval.high),
        None if whole => count(mean.value),
        None => number(mean.value),
    }
}

/// The mean number of updates, `≥` where some seeds never solved the task within their budget, and how many did not.
fn updates_to_solve(sample: &Sample) -> (String, usize) {
    let tried: Vec<&Seed> = sample.measured().collect();
    let times: Vec<Option<f64>> =
        tried.iter().map(|seed| (seed.outcome == Outcome::Ok).then_some(seed.value)).collect();
    if times.iter().all(Option::is_none) {
        return ("not solved".to_owned(), 0);
    }
    // The budget is what unfinished runs report, diverged ones among them; without any, no time is cut.
    let unfinished = tried.iter().filter(|seed| seed.outcome != Outcome::Ok).map(|seed| seed.value);
    let budget = unfinished.fold(f64::NEG_INFINITY, f64::max);
    let budget = if budget.is_finite() { budget } else { f64::INFINITY };
    match RestrictedMean::of(&times, budget) {
        Some(mean) if mean.is_censored() => (format!("≥ {}", count(mean.value)), mean.censored),
        _ => (sample.mean().map_or_else(|| "-".to_owned(), |mean| mean_in_words(mean, "updates")), 0),
    }
}

fn one_seed(seed: &Seed, metric: &str) -> String {
    match (seed.outcome, metric) {
        (Outcome::NotAttempted, _) => "not tried".to_owned(),
        (Outcome::Diverged, _) => "diverged".to_owned(),
        (Outcome::Failed, _) => "failed".to_owned(),
        (_, metric) if is_solved(metric) => if seed.value > 0.5 { "yes" } else { "no" }.to_owned(),
        (Outcome::NotSolved, "updates-to-solve") => "not solved".to_owned(),
        (_, "longest") if seed.value <= 0.0 => "none".to_owned(),
        (_, "longest" | "updates-to-solve") => count(seed.value),
        _ => number(seed.value),
    }
}

/// `4.2 ms [4.1 ms, 4.4 ms], 20 repeats`.
fn quartiles(seconds: &[f64]) -> String {
    if seconds.is_empty() {
        return "-".to_owned();
    }
    let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| duration(quantile(seconds, share)));
    format!("{middle} [{low}, {high}], {} repeats", seconds.len())
}

/// A quantile, by linear interpolation between order statistics.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * (sorted.len() as f64 - 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of the list")]
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - place.floor()) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    fn sample(seeds: &[(f64, Outcome)]) -> Sample {
        let seeds = seeds.iter().zip(1000..);
        Sample::of(
            "updates-to-solve",
            seeds.map(|(&(value, outcome), number)| Seed { number, value, outcome, count: 0 }).collect(),
        )
    }

    #[test]
    fn never_solved_runs_show_as_a_lower_bound() {
        let (ok, never, untried) = (Outcome::Ok, Outcome::NotSolved, Outcome::NotAttempted);
        // By hand: (200 + 1500 + 1500) / 3.
        let some = sample(&[(200.0, ok), (1500.0, never), (1500.0, never)]);
        assert_eq!(updates_to_solve(&some), ("≥ 1,067".to_owned(), 2));
        assert_eq!(
            updates_to_solve(&sample(&[(1500.0, never), (1500.0, never)])),
            ("not solved".to_owned(), 0)
        );
        assert_eq!(updates_to_solve(&sample(&[(200.0, ok), (f64::NAN, untried)])), ("200".to_owned(), 0));
    }

    #[test]
    fn quartiles_are_those_of_numpy() {
        // numpy 2: percentile([1, 2, 3, 4, 10], [25, 50, 75]) = 2, 3, 4
        assert_eq!(quartiles(&[10.0, 1.0, 3.0, 2.0, 4.0]), "3.00 s [2.00 s, 4.00 s], 5 repeats");
        assert_eq!(quartiles(&[]), "-");
    }

    #[test]
    fn not_tried_is_not_failed_and_ignorance_is_flagged() {
        let world = World::new();
        let tables = world.tables();
        let scores = scores(world.definition(), &tables);
        let recall = scores.iter().find(|scores| scores.task == "recall").unwrap();
        let solved =
            &recall.shown.iter().find(|table| table.heading.contains("solved the task")).unwrap().table;
        assert!(solved.contains("0/10") && solved.contains("not tried"), "{solved}");
        assert!(solved.contains("≥ 200"), "{solved}");
        let parity = scores.iter().find(|scores| scores.task == "parity").unwrap();
        let transformer =
            parity.shown[0].table.lines().find(|line| line.starts_with("| transformer |")).unwrap();
        let lstm = parity.shown[0].table.lines().find(|line| line.starts_with("| lstm |")).unwrap();
        assert!(
            transformer.contains(NOT_ABOVE_FLOOR) && !lstm.contains(NOT_ABOVE_FLOOR),
            "{transformer}\n{lstm}"
        );
    }
}
