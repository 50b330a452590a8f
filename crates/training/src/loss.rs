//! The two losses, averaged over the supervised positions.

use burn::tensor::{Tensor, TensorData};
use kernels::cross_entropy::cross_entropy;
use sequence::{Batch, LossKind, Targets};

/// The mean loss of `outputs`, `[supervised positions, outputs]`, against the batch's targets there: `[1]`.
///
/// # Panics
/// When the batch supervises nothing, or its targets are not of the kind that the loss compares with; a network whose loss is a
/// density has one of its own.
pub(crate) fn mean_loss(kind: LossKind, outputs: Tensor<2>, batch: &Batch) -> Tensor<1> {
    let [positions, _] = outputs.dims();
    assert!(positions > 0, "a training batch supervises at least one position");
    match (kind, &batch.targets) {
        (LossKind::CrossEntropy, Targets::Classes(classes)) => {
            cross_entropy(outputs, supervised(classes, batch).collect())
        }
        (LossKind::MeanSquaredError, Targets::Values(values)) => {
            let values: Vec<f32> = supervised(values, batch).collect();
            let values = Tensor::<2>::from_data(TensorData::new(values, [positions, 1]), &outputs.device());
            (outputs.clone() - values.cast(outputs.dtype())).square().mean()
        }
        _ => unreachable!("a task's targets are of the kind that its loss compares with"),
    }
}

fn supervised<T: Copy>(targets: &[T], batch: &Batch) -> impl Iterator<Item = T> {
    targets.iter().zip(&batch.loss_mask).filter(|(_, counts)| **counts).map(|(target, _)| *target)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use sequence::Inputs;

    use super::*;

    fn batch(targets: Targets, loss_mask: Vec<bool>) -> Batch {
        let time = loss_mask.len();
        Batch {
            size: 1,
            time,
            inputs: Inputs::Tokens(vec![0; time]),
            source: None,
            targets,
            loss_mask,
            lengths: vec![time],
        }
    }

    fn value(kind: LossKind, outputs: &[f32], batch: &Batch) -> f32 {
        let rows = batch.supervised();
        let data = TensorData::new(outputs.to_vec(), [rows, outputs.len() / rows]);
        mean_loss(kind, Tensor::from_data(data, &Device::flex()), batch).into_scalar()
    }

    #[test]
    fn cross_entropy_is_the_mean_over_supervised_positions() {
        let batch = batch(Targets::Classes(vec![1, 0, 0]), vec![true, false, true]);
        // By hand: logits (0, ln 3) give class 1 probability 3/4; logits (0, 0) give class 0 probability 1/2.
        let loss = value(LossKind::CrossEntropy, &[0.0, 3_f32.ln(), 0.0, 0.0], &batch);
        let by_hand = -(0.75_f32.ln() + 0.5_f32.ln()) / 2.0;
        assert!((loss - by_hand).abs() < 1e-6, "{loss} {by_hand}");
    }

    #[test]
    fn squared_error_is_the_mean_over_supervised_positions() {
        let batch = batch(Targets::Values(vec![9.0, 1.0, -1.0]), vec![false, true, true]);
        // By hand: ((3 - 1)^2 + (0 + 1)^2) / 2.
        assert_eq!(value(LossKind::MeanSquaredError, &[3.0, 0.0], &batch), 2.5);
    }
}
