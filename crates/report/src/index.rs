//! What all experiments say together: the index of results, and the headline of the main README.

use std::path::{Path, PathBuf};

use record::RecordError;
use record::claims::{Register, TaughtTable};
use record::definition::{Definition, InformedBy, Prediction};
use record::store::write_whole;
use record::verdict::{ClaimVerdict, Ending};
use serde::Serialize;

use crate::claim::{line, mark, registered};
use crate::grid::{Grid, escape};
use crate::number::duration;
use crate::results::{Results, by_theme, changed_after_the_run, commit, rule};
use crate::{ReportError, template};

const BEGIN: &str = "<!-- headline:begin -->";
const END: &str = "<!-- headline:end -->";
/// Claims of one theme in the headline, at most.
const HEADLINES: usize = 2;
/// Figures in the headline, at most.
const PICTURES: usize = 3;

/// Writes `README.md` in the folder of all results: experiments, judged claims, and every registered claim by theme.
///
/// # Errors
/// When a result cannot be read, names a claim that is not registered, or the file cannot be written.
pub fn index(
    definitions: &[Definition],
    register: &Register,
    results: &Path,
) -> Result<PathBuf, ReportError> {
    let read = Results::read_all(definitions, results)?;
    let path = results.join("README.md");
    write_whole(&path, template::fill("index", &Index::new(definitions, register, &read)?)?.as_bytes())?;
    Ok(path)
}

/// Replaces what stands between the headline markers of a README by the claims of highest priority that were decided on each
/// theme, and a few figures. Links assume that `results` lies beside or below the README.
///
/// # Errors
/// When a result or the README cannot be read or written, or the README lacks a marker.
pub fn headline(
    definitions: &[Definition],
    register: &Register,
    results: &Path,
    readme: &Path,
) -> Result<PathBuf, ReportError> {
    let text = std::fs::read_to_string(readme)
        .map_err(|source| RecordError::File { path: readme.to_owned(), source })?;
    let missing = || ReportError::Markers { path: readme.to_owned(), begin: BEGIN, end: END };
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;

    let read = Results::read_all(definitions, results)?;
    let home = readme.parent().unwrap_or(Path::new(""));
    let folder = results.strip_prefix(home).unwrap_or(results).to_string_lossy().replace('\\', "/");
    // Pictures of the experiments that judge the most.
    let mut by_claims: Vec<&Results> = read.iter().collect();
    by_claims.sort_by_key(|results| std::cmp::Reverse(results.verdicts.claims.len()));
    let figures = by_claims.into_iter().take(PICTURES).filter_map(|read| {
        let experiment = read.definition.name.clone();
        let drawn = results.join(&experiment).join("figures");
        let mut figures = read.definition.figures.iter();
        let figure = figures.find(|figure| drawn.join(format!("{}.svg", figure.name)).exists())?;
        Some(Picture { experiment, name: figure.name.clone(), title: figure.title.clone() })
    });
    let claims = headlines(register, &read)?;
    let values = Headline {
        judged: judged_ids(&read),
        registered: register.claims.len(),
        figures: figures.collect(),
        claims,
        folder,
    };
    let block = template::fill("headline", &values)?;
    write_whole(readme, format!("{before}{BEGIN}\n\n{block}\n{END}{after}").as_bytes())?;
    Ok(readme.to_owned())
}

#[derive(Serialize)]
struct Headline {
    claims: Vec<JudgedClaim>,
    figures: Vec<Picture>,
    folder: String,
    judged: usize,
    registered: usize,
}

#[derive(Serialize)]
struct Picture {
    experiment: String,
    name: String,
    title: String,
}

#[derive(Serialize)]
struct Index {
    judged: usize,
    /// A claim may be judged in several experiments.
    verdicts: usize,
    registered: usize,
    tally: String,
    experiments: String,
    claims: Vec<JudgedClaim>,
    predictions: String,
    themes: Vec<Theme>,
    tables: Vec<Taught>,
}

/// A table that people are taught, with what became of its rows.
#[derive(Serialize)]
struct Taught {
    title: String,
    columns: [String; 2],
    rows: Vec<TaughtRow>,
}

#[derive(Serialize)]
struct TaughtRow {
    name: String,
    says: [String; 2],
    verdicts: String,
}

#[derive(Serialize)]
struct JudgedClaim {
    claim: String,
    mark: &'static str,
    ending: String,
    partly: bool,
    line: String,
    experiment: String,
}

#[derive(Serialize)]
struct Theme {
    name: String,
    judged: usize,
    claims: Vec<ThemeClaim>,
}

#[derive(Serialize)]
struct ThemeClaim {
    id: String,
    claim: String,
    verdicts: String,
}

