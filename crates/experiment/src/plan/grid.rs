//! Lists in a definition: grids, ladders, and where rates are tuned.

use std::collections::BTreeMap;

use record::definition::{TaskArm, unknown};
use record::{Settings, plain};
use serde_json::Value;

use crate::settings::keys;

/// The settings of a task: those of one value, those of several, and the ladder of a staircase.
pub(super) struct Varied {
    pub(super) fixed: Settings,
    pub(super) grid: BTreeMap<String, Vec<Value>>,
    pub(super) ladder: Option<Vec<Value>>,
}

/// A list where the default is a single value is a grid, or the ladder of the staircase `over` that key.
pub(super) fn varied(task: &TaskArm, defaults: &Value, over: Option<&str>) -> Result<Varied, String> {
    let mut varied = Varied { fixed: Settings::new(), grid: BTreeMap::new(), ladder: None };
    for (key, value) in &task.settings {
        let Some(default) = defaults.get(key) else {
            return Err(unknown("setting", key, &keys(defaults)));
        };
        match value {
            Value::Array(values) if !default.is_array() => {
                if values.is_empty() {
                    return Err(format!("`{key}` is an empty list"));
                }
                if over == Some(key) {
                    varied.ladder = Some(values.clone());
                } else {
                    varied.grid.insert(key.clone(), values.clone());
                }
            }
            _ => {
                varied.fixed.insert(key.clone(), value.clone());
            }
        }
    }
    if let (Some(over), None) = (over, &varied.ladder) {
        if defaults.get(over).is_none() {
            return Err(format!("measure: {}", unknown("setting of the task", over, &keys(defaults))));
        }
        return Err(format!("`{over}` must be a list, easiest or shortest first"));
    }
    Ok(varied)
}

/// All combinations of the values of a grid.
pub(super) fn product(grid: &BTreeMap<String, Vec<Value>>) -> Vec<Settings> {
    grid.iter().fold(vec![Settings::new()], |settings, (key, values)| {
        let with = |setting: &Settings| -> Vec<Settings> {
            let one = |value: &Value| {
                let mut setting = setting.clone();
                setting.insert(key.clone(), value.clone());
                setting
            };
            values.iter().map(one).collect()
        };
        settings.iter().flat_map(with).collect()
    })
}

/// The setting at which rates are tuned: one value for each setting that varies.
pub(super) fn tune_at(
    task: &TaskArm,
    defaults: &Value,
    grid: &BTreeMap<String, Vec<Value>>,
) -> Result<Settings, String> {
    for key in task.tune_at.keys() {
        if defaults.get(key).is_none() {
            return Err(format!("tune-at: {}", unknown("setting", key, &keys(defaults))));
        }
    }
    for (key, values) in grid {
        if values.len() > 1 && !task.tune_at.contains_key(key) {
            let example = plain(&values[values.len() / 2]);
            return Err(format!(
                "`{key}` varies, so `tune-at` must say where rates are tuned, such as {{ {key} = {example} }}"
            ));
        }
    }
    let mut setting: Settings = grid.iter().map(|(key, values)| (key.clone(), values[0].clone())).collect();
    setting.extend(task.tune_at.clone());
    Ok(setting)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grid_is_the_product_of_its_lists() {
        let grid = BTreeMap::from([
            ("lag".to_owned(), vec![json!(2), json!(5)]),
            ("cues".to_owned(), vec![json!(4), json!(8)]),
        ]);
        let names: Vec<String> = product(&grid).iter().map(record::label).collect();
        assert_eq!(names, ["cues=4 lag=2", "cues=4 lag=5", "cues=8 lag=2", "cues=8 lag=5"]);
        assert_eq!(product(&BTreeMap::new()), [Settings::new()]);
    }
}
