//! From a definition's figures and the tables to charts.

use std::collections::BTreeMap;

use analysis::statistics::{SHOWN_LEVEL, mean};
use record::cell::Outcome;
use record::definition::{Definition, Figure, FigureKind, ModelArm, Role};
use record::metric::is_accuracy;
use record::table::CurveTableRow;

use crate::ReportError;
use crate::number::{count, number, short, tick};
use crate::svg::{Axis, DotChart, DotRow, HeatChart, HeatPanel, LineChart, Point, Series, Style};
use crate::tables::{
    EVALUATION, Query, Tables, distinct, is_ceiling, natural, setting_value, setting_without,
};

/// Draws one figure; `None` where no row says anything about it, as when its task was left out.
pub(crate) fn draw(
    definition: &Definition,
    tables: &Tables,
    figure: &Figure,
    watermark: Option<&str>,
) -> Result<Option<String>, ReportError> {
    let plot = Plot { definition, tables, figure, watermark };
    match figure.kind {
        FigureKind::Line => plot.lines(),
        FigureKind::Curve => plot.curves(),
        FigureKind::Dots => plot.dots(),
        FigureKind::Models => plot.models(),
        FigureKind::Seeds => plot.seeds(),
        FigureKind::Against => Ok(plot.against()),
        FigureKind::Alignment => Ok(plot.alignment()),
    }
}

/// The style of each arm, the same in every figure: families share a colour, and every arm has a pair of dash and
/// marker of its own, so that grey tells them apart. Controls and careless arms have empty markers.
fn styles(definition: &Definition) -> BTreeMap<&str, Style> {
    let mut families: Vec<&str> = Vec::new();
    let mut styles: BTreeMap<&str, Style> = BTreeMap::new();
    for arm in &definition.models {
        if styles.contains_key(arm.label.as_str()) {
            continue;
        }
        let family = families.iter().position(|name| *name == arm.name).unwrap_or_else(|| {
            families.push(&arm.name);
            families.len() - 1
        });
        let style = Style {
            colour: family,
            dash: styles.len(),
            marker: styles.len(),
            hollow: matches!(arm.role, Role::Careless | Role::NegativeControl),
        };
        styles.insert(&arm.label, style);
    }
    styles
}

/// An arm's label with the part it plays, where that is not a contender's.
pub(crate) fn name_with_role(arm: &ModelArm) -> String {
    let with = |part: &str| {
        if arm.label.contains(part) { arm.label.clone() } else { format!("{} ({part})", arm.label) }
    };
    match arm.role {
        Role::Arm => arm.label.clone(),
        Role::Careless => with("careless"),
        Role::NegativeControl => with("control"),
        Role::Baseline => with("baseline"),
    }
}

struct Plot<'a> {
    definition: &'a Definition,
    tables: &'a Tables,
    figure: &'a Figure,
    watermark: Option<&'a str>,
}

