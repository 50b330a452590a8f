//! The answer card of one experiment: `README.md` beside its tables, and its figures.

use std::path::{Path, PathBuf};

use record::RecordError;
use record::claims::{Claim, Register};
use record::definition::{ControlKind, Definition};
use record::provenance::Provenance;
use record::store::write_whole;
use record::verdict::{ClaimVerdict, ControlOutcome, Verdicts};
use serde::Serialize;

use crate::claim::{answered, came_true, informed_by, line, mark, predicted, regimes, registered};
use crate::figure::{draw, seeds_in_words};
use crate::grid::{Grid, escape};
use crate::number::{duration, number};
use crate::results::{changed_after_the_run, commit, rule};
use crate::scores::{TaskScores, scores};
use crate::sizes::sizes;
use crate::tables::{EVALUATION, Tables, distinct};
use crate::tuning::{TaskTuning, tuning};
use crate::{ReportError, template};

/// Whether a result is evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A complete run: verdicts are read.
    Full,
    /// A smoke test: no verdicts, and a watermark wherever it shows.
    Quick {
        /// Such as `quick run, not evidence`.
        watermark: String,
    },
}

/// Writes `README.md` and `figures/*.svg` in `folder` from `tables`, which were read there, and returns their paths.
///
/// # Errors
/// When a table, a verdict or the provenance is missing or damaged, a claim is not registered, a figure mixes
/// settings, or a file cannot be written.
pub fn experiment_report(
    definition: &Definition,
    register: &Register,
    folder: &Path,
    tables: analysis::Tables,
    mode: &Mode,
) -> Result<Vec<PathBuf>, ReportError> {
    let tables = Tables::new(tables, folder)?;
    let provenance = Provenance::read(&folder.join("provenance.json"))?;
    let verdicts = match mode {
        Mode::Full => Some(Verdicts::read(&folder.join("verdicts.json"))?),
        Mode::Quick { .. } => None,
    };
    let watermark = match mode {
        Mode::Quick { watermark } => Some(watermark.clone()),
        Mode::Full if provenance.dirty => Some("uncommitted changes, not evidence".to_owned()),
        Mode::Full => None,
    };

    let (mut files, mut figures) = (Vec::new(), Vec::new());
    for figure in &definition.figures {
        let Some(svg) = draw(definition, &tables, figure, watermark.as_deref())? else { continue };
        files.push((folder.join("figures").join(format!("{}.svg", figure.name)), svg));
        figures.push(FigureView { name: figure.name.clone(), title: figure.title.clone() });
    }
    let card = Card::new(definition, register, &tables, verdicts.as_ref(), &provenance, figures, watermark)?;
    files.push((folder.join("README.md"), template::fill("card", &card)?));

    // Only now that everything could be made does the earlier report go.
    clear(&folder.join("figures"))?;
    for (path, text) in &files {
        write_whole(path, text.as_bytes())?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// Removes the figures of an earlier report, so that none outlives its definition.
fn clear(folder: &Path) -> Result<(), ReportError> {
    let wrong = |source| RecordError::File { path: folder.to_owned(), source };
    if !folder.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            std::fs::remove_file(&path).map_err(|source| RecordError::File { path, source })?;
        }
    }
    Ok(())
}

/// What `templates/card.md` is filled with.
#[derive(Serialize)]
struct Card {
    name: String,
    title: String,
    question: String,
    why: String,
    watermark: Option<String>,
    /// Seeds, commit and cost in one line.
    basis: String,
    level: Option<String>,
    claims: Vec<ClaimView>,
    /// Claims of the definition that have no verdict here.
    unjudged: Vec<String>,
    figures: Vec<FigureView>,
    missing_figures: Vec<String>,
    left_out: Vec<(String, String)>,
    scores: Vec<TaskScores>,
    tuning: Vec<TaskTuning>,
    controls: String,
    limits: Vec<String>,
    sizes: String,
    cost: String,
    predictions: String,
    predicted_right: String,
    provenance: String,
    failures: Vec<(String, String)>,
    /// The commit of the run, where its definition was another text than now.
    definition_changed: Option<String>,
    rules_changed: bool,
    example: Option<String>,
}

