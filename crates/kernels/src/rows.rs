//! Rows of a table by their numbers, in one operation: an embedding, or a choice of positions.
//!
//! ```text
//! y_k = table[index_k],  d_table[i] = sum over k with index_k = i of dy_k
//! ```
//!
//! Rows are copied whole, and their gradients are added up in the order of `k`, so that the sum does not depend on
//! anything else. burn keeps the indices in a tensor and looks at the strides of all three at every number.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward as BackwardStep, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Int, Shape, Tensor, TensorData};

use crate::device::is_fused;
use crate::flex::{tensor, values};

/// The rows of `table` `[rows, width]` with these numbers: `[indices, width]`. A row may be asked for several times.
///
/// # Panics
/// When there are no indices, or one is beyond the table.
#[must_use]
pub fn rows(table: Tensor<2>, indices: Vec<u32>) -> Tensor<2> {
    let [height, width] = table.dims();
    let largest = *indices.iter().max().expect("at least one row is asked for") as usize;
    assert!(largest < height, "row {largest} of a table of {height} rows");
    if !is_fused(&table) || width == 0 {
        return composed(table, indices);
    }
    Tensor::from_dispatch(<Dispatch as RowsBackend>::fused_rows(table.into_dispatch(), indices))
}

/// The same of ordinary operations.
fn composed(table: Tensor<2>, indices: Vec<u32>) -> Tensor<2> {
    let shape = [indices.len()];
    let indices: Vec<i64> = indices.into_iter().map(i64::from).collect();
    let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, shape), &table.device());
    table.select(0, indices)
}

/// Backends with the operation.
#[backend_extension(Autodiff, Flex)]
trait RowsBackend: Backend {
    /// See [`rows`].
    fn fused_rows(table: FloatTensor<Self>, indices: Vec<u32>) -> FloatTensor<Self>;
}

impl RowsBackend for Flex {
    fn fused_rows(table: FlexTensor, indices: Vec<u32>) -> FlexTensor {
        forward(&table.to_contiguous(), &indices)
    }
}

impl<C: CheckpointStrategy> RowsBackend for Autodiff<Flex, C> {
    fn fused_rows(table: FloatTensor<Self>, indices: Vec<u32>) -> FloatTensor<Self> {
        let parents = [table.node()];
        let table = table.primitive().to_contiguous();
        let output = forward(&table, &indices);
        match Rows.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => {
                preparation.finish(Saved { indices, shape: table.layout().shape().clone() }, output)
            }
            OpsKind::UnTracked(preparation) => preparation.finish(output),
        }
    }
}

/// The backward step.
#[derive(Debug)]
struct Rows;

/// What the backward step reads.
#[derive(Debug, Clone)]
struct Saved {
    indices: Vec<u32>,
    /// Of the table.
    shape: Shape,
}

impl BackwardStep<Flex, 1> for Rows {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let [Some(parent)] = ops.parents else { return };
        let Saved { indices, shape } = ops.state;
        let width = shape[1];
        let mut table = vec![0.0; shape.num_elements()];
        for (row, index) in values(&gradient).chunks_exact(width).zip(indices) {
            let sums = &mut table[index as usize * width..][..width];
            for (sum, d) in sums.iter_mut().zip(row) {
                *sum += d;
            }
        }
        gradients.register::<Flex>(parent.id, tensor(table, shape));
    }
}

