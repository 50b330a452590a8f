//! The kernels as one burn operation with three parents, on the flex device.

use super::kernel::{Backward, Forward, Problem, Sizes, View, ViewMut};
use super::{AttentionOptions, kernel};
use crate::instruction_set::instruction_set;
use crate::vector::dispatch;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward as BackwardStep, Ops, OpsKind};
use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Bytes, DType, Tensor};
use std::sync::Arc;

/// Attention in one operation; single precision, [batch, heads, time, width].
pub(super) fn tiled_attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    options: &AttentionOptions,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as AttentionBackend>::tiled_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        options.clone(),
    ))
}

/// Attention of all heads in one operation, from queries, keys and values beside each other; single precision,
/// [batch, time, 3 * heads * width] to [batch, time, heads * width].
pub(super) fn packed_attention(packed: Tensor<3>, heads: usize, options: &AttentionOptions) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as AttentionBackend>::packed_attention(
        packed.into_dispatch(),
        heads,
        options.clone(),
    ))
}

/// Backends with the operation.
#[backend_extension(Autodiff, Flex)]
pub(super) trait AttentionBackend: Backend {
    /// See [`tiled_attention`].
    fn tiled_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        options: AttentionOptions,
    ) -> FloatTensor<Self>;

    /// See [`packed_attention`].
    fn packed_attention(
        packed: FloatTensor<Self>,
        heads: usize,
        options: AttentionOptions,
    ) -> FloatTensor<Self>;
}

impl AttentionBackend for Flex {
    fn tiled_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        options: AttentionOptions,
    ) -> FlexTensor {
        Inputs::new(&query, &key, &value, options).forward().0
    }

    fn packed_attention(packed: FlexTensor, heads: usize, options: AttentionOptions) -> FlexTensor {
        merge_heads(&Inputs::unpacked(&packed, heads, options).forward().0)
    }
}

impl<C: CheckpointStrategy> AttentionBackend for Autodiff<Flex, C> {
    fn tiled_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        options: AttentionOptions,
    ) -> FloatTensor<Self> {
        let inputs = Inputs::new(query.primitive(), key.primitive(), value.primitive(), options);
        let (output, log_sums) = inputs.forward();
        let parents = [query.node(), key.node(), value.node()];
        match TiledAttention.prepare::<C>(parents).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => {
                preparation.finish(Saved { inputs, output: output.clone(), log_sums }, output)
            }
            OpsKind::UnTracked(preparation) => preparation.finish(output),
        }
    }

    fn packed_attention(
        packed: FloatTensor<Self>,
        heads: usize,
        options: AttentionOptions,
    ) -> FloatTensor<Self> {
        let inputs = Inputs::unpacked(packed.primitive(), heads, options);
        let (output, log_sums) = inputs.forward();
        let merged = merge_heads(&output);
        match PackedAttention.prepare::<C>([packed.node()]).compute_bound().stateful() {
            OpsKind::Tracked(preparation) => preparation.finish(Saved { inputs, output, log_sums }, merged),
            OpsKind::UnTracked(preparation) => preparation.finish(merged),
        }
    }
}

/// The backward step of [`tiled_attention`].
#[derive(Debug)]
struct TiledAttention;

/// The backward step of [`packed_attention`].
#[derive(Debug)]
struct PackedAttention;

/// What the backward step reads: shared storage, and one number a row.
#[derive(Debug, Clone)]
struct Saved {
    inputs: Inputs,
    output: FlexTensor,
    log_sums: Arc<[f32]>,
}

