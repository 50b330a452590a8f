//! Settings as definitions write them: defaults, canonical form, and values that refer to the task.

use record::Settings;
use record::definition::unknown;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Every key of a config with its default.
pub(crate) fn defaults<C: Default + Serialize>() -> Value {
    serde_json::to_value(C::default()).expect("a config is plain data")
}

/// Reads settings that may be partial. An error names the key, and the nearest known one.
pub(crate) fn parse<C: Default + Serialize + DeserializeOwned>(settings: &Settings) -> Result<C, String> {
    let defaults = defaults::<C>();
    let names = keys(&defaults);
    for (key, value) in settings {
        if !names.contains(&key.as_str()) {
            return Err(unknown("setting", key, &names));
        }
        // One key at a time, because an error of serde does not say which key has the wrong type.
        let alone = Settings::from([(key.clone(), value.clone())]);
        serde_json::from_value::<C>(table(&alone)).map_err(|error| format!("setting `{key}`: {error}"))?;
    }
    serde_json::from_value(table(settings)).map_err(|error| error.to_string())
}

/// Settings as one JSON value.
pub(crate) fn table(settings: &Settings) -> Value {
    Value::Object(settings.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// The keys of a table of defaults.
pub(crate) fn keys(defaults: &Value) -> Vec<&str> {
    defaults.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// Defaults with `settings` in their place.
pub(crate) fn complete(defaults: &Value, settings: &Settings) -> Settings {
    let mut complete: Settings =
        defaults.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    complete.extend(settings.clone());
    complete
}

/// Only what differs from the defaults, and whole numbers as reals where the default is real, so that one meaning has
/// one spelling.
pub(crate) fn canonical(settings: &Settings, defaults: &Value) -> Settings {
    settings
        .iter()
        .map(|(key, value)| {
            (key.clone(), defaults.get(key).map_or_else(|| value.clone(), |default| like(default, value)))
        })
        .filter(|(key, value)| defaults.get(key) != Some(value))
        .collect()
}

fn like(default: &Value, value: &Value) -> Value {
    match (default, value) {
        (Value::Number(number), Value::Number(given)) if number.is_f64() => {
            given.as_f64().map_or_else(|| value.clone(), Value::from)
        }
        _ => value.clone(),
    }
}

/// Whether two values are the same; 20 and 20.0 are.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// Replaces every `{ times = 2, of = "lag" }` by that multiple of the task's setting, at any depth.
pub(crate) fn resolve(settings: &Settings, task: &Settings) -> Result<Settings, String> {
    let resolved = settings.iter().map(|(key, value)| {
        let value = resolve_value(value, task).map_err(|message| format!("setting `{key}`: {message}"))?;
        Ok((key.clone(), value))
    });
    resolved.collect()
}

fn resolve_value(value: &Value, task: &Settings) -> Result<Value, String> {
    match value {
        Value::Array(values) => values.iter().map(|value| resolve_value(value, task)).collect(),
        Value::Object(entries) => match (entries.get("times"), entries.get("of")) {
            (Some(times), Some(Value::String(of))) if entries.len() == 2 => multiple(times, of, task),
            _ => entries
                .iter()
                .map(|(key, value)| Ok((key.clone(), resolve_value(value, task)?)))
                .collect::<Result<serde_json::Map<_, _>, String>>()
                .map(Value::Object),
        },
        plain => Ok(plain.clone()),
    }
}

fn multiple(times: &Value, of: &str, task: &Settings) -> Result<Value, String> {
    let names: Vec<&str> = task.keys().map(String::as_str).collect();
    let base = task.get(of).ok_or_else(|| unknown("setting of the task", of, &names))?;
    match (times.as_f64(), base.as_f64()) {
        (Some(times), Some(base)) => Ok(number(times * base)),
        (None, _) => Err(format!("`times` = {times} is not a number")),
        (_, None) => Err(format!("the task's `{of}` = {base} is not a number")),
    }
}

/// A whole number where it is one, as a person would write it.
fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "whole and far below 2^53")]
    if value.fract() == 0.0 && value.abs() < 1e15 { Value::from(value as i64) } else { Value::from(value) }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    fn settings(value: &Value) -> Settings {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn what_equals_a_default_is_left_out() {
        let defaults = json!({"lag": 20, "dropout": 0.5, "name": "a"});
        let given = settings(&json!({"lag": 20, "dropout": 1, "name": "b"}));
        // 1 becomes 1.0, because the default is real.
        assert_eq!(canonical(&given, &defaults), settings(&json!({"dropout": 1.0, "name": "b"})));
        assert_eq!(canonical(&settings(&json!({"dropout": 0.5})), &defaults), Settings::new());
    }

    #[test]
    fn multiples_of_the_task_are_resolved_at_any_depth() {
        let task = settings(&json!({"lag": 20, "name": "a"}));
        let given = settings(&json!({
            "scale": {"times": 2, "of": "lag"}, "bias": {"chrono": {"times": 0.525, "of": "lag"}}, "layers": 1
        }));
        let expected = settings(&json!({"scale": 40, "bias": {"chrono": 10.5}, "layers": 1}));
        assert_eq!(resolve(&given, &task).unwrap(), expected);
        let message = |value| resolve(&settings(&json!({"scale": value})), &task).unwrap_err();
        assert_eq!(
            message(json!({"times": 2, "of": "lags"})),
            "setting `scale`: unknown setting of the task `lags`, did you mean `lag`?"
        );
        assert!(message(json!({"times": 2, "of": "name"})).contains("is not a number"));
    }

    #[test]
    fn a_wrong_key_or_type_is_named() {
        #[derive(Debug, Default, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct Config {
            updates: u64,
        }
        let message = |value| parse::<Config>(&settings(&value)).unwrap_err();
        assert_eq!(message(json!({"update": 3})), "unknown setting `update`, did you mean `updates`?");
        assert!(message(json!({"updates": "many"})).starts_with("setting `updates`: invalid type"));
        assert_eq!(parse::<Config>(&settings(&json!({"updates": 3}))).unwrap().updates, 3);
    }
}