#[derive(Serialize)]
struct FigureView {
    name: String,
    title: String,
}

/// One claim, judged.
#[derive(Serialize)]
pub(crate) struct ClaimView {
    id: String,
    /// In people's words, safe in a table.
    claim: String,
    version: u32,
    mark: &'static str,
    ending: &'static str,
    partly: bool,
    /// The answer with its numbers, or why there is none; safe in a table.
    line: String,
    answer: String,
    because: String,
    source: String,
    /// Whether the rule changed after it judged.
    changed: bool,
    rule: String,
    differs: String,
    ceiling: Option<String>,
    cites: String,
    predicted: &'static str,
    informed_by: &'static str,
    hit: Option<bool>,
    parts: Vec<PartView>,
    controls: Vec<ControlView>,
}

#[derive(Serialize)]
struct PartView {
    name: String,
    unit: String,
    margin: String,
    ending: &'static str,
    note: String,
    regimes: String,
}

#[derive(Serialize)]
struct ControlView {
    name: String,
    holds: bool,
    detail: String,
}

impl ClaimView {
    /// With its regimes aligned for a terminal.
    pub(crate) fn plain(
        claim: &Claim,
        verdict: &ClaimVerdict,
        definition: &Definition,
        provenance: &Provenance,
    ) -> Self {
        Self::new(claim, verdict, definition, provenance, "", Grid::plain)
    }

    fn new(
        claim: &Claim,
        verdict: &ClaimVerdict,
        definition: &Definition,
        provenance: &Provenance,
        code: &str,
        print: impl Fn(&Grid) -> String,
    ) -> Self {
        let rule = rule(definition, &verdict.id);
        let parts = verdict.parts.iter().map(|part| {
            let written = rule.and_then(|rule| rule.parts.iter().find(|written| written.name() == part.name));
            PartView {
                name: part.name.clone(),
                unit: part.unit.clone(),
                margin: part.margin.clone(),
                ending: part.ending.name(),
                note: part.note.clone(),
                regimes: print(&regimes(part, written, code)),
            }
        });
        let controls = verdict.controls.iter().map(|control| ControlView {
            name: control.name.clone(),
            holds: control.holds,
            detail: control.detail.clone(),
        });
        Self {
            id: verdict.id.clone(),
            claim: escape(&claim.claim),
            version: verdict.version,
            mark: mark(verdict.ending),
            ending: verdict.ending.name(),
            partly: verdict.partly_judged,
            line: escape(line(verdict)),
            answer: if answered(verdict) { verdict.answer.trim().to_owned() } else { String::new() },
            because: verdict.because.clone(),
            source: format!(
                "{} version {}, {}",
                provenance.experiment,
                provenance.version,
                commit(provenance)
            ),
            changed: changed_after_the_run(rule, verdict, provenance),
            rule: rule.map_or_else(String::new, |rule| one_line(&rule.rule)),
            differs: rule.map_or_else(String::new, |rule| one_line(&rule.differs_from_ledger)),
            ceiling: rule.and_then(|rule| rule.at_most_qualified.clone()),
            cites: rule.map_or_else(String::new, |rule| rule.cites.join(", ")),
            predicted: predicted(verdict.prediction).name(),
            informed_by: informed_by(verdict.informed_by),
            hit: came_true(verdict.prediction, verdict.ending),
            parts: parts.collect(),
            controls: controls.collect(),
        }
    }
}

