//! `seqlab show EXPERIMENT`: a definition in words.

use experiment::{Plan, PlanOptions};
use record::definition::{Definition, InformedBy, Part, Prediction, Role};
use record::{label, plain};

use crate::failure::{Ending, Failure};
use crate::output;
use crate::project::Project;

/// Runs the command.
pub(crate) fn run(experiment: &str) -> Result<Ending, Failure> {
    let project = Project::find()?;
    let definition = project.definition(experiment)?;
    // A definition can be read even when it costs too much to run.
    let unlimited = Definition { core_seconds: f64::INFINITY, ..definition.clone() };
    let plan = Plan::new(&unlimited, &PlanOptions::default(), &project.workspace()?)?;
    output::line(format_args!("{} (version {})", definition.title, definition.version));
    output::line(&definition.question);
    output::line(format_args!("\n{}", definition.why.trim()));
    arms(&definition);
    claims(&definition);
    cost(&definition, &plan);
    Ok(Ending::Success)
}

fn arms(definition: &Definition) {
    output::line("\nTasks");
    for task in &definition.tasks {
        let settings = task.settings.iter().map(|(key, value)| format!("{key} = {}", plain(value)));
        let settings = settings.collect::<Vec<_>>().join(", ");
        output::line(format_args!("  {}: {} by {} ({settings})", task.label, task.name, task.measure.kind));
        let models = definition.models_on(&task.label).map(|model| {
            let role = match model.role {
                Role::Arm => "",
                Role::Careless => " (careless)",
                Role::NegativeControl => " (negative control)",
                Role::Baseline => " (baseline)",
            };
            format!("{}{role}", model.label)
        });
        output::line(format_args!("    {}", models.collect::<Vec<_>>().join(", ")));
    }
    output::line("\nModels");
    let rows: Vec<Vec<String>> = definition
        .models
        .iter()
        .map(|model| vec![format!("  {}", model.label), model.name.clone(), label(&model.settings)])
        .collect();
    output::table(&rows);
}

fn claims(definition: &Definition) {
    for claim in &definition.claims {
        let prediction = match claim.prediction {
            Prediction::Supported => "supported",
            Prediction::Qualified => "qualified",
            Prediction::Refuted => "refuted",
            Prediction::Inconclusive => "inconclusive",
        };
        let rests_on = match claim.informed_by {
            InformedBy::None => "nothing",
            InformedBy::Literature => "the literature",
            InformedBy::Pilot => "trial runs",
        };
        output::line(format_args!("\nClaim {} (rule version {})", claim.id, claim.version));
        output::line(format_args!("  {}", claim.rule.trim()));
        output::line(format_args!("  expected: {prediction}, from {rests_on}"));
        for part in &claim.parts {
            output::line(format_args!("  - {}: {}", part.name(), regimes(part)));
        }
    }
}

/// Such as `task recall, lag in 100, 200`.
fn regimes(part: &Part) -> String {
    let at = part.at().iter().map(|(key, values)| {
        let values: Vec<String> = values.iter().map(plain).collect();
        format!(", {key} in {}", values.join(", "))
    });
    format!("task {}{}", part.task(), at.collect::<String>())
}

fn cost(definition: &Definition, plan: &Plan) {
    let estimate = plan.estimate();
    let cells: usize = estimate.iter().map(|row| row.cells).sum();
    let seconds = estimate.iter().map(|row| row.core_seconds).fold(0.0, |sum, seconds| sum + seconds);
    output::line(format_args!(
        "\n{cells} cells, about {seconds:.0} core-seconds of at most {:.0}; `seqlab run {} --dry-run` shows where they go",
        definition.core_seconds, definition.name
    ));
    for (task, reason) in &plan.left_out {
        output::warning(format_args!("task `{task}` would be left out: {reason}"));
    }
}
