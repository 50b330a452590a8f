//! Classification of the rows of a table: say to which class a row belongs.
//!
//! The table is registered, such as `voting`, or a file of one's own, `corpus = "file:PATH"`: comma-separated if its name ends in `.csv`,
//! otherwise tab-separated, with a header. One column is the class, all others are features. A column of which every value is a number is real, unless `categories` names
//! it; any other is a category. A value equal to `missing` is missing, and so is an empty one. Rows that repeat an earlier one are
//! dropped; the rest is cut as `labelled.rs` says. A category that does not occur in training is a category like any other, of which a
//! model knows nothing.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use sequence::{
    Batch, Column, Floor, InputKind, Interface, LossKind, Predictions, Random, Score, Stream, Task, TestSet,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TaskEntry;
use crate::batches::feature_rows;
use crate::labelled::{self, Cut, Cutting, FirstCut};
use crate::metrics::classification_scores;
use crate::separated::{self, Table};
use crate::{CORPORA, Corpora, DataError, Download, settings};

const NAME: &str = "tabular-classification";
const DEFAULT_CORPUS: &str = "voting";

pub(crate) const ENTRY: TaskEntry = TaskEntry {
    name: NAME,
    version: 1,
    summary: "say to which class a row of a table belongs",
    defaults: settings::defaults::<Config>,
    corpora: |given| {
        let corpus = given.get("corpus").map_or(Some(DEFAULT_CORPUS), Value::as_str);
        corpus.map(str::to_owned).into_iter().collect()
    },
    build: |given, corpora| Ok(Box::new(TabularClassification::from_settings(given, corpora)?)),
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
struct Config {
    /// Name of the table, or `file:PATH`.
    corpus: String,
    /// Column that holds the class.
    class_column: String,
    /// What stands for a missing value.
    missing: String,
    /// Columns of numbers that are categories all the same, beside those that a registered table says.
    categories: Vec<String>,
    /// Classes whose rows are kept; all if there are none.
    classes: Vec<String>,
    /// Training examples; 0 uses all.
    examples: usize,
    /// Folds, of which one is tested.
    folds: usize,
    /// Whether the validation examples are trained on, too; for models that choose nothing, as in published numbers.
    train_on_validation: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            corpus: DEFAULT_CORPUS.to_owned(),
            class_column: "class".to_owned(),
            missing: "?".to_owned(),
            categories: Vec::new(),
            classes: Vec::new(),
            examples: 0,
            folds: 10,
            train_on_validation: false,
        }
    }
}

impl Config {
    fn cutting(&self) -> Cutting {
        let Self { folds, examples, train_on_validation, .. } = *self;
        Cutting { folds, examples, train_on_validation }
    }
}

struct TabularClassification {
    config: Config,
    columns: Vec<Column>,
    /// One a row and column; missing is `NaN`.
    values: Vec<f32>,
    labels: Vec<u32>,
    classes: usize,
    first_cut: FirstCut,
}

impl TabularClassification {
    fn from_settings(given: &Value, corpora: &Corpora) -> Result<Self, DataError> {
        let mut config: Config = settings::parse(NAME, given)?;
        let registered = || {
            CORPORA.iter().filter_map(|entry| match entry.download {
                Download::Rows(table) => Some((entry.name, table)),
                Download::File | Download::ZipMember(_) | Download::Made(_) => None,
            })
        };
        if let Some((_, table)) = registered().find(|(name, _)| *name == config.corpus) {
            config.categories.extend(table.categories.iter().map(|&name| name.to_owned()));
        } else if !config.corpus.starts_with("file:") {
            let known: Vec<String> = registered().map(|(name, _)| format!("`{name}`")).collect();
            let reason = format!(
                "no table is named `{}`; known are {}, or `file:PATH`",
                config.corpus,
                known.join(", ")
            );
            return Err(settings::wrong(NAME, "corpus", reason));
        }
        let path = corpora.locate(&config.corpus)?;
        let table = separated::read(&path, &corpora.read_text(&config.corpus)?)?;
        Self::new(config, &table)
    }