/// Text with its line breaks undone.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Card {
    fn new(
        definition: &Definition,
        register: &Register,
        tables: &Tables,
        verdicts: Option<&Verdicts>,
        provenance: &Provenance,
        figures: Vec<FigureView>,
        watermark: Option<String>,
    ) -> Result<Self, ReportError> {
        let judged: &[ClaimVerdict] = verdicts.map_or(&[], |verdicts| &verdicts.claims);
        let mut claims = Vec::new();
        for verdict in judged {
            let claim = registered(register, &verdict.id)?;
            claims.push(ClaimView::new(claim, verdict, definition, provenance, "`", Grid::markdown));
        }
        let mut unjudged = Vec::new();
        for rule in &definition.claims {
            if !judged.iter().any(|verdict| verdict.id == rule.id) {
                unjudged.push(escape(&registered(register, &rule.id)?.claim));
            }
        }
        let drawn = |name: &str| figures.iter().any(|figure| figure.name == name);
        let missing = definition.figures.iter().filter(|figure| !drawn(&figure.name));
        Ok(Self {
            name: definition.name.clone(),
            title: definition.title.clone(),
            question: definition.question.trim().to_owned(),
            why: definition.why.trim().to_owned(),
            watermark,
            basis: basis(definition, tables, provenance),
            level: verdicts.map(|verdicts| format!("{}%", number(verdicts.level * 100.0))),
            unjudged,
            missing_figures: missing.map(|figure| figure.title.clone()).collect(),
            figures,
            left_out: provenance.left_out.clone().into_iter().collect(),
            scores: scores(definition, tables),
            tuning: tuning(definition, tables, provenance),
            controls: controls(definition, verdicts).markdown(),
            limits: definition.limits.clone(),
            sizes: sizes(definition, tables).markdown(),
            cost: cost(definition, provenance),
            predictions: predictions(register, judged).markdown(),
            predicted_right: predicted_right(judged),
            provenance: provenance_rows(provenance).markdown(),
            failures: provenance.failures.clone().into_iter().collect(),
            definition_changed: (definition.digest != provenance.definition).then(|| commit(provenance)),
            rules_changed: claims.iter().any(|claim| claim.changed),
            example: claims.first().map(|claim| claim.id.clone()),
            claims,
        })
    }
}

/// `8 to 10 seeds · version 1 · commit 1a2b3c4 · 38 min of processor time`.
fn basis(definition: &Definition, tables: &Tables, provenance: &Provenance) -> String {
    // Of each task, the arm with the most seeds: methods without chance have one.
    let seeds = |task: &str, model: &str| {
        tables.seeds(|row| row.phase == EVALUATION && row.task == task && row.model == model).len()
    };
    let by_task = definition.tasks.iter().filter_map(|task| {
        let label = task.label.as_str();
        definition.models_on(label).map(|arm| seeds(label, &arm.label)).max().filter(|&most| most > 0)
    });
    [
        seeds_in_words(&by_task.collect::<Vec<_>>()),
        format!("version {}", provenance.version),
        commit(provenance),
        format!("{} of processor time", duration(provenance.core_seconds)),
    ]
    .join(" · ")
}

fn cost(definition: &Definition, provenance: &Provenance) -> String {
    let cells: Vec<String> =
        provenance.cells.iter().map(|(outcome, cells)| format!("{cells} {outcome}")).collect();
    let all: usize = provenance.cells.values().sum();
    format!(
        "{all} cells ({}) took {} of processor time; the definition allows {}.",
        cells.join(", "),
        duration(provenance.core_seconds),
        duration(definition.core_seconds)
    )
}

/// Every control of the definition, with what became of it.
fn controls(definition: &Definition, verdicts: Option<&Verdicts>) -> Grid {
    let mut grid = Grid::new(["control", "must", "where", "outcome", "numbers"]);
    let checked: Vec<&ControlOutcome> = verdicts
        .into_iter()
        .flat_map(|verdicts| {
            verdicts.claims.iter().flat_map(|verdict| &verdict.controls).chain(&verdicts.controls)
        })
        .collect();
    for control in &definition.controls {
        let outcome = checked.iter().find(|outcome| outcome.name == control.name);
        let must = match control.kind {
            ControlKind::Negative => {
                format!("fail: stay at the floor of {} {}", control.metric, number(control.floor))
            }
            ControlKind::Positive => "be solved by every seed".to_owned(),
            ControlKind::Above => {
                format!("have {} above {} on every seed", control.metric, number(control.floor))
            }
            ControlKind::Below => {
                format!("have {} below {} on every seed", control.metric, number(control.floor))
            }
        };
        let places = control.at.iter().map(|(key, values)| {
            let values: Vec<String> = values.iter().map(record::plain).collect();
            format!("{key} {}", values.join(", "))
        });
        let place: Vec<String> =
            [format!("{}: {}", control.task, control.models.join(", "))].into_iter().chain(places).collect();
        let (holds, detail) = match outcome {
            Some(outcome) if outcome.holds => ("✓ held", outcome.detail.clone()),
            Some(outcome) => ("✗ **failed**", outcome.detail.clone()),
            None => ("not read", String::new()),
        };
        grid.push(vec![control.name.clone(), must, place.join("; "), holds.to_owned(), detail]);
    }
    grid
}

