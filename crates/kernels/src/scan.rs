//! A linear recurrence over a whole sequence in a number of rounds that grows with the logarithm of its length.
//!
//! ```text
//! h_t = a_t * h_{t-1} + b_t,   h_0 = 0        element by element
//! ```
//!
//! Two neighbouring steps are one step of the same kind, `(a, b)` after `(a', b')` being `(a a', a b' + b)`, and that operation is
//! associative. So in round `r` each position takes in the `2^r` positions before those that it holds already, all positions at
//! once, and after `ceil(log2 time)` rounds each holds its whole past (Hillis and Steele 1986; Blelloch 1990 for the form whose
//! work is linear; Martin and Cundy 2018 for recurrent networks). Nonlinear recurrences have no such operation.
//!
//! Work is `time log2(time)` instead of `time`, which on one thread does not pay; what falls is how many operations must wait for
//! each other.

use burn::tensor::Tensor;

use crate::cost;

/// The states `[batch, time, hidden]` of the recurrence with decays `a` and inputs `b`, both `[batch, time, hidden]`.
///
/// # Panics
/// When the shapes differ.
#[must_use]
pub fn linear_recurrence(decay: Tensor<3>, inputs: Tensor<3>) -> Tensor<3> {
    let [batch, time, hidden] = inputs.dims();
    assert_eq!(decay.dims(), [batch, time, hidden], "decays of a linear recurrence");
    let (mut decay, mut states) = (decay, inputs);
    let mut reach = 1;
    while reach < time {
        cost::wait(1);
        // Positions that have no others before what they hold keep it.
        let later = |tensor: &Tensor<3>| tensor.clone().narrow(1, reach, time - reach);
        let earlier = |tensor: &Tensor<3>| tensor.clone().narrow(1, 0, time - reach);
        let first = |tensor: &Tensor<3>| tensor.clone().narrow(1, 0, reach);
        let next = later(&decay) * earlier(&states) + later(&states);
        let next_decay = later(&decay) * earlier(&decay);
        (states, decay) =
            (Tensor::cat(vec![first(&states), next], 1), Tensor::cat(vec![first(&decay), next_decay], 1));
        reach *= 2;
    }
    states
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};

    use super::linear_recurrence;
    use crate::cost;

    fn numbers(count: usize, phase: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.71 + phase).sin()).collect()
    }

    #[test]
    fn the_scan_gives_what_one_step_after_the_other_gives() {
        for [batch, time, hidden] in [[1, 1, 1], [2, 2, 3], [2, 7, 2], [1, 64, 2], [3, 65, 1]] {
            let (a, b) = (numbers(batch * time * hidden, 0.3), numbers(batch * time * hidden, 1.1));
            let tensor = |values: &[f32]| {
                Tensor::<3>::from_data(
                    TensorData::new(values.to_vec(), [batch, time, hidden]),
                    &Device::flex(),
                )
            };
            let (states, waits) = cost::waits(|| linear_recurrence(tensor(&a), tensor(&b)));
            let states: Vec<f32> = states.into_data().try_into_vec().unwrap();
            for start in (0..batch).map(|sequence| sequence * time * hidden) {
                for unit in 0..hidden {
                    let mut state = 0.0_f64;
                    for at in (0..time).map(|t| start + t * hidden + unit) {
                        state = f64::from(a[at]) * state + f64::from(b[at]);
                        assert!((f64::from(states[at]) - state).abs() < 1e-5, "{} {state}", states[at]);
                    }
                }
            }
            assert_eq!(waits, u64::from(time.next_power_of_two().ilog2()));
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let device = Device::flex().autodiff();
        let (a, b) = (numbers(12, 0.3), numbers(12, 1.1));
        let loss = |a: &[f32], b: &[f32]| -> (f64, Vec<f32>, Vec<f32>) {
            let leaf = |values: &[f32]| {
                Tensor::<3>::from_data(TensorData::new(values.to_vec(), [1, 6, 2]), &device).require_grad()
            };
            let (a, b) = (leaf(a), leaf(b));
            let sum = linear_recurrence(a.clone(), b.clone()).square().sum();
            let gradients = sum.backward();
            let of = |leaf: &Tensor<3>| leaf.grad(&gradients).unwrap().into_data().try_into_vec().unwrap();
            (f64::from(sum.into_scalar::<f32>()), of(&a), of(&b))
        };
        let (_, of_a, of_b) = loss(&a, &b);
        let step = 1.0 / 256.0;
        for at in 0..12 {
            let moved = |values: &[f32], by: f32| {
                let mut values = values.to_vec();
                values[at] += by;
                values
            };
            let slope = |up: f64, down: f64| (up - down) / f64::from(2.0 * step);
            let by_a = slope(loss(&moved(&a, step), &b).0, loss(&moved(&a, -step), &b).0);
            let by_b = slope(loss(&a, &moved(&b, step)).0, loss(&a, &moved(&b, -step)).0);
            assert!((by_a - f64::from(of_a[at])).abs() < 5e-3 * (1.0 + by_a.abs()), "{by_a} {}", of_a[at]);
            assert!((by_b - f64::from(of_b[at])).abs() < 5e-3 * (1.0 + by_b.abs()), "{by_b} {}", of_b[at]);
        }
    }
}