    fn new(config: Config, table: &Table) -> Result<Self, DataError> {
        let class_column = table.column(&config.class_column)?;
        for name in &config.categories {
            table.column(name)?;
        }
        let wanted = |class: &String| config.classes.is_empty() || config.classes.contains(class);
        let of_classes: Vec<&Vec<String>> =
            table.rows.iter().filter(|row| wanted(&row[class_column])).collect();
        if let Some(absent) =
            config.classes.iter().find(|class| of_classes.iter().all(|row| row[class_column] != **class))
        {
            let reason = format!("no row has the class `{absent}` in column `{}`", config.class_column);
            return Err(settings::wrong(NAME, "classes", reason));
        }
        let mut seen = HashSet::new();
        let rows: Vec<&Vec<String>> = of_classes.iter().copied().filter(|row| seen.insert(*row)).collect();
        let repeats = of_classes.len() - rows.len();
        if repeats > 0 {
            tracing::debug!(corpus = config.corpus, repeats, "rows that repeat an earlier one are dropped");
        }
        let classes: Vec<String> =
            rows.iter().map(|row| &row[class_column]).collect::<BTreeSet<_>>().into_iter().cloned().collect();
        if let [class] = classes.as_slice() {
            let reason =
                format!("column `{}` has one class, `{class}`, where two are needed", config.class_column);
            return Err(settings::wrong(NAME, "class-column", reason));
        }
        let place = |sorted: &[String], value: &String| {
            let place = sorted.binary_search(value).expect("every value is among the values");
            u32::try_from(place).expect("there are fewer than 2^32 values")
        };
        let labels: Vec<u32> = rows.iter().map(|row| place(&classes, &row[class_column])).collect();
        labelled::check(NAME, &labels, &classes, config.cutting())?;
        let width = table.header.len() - 1;
        if width == 0 {
            return Err(settings::wrong(NAME, "corpus", "the table has no column beside the class"));
        }
        let mut columns = Vec::with_capacity(width);
        let mut values = vec![f32::NAN; rows.len() * width];
        for (column, name) in table.header.iter().enumerate().filter(|(column, _)| *column != class_column) {
            let is_missing = |value: &str| value.is_empty() || value == config.missing;
            let known =
                || rows.iter().map(|row| &row[column]).enumerate().filter(|(_, value)| !is_missing(value));
            let number = |value: &String| value.parse::<f32>().ok().filter(|number| number.is_finite());
            let real = !config.categories.contains(name) && known().all(|(_, value)| number(value).is_some());
            let levels: Vec<String> = if real {
                Vec::new()
            } else {
                known().map(|(_, value)| value).collect::<BTreeSet<_>>().into_iter().cloned().collect()
            };
            for (row, value) in known() {
                let coded = if real { number(value) } else { Some(place(&levels, value) as f32) };
                values[row * width + columns.len()] = coded.unwrap_or(f32::NAN);
            }
            columns.push(if real { Column::Real } else { Column::Category { levels: levels.len() } });
        }
        Ok(Self { config, columns, values, labels, classes: classes.len(), first_cut: FirstCut::default() })
    }

    fn cut(&self, seed: u64) -> Arc<Cut> {
        self.first_cut.of(&self.labels, self.config.cutting(), seed)
    }

    /// These rows, in one batch.
    fn batch(&self, examples: &[usize]) -> Batch {
        let width = self.columns.len();
        let values =
            examples.iter().flat_map(|&example| self.values[example * width..][..width].iter().copied());
        feature_rows(width, values.collect(), examples.iter().map(|&example| self.labels[example]).collect())
    }
}

impl Task for TabularClassification {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u32 {
        ENTRY.version
    }