fn predictions(register: &Register, judged: &[ClaimVerdict]) -> Grid {
    let mut grid = Grid::new(["claim", "predicted", "informed by", "outcome", "came true"]);
    for verdict in judged {
        let claim = register.get(&verdict.id).map_or(verdict.id.as_str(), |claim| claim.claim.as_str());
        grid.push(vec![
            claim.to_owned(),
            predicted(verdict.prediction).name().to_owned(),
            informed_by(verdict.informed_by).to_owned(),
            verdict.ending.name().to_owned(),
            match came_true(verdict.prediction, verdict.ending) {
                Some(true) => "yes",
                Some(false) => "no",
                None => "-",
            }
            .to_owned(),
        ]);
    }
    grid
}

/// `3 of 4 informed by a pilot came true, 1 of 1 by literature`: informed predictions are scored apart.
fn predicted_right(judged: &[ClaimVerdict]) -> String {
    let sources = distinct(judged.iter().map(|verdict| informed_by(verdict.informed_by)));
    let scores = sources.into_iter().filter_map(|source| {
        let outcomes: Vec<bool> = judged
            .iter()
            .filter(|verdict| informed_by(verdict.informed_by) == source)
            .filter_map(|verdict| came_true(verdict.prediction, verdict.ending))
            .collect();
        let right = outcomes.iter().filter(|&&right| right).count();
        (!outcomes.is_empty()).then(|| format!("{right} of {} informed by {source}", outcomes.len()))
    });
    scores.collect::<Vec<_>>().join(", ")
}

