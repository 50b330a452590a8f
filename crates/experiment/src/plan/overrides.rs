//! What a profile and the command line change in a definition.

use std::path::Path;

use record::Settings;
use record::definition::{Definition, Measure, ModelArm, SeedRange, TaskArm, json, unknown};
use serde_json::Value;

use crate::ExperimentError;
use crate::measurements::measurement_entry;
use crate::settings::keys;

/// Applies the quick profile: fewer seeds, of their own, and fewer models and updates.
pub(super) fn quick(definition: &mut Definition) -> Result<(), ExperimentError> {
    let quick = definition.quick.clone();
    definition.seeds = quick.seeds;
    definition.seed_range = SeedRange::Quick;
    for model in &mut definition.models {
        model.measure.clear();
    }
    for task in &mut definition.tasks {
        task.seeds = None;
    }
    for (label, table) in &quick.tasks {
        for (key, value) in table {
            let place = format!("[quick.tasks.{label}]");
            let wrong = |message: String| {
                ExperimentError::definition(&definition.path, format!("{place}: {message}"))
            };
            let value = json(value).map_err(&wrong)?;
            let task = definition.tasks.iter_mut().find(|task| &task.label == label);
            set_task(task.expect("the definition was checked"), key, value).map_err(&wrong)?;
        }
    }
    if !quick.models.is_empty() {
        definition.models.retain(|model| quick.models.contains(&model.label));
    }
    // What remains must still find its models.
    let runs: Vec<String> = definition.models.iter().map(|model| model.label.clone()).collect();
    let missing = |label: &str| !runs.iter().any(|known| known == label);
    definition.figures.retain(|figure| !figure.models.iter().any(|model| missing(model)));
    Ok(())
}

/// Applies `--set KEY=VALUE`, where KEY is `TASK.key`, `MODEL.key`, `training.key` or `width`.
pub(super) fn set(definition: &mut Definition, key: &str, text: &str) -> Result<(), ExperimentError> {
    let option = format!("--set {key}={text}");
    let wrong = |message: String| ExperimentError::option(option.clone(), message);
    let value = parse_value(text).map_err(wrong)?;
    let Some((owner, name)) = key.split_once('.') else {
        return match (key, value.as_u64().and_then(|number| usize::try_from(number).ok())) {
            ("width", Some(width)) => {
                definition.width = width;
                Ok(())
            }
            ("width", None) => Err(wrong("`width` is a whole number".to_owned())),
            _ => Err(wrong("a key is `TASK.key`, `MODEL.key`, `training.key` or `width`".to_owned())),
        };
    };
    if owner == "training" {
        definition.training.insert(name.to_owned(), value);
        return Ok(());
    }
    if let Some(task) = definition.tasks.iter_mut().find(|task| task.label == owner) {
        return set_task(task, name, value).map_err(wrong);
    }
    let mut models = definition.models.iter_mut().filter(|model| model.label == owner).peekable();
    if models.peek().is_some() {
        models.for_each(|model: &mut ModelArm| {
            model.settings.insert(name.to_owned(), value.clone());
        });
        return Ok(());
    }
    let owners: Vec<&str> = definition
        .tasks
        .iter()
        .map(|task| task.label.as_str())
        .chain(definition.models.iter().map(|model| model.label.as_str()))
        .chain(["training"])
        .collect();
    Err(wrong(unknown("task or model", owner, &owners)))
}

/// A value as TOML writes it, or else plain text.
fn parse_value(text: &str) -> Result<Value, String> {
    let table = format!("value = {text}");
    match table.parse::<toml::Table>() {
        Ok(table) => json(&table["value"]),
        Err(_) => Ok(Value::from(text)),
    }
}

/// Sets a key of a task: one of the definition's own, of the measurement, or else of the task itself.
fn set_task(task: &mut TaskArm, key: &str, value: Value) -> Result<(), String> {
    let count = |value: &Value| -> Result<usize, String> {
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| format!("`{key}` = {value} is not a whole number"))
    };
    let settings = |value: Value| -> Result<Settings, String> {
        serde_json::from_value(value).map_err(|error| format!("`{key}`: {error}"))
    };
    match key {
        "parameters" => task.parameters = Some(count(&value)?),
        "batch" => task.batch = count(&value)?,
        "seeds" => {
            task.seeds = Some(u32::try_from(count(&value)?).map_err(|error| format!("`seeds`: {error}"))?);
        }
        "tune-at" => task.tune_at = settings(value)?,
        "measure" => {
            let mut given = settings(value)?;
            match given.remove("kind") {
                Some(Value::String(kind)) if kind != task.measure.kind => {
                    task.measure = Measure { kind, settings: given };
                }
                _ => task.measure.settings.extend(given),
            }
        }
        "name" | "version" | "label" => return Err(format!("`{key}` cannot be changed here")),
        _ => {
            let measurement = measurement_entry(&task.measure.kind).map_err(|error| error.to_string())?;
            let measured = keys(&(measurement.defaults)()).contains(&key);
            let settings = if measured { &mut task.measure.settings } else { &mut task.settings };
            // One value in place of a list stays a list, so that rows are named by it as before.
            let value = match settings.get(key) {
                Some(Value::Array(_)) if !value.is_array() => Value::Array(vec![value]),
                _ => value,
            };
            settings.insert(key.to_owned(), value);
        }
    }
    Ok(())
}

/// Puts a person's own text in place of every corpus.
pub(super) fn corpus(definition: &mut Definition, file: &Path) -> Result<(), ExperimentError> {
    let option = || format!("--corpus {}", file.display());
    if !file.is_file() {
        return Err(ExperimentError::option(option(), "there is no such file"));
    }
    let mut replaced = false;
    for task in &mut definition.tasks {
        let Some(entry) = data::task(&task.name) else { continue };
        if !(entry.corpora)(&crate::settings::table(&task.settings)).is_empty() {
            task.settings.insert("corpus".to_owned(), format!("file:{}", file.display()).into());
            replaced = true;
        }
    }
    if replaced {
        Ok(())
    } else {
        Err(ExperimentError::option(option(), "no task of this experiment reads a text"))
    }
}
