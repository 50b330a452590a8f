//! Controls: what must hold for the numbers to be evidence.

use record::definition::{Control, ControlKind};
use record::verdict::ControlOutcome;

use crate::tables::{Query, Tables, place_name, places};

/// Standard normal quantile of 0.9995: a band of 99.9%.
const Z_999: f64 = 3.290_526_731_491_896;

/// Checks one control against the tables. A control without rows does not hold.
pub(crate) fn check(control: &Control, tables: &Tables) -> ControlOutcome {
    let (mut holds, mut details) = (true, Vec::new());
    for place in &places(&control.at) {
        // Models of which the same is to be said stand together.
        let mut said: Vec<(String, Vec<&str>)> = Vec::new();
        for model in &control.models {
            let (held, detail) = match control.kind {
                ControlKind::Negative => negative(control, tables, model, place),
                ControlKind::Positive => positive(control, tables, model, place),
                ControlKind::Above | ControlKind::Below => beyond(control, tables, model, place),
            };
            holds &= held;
            match said.iter_mut().find(|(other, _)| *other == detail) {
                Some((_, models)) => models.push(model),
                None => said.push((detail, vec![model])),
            }
        }
        let at = if place.is_empty() { String::new() } else { format!(" at {}", place_name(place)) };
        let sentences =
            said.into_iter().map(|(detail, models)| format!("{}{at}: {detail}", models.join(", ")));
        details.extend(sentences);
    }
    ControlOutcome {
        name: control.name.clone(),
        holds: holds && !details.is_empty(),
        detail: details.join("; "),
    }
}

/// A crippled arm lands within its binomial 99.9% band of the floor.
fn negative(control: &Control, tables: &Tables, model: &str, place: &crate::tables::Place) -> (bool, String) {
    let query = Query { task: &control.task, model, metric: &control.metric, split: &control.split, place };
    let values: Vec<(f64, u64)> =
        tables.by_seed(&query).into_values().filter(|(value, _)| value.is_finite()).collect();
    let count: u64 = values.iter().map(|(_, count)| count).sum();
    if count == 0 {
        return (false, "no rows".to_owned());
    }
    let rate = values.iter().map(|(value, count)| value * *count as f64).sum::<f64>() / count as f64;
    let half_width = Z_999 * (control.floor * (1.0 - control.floor) / count as f64).sqrt();
    let held = (rate - control.floor).abs() <= half_width;
    let verb = if held { "within" } else { "OUTSIDE" };
    (held, format!("{} {rate:.4} {verb} {:.4} ± {half_width:.4}", control.metric, control.floor))
}

/// What a claim takes for granted holds on every seed: the metric lies on its side of the floor.
fn beyond(control: &Control, tables: &Tables, model: &str, place: &crate::tables::Place) -> (bool, String) {
    let query = Query { task: &control.task, model, metric: &control.metric, split: &control.split, place };
    let values: Vec<f64> = tables.by_seed(&query).into_values().map(|(value, _)| value).collect();
    if values.is_empty() {
        return (false, "no rows".to_owned());
    }
    let (sign, side, end) =
        if control.kind == ControlKind::Below { (-1.0, "below", "less") } else { (1.0, "above", "more") };
    let nearest = sign * values.iter().map(|value| sign * value).fold(f64::INFINITY, f64::min);
    // What is not a number lies on no side of anything.
    let held = values.iter().all(|&value| sign * value > sign * control.floor);
    let verb = if held { side.to_owned() } else { format!("NOT {side}") };
    let floor = record::spelled::spell(control.floor);
    (held, format!("{} {nearest:.4} or {end} on {} seeds, {verb} {floor}", control.metric, values.len()))
}

/// Every seed solves it.
fn positive(control: &Control, tables: &Tables, model: &str, place: &crate::tables::Place) -> (bool, String) {
    let query = Query { task: &control.task, model, metric: "solved", split: "test", place };
    let values: Vec<f64> = tables.by_seed(&query).into_values().map(|(value, _)| value).collect();
    let solved = values.iter().filter(|&&value| value > 0.5).count();
    (solved == values.len() && !values.is_empty(), format!("{solved} of {} seeds solve it", values.len()))
}