fn provenance_rows(provenance: &Provenance) -> Grid {
    let mut grid = Grid::new(["what", "value"]);
    let mut row = |name: &str, value: String| grid.push(vec![name.to_owned(), value]);
    row(
        "revision",
        format!(
            "`{}`{}",
            provenance.revision,
            if provenance.dirty { ", with uncommitted changes" } else { "" }
        ),
    );
    let others = provenance.revisions.keys().any(|revision| *revision != provenance.revision);
    if others {
        let by_revision =
            provenance.revisions.iter().map(|(revision, cells)| format!("{cells} at `{revision}`"));
        row("cells computed", by_revision.collect::<Vec<_>>().join(", "));
    }
    row("seqlab", provenance.seqlab.clone());
    row("definition (blake3)", format!("`{}`", provenance.definition));
    row("`runs.csv` (blake3)", format!("`{}`", provenance.runs));
    for (corpus, digest) in &provenance.corpora {
        row(&format!("{corpus} (sha256)"), format!("`{digest}`"));
    }
    row("processor", provenance.processor.clone());
    if !provenance.caches.is_empty() {
        row("caches", provenance.caches.clone());
    }
    row("instructions", provenance.instruction_set.clone());
    row("device", provenance.device.clone());
    grid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    fn report(world: &World, mode: &Mode) -> Vec<PathBuf> {
        world.report(mode).unwrap()
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_full_run_has_a_card() {
        let world = World::new();
        let written = report(&world, &Mode::Full);
        insta::assert_snapshot!("card", read(written.last().unwrap()));
    }

    /// The figures that differ from those in `golden/`, each written beside its golden one to be looked at.
    fn changed(written: &[PathBuf], prefix: &str) -> Vec<PathBuf> {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        let figures = written.iter().filter(|path| path.extension().is_some_and(|end| end == "svg"));
        figures
            .filter_map(|path| {
                let expected =
                    golden.join(format!("{prefix}{}", path.file_name().unwrap().to_string_lossy()));
                let drawn = read(path);
                (std::fs::read_to_string(&expected).ok().as_ref() != Some(&drawn)).then(|| {
                    let new = expected.with_extension("new.svg");
                    std::fs::write(&new, drawn).unwrap();
                    new
                })
            })
            .collect()
    }

    #[test]
    fn figures_are_the_same_bytes_as_ever() {
        let world = World::new();
        let written = report(&world, &Mode::Full);
        // The card, and all figures but the one whose task was left out.
        assert_eq!(written.len(), world.definition().figures.len());
        let quick = Mode::Quick { watermark: "quick run, not evidence".to_owned() };
        let mut changed_figures = changed(&written, "");
        changed_figures.extend(changed(&report(&world, &quick)[..1], "quick-"));
        assert!(
            changed_figures.is_empty(),
            "look at these; drop `.new` if they are right: {changed_figures:?}"
        );
    }

    #[test]
    fn figures_of_an_earlier_definition_are_removed() {
        let world = World::new();
        let stale = world.folder().join("figures/stale.svg");
        std::fs::create_dir_all(stale.parent().unwrap()).unwrap();
        std::fs::write(&stale, "<svg/>").unwrap();
        let written = report(&world, &Mode::Full);
        assert!(!stale.exists() && written.iter().all(|path| path.exists()));
    }

    #[test]
    fn a_quick_run_is_marked_everywhere_and_judges_nothing() {
        let world = World::new();
        std::fs::remove_file(world.folder().join("verdicts.json")).unwrap();
        let watermark = "quick run, not evidence".to_owned();
        for path in report(&world, &Mode::Quick { watermark: watermark.clone() }) {
            let text = read(&path);
            assert!(text.to_lowercase().contains(&watermark), "{}", path.display());
            assert!(!text.contains("**refuted**"), "{text}");
        }
        // The twin: a full run carries no mark, and needs its verdicts.
        let full = |world: &World| world.report(&Mode::Full);
        assert!(full(&world).unwrap_err().to_string().contains("verdicts.json"));
        let world = World::new();
        assert!(full(&world).unwrap().iter().all(|path| !read(path).contains("not evidence")));
    }

    #[test]
    fn a_run_with_uncommitted_changes_is_marked_as_well() {
        let world = World::new();
        let path = world.folder().join("provenance.json");
        let provenance = Provenance { dirty: true, ..Provenance::read(&path).unwrap() };
        provenance.write(&path).unwrap();
        for path in report(&world, &Mode::Full) {
            assert!(
                read(&path).to_lowercase().contains("uncommitted changes, not evidence"),
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn a_rule_that_changed_after_the_run_shows() {
        let mut world = World::new();
        assert!(!read(report(&world, &Mode::Full).last().unwrap()).contains("changed after the run"));
        world.definitions[0].claims[0].rule.push_str(" And more.");
        assert!(read(report(&world, &Mode::Full).last().unwrap()).contains("changed after the run"));
    }

    #[test]
    fn one_metric_is_drawn_against_another() {
        let mut world = World::new();
        let figure = world.definitions[0].figures.iter_mut().find(|figure| figure.name == "recall-solved");
        let figure = figure.unwrap();
        figure.kind = record::definition::FigureKind::Against;
        figure.x = "accuracy".to_owned();
        figure.x_from = Some(0.5);
        figure.log_x = false;
        let written = report(&world, &Mode::Full);
        let drawn = read(written.iter().find(|path| path.ends_with("recall-solved.svg")).unwrap());
        assert!(drawn.contains("a point for each setting of a model, mean over"), "{drawn}");
        // Some setting has an accuracy below a half, and its point stands at the edge, where the axis begins.
        assert!(drawn.contains("what lies left of 0.5 is drawn there"), "{drawn}");
        assert!(drawn.contains(">0.6<") && !drawn.contains(">0.3<"), "{drawn}");
    }

    #[test]
    fn a_figure_that_mixes_settings_is_refused() {
        let mut world = World::new();
        let figure = world.definitions[0].figures.iter_mut().find(|figure| figure.name == "language-curve");
        figure.unwrap().at.clear();
        let message = world.report(&Mode::Full).unwrap_err().to_string();
        assert!(
            message.contains("figure `language-curve`: its rows mix `characters=1000000` and"),
            "{message}"
        );
        let figure = world.definitions[0].figures.iter_mut().find(|figure| figure.name == "parity-length");
        figure.unwrap().floor = Some("unigram".to_owned());
        let message = world.report(&Mode::Full).unwrap_err().to_string();
        assert!(message.contains("no floor `unigram` of `accuracy`; it has: chance"), "{message}");
    }
}