impl BackwardStep<Flex, 3> for TiledAttention {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let of_inputs = ops.state.inputs.backward(&ops.state.output, &ops.state.log_sums, &gradient);
        for (parent, gradient) in ops.parents.into_iter().zip(of_inputs) {
            if let Some(parent) = parent {
                gradients.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

impl BackwardStep<Flex, 1> for PackedAttention {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let [Some(parent)] = ops.parents else { return };
        let Saved { inputs, output, log_sums } = ops.state;
        let gradient = split_heads(&gradient.to_contiguous(), inputs.sizes().heads, 1, 0);
        let gradient = pack(&inputs.backward(&output, &log_sums, &gradient));
        gradients.register::<Flex>(parent.id, gradient);
    }
}

/// Part `part` of `parts` beside each other in the contiguous [batch, time, parts * heads * width], as a view
/// [batch, heads, time, width] of the same storage.
fn split_heads(packed: &FlexTensor, heads: usize, parts: usize, part: usize) -> FlexTensor {
    let [batch, time, all] = packed.layout().shape().dims();
    let width = all / parts / heads;
    let strides = [time * all, width, all, 1].map(usize::cast_signed).to_vec();
    let offset = packed.layout().start_offset() + part * heads * width;
    packed.clone().with_layout(Layout::new([batch, heads, time, width].into(), strides, offset))
}

/// [batch, heads, time, width], stored position by position, as [batch, time, heads * width].
fn merge_heads(output: &FlexTensor) -> FlexTensor {
    let [batch, heads, time, width] = output.layout().shape().dims();
    let layout = Layout::contiguous([batch, time, heads * width].into());
    output.clone().with_layout(layout)
}

/// Three tensors as [`Destination::like`] stores a part of a packed one, beside each other again.
fn pack(parts: &[FlexTensor; 3]) -> FlexTensor {
    let [batch, heads, time, width] = parts[0].layout().shape().dims();
    let row = heads * width;
    let mut packed = Vec::with_capacity(batch * time * 3 * row);
    let [query, key, value] = parts.each_ref().map(|part| part.storage::<f32>().chunks_exact(row));
    for ((query, key), value) in query.zip(key).zip(value) {
        packed.extend_from_slice(query);
        packed.extend_from_slice(key);
        packed.extend_from_slice(value);
    }
    let layout = Layout::contiguous([batch, time, 3 * row].into());
    FlexTensor::new(Bytes::from_elems(packed), layout, DType::F32)
}

/// Query, key and value in a layout that the kernels read; see [`readable`].
#[derive(Debug, Clone)]
struct Inputs {
    query: FlexTensor,
    key: FlexTensor,
    value: FlexTensor,
    options: AttentionOptions,
}

impl Inputs {
    fn new(query: &FlexTensor, key: &FlexTensor, value: &FlexTensor, options: AttentionOptions) -> Self {
        Self { query: readable(query), key: readable(key), value: readable(value), options }
    }

    /// The three parts of [batch, time, 3 * heads * width].
    fn unpacked(packed: &FlexTensor, heads: usize, options: AttentionOptions) -> Self {
        let packed = packed.to_contiguous();
        let [query, key, value] = [0, 1, 2].map(|part| split_heads(&packed, heads, 3, part));
        Self { query, key, value, options }
    }

    fn sizes(&self) -> Sizes {
        let [batch, heads, time, width] = self.query.layout().shape().dims();
        Sizes { batch, heads, time, width }
    }

    /// The output, and the logarithms of the rows' sums of exponentials.
    fn forward(&self) -> (FlexTensor, Arc<[f32]>) {
        let sizes = self.sizes();
        let mut output = Destination::like(&self.query);
        let mut log_sums = vec![0.0; sizes.batch * sizes.heads * sizes.time];
        self.with_problem(|problem| {
            dispatch(
                instruction_set(),
                Forward { problem, output: output.view_mut(), log_sums: &mut log_sums },
            );
        });
        (output.into_tensor(), log_sums.into())
    }

    /// The gradients of query, key and value, from the gradient of the output.
    fn backward(&self, output: &FlexTensor, log_sums: &[f32], gradient: &FlexTensor) -> [FlexTensor; 3] {
        let gradient = readable(gradient);
        let mut gradients = [&self.query, &self.key, &self.value].map(Destination::like);
        let [query_gradient, key_gradient, value_gradient] = gradients.each_mut().map(Destination::view_mut);
        self.with_problem(|problem| {
            dispatch(
                instruction_set(),
                Backward {
                    problem,
                    output: view(output),
                    log_sums,
                    gradient: view(&gradient),
                    query_gradient,
                    key_gradient,
                    value_gradient,
                },
            );
        });
        gradients.map(Destination::into_tensor)
    }

    fn with_problem(&self, run: impl FnOnce(Problem<'_>)) {
        let sizes = self.sizes();
        let visibility: Vec<kernel::Visibility> =
            (0..sizes.batch).map(|element| self.options.visibility(element, sizes.time)).collect();
        run(Problem {
            sizes,
            query: view(&self.query),
            key: view(&self.key),
            value: view(&self.value),
            visibility: &visibility,
            slopes: &self.options.slopes(sizes.heads),
        });
    }
}

/// The tensor with rows that are contiguous and apart, in any order of batch, heads and time; a copy only where the
/// tensor is not so already.
fn readable(tensor: &FlexTensor) -> FlexTensor {
    let [_, _, time, width]: [usize; 4] = tensor.layout().shape().dims();
    let strides = tensor.layout().strides();
    let rows_are_contiguous = width == 1 || strides[3] == 1;
    let rows_are_apart = time == 1 || strides[2] >= width.cast_signed();
    let is_readable = rows_are_contiguous && rows_are_apart && strides.iter().all(|stride| *stride >= 0);
    if is_readable { tensor.clone() } else { tensor.to_contiguous() }
}

/// A readable tensor as the kernels see it.
fn view(tensor: &FlexTensor) -> View<'_> {
    View { values: &tensor.storage()[tensor.layout().start_offset()..], strides: outer_strides(tensor) }
}

/// The distances of neighbours along batch, heads and time.
fn outer_strides(tensor: &FlexTensor) -> [usize; 3] {
    let [_, _, time, width]: [usize; 4] = tensor.layout().shape().dims();
    let mut strides = [0, 1, 2].map(|dimension| tensor.layout().strides()[dimension].unsigned_abs());
    if time == 1 {
        strides[2] = width;
    }
    strides
}

/// A tensor in the making. It takes the order of dimensions of its model, so that when heads were split off a
/// [batch, time, heads * width] tensor, merging them again costs no copy either.
struct Destination {
    values: Vec<f32>,
    strides: [usize; 3],
    shape: [usize; 4],
}

impl Destination {
    fn like(tensor: &FlexTensor) -> Self {
        let shape @ [batch, heads, time, width] = tensor.layout().shape().dims();
        let [_, head_stride, time_stride] = outer_strides(tensor);
        let (head_stride, time_stride) =
            if time_stride > head_stride { (width, heads * width) } else { (time * width, width) };
        Self {
            values: vec![0.0; batch * heads * time * width],
            strides: [heads * time * width, head_stride, time_stride],
            shape,
        }
    }

    fn view_mut(&mut self) -> ViewMut<'_> {
        ViewMut { values: &mut self.values, strides: self.strides }
    }

    fn into_tensor(self) -> FlexTensor {
        let [batch, head, time] = self.strides.map(usize::cast_signed);
        let layout = Layout::new(self.shape.into(), vec![batch, head, time, 1], 0);
        FlexTensor::new(Bytes::from_elems(self.values), layout, DType::F32)
    }
}

#[cfg(test)]
mod tests {
    use super::tiled_attention;
    use crate::attention::AttentionOptions;
    use burn::backend::Flex;
    use burn::tensor::{Device, Tensor, TensorData};

    #[test]
    fn splitting_and_merging_heads_costs_no_copy() {
        let values: Vec<f32> = (0..2 * 5 * 3 * 4).map(|i| (i as f32).sin()).collect();
        let by_time = Tensor::<4>::from_data(TensorData::new(values, [2, 5, 3, 4]), &Device::flex());
        let by_head = by_time.clone().swap_dims(1, 2); // [batch, heads, time, width], a view
        let is_contiguous =
            |tensor: Tensor<4>| tensor.try_into_primitive::<Flex>().unwrap().layout().is_contiguous();
        assert!(!is_contiguous(by_head.clone()));
        let output = tiled_attention(by_head.clone(), by_head.clone(), by_head, &AttentionOptions::default());
        assert!(is_contiguous(output.swap_dims(1, 2)));
    }
}
