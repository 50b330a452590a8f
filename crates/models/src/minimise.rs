//! The minimum of a smooth function, by the limited-memory method of Broyden, Fletcher, Goldfarb and Shanno.
//!
//! The direction is -H g, with H an estimate of the inverse Hessian from the last ten steps s and changes of gradient y (Liu and
//! Nocedal 1989; Nocedal and Wright 2006, algorithm 7.4). A step is halved until the function falls by a ten-thousandth of what
//! the slope promises (Armijo); a pair without positive curvature is left out, so that H stays positive definite.
//!
//! To the function may be added the absolute values of its first entries times a strength, which has no gradient where one of them is 0. Then g is
//! the derivative of least size, a direction does not point where g would rise, and a step ends at 0 for entries that
//! would change their sign (Andrew and Gao 2007).

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

/// Absolute values that are added to a function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Absolute {
    pub(crate) strength: f64,
    /// How many entries, from the first.
    pub(crate) entries: usize,
}

impl Absolute {
    /// Nothing is added.
    pub(crate) const NONE: Self = Self { strength: 0.0, entries: 0 };

    fn value(self, point: &[f64]) -> f64 {
        self.strength * point[..self.entries].iter().map(|entry| entry.abs()).sum::<f64>()
    }

    /// The derivative of the sum, given that of the function: where an entry is 0 the one of least size.
    fn derivative(self, point: &[f64], gradient: &[f64]) -> Vec<f64> {
        let mut derivative = gradient.to_vec();
        for (entry, at) in derivative.iter_mut().zip(&point[..self.entries]) {
            *entry = if *at == 0.0 {
                entry.signum() * (entry.abs() - self.strength).max(0.0)
            } else {
                *entry + self.strength * at.signum()
            };
        }
        derivative
    }

    /// Keeps of a direction what goes down.
    fn descend(self, direction: &mut [f64], derivative: &[f64]) {
        for (along, slope) in direction.iter_mut().zip(&derivative[..self.entries]) {
            if *along * slope >= 0.0 {
                *along = 0.0;
            }
        }
    }

    /// Puts at 0 what a step from `from` took to the other side of it, or, if it was there, up.
    fn stop_at_zero(self, to: &mut [f64], from: &[f64], derivative: &[f64]) {
        for ((to, from), slope) in to.iter_mut().zip(&from[..self.entries]).zip(derivative) {
            let side = if *from == 0.0 { -slope } else { *from };
            if *to * side <= 0.0 {
                *to = 0.0;
            }
        }
    }
}

/// Minimises from `start` the sum of `function` and `absolute` until no entry of its derivative exceeds `tolerance`, or for so many
/// iterations. `function` writes its gradient at a point and returns its value.
pub(crate) fn minimise(
    start: Vec<f64>,
    absolute: Absolute,
    tolerance: f64,
    iterations: usize,
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
) -> Minimum {
    let mut point = start;
    let mut gradient = vec![0.0; point.len()];
    let mut value = function(&point, &mut gradient) + absolute.value(&point);
    let mut evaluations = 1;
    let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    let (mut next, mut next_gradient) = (point.clone(), gradient.clone());
    for _ in 0..iterations {
        let derivative = absolute.derivative(&point, &gradient);
        if largest(&derivative) <= tolerance {
            break;
        }
        let mut direction = direction(&pairs, &derivative);
        absolute.descend(&mut direction, &derivative);
        let mut slope = dot(&direction, &derivative);
        if slope >= 0.0 {
            pairs.clear();
            direction = derivative.iter().map(|g| -g).collect();
            slope = dot(&direction, &derivative);
        }
        // Without curvature known, a first step of length 1.
        let mut step =
            if pairs.is_empty() { 1.0 / dot(&derivative, &derivative).sqrt().max(1.0) } else { 1.0 };
        let mut found = false;
        for _ in 0..HALVINGS {
            for ((to, from), along) in next.iter_mut().zip(&point).zip(&direction) {
                *to = from + step * along;
            }
            absolute.stop_at_zero(&mut next, &point, &derivative);
            let next_value = function(&next, &mut next_gradient) + absolute.value(&next);
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
        let found = minimise(vec![-1.2, 1.0], Absolute::NONE, 1e-9, 1000, valley);
        assert!(steepness(&found.point) <= 1e-9 && found.evaluations < 200, "{found:?}");
        assert!(found.point.iter().all(|entry| (entry - 1.0).abs() < 1e-8), "{found:?}");
        // Stopped early it is not there yet.
        assert!(steepness(&minimise(vec![-1.2, 1.0], Absolute::NONE, 1e-9, 3, valley).point) > 1e-3);
    }

    #[test]
    fn absolute_values_put_entries_at_zero() {
        // sum_i (x_i - a_i)^2 / 2 + 0.5 |x_i|, of which the last entry is not penalised: a moved by 0.5 towards 0.
        let a = [2.0, -0.4, -3.0, 0.3];
        let function = |at: &[f64], gradient: &mut [f64]| {
            for ((gradient, at), a) in gradient.iter_mut().zip(at).zip(&a) {
                *gradient = at - a;
            }
            at.iter().zip(&a).map(|(at, a)| (at - a).powi(2) / 2.0).sum()
        };
        let absolute = Absolute { strength: 0.5, entries: 3 };
        let found = minimise(vec![-1.0, 1.0, 1.0, 0.0], absolute, 1e-12, 100, function).point;
        assert_eq!(found[1], 0.0);
        for (found, by_hand) in found.iter().zip([1.5, 0.0, -2.5, 0.3]) {
            assert!((found - by_hand).abs() < 1e-9, "{found} {by_hand}");
        }
    }

    #[test]
    fn a_function_that_ends_nowhere_is_given_up() {
        let falling = |at: &[f64], gradient: &mut [f64]| {
            gradient[0] = -1.0;
            -at[0]
        };
        let found = minimise(vec![0.0], Absolute::NONE, 1e-9, 50, falling);
        assert!(found.point[0] >= 50.0 && found.evaluations == 51, "{found:?}");
    }
}
