//! Costs at longer and longer sequences, and how they grow.
//!
//! The exponent at a length is the slope of the least-squares line through the logarithms of cost and length, over four
//! lengths of which it is the last: a cost that doubles with the length has exponent 1, one that quadruples 2.

use record::Settings;
use record::cell::{Outcome, Row};
use serde_json::Value;

use super::slope::slope;
use super::{TEST, Yielded, row};

/// Lengths that an exponent is fitted to.
const FITTED: usize = 4;
/// The power of the length by which a cost grows.
const EXPONENT: &str = "exponent-of-";
/// How many times the cost of half the length.
const DOUBLING: &str = "doubling-of-";

/// The costs at one length, by name; one that could not be measured is missing.
pub(super) struct AtLength {
    pub(super) length: usize,
    pub(super) setting: Settings,
    pub(super) costs: Vec<(String, f64)>,
}

impl AtLength {
    pub(super) fn cost(&self, name: &str) -> Option<f64> {
        self.costs.iter().find(|(other, _)| other == name).map(|(_, cost)| *cost)
    }
}

/// The costs, their exponents, and how many times those of half the length they are.
pub(super) fn growth(found: &[AtLength]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (index, at) in found.iter().enumerate() {
        let mut add =
            |metric: String, value: f64| rows.push(row(&at.setting, TEST, &metric, Outcome::Ok, value));
        for (name, value) in &at.costs {
            add(name.clone(), *value);
            let half = found[..index].iter().find(|other| 2 * other.length == at.length);
            if let Some(half) = half.and_then(|half| half.cost(name)) {
                add(format!("{DOUBLING}{name}"), value / half);
            }
            let fitted = &found[(index + 1).saturating_sub(FITTED)..=index];
            let logs = |at: &AtLength| Some(((at.length as f64).ln(), at.cost(name)?.ln()));
            let points: Vec<(f64, f64)> = fitted.iter().filter_map(logs).collect();
            if let (FITTED, Some(exponent)) = (points.len(), slope(&points)) {
                add(format!("{EXPONENT}{name}"), exponent);
            }
        }
    }
    rows
}

/// What [`growth`] makes of a cost.
pub(super) fn grown(cost: &str) -> [Yielded; 3] {
    ["", EXPONENT, DOUBLING].map(|of| Yielded::new(TEST, format!("{of}{cost}")))
}

/// Refuses lengths that are none, or do not rise.
pub(super) fn check_lengths(over: &str, lengths: &[Value]) -> Result<(), String> {
    let numbers: Vec<u64> = lengths.iter().filter_map(Value::as_u64).collect();
    let rising = numbers.len() == lengths.len() && numbers.windows(2).all(|pair| pair[0] < pair[1]);
    if numbers.is_empty() || !rising {
        return Err(format!("`{over}` must be a list of rising lengths"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exponents_and_ratios_by_hand() {
        // 5 n^2 at four lengths and a gap in another cost.
        let at = |length: usize| {
            let square = ("square".to_owned(), 5.0 * (length * length) as f64);
            let gap = (length != 4).then(|| ("gap".to_owned(), 1.0));
            AtLength {
                length,
                setting: Settings::from([("length".to_owned(), length.into())]),
                costs: [Some(square), gap].into_iter().flatten().collect(),
            }
        };
        let rows = growth(&[2, 4, 8, 16].map(at));
        let values = |metric: &str| -> Vec<(u64, f64)> {
            let of_metric = rows.iter().filter(|row| row.metric == metric);
            of_metric.map(|row| (row.setting["length"].as_u64().unwrap(), row.value)).collect()
        };
        assert_eq!(values("square"), [(2, 20.0), (4, 80.0), (8, 320.0), (16, 1280.0)]);
        assert_eq!(values("doubling-of-square"), [(4, 4.0), (8, 4.0), (16, 4.0)]);
        let [(16, exponent)] = values("exponent-of-square")[..] else { panic!("one exponent") };
        assert!((exponent - 2.0).abs() < 1e-12);
        // Three points are not four.
        assert_eq!(values("exponent-of-gap"), []);
        assert_eq!(values("doubling-of-gap"), [(16, 1.0)]);
    }

    #[test]
    fn lengths_rise() {
        assert!(check_lengths("length", &[json!(2), json!(4)]).is_ok());
        for wrong in [vec![], vec![json!(4), json!(4)], vec![json!("2"), json!(4)]] {
            assert!(check_lengths("length", &wrong).unwrap_err().contains("`length`"));
        }
    }
}
