//! The minimum of a smooth function, by the limited-memory method of Broyden, Fletcher, Goldfarb and Shanno.
//!
//! The direction is -H g, with H an estimate of the inverse Hessian from the last ten steps s and changes of gradient y (Liu and
//! Nocedal 1989; Nocedal and Wright 2006, algorithm 7.4). A step is halved until the function falls by a ten-thousandth of what
//! the slope promises (Armijo); a pair without positive curvature is left out, so that H stays positive definite.

use std::collections::VecDeque;

/// Steps that are remembered.
const MEMORY: usize = 10;

/// Of the fall that the slope promises, what a step must bring.
const SUFFICIENT: f64 = 1e-4;

/// Halvings of one step, after which no step is found.
const HALVINGS: usize = 60;

/// Where a search ended.
#[derive(Clone, Debug)]
pub(crate) struct Minimum {
    pub(crate) point: Vec<f64>,
    /// How often function and gradient were computed.
    pub(crate) evaluations: u64,
}

/// Minimises from `start` until no entry of the gradient exceeds `tolerance`, or for so many iterations. `function` writes the
/// gradient at a point and returns the value.
pub(crate) fn minimise(
    start: Vec<f64>,
    tolerance: f64,
    iterations: usize,
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Minimum {
    let mut point = start;
    let mut gradient = vec![0.0; point.len()];
    let mut value = function(&point, &mut gradient);
    let mut evaluations = 1;
    let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    let (mut next, mut next_gradient) = (point.clone(), gradient.clone());
    for _ in 0..iterations {
        if largest(&gradient) <= tolerance {
            break;
        }
        let mut direction = direction(&pairs, &gradient);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            pairs.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = dot(&direction, &gradient);
        }
        // Without curvature known, a first step of length 1.
        let mut step = if pairs.is_empty() { 1.0 / dot(&gradient, &gradient).sqrt().max(1.0) } else { 1.0 };
        let mut found = false;
        for _ in 0..HALVINGS {
            for ((to, from), along) in next.iter_mut().zip(&point).zip(&direction) {
                *to = from + step * along;
            }
            let next_value = function(&next, &mut next_gradient);
            evaluations += 1;
            if next_value <= value + SUFFICIENT * step * slope {
                value = next_value;
                found = true;
                break;
            }
            step *= 0.5;
        }
        if !found {
            break;
        }
        let s: Vec<f64> = next.iter().zip(&point).map(|(to, from)| to - from).collect();
        let y: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(to, from)| to - from).collect();
        let curvature = dot(&s, &y);
        if curvature > f64::EPSILON * dot(&y, &y) {
            if pairs.len() == MEMORY {
                pairs.pop_front();
            }
            pairs.push_back(Pair { s, y, curvature });
        }
        std::mem::swap(&mut point, &mut next);
        std::mem::swap(&mut gradient, &mut next_gradient);
    }
    Minimum { point, evaluations }
}

/// A step, the change of the gradient along it, and their product.
struct Pair {
    s: Vec<f64>,
    y: Vec<f64>,
    curvature: f64,
}

/// -H g by two loops over the pairs.
fn direction(pairs: &VecDeque<Pair>, gradient: &[f64]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut weights = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let weight = dot(&pair.s, &direction) / pair.curvature;
        add(&mut direction, -weight, &pair.y);
        weights.push(weight);
    }
    if let Some(last) = pairs.back() {
        let scale = last.curvature / dot(&last.y, &last.y);
        for entry in &mut direction {
            *entry *= scale;
        }
    }
    for (pair, weight) in pairs.iter().zip(weights.into_iter().rev()) {
        let correction = dot(&pair.y, &direction) / pair.curvature;
        add(&mut direction, weight - correction, &pair.s);
    }
    direction
}

fn add(to: &mut [f64], factor: f64, vector: &[f64]) {
    to.iter_mut().zip(vector).for_each(|(to, entry)| *to += factor * entry);
}

/// Summed in eight parts, which the compiler keeps side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut parts = [0.0; 8];
    let (heads_a, tail_a) = a.as_chunks::<8>();
    let (heads_b, tail_b) = b.as_chunks::<8>();
    for (a, b) in heads_a.iter().zip(heads_b) {
        for ((part, a), b) in parts.iter_mut().zip(a).zip(b) {
            *part += a * b;
        }
    }
    let tail: f64 = tail_a.iter().zip(tail_b).map(|(a, b)| a * b).sum();
    parts.iter().sum::<f64>() + tail
}

fn largest(vector: &[f64]) -> f64 {
    vector.iter().fold(0.0, |largest, entry| f64::max(largest, entry.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_of_a_curved_valley_is_found() {
        // Rosenbrock (1960): (1 - x)^2 + 100 (y - x^2)^2, least at (1, 1).
        let valley = |at: &[f64], gradient: &mut [f64]| {
            let (x, y) = (at[0], at[1]);
            let bend = y - x * x;
            gradient[0] = -2.0 * (1.0 - x) - 400.0 * x * bend;
            gradient[1] = 200.0 * bend;
            (1.0 - x).powi(2) + 100.0 * bend * bend
        };
        let steepness = |point: &[f64]| {
            let mut gradient = [0.0; 2];
            valley(point, &mut gradient);
            largest(&gradient)
        };
        let found = minimise(vec![-1.2, 1.0], 1e-9, 1000, valley);
        assert!(steepness(&found.point) <= 1e-9 && found.evaluations < 200, "{found:?}");
        assert!(found.point.iter().all(|entry| (entry - 1.0).abs() < 1e-8), "{found:?}");
        // Stopped early it is not there yet.
        assert!(steepness(&minimise(vec![-1.2, 1.0], 1e-9, 3, valley).point) > 1e-3);
    }

    #[test]
    fn a_function_that_ends_nowhere_is_given_up() {
        let falling = |at: &[f64], gradient: &mut [f64]| {
            gradient[0] = -1.0;
            -at[0]
        };
        let found = minimise(vec![0.0], 1e-9, 50, falling);
        assert!(found.point[0] >= 50.0 && found.evaluations == 51, "{found:?}");
    }
}