impl Plot<'_> {
    /// Mean over seeds against a setting.
    fn lines(&self) -> Result<Option<String>, ReportError> {
        let places = self.places()?;
        let (mut series, mut sizes) = (Vec::new(), Vec::new());
        let (mut partial, mut lost) = (false, 0);
        for (arm, style) in self.arms() {
            let mut points = Vec::new();
            for (x, setting, split) in &places {
                let sample = self.tables.sample(&Query {
                    task: &self.figure.task,
                    model: &arm.label,
                    setting,
                    phase: EVALUATION,
                    split,
                    metric: &self.figure.metric,
                });
                if self.figure.metric != "solved" && sample.count(Outcome::NotAttempted) > 0 {
                    partial = true;
                    continue;
                }
                lost += sample.count(Outcome::Diverged) + sample.count(Outcome::Failed);
                if let Some(mean) = sample.mean() {
                    sizes.push(sample.seeds.len());
                    let band = mean.interval.map(|interval| (interval.low, interval.high));
                    points.push(Point { x: *x, y: mean.value, band });
                }
            }
            if !points.is_empty() {
                series.push(Series { label: name_with_role(arm), style: Some(style), points });
            }
        }
        if series.is_empty() {
            return Ok(None);
        }
        let crowded = series.len() > 5;
        let mut notes =
            vec![over_seeds(&sizes, if crowded { "as bars, lines set apart sideways" } else { "shaded" })];
        if self.figure.metric == "solved" {
            notes.push(format!(
                "a {} not tried, because easier ones failed, counts as not solved",
                self.figure.x
            ));
        } else if partial {
            notes.push("points that not every seed reached are left out".to_owned());
        }
        if lost > 0 {
            notes.push(format!(
                "without {lost} {} that diverged or failed",
                if lost == 1 { "run" } else { "runs" }
            ));
        }
        let floored = places.iter().map(|(x, setting, _)| (*x, setting.as_str()));
        series.extend(self.floor(floored)?);
        let ticks = distinct(places.iter().map(|place| place.0));
        let x = self.x_axis(&ticks, ticks.iter().map(|&value| (value, tick(value))).collect());
        Ok(Some(self.line_chart(x, series, &notes, crowded)))
    }

    /// Mean over seeds against the models, a line a metric.
    fn models(&self) -> Result<Option<String>, ReportError> {
        let Figure { task, metric, metrics, models, .. } = self.figure;
        let kinds = self.tables.runs.kinds();
        let rows =
            kinds.filter(|row| row.task == *task && row.phase == EVALUATION && self.holds(&row.setting));
        let settings = distinct(rows.map(|row| row.setting.as_str()));
        self.refuse_mixture(&settings)?;
        let Some(setting) = settings.first() else { return Ok(None) };
        let (mut series, mut sizes) = (Vec::new(), Vec::new());
        for (index, metric) in [metric].into_iter().chain(metrics).enumerate() {
            let mut points = Vec::new();
            for (place, model) in models.iter().enumerate() {
                let query = Query { task, model, setting, phase: EVALUATION, split: "test", metric };
                let sample = self.tables.sample(&query);
                let Some(mean) = sample.mean() else { continue };
                sizes.push(sample.seeds.len());
                // A logarithm has no place for what is not positive.
                if !self.figure.log_y || mean.value > 0.0 {
                    let band = mean.interval.map(|interval| (interval.low, interval.high));
                    points.push(Point { x: place as f64, y: mean.value, band });
                }
            }
            let style = Style { colour: index, dash: index, marker: index, hollow: false };
            if !points.is_empty() {
                series.push(Series { label: metric.replace('-', " "), style: Some(style), points });
            }
        }
        if series.is_empty() {
            return Ok(None);
        }
        let ticks: Vec<(f64, String)> =
            models.iter().enumerate().map(|(place, model)| (place as f64, model.clone())).collect();
        let places: Vec<f64> = ticks.iter().map(|tick| tick.0).collect();
        let x = self.x_axis(&places, ticks);
        Ok(Some(self.line_chart(x, series, &[over_seeds(&sizes, "shaded")], false)))
    }

    /// Means over seeds of one metric against those of another, a point for each setting.
    fn against(&self) -> Option<String> {
        let Figure { task, metric, x, .. } = self.figure;
        let rows = self.tables.runs.kinds().filter(|row| {
            row.task == *task && row.phase == EVALUATION && row.metric == *x && self.holds(&row.setting)
        });
        let settings = distinct(rows.filter(|row| row.split == "test").map(|row| row.setting.as_str()));
        let (mut series, mut sizes, mut moved) = (Vec::new(), Vec::new(), false);
        for (arm, style) in self.arms() {
            let mut points = Vec::new();
            for setting in &settings {
                let mean = |metric: &str| {
                    let query =
                        Query { task, model: &arm.label, setting, phase: EVALUATION, split: "test", metric };
                    let sample = self.tables.sample(&query);
                    sample.mean().map(|mean| (mean.value, sample.seeds.len()))
                };
                if let (Some((place, _)), Some((y, seeds))) = (mean(x), mean(metric)) {
                    let edge = self.figure.x_from.filter(|from| place < *from);
                    moved |= edge.is_some();
                    sizes.push(seeds);
                    points.push(Point { x: edge.unwrap_or(place), y, band: None });
                }
            }
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            if !points.is_empty() {
                series.push(Series { label: name_with_role(arm), style: Some(style), points });
            }
        }
        if series.is_empty() {
            return None;
        }
        let mut notes =
            vec![format!("a point for each setting of a model, mean over {}", seeds_in_words(&sizes))];
        if let (Some(from), true) = (self.figure.x_from, moved) {
            notes.push(format!("what lies left of {} is drawn there", short(from)));
        }
        let (low, high) = span(series.iter().flat_map(|series| series.points.iter().map(|point| point.x)));
        let ticks = if self.figure.log_x { log_ticks(low, high) } else { linear_ticks(low, high) };
        let x = self.x_axis(&[low, high], ticks);
        Some(self.line_chart(x, series, &notes, false))
    }

    /// Course of training.
    fn curves(&self) -> Result<Option<String>, ReportError> {
        let of_task = || self.tables.curves.iter().filter(|row| row.task == self.figure.task);
        let rows: Vec<&CurveTableRow> = of_task().filter(|row| self.holds(&row.setting)).collect();
        self.refuse_mixture(&distinct(rows.iter().map(|row| row.setting.as_str())))?;
        let x_of: fn(&CurveTableRow) -> f64 = match self.figure.x.as_str() {
            "updates" => |row| row.updates as f64,
            "multiply-adds" => |row| row.multiply_adds as f64,
            other => {
                return Err(
                    self.wrong(format!("`x` of a curve is `updates` or `multiply-adds`, not `{other}`"))
                );
            }
        };
        let y_of: fn(&CurveTableRow) -> f64 = match self.figure.metric.as_str() {
            "training-loss" => |row| row.training_loss,
            _ => |row| row.validation,
        };
        let (mut series, mut stopped, mut sizes) = (Vec::new(), false, Vec::new());
        for (arm, style) in self.arms() {
            let mut seeds: BTreeMap<(u64, &str), Vec<(f64, f64)>> = BTreeMap::new();
            for row in rows.iter().filter(|row| row.model == arm.label && y_of(row).is_finite()) {
                let x = x_of(row);
                if !self.figure.log_x || x > 0.0 {
                    seeds.entry((row.seed, &row.cell)).or_default().push((x, y_of(row)));
                }
            }
            let courses: Vec<Vec<(f64, f64)>> = seeds.into_values().collect();
            let points = average(&courses);
            let ends: Vec<f64> =
                courses.iter().filter_map(|course| course.last().map(|last| last.0)).collect();
            stopped |= ends.iter().any(|&end| end < ends.iter().copied().fold(0.0, f64::max));
            if !points.is_empty() {
                sizes.push(courses.len());
                series.push(Series { label: name_with_role(arm), style: Some(style), points });
            }
        }
        if series.is_empty() {
            return Ok(None);
        }
        let mut notes = vec![over_seeds(&sizes, "shaded")];
        if stopped {
            notes.push("seeds that stopped early keep their last value".to_owned());
        }
        let xs: Vec<f64> =
            series.iter().flat_map(|series| series.points.iter().map(|point| point.x)).collect();
        let (low, high) = span(xs.iter().copied());
        let setting = rows.first().map_or("", |row| row.setting.as_str());
        series.extend(self.floor([low, high].map(|x| (x, setting)).into_iter())?);
        let ticks = if self.figure.log_x { log_ticks(low, high) } else { linear_ticks(low, high) };
        let x = self.x_axis(&[low, high], ticks);
        Ok(Some(self.line_chart(x, series, &notes, false)))
    }

    /// Each seed's longest solved setting.
    fn dots(&self) -> Result<Option<String>, ReportError> {
        let key = &self.figure.x;
        let of_task =
            || self.tables.runs.kinds().filter(|row| row.task == self.figure.task && row.phase == EVALUATION);
        let ladder = of_task().filter(|row| row.metric == "solved" && self.holds(&row.setting));
        let mut ladder: Vec<f64> =
            distinct(ladder.filter_map(|row| setting_value(&row.setting, key)?.parse().ok()));
        ladder.sort_by(f64::total_cmp);
        let Some(&top) = ladder.last() else { return Ok(None) };
        let longest = of_task().filter(|row| row.metric == self.figure.metric && self.holds(&row.setting));
        let settings = distinct(longest.map(|row| row.setting.as_str()));
        self.refuse_mixture(&settings)?;
        let Some(setting) = settings.first() else { return Ok(None) };

        let (mut rows, mut sizes) = (Vec::new(), Vec::new());
        for (arm, style) in self.arms() {
            let sample = self.tables.sample(&Query {
                task: &self.figure.task,
                model: &arm.label,
                setting,
                phase: EVALUATION,
                split: "fit",
                metric: &self.figure.metric,
            });
            let places: Vec<Option<f64>> = sample
                .seeds
                .iter()
                .map(|seed| Some(seed.value).filter(|&value| value >= ladder[0]))
                .collect();
            if places.is_empty() {
                continue;
            }
            sizes.push(places.len());
            let note = longest_solved(sample.reached_by_half(), top);
            rows.push(DotRow { label: name_with_role(arm), style, places, note });
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let ticks = ladder.iter().map(|&value| (value, longest_solved(value, top))).collect();
        let chart = DotChart {
            title: self.figure.title.clone(),
            subtitle: self.subtitle(&[
                format!("one dot a seed, {}", seeds_in_words(&sizes)),
                "at the right: what at least half of them reach".to_owned(),
                format!("≥ {} is the top of the ladder", tick(top)),
            ]),
            x: self.x_axis(&ladder, ticks),
            none: "none".to_owned(),
            across: 5,
            rows,
            note_heading: "half reach".to_owned(),
            watermark: self.watermark.map(str::to_owned),
        };
        Ok(Some(chart.svg()))
    }

    /// Each seed's value of a metric.
    fn seeds(&self) -> Result<Option<String>, ReportError> {
        let Figure { task, metric, .. } = self.figure;
        let kinds = self.tables.runs.kinds();
        let of_task = kinds
            .filter(|row| row.task == *task && row.phase == EVALUATION && self.holds(&row.setting))
            .filter(|row| row.metric == *metric && row.split == "test");
        let settings = distinct(of_task.map(|row| row.setting.as_str()));
        self.refuse_mixture(&settings)?;
        let Some(setting) = settings.first() else { return Ok(None) };
        let (mut rows, mut sizes) = (Vec::new(), Vec::new());
        for (arm, style) in self.arms() {
            let model = &arm.label;
            let query = Query { task, model, setting, phase: EVALUATION, split: "test", metric };
            let sample = self.tables.sample(&query);
            let Some(mean) = sample.mean() else { continue };
            let places: Vec<Option<f64>> =
                sample.seeds.iter().map(|seed| Some(seed.value).filter(|value| value.is_finite())).collect();
            sizes.push(places.len());
            rows.push(DotRow { label: name_with_role(arm), style, places, note: number(mean.value) });
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let lost = rows.iter().any(|row| row.places.contains(&None));
        let (low, high) = span(rows.iter().flat_map(|row| row.places.iter().copied().flatten()));
        let ticks = if self.figure.log_x { log_ticks(low, high) } else { linear_ticks(low, high) };
        let chart = DotChart {
            title: self.figure.title.clone(),
            subtitle: self.subtitle(&[
                format!("one dot a seed, {}", seeds_in_words(&sizes)),
                "at the right: their mean".to_owned(),
            ]),
            x: self.x_axis(&[low, high], ticks),
            none: if lost { "none".to_owned() } else { String::new() },
            across: 1,
            rows,
            note_heading: "mean".to_owned(),
            watermark: self.watermark.map(str::to_owned),
        };
        Ok(Some(chart.svg()))
    }

    /// How much each symbol that is written looks at each that is read.
    fn alignment(&self) -> Option<String> {
        let Figure { task, metric, .. } = self.figure;
        let of_task = self.tables.runs.kinds();
        let of_task =
            of_task.filter(|row| row.task == *task && row.phase == EVALUATION && row.metric == *metric);
        let settings = distinct(of_task.map(|row| row.setting.as_str()));
        let symbols = |key: &str| {
            let mut symbols = distinct(settings.iter().filter_map(|setting| setting_value(setting, key)));
            symbols.sort_unstable();
            symbols
        };
        let (read, written) = (symbols("read"), symbols("written"));
        let (mut panels, mut sizes) = (Vec::new(), Vec::new());
        for (arm, _) in self.arms() {
            let mut value = |written: &str, read: &str| {
                let setting = format!("read={read} written={written}");
                let (model, phase, split) = (arm.label.as_str(), EVALUATION, "example");
                let query = Query { task, model, setting: &setting, phase, split, metric };
                let sample = self.tables.sample(&query);
                sizes.extend(Some(sample.seeds.len()).filter(|&seeds| seeds > 0));
                sample.mean().map(|mean| mean.value)
            };
            let row = |written: &&str| read.iter().map(|read| value(written, read)).collect();
            let values: Option<Vec<Vec<f64>>> = written.iter().map(row).collect();
            panels.extend(
                values
                    .filter(|values| !values.is_empty())
                    .map(|values| HeatPanel { label: name_with_role(arm), values }),
            );
        }
        // The place before a symbol keeps them in order and apart; the reader sees the order.
        let named = |symbols: &[&str]| {
            let symbol =
                |symbol: &&str| symbol.split_once(':').map_or(*symbol, |(_, symbol)| symbol).to_owned();
            symbols.iter().map(symbol).collect()
        };
        let chart = HeatChart {
            title: self.figure.title.clone(),
            subtitle: format!(
                "each row sums to 100, darker is more, under 5 without its number; mean over {}",
                seeds_in_words(&sizes)
            ),
            columns: named(&read),
            rows: named(&written),
            x_label: self.figure.x_label.clone(),
            y_label: self.figure.y_label.clone(),
            panels,
            watermark: self.watermark.map(str::to_owned),
        };
        (!chart.panels.is_empty()).then(|| chart.svg())
    }

    /// The arms that the figure names, or all that run on its task.
    fn arms(&self) -> Vec<(&ModelArm, Style)> {
        let styles = styles(self.definition);
        let named =
            |arm: &&ModelArm| self.figure.models.is_empty() || self.figure.models.contains(&arm.label);
        let arms = self.definition.models_on(&self.figure.task).filter(named);
        arms.map(|arm| (arm, styles[arm.label.as_str()])).collect()
    }

    /// Places on the horizontal axis with the setting and split that stand for them, ascending.
    fn places(&self) -> Result<Vec<(f64, String, String)>, ReportError> {
        let rows = self.tables.runs.kinds().filter(|row| {
            row.task == self.figure.task
                && row.phase == EVALUATION
                && row.metric == self.figure.metric
                && row.split.starts_with("test")
                && !row.split.starts_with("test-block@")
                && self.holds(&row.setting)
        });
        let x_of = |setting: &str, split: &str| -> Option<f64> {
            match self.figure.x.as_str() {
                "split" => split.strip_prefix("test@")?.parse().ok(),
                key => setting_value(setting, key)?.parse().ok(),
            }
        };
        let mut places: Vec<(f64, String, String)> = distinct(rows.map(|row| (&row.setting, &row.split)))
            .into_iter()
            .filter_map(|(setting, split)| Some((x_of(setting, split)?, setting.clone(), split.clone())))
            .collect();
        places.retain(|place| has_place(place.0, self.figure.log_x));
        places.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| natural(&a.1, &b.1)));
        let others = distinct(places.iter().map(|(_, setting, _)| setting_without(setting, &self.figure.x)));
        self.refuse_mixture(&others.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(places)
    }

    /// Whether a setting agrees with those that the figure holds fixed.
    fn holds(&self, setting: &str) -> bool {
        self.figure.at.iter().all(|(key, value)| setting_value(setting, key) == Some(&record::plain(value)))
    }

    fn refuse_mixture(&self, settings: &[&str]) -> Result<(), ReportError> {
        match settings {
            [] | [_] => Ok(()),
            [first, second, ..] => {
                Err(self.wrong(format!("its rows mix `{first}` and `{second}`; hold one fixed with `at`")))
            }
        }
    }

    fn wrong(&self, message: String) -> ReportError {
        ReportError::Figure { path: self.definition.path.clone(), name: self.figure.name.clone(), message }
    }

    /// The floor that the figure names, at places with their settings.
    fn floor<'b>(&self, places: impl Iterator<Item = (f64, &'b str)>) -> Result<Option<Series>, ReportError> {
        let Some(name) = &self.figure.floor else { return Ok(None) };
        let (task, metric) = (self.figure.task.as_str(), self.figure.metric.as_str());
        let points: Vec<Point> = places
            .filter_map(|(x, setting)| Some((x, self.tables.floor(task, name, metric, setting)?)))
            .map(|(x, y)| Point { x, y, band: None })
            .collect();
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            let known = self.tables.floors(task, metric).join(", ");
            return Err(self.wrong(format!("runs.csv has no floor `{name}` of `{metric}`; it has: {known}")));
        };
        // A number where it is the same everywhere.
        let value = if first.y == last.y { format!(" {}", number(first.y)) } else { String::new() };
        let part = if is_ceiling(name) { "ceiling" } else { "floor" };
        let label = format!("{name} ({part}){value}");
        Ok(Some(Series { label, style: None, points }))
    }

    fn line_chart(&self, x: Axis, series: Vec<Series>, notes: &[String], crowded: bool) -> String {
        let y = self.y_axis(&series);
        let chart = LineChart {
            title: self.figure.title.clone(),
            subtitle: self.subtitle(notes),
            x,
            y,
            series,
            crowded,
            watermark: self.watermark.map(str::to_owned),
        };
        chart.svg()
    }

    fn subtitle(&self, notes: &[String]) -> String {
        let fixed = record::label(&self.figure.at);
        let metric = &self.figure.metric;
        let loss = ["cross-entropy", "mean-squared-error"].iter().any(|name| metric.starts_with(name));
        let less = if loss { "less is better" } else { "" };
        let parts: Vec<&str> = notes
            .iter()
            .map(String::as_str)
            .chain([less, fixed.as_str()].into_iter().filter(|text| !text.is_empty()))
            .collect();
        parts.join("; ")
    }

    /// The horizontal axis, with a margin so that the outermost markers are whole.
    fn x_axis(&self, places: &[f64], ticks: Vec<(f64, String)>) -> Axis {
        let (low, high) = span(places.iter().copied());
        let log = self.figure.log_x;
        let curve = self.figure.kind == FigureKind::Curve;
        let margin = if curve { 0.0 } else { 0.03 };
        let (low, high) = widen(low, high, margin, log);
        Axis { label: self.figure.x_label.clone(), low, high, log, ticks }
    }

    fn y_axis(&self, series: &[Series]) -> Axis {
        let metric = &self.figure.metric;
        let log = self.figure.log_y;
        let points = || series.iter().flat_map(|series| &series.points);
        let positive = |value: &f64| !log || *value > 0.0;
        let (low, high) = if is_accuracy(metric) || metric == "solved" {
            (0.0, 1.0)
        } else {
            let (low, high) = span(points().map(|point| point.y).filter(positive));
            // Beside other lines, wide intervals of few seeds may reach at most half as far again as the means.
            let lines = series.iter().filter(|series| series.style.is_some()).count();
            let room = if lines > 1 { 0.5 * (high - low) } else { f64::INFINITY };
            let bands = points().filter_map(|point| point.band).flat_map(|(low, high)| [low, high]);
            let ends = bands.filter(positive).map(|end| end.clamp(low - room, high + room));
            span(ends.chain([low, high]).filter(positive))
        };
        let (low, high) = widen(low, high, 0.03, log);
        let ticks = if log { log_ticks(low, high) } else { linear_ticks(low, high) };
        Axis { label: self.figure.y_label.clone(), low, high, log, ticks }
    }
}