impl Index {
    fn new(definitions: &[Definition], register: &Register, read: &[Results]) -> Result<Self, ReportError> {
        let themes = by_theme(register).into_iter().map(|(name, claims)| {
            let claims: Vec<ThemeClaim> = claims
                .into_iter()
                .map(|claim| ThemeClaim {
                    id: claim.id.clone(),
                    claim: escape(&claim.claim),
                    verdicts: verdicts(&claim.id, read),
                })
                .collect();
            let judged = claims.iter().filter(|claim| has_verdict(&claim.id, read)).count();
            Theme { name: name.to_owned(), judged, claims }
        });
        let endings = read.iter().flat_map(|results| &results.verdicts.claims).map(|verdict| verdict.ending);
        Ok(Self {
            judged: judged_ids(read),
            verdicts: endings.filter(|ending| *ending != Ending::NotJudged).count(),
            registered: register.claims.len(),
            tally: tally(read),
            experiments: experiments(definitions, read).markdown(),
            claims: judged(register, read)?,
            predictions: predictions(read).markdown(),
            themes: themes.collect(),
            tables: register.tables.iter().map(|table| taught(table, read)).collect(),
        })
    }
}

fn taught(table: &TaughtTable, read: &[Results]) -> Taught {
    let row = |row: &record::claims::TaughtRow| {
        let verdicts = row.claims.iter().map(|id| format!("`{id}` {}", verdicts(id, read)));
        TaughtRow {
            name: escape(&row.name),
            says: row.says.each_ref().map(|says| escape(says)),
            verdicts: verdicts.collect::<Vec<_>>().join("<br>"),
        }
    };
    Taught {
        title: table.title.clone(),
        columns: table.columns.clone(),
        rows: table.rows.iter().map(row).collect(),
    }
}

/// What stands beside a claim that no result has judged.
const NOT_YET: &str = "not judged yet";

/// Every judged claim, by experiment.
fn judged(register: &Register, read: &[Results]) -> Result<Vec<JudgedClaim>, ReportError> {
    let all =
        read.iter().flat_map(|results| results.verdicts.claims.iter().map(move |verdict| (results, verdict)));
    all.map(|(results, verdict)| JudgedClaim::new(register, results, verdict)).collect()
}

/// Of each theme the decided claims of highest priority, in the order of the register, and one of an experiment.
fn headlines(register: &Register, read: &[Results]) -> Result<Vec<JudgedClaim>, ReportError> {
    let mut claims = Vec::new();
    for (_, of_theme) in by_theme(register) {
        let mut decided: Vec<_> = of_theme
            .into_iter()
            .filter_map(|claim| {
                let judged = |results: &&Results| {
                    results.verdict(&claim.id).is_some_and(|verdict| outcome(verdict.ending).is_some())
                };
                let results = read.iter().find(judged)?;
                Some((claim.priority, results, results.verdict(&claim.id)?))
            })
            .collect();
        decided.sort_by_key(|(priority, ..)| *priority);
        let mut experiments: Vec<&str> = Vec::new();
        for (_, results, verdict) in decided {
            if experiments.len() < HEADLINES && !experiments.contains(&results.definition.name.as_str()) {
                experiments.push(&results.definition.name);
                claims.push(JudgedClaim::new(register, results, verdict)?);
            }
        }
    }
    Ok(claims)
}

impl JudgedClaim {
    fn new(register: &Register, results: &Results, verdict: &ClaimVerdict) -> Result<Self, ReportError> {
        let now = rule(results.definition, &verdict.id);
        let changed = changed_after_the_run(now, verdict, &results.provenance);
        Ok(Self {
            claim: escape(&registered(register, &verdict.id)?.claim),
            mark: mark(verdict.ending),
            ending: verdict.ending.name().to_owned()
                + if changed { ", by a rule that has changed since" } else { "" },
            partly: verdict.partly_judged,
            line: escape(line(verdict)),
            experiment: results.definition.name.clone(),
        })
    }
}

/// Claims with a verdict, each counted once.
fn judged_ids(read: &[Results]) -> usize {
    let verdicts = read.iter().flat_map(|results| &results.verdicts.claims);
    let judged = verdicts.filter(|verdict| verdict.ending != Ending::NotJudged);
    crate::tables::distinct(judged.map(|verdict| verdict.id.as_str())).len()
}

/// `2 supported, 1 refuted`.
fn tally(read: &[Results]) -> String {
    let endings: Vec<Ending> =
        read.iter().flat_map(|results| &results.verdicts.claims).map(|verdict| verdict.ending).collect();
    let kinds = [Ending::Supported, Ending::Qualified, Ending::Refuted, Ending::Inconclusive, Ending::Void];
    let counts = kinds.into_iter().filter_map(|kind| {
        let count = endings.iter().filter(|&&ending| ending == kind).count();
        (count > 0).then(|| format!("{} {count} {}", mark(kind), kind.name()))
    });
    counts.collect::<Vec<_>>().join(", ")
}

