//! From a table of settings to a task's plain config, with errors that name the key.

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::DataError;

/// Every key of a config with its default.
pub(crate) fn defaults<C: Default + Serialize>() -> Value {
    serde_json::to_value(C::default()).expect("a config is plain data")
}

/// Reads settings that may be partial; a missing key keeps its default.
pub(crate) fn parse<C: DeserializeOwned>(task: &'static str, settings: &Value) -> Result<C, DataError> {
    let not_a_table = || DataError::NotATable { task, found: settings.to_string() };
    let table = settings.as_object().ok_or_else(not_a_table)?;
    for (key, value) in table {
        // One key at a time, because an error of serde does not say which key has the wrong type.
        let alone = Value::Object([(key.clone(), value.clone())].into_iter().collect());
        serde_json::from_value::<C>(alone)
            .map_err(|error| wrong(task, key, format!("{error} (given: {value})")))?;
    }
    serde_json::from_value(settings.clone()).map_err(|_| not_a_table())
}

/// An error about one setting.
pub(crate) fn wrong(task: &'static str, key: &str, reason: impl Into<String>) -> DataError {
    DataError::Setting { task, key: key.to_owned(), reason: reason.into() }
}

/// Checks that a setting lies in its range.
pub(crate) fn within<T: PartialOrd + Display>(
    task: &'static str,
    key: &str,
    value: &T,
    allowed: RangeInclusive<T>,
) -> Result<(), DataError> {
    if allowed.contains(value) {
        return Ok(());
    }
    let (low, high) = allowed.into_inner();
    Err(wrong(task, key, format!("{value} is outside the allowed {low} to {high}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
    struct Config {
        lag: usize,
        held_out: bool,
    }

    impl Default for Config {
        fn default() -> Self {
            Self { lag: 20, held_out: false }
        }
    }

    fn message(settings: &Value) -> String {
        parse::<Config>("example", settings).unwrap_err().to_string()
    }

    #[test]
    fn missing_keys_keep_their_defaults() {
        assert_eq!(parse::<Config>("example", &json!({})).unwrap(), Config::default());
        let given = parse::<Config>("example", &json!({"held-out": true})).unwrap();
        assert_eq!(given, Config { lag: 20, held_out: true });
        assert_eq!(defaults::<Config>(), json!({"lag": 20, "held-out": false}));
    }

    #[test]
    fn errors_name_the_key() {
        let unknown = message(&json!({"lagg": 3}));
        assert!(unknown.contains("task `example`, setting `lagg`: unknown field"), "{unknown}");
        assert!(unknown.contains("`lag`"), "{unknown}");
        let mistyped = message(&json!({"lag": "three"}));
        assert!(mistyped.contains("setting `lag`: invalid type"), "{mistyped}");
        assert!(message(&json!({"lag": -1})).contains("setting `lag`"));
        assert!(message(&json!(3)).contains("must be a table"));
        let outside = within("example", "lag", &0, 1..=9).unwrap_err().to_string();
        assert_eq!(outside, "task `example`, setting `lag`: 0 is outside the allowed 1 to 9");
    }
}
