//! `seqlab status [EXPERIMENT]`.

use experiment::{CellCounts, Plan, PlanOptions, status};
use serde_json::{Map, Value, json};

use crate::failure::{Ending, Failure};
use crate::output;
use crate::project::Project;

/// Runs the command.
pub(crate) fn run(experiment: Option<&str>, json: bool) -> Result<Ending, Failure> {
    let project = Project::find()?;
    let workspace = project.workspace()?;
    let mut described = Map::new();
    for definition in project.definitions(experiment)? {
        let plan = Plan::new(&definition, &PlanOptions::default(), &workspace)?;
        let arms = status(&plan, &workspace)?;
        let total = arms.values().fold(CellCounts::default(), |sum, counts| add(sum, *counts));
        if json {
            let arms = arms.iter().map(|((task, model), counts)| {
                let mut arm = described_counts(*counts);
                arm["task"] = task.clone().into();
                arm["model"] = model.clone().into();
                arm
            });
            let mut all = described_counts(total);
            all["arms"] = arms.collect();
            all["left-out"] = json!(plan.left_out);
            described.insert(definition.name.clone(), all);
            continue;
        }
        output::line(format_args!("{}: {}", definition.name, sentence(total)));
        let rows: Vec<Vec<String>> = arms
            .iter()
            .map(|((task, model), counts)| vec![format!("  {task}"), model.clone(), sentence(*counts)])
            .collect();
        output::table(&rows);
        for (task, reason) in &plan.left_out {
            output::line(format_args!("  {task}  left out: {reason}"));
        }
    }
    if json {
        output::json(&Value::Object(described));
    }
    Ok(Ending::Success)
}

fn add(one: CellCounts, other: CellCounts) -> CellCounts {
    CellCounts {
        fresh: one.fresh + other.fresh,
        older_code: one.older_code + other.older_code,
        missing: one.missing + other.missing,
        failed: one.failed + other.failed,
    }
}

fn described_counts(counts: CellCounts) -> Value {
    let CellCounts { fresh, older_code, missing, failed } = counts;
    json!({ "fresh": fresh, "older-code": older_code, "missing": missing, "failed": failed })
}

fn sentence(counts: CellCounts) -> String {
    let CellCounts { fresh, older_code, missing, failed } = counts;
    let parts = [(fresh, "fresh"), (older_code, "from older code"), (missing, "missing"), (failed, "failed")];
    let said: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if said.is_empty() { "nothing to compute".to_owned() } else { said.join(", ") }
}