    fn interface(&self) -> Interface {
        Interface {
            inputs: InputKind::Features { width: self.columns.len() },
            outputs: self.classes,
            loss: LossKind::CrossEntropy,
            maximum_time: 1,
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
        vec![self.batch(&self.cut(seed).validation)]
    }

    fn test(&self, seed: u64) -> Vec<TestSet> {
        vec![TestSet { name: "test".to_owned(), batches: vec![self.batch(&self.cut(seed).test)] }]
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

    /// Of the whole table.
    fn floors(&self) -> Vec<Floor> {
        labelled::floors(&self.labels, self.classes)
    }

    fn training_set(&self, seed: u64) -> Option<Vec<Batch>> {
        Some(vec![self.batch(&self.cut(seed).training)])
    }

    fn columns(&self) -> Option<Vec<Column>> {
        Some(self.columns.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::path::Path;

    use sequence::Inputs;
    use serde_json::json;

    use super::*;
    use crate::testing;

    /// 60 rows of two classes: a number, a category, a number that is a category, and some values missing.
    fn table() -> String {
        let mut text = "age,colour,zip,class\n".to_owned();
        for row in 0..60 {
            let colour = ["red", "green", "?"][row % 3];
            let zip = if row % 7 == 0 { String::new() } else { (100 + row % 2).to_string() };
            writeln!(text, "{row}.5,{colour},{zip},{}", ["no", "yes"][row % 2]).unwrap();
        }
        text
    }

    fn of(config: &Value, text: &str) -> Result<TabularClassification, String> {
        let config = settings::parse(NAME, config).unwrap();
        let table = separated::read(Path::new("my.csv"), text).map_err(|error| error.to_string())?;
        TabularClassification::new(config, &table).map_err(|error| error.to_string())
    }

    #[test]
    fn columns_are_numbers_or_categories_and_values_may_be_missing() {
        let task = of(&json!({"folds": 5}), &table()).unwrap();
        assert_eq!(task.columns, [Column::Real, Column::Category { levels: 2 }, Column::Real]);
        // The first row: 0.5, red (the second of green and red), no zip.
        assert_eq!(task.values[..2], [0.5, 1.0]);
        assert!(task.values[2].is_nan() && task.values[7].is_nan());
        let task = of(&json!({"folds": 5, "categories": ["zip"]}), &table()).unwrap();
        assert_eq!(task.columns[2], Column::Category { levels: 2 });
        assert_eq!(task.floors()[0].value, 0.5);
    }

    #[test]
    fn parts_share_no_row() {
        let text = table();
        // Every row twice: the repeats are dropped first.
        let body: String = text.lines().skip(1).flat_map(|line| [line, "\n"]).collect();
        let task = of(&json!({"folds": 5}), &(text + &body)).unwrap();
        let sets = [task.training_set(1).unwrap(), task.validation(1), task.test(1).remove(0).batches];
        assert_eq!(sets.each_ref().map(|set| set[0].size), [44, 4, 12]);
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            assert_eq!(testing::shared(&sets[a], &sets[b]), 0);
        }
        assert_eq!(testing::shared(&sets[0], &[task.training_batch(1, 5, 100)]), 100);
        let Inputs::Features { width, .. } = sets[0][0].inputs else { panic!("rows of features") };
        assert_eq!(width, 3);
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        let refusal = |config: Value, text: &str| of(&config, text).err().unwrap();
        assert!(refusal(json!({"class-column": "kind"}), &table()).contains("no column is named `kind`"));
        assert!(refusal(json!({"categories": ["post"]}), &table()).contains("no column is named `post`"));
        let single = table().replace(",yes", ",no");
        assert!(refusal(json!({}), &single).contains("one class, `no`"));
        assert!(refusal(json!({"folds": 20}), &table()).contains("fewer than two a fold"));
        let alone: String =
            table().lines().map(|line| line.rsplit(',').next().unwrap().to_owned() + "\n").collect();
        // The distinct rows of a class alone are two.
        assert!(refusal(json!({"folds": 2}), &alone).contains("fewer than two a fold"));
        let named = settings::parse::<Config>(NAME, &json!({"corpus": "adult"})).unwrap();
        assert_eq!(named.corpus, "adult");
        let corpora = Corpora { search: Vec::new(), cache: "nowhere".into() };
        let message =
            TabularClassification::from_settings(&json!({"corpus": "adult"}), &corpora).err().unwrap();
        assert!(message.to_string().contains("is not on this machine"), "{message}");
        let message =
            TabularClassification::from_settings(&json!({"corpus": "names"}), &corpora).err().unwrap();
        assert!(message.to_string().contains("no table is named `names`; known are `voting`"), "{message}");
        assert!(refusal(json!({"classes": ["no", "maybe"]}), &table()).contains("class `maybe`"));
        let one = refusal(json!({"classes": ["no"]}), &table());
        assert!(one.contains("one class, `no`"), "{one}");
    }
}