/// A value of the ladder as the longest that was solved: at the top of the ladder the truth may be larger.
pub(crate) fn longest_solved(value: f64, top: f64) -> String {
    if value <= 0.0 {
        "none".to_owned()
    } else if value >= top {
        format!("≥ {}", tick(value))
    } else {
        tick(value)
    }
}

/// `mean over 8 seeds, 95% intervals shaded`, or what a single seed can say.
fn over_seeds(sizes: &[usize], interval: &str) -> String {
    match sizes.iter().max() {
        Some(1) | None => "1 seed, so no interval".to_owned(),
        Some(_) => format!("mean over {}, 95% intervals {interval}", seeds_in_words(sizes)),
    }
}

/// `8 seeds` or `8 to 10 seeds`.
pub(crate) fn seeds_in_words(sizes: &[usize]) -> String {
    match (sizes.iter().min(), sizes.iter().max()) {
        (Some(1), Some(1)) => "1 seed".to_owned(),
        (Some(least), Some(most)) if least == most => format!("{most} seeds"),
        (Some(least), Some(most)) => format!("{least} to {most} seeds"),
        _ => "no seeds".to_owned(),
    }
}

/// The mean course of several seeds at every place where one was recorded, once all have begun. A seed that
/// stopped early keeps its last value.
fn average(courses: &[Vec<(f64, f64)>]) -> Vec<Point> {
    let mut xs: Vec<f64> = courses.iter().flatten().map(|(x, _)| *x).collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    xs.into_iter()
        .filter_map(|x| {
            let at: Option<Vec<f64>> = courses
                .iter()
                .map(|course| course.iter().rev().find(|(place, _)| *place <= x).map(|(_, value)| *value))
                .collect();
            let values = at?;
            let interval = mean(&values, SHOWN_LEVEL, 0.0).ok().map(|estimate| estimate.interval95);
            let y = values.iter().sum::<f64>() / values.len() as f64;
            Some(Point { x, y, band: interval.map(|interval| (interval.low, interval.high)) })
        })
        .collect()
}