/// How often what was expected came out, by what the expectation rested on. What decided nothing is counted apart.
fn predictions(read: &[Results]) -> Grid {
    let mut grid = Grid::new(["the prediction rested on", "claims", "came true", "did not", "undecided"]);
    let all = || read.iter().flat_map(|results| &results.verdicts.claims);
    let verdicts = || all().filter(|verdict| verdict.ending != Ending::NotJudged);
    let kinds = [
        (InformedBy::None, "nothing"),
        (InformedBy::Literature, "the literature"),
        (InformedBy::Pilot, "trial runs on other seeds"),
    ];
    for (kind, name) in kinds {
        let of_kind: Vec<_> = verdicts().filter(|verdict| verdict.informed_by == kind).collect();
        let decided = |came_true: bool| {
            let decided =
                of_kind.iter().filter_map(|verdict| Some(outcome(verdict.ending)? == verdict.prediction));
            decided.filter(|&right| right == came_true).count()
        };
        if !of_kind.is_empty() {
            let (right, wrong) = (decided(true), decided(false));
            let counts = [of_kind.len(), right, wrong, of_kind.len() - right - wrong].map(|n| n.to_string());
            grid.push([name.to_owned()].into_iter().chain(counts).collect());
        }
    }
    grid
}

/// The prediction that an ending bears out; `None` where nothing was decided.
fn outcome(ending: Ending) -> Option<Prediction> {
    match ending {
        Ending::Supported => Some(Prediction::Supported),
        Ending::Qualified => Some(Prediction::Qualified),
        Ending::Refuted => Some(Prediction::Refuted),
        Ending::Inconclusive | Ending::Void | Ending::NotJudged => None,
    }
}

/// The verdicts on one claim with links, or that there are none.
fn verdicts(id: &str, read: &[Results]) -> String {
    let found = read.iter().filter_map(|results| {
        let verdict = results.verdict(id).filter(|verdict| verdict.ending != Ending::NotJudged)?;
        let name = &results.definition.name;
        Some(format!("{} [{}]({name}/README.md)", mark(verdict.ending), verdict.ending.name()))
    });
    let found: Vec<String> = found.collect();
    if !found.is_empty() {
        return found.join(", ");
    }
    match read.iter().find(|results| results.verdict(id).is_some()) {
        Some(results) => {
            let name = &results.definition.name;
            format!("{} [{}]({name}/README.md)", mark(Ending::NotJudged), Ending::NotJudged.name())
        }
        None => NOT_YET.to_owned(),
    }
}

/// Whether some result has judged the claim.
fn has_verdict(id: &str, read: &[Results]) -> bool {
    let judged = |verdict: &ClaimVerdict| verdict.ending != Ending::NotJudged;
    read.iter().any(|results| results.verdict(id).is_some_and(judged))
}

fn experiments(definitions: &[Definition], read: &[Results]) -> Grid {
    let mut grid = Grid::new(["experiment", "question", "claims", "processor time", "result"]);
    for definition in definitions {
        let name = &definition.name;
        let row = match read.iter().find(|results| &results.definition.name == name) {
            Some(results) => [
                format!("[{name}]({name}/README.md)"),
                definition.question.clone(),
                results.verdicts.claims.len().to_string(),
                duration(results.provenance.core_seconds),
                format!("version {}, {}", results.verdicts.version, commit(&results.provenance)),
            ],
            None => [
                name.clone(),
                definition.question.clone(),
                definition.claims.len().to_string(),
                format!("up to {}", duration(definition.core_seconds)),
                format!("not run yet: `make experiment-{name}`"),
            ],
        };
        grid.push(row.to_vec());
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;
    use crate::testing::{self, World};

    #[test]
    fn the_index_lists_experiments_and_every_claim() {
        let World { results, definitions, register, home: _home } = World::new();
        let path = index(&definitions, &register, &results).unwrap();
        insta::assert_snapshot!("index", std::fs::read_to_string(path).unwrap());
    }

    #[test]
    fn the_index_of_nothing_still_lists_what_could_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = index(&[testing::definition()], &testing::register(), folder.path()).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("0 of 6 registered claims"), "{text}");
        assert!(text.contains("not run yet: `make experiment-lstm-vs-transformer`"), "{text}");
    }

    #[test]
    fn the_headline_is_replaced_in_place_and_only_there() {
        let world = World::new();
        world.report(&Mode::Full).unwrap();
        let readme = world.home.path().join("README.md");
        std::fs::write(&readme, format!("before\n{BEGIN}\nold\n{END}\nafter\n")).unwrap();
        let write = || headline(&world.definitions, &world.register, &world.results, &readme);
        let read = || std::fs::read_to_string(&readme).unwrap();
        write().unwrap();
        let once = read();
        assert!(once.starts_with(&format!("before\n{BEGIN}\n\n| what people say")), "{once}");
        assert!(once.ends_with(&format!("\n{END}\nafter\n")) && !once.contains("old"), "{once}");
        assert!(once.contains("](results/lstm-vs-transformer/README.md)"), "{once}");
        // Of five claims three were decided, all on one theme, and one experiment speaks once on a theme.
        assert_eq!(once.matches("](results/lstm-vs-transformer/README.md)").count(), 1, "{once}");
        assert!(once.contains("](results/lstm-vs-transformer/figures/recall-longest.svg)"), "{once}");
        write().unwrap();
        assert_eq!(read(), once);
        // The twin: without markers nothing is touched.
        std::fs::write(&readme, "no markers").unwrap();
        let error = write().unwrap_err().to_string();
        assert!(error.contains("no `<!-- headline:begin -->` line"), "{error}");
        assert_eq!(read(), "no markers");
    }
}