fn forward(table: &FlexTensor, indices: &[u32]) -> FlexTensor {
    let width = table.layout().shape()[1];
    let mut output = Vec::with_capacity(indices.len() * width);
    for &index in indices {
        output.extend_from_slice(&values(table)[index as usize * width..][..width]);
    }
    tensor(output, Shape::new([indices.len(), width]))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use serde_json::Value;

    use super::*;

    type Choice = fn(Tensor<2>, Vec<u32>) -> Tensor<2>;

    /// The rows, and the gradient of the table for the gradient `d_rows` of them; `view` makes the table a transposed
    /// view of memory.
    fn run(
        table: &[f32],
        width: usize,
        indices: &[u32],
        d_rows: &[f32],
        view: bool,
        choice: Choice,
    ) -> (Vec<f32>, Vec<f32>) {
        let device = Device::flex().autodiff();
        let height = table.len() / width;
        let data = TensorData::new(table.to_vec(), [height, width]);
        let table = Tensor::<2>::from_data(data, &device).require_grad();
        let chosen = if view {
            // Transposed twice, with a copy between, the rows are where they were and the strides are not.
            choice((table.clone().transpose() * 1.0).transpose(), indices.to_vec())
        } else {
            choice(table.clone(), indices.to_vec())
        };
        let d_rows = Tensor::<2>::from_data(TensorData::new(d_rows.to_vec(), chosen.dims()), &device);
        let gradients = (chosen.clone() * d_rows).sum().backward();
        let list = |tensor: Tensor<2>| tensor.into_data().try_into_vec::<f32>().unwrap();
        (list(chosen), list(table.grad(&gradients).unwrap()))
    }

    fn noise(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.73).sin()).collect()
    }

    #[test]
    fn rows_and_gradient_equal_pytorch() {
        // fixtures/rows/make.py, PyTorch 2.9.0.
        let record: Value = serde_json::from_str(include_str!("../fixtures/rows/rows.json")).unwrap();
        let list = |name: &str| -> Vec<f32> { serde_json::from_value(record[name].clone()).unwrap() };
        let indices: Vec<u32> = serde_json::from_value(record["indices"].clone()).unwrap();
        let width: usize = serde_json::from_value(record["width"].clone()).unwrap();
        for choice in [rows as Choice, composed] {
            let (output, gradient) = run(&list("table"), width, &indices, &list("d_output"), false, choice);
            assert_eq!(output, list("output"));
            for (found, expected) in gradient.iter().zip(list("d_table")) {
                assert!((found - expected).abs() <= 1e-6, "{found}, not {expected}");
            }
        }
    }

    #[test]
    fn fused_equals_composed_to_the_bit_at_every_awkward_size_and_for_views() {
        for (height, width, count) in [(1_u32, 1, 1_u32), (2, 7, 5), (33, 1, 100), (5, 33, 1), (65, 100, 64)]
        {
            let indices: Vec<u32> = (0..count).map(|k| (7 * k + 3) % height).collect();
            let (table, d_rows) = (noise(height as usize * width), noise(count as usize * width));
            let expected = run(&table, width, &indices, &d_rows, false, composed);
            for view in [false, true] {
                assert_eq!(run(&table, width, &indices, &d_rows, view, rows), expected);
            }
        }
    }

    #[test]
    fn the_gradient_equals_finite_differences_and_a_wrong_one_does_not() {
        let (table, d_rows, indices) = (noise(16), noise(20), [3, 0, 3, 1, 3]);
        let difference = |gradient: &[f32]| {
            let mut largest: f32 = 0.0;
            for (i, d) in gradient.iter().enumerate() {
                let at = |moved: f32| -> f32 {
                    let mut table = table.clone();
                    table[i] += moved;
                    let (chosen, _) = run(&table, 4, &indices, &d_rows, false, rows);
                    chosen.iter().zip(&d_rows).map(|(y, d)| y * d).sum()
                };
                // Linear in the table, so that a long step has no error but rounding.
                largest = largest.max(((at(0.5) - at(-0.5)) - d).abs());
            }
            largest
        };
        let (_, mut gradient) = run(&table, 4, &indices, &d_rows, false, rows);
        assert!(difference(&gradient) < 1e-5, "{}", difference(&gradient));
        // A row that nobody asked for gets nothing.
        assert_eq!(gradient[8..12], [0.0; 4]);
        gradient[8] = 0.01;
        assert!(difference(&gradient) > 1e-3);
    }

    #[test]
    #[should_panic(expected = "row 3 of a table of 3 rows")]
    fn a_row_beyond_the_table_is_refused() {
        let _ = rows(Tensor::zeros([3, 2], &Device::flex()), vec![0, 3]);
    }
}