/// Least and largest.
fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high { (0.0, 1.0) } else { (low, high) }
}

/// The span with a share of it added at both ends, never empty.
fn widen(low: f64, high: f64, share: f64, log: bool) -> (f64, f64) {
    if log {
        let low = low.max(f64::MIN_POSITIVE);
        let factor = if high > low { (high / low).powf(share) } else { 2.0 };
        (low / factor, high * factor)
    } else {
        let margin = if high > low { share * (high - low) } else { (0.1 * high.abs()).max(0.5) };
        (low - margin, high + margin)
    }
}

/// About six round places.
fn linear_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let rough = (high - low) / 6.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * 0.8);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step).ceil();
    let places = (0..20).map(|index| (first + f64::from(index)) * step);
    places
        .take_while(|&place| place <= high + 1e-9 * step)
        .map(|place| (place, axis_number(place, step)))
        .collect()
}

/// A place on an axis with as many decimals as the step between places asks for.
fn axis_number(place: f64, step: f64) -> String {
    if place.abs() >= 1e4 {
        return tick(place);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 9")]
    let decimals = (-(step.log10() + 1e-9).floor()).clamp(0.0, 9.0) as usize;
    if decimals == 0 { count(place) } else { format!("{place:.decimals$}") }
}

/// Powers of ten, with 2 and 5 between them where there is room.
fn log_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let (first, last) = (low.log10().floor(), high.log10().ceil());
    let factors: &[f64] = if last - first <= 4.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of a double fits")]
    let exponents = first as i32..=last as i32;
    exponents
        .flat_map(|exponent| factors.iter().map(move |factor| factor * 10_f64.powi(exponent)))
        .filter(|place| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(place))
        .map(|place| (place, tick(place)))
        .collect()
}

