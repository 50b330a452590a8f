//! `seqlab list models | tasks | experiments | claims`.

use models::Offers;
use record::verdict::ClaimVerdict;
use serde_json::{Value, json};

use crate::arguments::Listed;
use crate::failure::{Ending, Failure};
use crate::output;
use crate::project::Project;

/// Runs the command.
pub(crate) fn run(what: Listed, json: bool) -> Result<Ending, Failure> {
    match what {
        Listed::Models => models(json),
        Listed::Tasks => tasks(json),
        Listed::Experiments => experiments(json)?,
        Listed::Claims => claims(json)?,
    }
    Ok(Ending::Success)
}

fn models(json: bool) {
    if json {
        let entries = models::MODELS.iter().map(|entry| {
            json!({
                "name": entry.name, "summary": entry.summary, "citation": entry.citation,
                "version": entry.version, "settings": (entry.defaults)(), "offers": offers(entry.offers),
            })
        });
        return output::json(&entries.collect());
    }
    for entry in models::MODELS {
        output::line(format_args!("{}: {} ({})", entry.name, entry.summary, entry.citation));
        if entry.offers != Offers::NOTHING {
            output::line(format_args!("    of the examples themselves: {}", offers(entry.offers).join(", ")));
        }
        settings(&(entry.defaults)());
    }
}

/// What a model of the examples themselves can be asked for.
fn offers(offers: Offers) -> Vec<&'static str> {
    let all = [
        (offers.log_density, "how likely one is"),
        (offers.samples, "new ones"),
        (offers.completes, "what is missing of one"),
        (offers.groups, "its group"),
        (offers.directions, "the directions in which they differ"),
    ];
    all.into_iter().filter(|(offered, _)| *offered).map(|(_, what)| what).collect()
}

fn tasks(json: bool) {
    if json {
        let entries = data::TASKS.iter().map(|entry| {
            json!({
                "name": entry.name, "summary": entry.summary, "version": entry.version,
                "settings": (entry.defaults)(),
            })
        });
        return output::json(&entries.collect());
    }
    for entry in data::TASKS {
        output::line(format_args!("{}: {}", entry.name, entry.summary));
        settings(&(entry.defaults)());
    }
}

/// Settings with their defaults, as a definition would spell them.
fn settings(defaults: &Value) {
    let pairs = defaults.as_object().into_iter().flatten();
    let spelled: Vec<String> = pairs.map(|(key, value)| format!("{key} = {value}")).collect();
    if !spelled.is_empty() {
        output::line(format_args!("    {}", spelled.join(", ")));
    }
}

fn experiments(json: bool) -> Result<(), Failure> {
    let project = Project::find()?;
    let definitions = project.definitions(None)?;
    if json {
        let entries = definitions.iter().map(|definition| {
            json!({
                "name": definition.name, "title": definition.title, "question": definition.question,
                "version": definition.version, "core-seconds": definition.core_seconds,
                "claims": definition.claims.iter().map(|claim| &claim.id).collect::<Vec<_>>(),
            })
        });
        output::json(&entries.collect());
        return Ok(());
    }
    for definition in definitions {
        let claims = match definition.claims.len() {
            1 => "1 claim".to_owned(),
            claims => format!("{claims} claims"),
        };
        let minutes = definition.core_seconds / 60.0;
        output::line(format_args!("{}: {}", definition.name, definition.title));
        output::line(format_args!("    {claims}, at most {minutes:.0} core-minutes"));
    }
    Ok(())
}

fn claims(json: bool) -> Result<(), Failure> {
    let project = Project::find()?;
    let register = project.register()?;
    let committed = project.committed()?;
    let verdict = |id: &str| {
        committed
            .iter()
            .flat_map(|results| {
                results.verdicts.claims.iter().map(move |claim| (results.name.as_str(), claim))
            })
            .find(|(_, claim)| claim.id == id)
    };
    if json {
        let definitions = project.definitions(None)?;
        // Whether the definition still has the rule and the version that were judged.
        let fresh = |(name, verdict): (&str, &ClaimVerdict)| {
            let definition = definitions.iter().find(|definition| definition.name == name);
            let results = committed.iter().find(|results| results.name == name);
            definition.zip(results).is_some_and(|(definition, results)| {
                definition.version == results.verdicts.version
                    && definition
                        .claims
                        .iter()
                        .any(|rule| rule.id == verdict.id && rule.digest() == verdict.rule_digest)
            })
        };
        let entries = register.claims.iter().map(|claim| {
            let judged = verdict(&claim.id);
            json!({
                "id": claim.id, "theme": claim.theme, "priority": claim.priority, "claim": claim.claim,
                "question": claim.question, "experiment": judged.map(|(name, _)| name),
                "verdict": judged.map(|(_, claim)| claim.ending.name()), "fresh": judged.map(fresh),
            })
        });
        output::json(&entries.collect());
        return Ok(());
    }
    let rows: Vec<Vec<String>> = register
        .claims
        .iter()
        .map(|claim| {
            let ending = verdict(&claim.id).map_or("not judged", |(_, judged)| judged.ending.name());
            vec![claim.id.clone(), ending.to_owned(), claim.claim.clone()]
        })
        .collect();
    output::table(&rows);
    let judged = register.claims.iter().filter(|claim| verdict(&claim.id).is_some()).count();
    output::note(format_args!("{judged} of {} claims have been judged", register.claims.len()));
    Ok(())
}