/// Whether a value can be shown on an axis: on a logarithmic one, what is not positive cannot.
fn has_place(value: f64, log: bool) -> bool {
    !log || value > 0.0
}

#[cfg(test)]
mod tests {
    use record::table::RunRow;

    use super::*;
    use crate::testing;

    #[test]
    fn nothing_has_no_place_on_a_logarithmic_axis() {
        let shown = |log| [0.0, 50.0].map(|value| has_place(value, log));
        assert_eq!((shown(true), shown(false)), ([false, true], [true, true]));
    }

    #[test]
    fn arms_look_different_in_grey_and_families_share_a_colour() {
        let definition = testing::definition();
        let styles = styles(&definition);
        let looks: Vec<(&str, usize)> = styles.values().map(|style| style.look_in_grey()).collect();
        assert_eq!(looks.len(), 13);
        assert_eq!(distinct(looks.clone()).len(), looks.len(), "{styles:?}");
        assert_eq!(styles["lstm"].colour, styles["lstm-chrono-2x"].colour);
        assert_eq!(
            distinct(["rnn", "lstm", "gru", "transformer", "6-gram"].map(|arm| styles[arm].colour)).len(),
            5
        );
    }

    #[test]
    fn seeds_that_stop_early_keep_their_last_value() {
        let points = average(&[vec![(0.0, 4.0), (10.0, 2.0), (20.0, 1.0)], vec![(0.0, 4.0), (10.0, 3.0)]]);
        // By hand: the second seed counts as 3 at 20, so that the mean there is 2.
        let means: Vec<(f64, f64)> = points.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(means, [(0.0, 4.0), (10.0, 2.5), (20.0, 2.0)]);
    }

    #[test]
    fn an_alignment_shows_the_mean_over_seeds_in_the_order_of_the_sentence() {
        let definition = testing::definition();
        let arm = definition.models_on("language").next().unwrap().label.clone();
        let figure = Figure {
            kind: FigureKind::Alignment,
            task: "language".to_owned(),
            metric: "attention".to_owned(),
            x: "read".to_owned(),
            x_label: "Dutch, as read".to_owned(),
            y_label: "English, as written".to_owned(),
            models: Vec::new(),
            ..definition.figures[0].clone()
        };
        let row = |read: &str, written: &str, seed, value| RunRow {
            cell: "c".to_owned(),
            task: "language".to_owned(),
            setting: format!("read={read} written={written}"),
            model: arm.clone(),
            rate: 0.003,
            phase: EVALUATION.to_owned(),
            seed,
            split: "example".to_owned(),
            metric: "attention".to_owned(),
            outcome: Outcome::Ok,
            value,
            count: 0,
        };
        let tables = |rows: Vec<RunRow>| Tables {
            runs: rows.into_iter().collect(),
            curves: Vec::new(),
            timing: Vec::new(),
            pytorch: Vec::new(),
        };
        let whole = tables(vec![
            row("02:kat", "01:cat", 1000, 0.5),
            row("02:kat", "01:cat", 1001, 0.7),
            row("01:de", "01:cat", 1000, 0.5),
            row("01:de", "01:cat", 1001, 0.3),
        ]);
        let svg = draw(&definition, &whole, &figure, None).unwrap().unwrap();
        // By hand: 0.6 and 0.4; one panel, because no other model has attention.
        let places = [">de</text>", ">kat</text>"].map(|part| svg.find(part).unwrap());
        assert!(places[0] < places[1] && svg.contains(">60</text>") && svg.contains(">40</text>"), "{svg}");
        assert!(svg.contains("mean over 2 seeds") && svg.contains(&format!(">{arm}</text>")));
        assert_eq!(svg.matches("fill-opacity").count(), 2);
        assert_eq!(draw(&definition, &tables(Vec::new()), &figure, None).unwrap(), None);
    }

    #[test]
    fn ticks_are_round() {
        let places =
            |ticks: Vec<(f64, String)>| ticks.into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(places(linear_ticks(-0.03, 1.03)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(places(linear_ticks(0.0, 1000.0)), ["0", "200", "400", "600", "800", "1,000"]);
        assert_eq!(places(log_ticks(8.0, 250.0)), ["10", "20", "50", "100", "200"]);
    }
}
