//! A layer over whole sequences on plain slices: forward, and back through time.
//!
//! **Augmented input.** With `u_t = [x_t; 1; h_(t-1)]` and one matrix `A = [W_input; b; W_recurrent]` of
//! `inputs + 1 + hidden` rows, a step is the single product `z_t = A' u_t`, and the gradient of all weights
//! and the bias is the single sum `dA = sum_t u_t dz_t'`. The GRU keeps the recurrent term of its candidate
//! apart; its `A` has `4 hidden` columns, of which [`Layer::blocks`] names the parts that are not zero.
//!
//! **Lanes.** Sequences are cut into chunks of as many as a register has lanes, and everything inside a
//! chunk is `[position, value, lane]`. A product then broadcasts weights against whole registers, gates are
//! squashed a register at a time, and no hidden size leaves lanes empty. A chunk that the batch does not
//! fill repeats the last sequence: its lanes stay finite where the sequence does, receive no gradient, and
//! so add exactly nothing.
//!
//! **Order.** A chunk runs through all positions before the next begins, so that its state stays in the
//! first cache and the weights in the second. Gradients of the weights are added up every [`BLOCK`]
//! positions, while those are still near; they are summed over lanes last.

use super::buffer::Buffer;
use super::cell::{self, CellKind};
use super::product::{Panels, Rows, add_outer};
#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::vector::{Portable, Vector};
use crate::cost;
use crate::instruction_set::InstructionSet;
use core::ops::Range;

/// Positions whose weight gradients are summed at once.
const BLOCK: usize = 32;

/// The sizes of one layer over one batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer {
    pub(super) kind: CellKind,
    pub(super) batch: usize,
    pub(super) time: usize,
    pub(super) inputs: usize,
    pub(super) hidden: usize,
}

/// A part of the augmented matrix that is not zero.
struct Block {
    inputs: Range<usize>,
    gates: Range<usize>,
}

impl Layer {
    /// Rows of the augmented matrix: inputs, the constant 1, hidden units.
    fn depth(&self) -> usize {
        self.inputs + 1 + self.hidden
    }

    /// Multiply-adds of one forward pass, the constant's left out.
    fn multiply_adds(&self) -> usize {
        self.batch * self.time * (self.inputs + self.hidden) * self.kind.gates() * self.hidden
    }

    /// Columns of the augmented matrix. GRU: recurrent term of the candidate, reset, update, input term of
    /// the candidate.
    fn width(&self) -> usize {
        self.kind.rows() * self.hidden
    }

    /// The parts of the augmented matrix that are not zero.
    fn blocks(&self) -> Vec<Block> {
        let (constant, depth, hidden) = (self.inputs, self.depth(), self.hidden);
        if self.kind == CellKind::Gru {
            vec![
                Block { inputs: constant..depth, gates: 0..hidden },
                Block { inputs: 0..depth, gates: hidden..3 * hidden },
                Block { inputs: 0..constant + 1, gates: 3 * hidden..4 * hidden },
            ]
        } else {
            vec![Block { inputs: 0..depth, gates: 0..self.width() }]
        }
    }

    /// Columns that the inputs reach, in the order of the input weights.
    fn input_gates(&self) -> Range<usize> {
        self.width() - self.kind.gates() * self.hidden..self.width()
    }

    /// Columns that the hidden state reaches; the GRU's candidate comes first here and last in the recurrent
    /// weights.
    fn recurrent_gates(&self) -> Range<usize> {
        0..self.kind.gates() * self.hidden
    }

    /// Pairs of column ranges that hold the same entries: of the recurrent weights, and of the augmented
    /// matrix.
    fn recurrent_columns(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let hidden = self.hidden;
        if self.kind == CellKind::Gru {
            vec![(0..2 * hidden, hidden..3 * hidden), (2 * hidden..3 * hidden, 0..hidden)]
        } else {
            vec![(0..self.width(), 0..self.width())]
        }
    }
}

/// The parameters of a layer, row-major as in [`super::RecurrentWeights`]; `recurrent_bias` is read for the
/// GRU only.
#[derive(Clone, Copy)]
pub(super) struct Parameters<'a> {
    pub(super) input: &'a [f32],
    pub(super) recurrent: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) recurrent_bias: &'a [f32],
}

/// Data of one forward pass, row-major; `cell` is read for the LSTM only.
#[derive(Clone, Copy)]
pub(super) struct Data<'a> {
    /// `[batch, time, inputs]`.
    pub(super) inputs: &'a [f32],
    /// `[batch, hidden]`.
    pub(super) hidden: &'a [f32],
    /// `[batch, hidden]`.
    pub(super) cell: &'a [f32],
}

/// What the backward pass needs of the forward pass.
#[derive(Debug)]
pub(super) struct Tape {
    layer: Layer,
    set: InstructionSet,
    /// The augmented matrix.
    matrix: Vec<f32>,
    chunks: Vec<Chunk>,
}

impl Tape {
    /// The sizes it was recorded with.
    pub(super) fn layer(&self) -> Layer {
        self.layer
    }
}

/// The states of a chunk of sequences.
#[derive(Debug)]
struct Chunk {
    /// Augmented inputs `[time + 1, depth, lane]`; the last holds only the final hidden state.
    inputs: Buffer,
    /// Activated gates `[time, width, lane]`.
    gates: Buffer,
    /// LSTM cells `[time + 1, hidden, lane]`, the initial one first.
    cells: Buffer,
}

/// Gradients of everything a layer reads, laid out like it.
#[derive(Debug)]
pub(super) struct Gradients {
    /// `None` if the caller did not want it.
    pub(super) inputs: Option<Vec<f32>>,
    pub(super) input_weights: Vec<f32>,
    pub(super) recurrent_weights: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) recurrent_bias: Vec<f32>,
    pub(super) hidden: Vec<f32>,
    pub(super) cell: Vec<f32>,
}

/// Hidden states `[batch, time, hidden]`, and with `keep` the tape for [`backward`].
pub(super) fn forward(
    set: InstructionSet,
    layer: Layer,
    parameters: Parameters,
    data: Data,
    keep: bool,
) -> (Vec<f32>, Tape) {
    let matrix = augmented(&layer, parameters);
    cost::count(layer.multiply_adds());
    cost::wait(layer.time);
    let (output, chunks) = entry::forward(set, &layer, &matrix, data, keep);
    (output, Tape { layer, set, matrix, chunks })
}

/// Gradients for `d_output`, the gradient of the hidden states `[batch, time, hidden]`.
pub(super) fn backward(tape: &Tape, d_output: &[f32], want_inputs: bool) -> Gradients {
    let layer = &tape.layer;
    // The gradients of weights and states, and those of the inputs where they are wanted.
    let unwanted = layer.batch * layer.time * layer.inputs * layer.kind.gates() * layer.hidden;
    cost::count(2 * layer.multiply_adds() - if want_inputs { 0 } else { unwanted });
    let sums = entry::backward(tape, d_output, want_inputs);
    let (width, constant) = (layer.width(), layer.inputs);
    let row = |row: usize| &sums.matrix[row * width..][..width];
    let input_row = |index: usize| &row(index)[layer.input_gates()];
    let mut recurrent_weights = vec![0.0; layer.hidden * layer.kind.gates() * layer.hidden];
    for (unit, to) in recurrent_weights.chunks_exact_mut(layer.kind.gates() * layer.hidden).enumerate() {
        for (weights, augmented) in layer.recurrent_columns() {
            to[weights].copy_from_slice(&row(constant + 1 + unit)[augmented]);
        }
    }
    Gradients {
        inputs: sums.inputs,
        input_weights: (0..layer.inputs).flat_map(input_row).copied().collect(),
        recurrent_weights,
        bias: input_row(constant).to_vec(),
        recurrent_bias: row(constant)[..layer.hidden].to_vec(),
        hidden: sums.hidden,
        cell: sums.cell,
    }
}

/// The augmented matrix `[depth, width]`.
fn augmented(layer: &Layer, parameters: Parameters) -> Vec<f32> {
    let (width, columns) = (layer.width(), layer.kind.gates() * layer.hidden);
    let mut matrix = vec![0.0; layer.depth() * width];
    let (above, below) = matrix.split_at_mut((layer.inputs + 1) * width);
    let sources = parameters.input.chunks_exact(columns).chain([parameters.bias]);
    for (to, from) in above.chunks_exact_mut(width).zip(sources) {
        to[layer.input_gates()].copy_from_slice(from);
    }
    if layer.kind == CellKind::Gru {
        above[layer.inputs * width..][..layer.hidden].copy_from_slice(parameters.recurrent_bias);
    }
    for (to, from) in below.chunks_exact_mut(width).zip(parameters.recurrent.chunks_exact(columns)) {
        for (weights, augmented) in layer.recurrent_columns() {
            to[augmented].copy_from_slice(&from[weights]);
        }
    }
    matrix
}

/// One compilation of the kernels for each instruction set.
#[cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calling a function compiled for more features than the crate")
)]
mod entry {
    #[cfg(target_arch = "x86_64")]
    use super::{Avx2, Avx512};
    use super::{Chunk, Data, InstructionSet, Layer, Portable, Sums, Tape, backward_chunks, forward_chunks};

    pub(super) fn forward(
        set: InstructionSet,
        layer: &Layer,
        matrix: &[f32],
        data: Data,
        keep: bool,
    ) -> (Vec<f32>, Vec<Chunk>) {
        assert!(set.is_supported(), "this processor does not support {set:?}");
        match set {
            // SAFETY: the processor has the features, as was just asserted.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { forward_avx512(layer, matrix, data, keep) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe { forward_avx2(layer, matrix, data, keep) },
            _ => forward_chunks::<Portable>(layer, matrix, data, keep),
        }
    }

    pub(super) fn backward(tape: &Tape, d_output: &[f32], want_inputs: bool) -> Sums {
        assert!(tape.set.is_supported(), "this processor does not support {:?}", tape.set);
        match tape.set {
            // SAFETY: the processor has the features, as was just asserted.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => unsafe { backward_avx512(tape, d_output, want_inputs) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => unsafe { backward_avx2(tape, d_output, want_inputs) },
            _ => backward_chunks::<Portable>(tape, d_output, want_inputs),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn forward_avx2(layer: &Layer, matrix: &[f32], data: Data, keep: bool) -> (Vec<f32>, Vec<Chunk>) {
        forward_chunks::<Avx2>(layer, matrix, data, keep)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn forward_avx512(layer: &Layer, matrix: &[f32], data: Data, keep: bool) -> (Vec<f32>, Vec<Chunk>) {
        forward_chunks::<Avx512>(layer, matrix, data, keep)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn backward_avx2(tape: &Tape, d_output: &[f32], want_inputs: bool) -> Sums {
        backward_chunks::<Avx2>(tape, d_output, want_inputs)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn backward_avx512(tape: &Tape, d_output: &[f32], want_inputs: bool) -> Sums {
        backward_chunks::<Avx512>(tape, d_output, want_inputs)
    }
}

#[inline(always)]
fn forward_chunks<V: Vector>(
    layer: &Layer,
    matrix: &[f32],
    data: Data,
    keep: bool,
) -> (Vec<f32>, Vec<Chunk>) {
    let (depth, width) = (layer.depth(), layer.width());
    let blocks: Vec<(Block, Panels)> = layer
        .blocks()
        .into_iter()
        .map(|block| {
            let panels = Panels::pack::<V>(block.gates.len(), block.inputs.len(), |gate, input| {
                matrix[(block.inputs.start + input) * width + block.gates.start + gate]
            });
            (block, panels)
        })
        .collect();
    let cells = if layer.kind == CellKind::Lstm { (layer.time + 1) * layer.hidden * V::WIDTH } else { 0 };
    let mut output = vec![0.0; layer.batch * layer.time * layer.hidden];
    let mut chunks = Vec::with_capacity(if keep { layer.batch.div_ceil(V::WIDTH) } else { 1 });
    for first in (0..layer.batch).step_by(V::WIDTH) {
        if keep || chunks.is_empty() {
            chunks.push(Chunk {
                inputs: Buffer::new((layer.time + 1) * depth * V::WIDTH),
                gates: Buffer::new(layer.time * width * V::WIDTH),
                cells: Buffer::new(cells),
            });
        }
        let chunk = chunks.last_mut().expect("pushed above");
        forward_chunk::<V>(layer, &blocks, data, first, chunk, &mut output);
    }
    (output, chunks)
}

#[inline(always)]
fn forward_chunk<V: Vector>(
    layer: &Layer,
    blocks: &[(Block, Panels)],
    data: Data,
    first: usize,
    chunk: &mut Chunk,
    output: &mut [f32],
) {
    let Layer { time, inputs, hidden, .. } = *layer;
    let (depth, width) = (layer.depth() * V::WIDTH, layer.width() * V::WIDTH);
    let constant = inputs * V::WIDTH..(inputs + 1) * V::WIDTH;
    let state = constant.end..depth;
    gather::<V>(data.hidden, hidden, first..layer.batch, &mut chunk.inputs[state.clone()]);
    if layer.kind == CellKind::Lstm {
        gather::<V>(data.cell, hidden, first..layer.batch, &mut chunk.cells[..hidden * V::WIDTH]);
    }
    for t in 0..time {
        let (before, after) = chunk.inputs.split_at_mut((t + 1) * depth);
        let input = &mut before[t * depth..];
        gather::<V>(
            &data.inputs[t * inputs..],
            time * inputs,
            first..layer.batch,
            &mut input[..constant.start],
        );
        input[constant.clone()].fill(1.0);
        let gates = &mut chunk.gates[t * width..][..width];
        for (block, panels) in blocks {
            panels.product::<V>(
                &input[lanes::<V>(&block.inputs)],
                &mut gates[lanes::<V>(&block.gates)],
                false,
            );
        }
        let next = &mut after[state.clone()];
        match layer.kind {
            CellKind::Tanh | CellKind::Relu | CellKind::Linear => cell::simple::<V>(layer.kind, gates, next),
            CellKind::Lstm => {
                let (cell, next_cell) = chunk.cells[t * hidden * V::WIDTH..].split_at_mut(hidden * V::WIDTH);
                cell::lstm::<V>(gates, cell, next_cell, next);
            }
            CellKind::Gru => cell::gru::<V>(gates, &input[state.clone()], next),
        }
        scatter::<V>(next, &mut output[t * hidden..], time * hidden, first..layer.batch);
    }
}

/// What the chunks add up to.
struct Sums {
    inputs: Option<Vec<f32>>,
    /// Gradient of the augmented matrix.
    matrix: Vec<f32>,
    hidden: Vec<f32>,
    cell: Vec<f32>,
}

/// The transposed parts of the augmented matrix that carry gradients back.
struct Transposed {
    inputs: Option<Panels>,
    hidden: Panels,
}

#[inline(always)]
fn backward_chunks<V: Vector>(tape: &Tape, d_output: &[f32], want_inputs: bool) -> Sums {
    let layer = &tape.layer;
    let (width, matrix) = (layer.width(), &tape.matrix);
    let (input_gates, recurrent_gates) = (layer.input_gates(), layer.recurrent_gates());
    let transposed = Transposed {
        inputs: want_inputs.then(|| {
            Panels::pack::<V>(layer.inputs, input_gates.len(), |input, gate| {
                matrix[input * width + input_gates.start + gate]
            })
        }),
        hidden: Panels::pack::<V>(layer.hidden, recurrent_gates.len(), |unit, gate| {
            matrix[(layer.inputs + 1 + unit) * width + recurrent_gates.start + gate]
        }),
    };
    let mut sums = Sums {
        inputs: want_inputs.then(|| vec![0.0; layer.batch * layer.time * layer.inputs]),
        matrix: vec![0.0; layer.depth() * width],
        hidden: vec![0.0; layer.batch * layer.hidden],
        cell: vec![0.0; layer.batch * layer.hidden],
    };
    let mut scratch = Scratch::new::<V>(layer);
    for (chunk, first) in tape.chunks.iter().zip((0..layer.batch).step_by(V::WIDTH)) {
        backward_chunk::<V>(layer, &transposed, chunk, first, d_output, &mut scratch, &mut sums);
    }
    sums
}

/// Working memory of the backward pass, shared by all chunks.
struct Scratch {
    d_output: Buffer,
    d_hidden: Buffer,
    d_cell: Buffer,
    d_gates: Buffer,
    d_inputs: Buffer,
    /// Augmented inputs of a block of positions, `[depth, position, lane]`.
    block_inputs: Buffer,
    /// Gradients of the gates of a block of positions, `[width, position, lane]`.
    block_gates: Buffer,
}

impl Scratch {
    fn new<V: Vector>(layer: &Layer) -> Self {
        let buffer = |values: usize| Buffer::new(values * V::WIDTH);
        Self {
            d_output: buffer(layer.hidden),
            d_hidden: buffer(layer.hidden),
            d_cell: buffer(layer.hidden),
            d_gates: buffer(layer.width()),
            d_inputs: buffer(layer.inputs),
            block_inputs: buffer(layer.depth() * ROW),
            block_gates: buffer(layer.width() * ROW),
        }
    }
}

/// Positions between the rows of a block: odd, since rows a power of two apart would compete for the same
/// cache lines.
const ROW: usize = BLOCK + 1;

#[inline(always)]
fn backward_chunk<V: Vector>(
    layer: &Layer,
    transposed: &Transposed,
    chunk: &Chunk,
    first: usize,
    d_output: &[f32],
    scratch: &mut Scratch,
    sums: &mut Sums,
) {
    let Layer { time, inputs, hidden, .. } = *layer;
    let (depth, width) = (layer.depth() * V::WIDTH, layer.width() * V::WIDTH);
    let state = (inputs + 1) * V::WIDTH..depth;
    let sequences = first..layer.batch;
    // Lanes beyond the batch receive no gradient.
    scratch.d_output.fill(0.0);
    scratch.d_hidden.fill(0.0);
    scratch.d_cell.fill(0.0);
    let Scratch { d_output: upstream, d_hidden, d_cell, d_gates, d_inputs, block_inputs, block_gates } =
        scratch;
    let mut filled = 0;
    for t in (0..time).rev() {
        let input = &chunk.inputs[t * depth..][..depth];
        let gates = &chunk.gates[t * width..][..width];
        gather_filled::<V>(&d_output[t * hidden..], time * hidden, sequences.clone(), upstream);
        for at in (0..d_hidden.len()).step_by(V::WIDTH) {
            (V::load(d_hidden, at) + V::load(upstream, at)).store(d_hidden, at);
        }
        match layer.kind {
            CellKind::Tanh | CellKind::Relu | CellKind::Linear => {
                cell::simple_backward::<V>(layer.kind, gates, d_hidden, d_gates);
            }
            CellKind::Lstm => {
                let (cell, next_cell) = chunk.cells[t * hidden * V::WIDTH..].split_at(hidden * V::WIDTH);
                cell::lstm_backward::<V>(gates, cell, next_cell, d_hidden, d_cell, d_gates);
            }
            CellKind::Gru => cell::gru_backward::<V>(gates, &input[state.clone()], d_hidden, d_gates),
        }
        transposed.hidden.product::<V>(&d_gates[lanes::<V>(&layer.recurrent_gates())], d_hidden, true);
        if let (Some(panels), Some(to)) = (&transposed.inputs, &mut sums.inputs) {
            panels.product::<V>(&d_gates[lanes::<V>(&layer.input_gates())], d_inputs, false);
            scatter::<V>(d_inputs, &mut to[t * inputs..], time * inputs, sequences.clone());
        }
        put::<V>(input, block_inputs, filled);
        put::<V>(d_gates, block_gates, filled);
        filled += 1;
        if filled == BLOCK || t == 0 {
            let rows = |values| Rows { values, stride: ROW * V::WIDTH };
            let (left, right) = (rows(block_inputs), rows(block_gates));
            for block in layer.blocks() {
                add_outer::<V>(
                    &left,
                    block.inputs,
                    &right,
                    block.gates,
                    filled * V::WIDTH,
                    &mut sums.matrix,
                    layer.width(),
                );
            }
            filled = 0;
        }
    }
    scatter::<V>(d_hidden, &mut sums.hidden[..], hidden, sequences.clone());
    scatter::<V>(d_cell, &mut sums.cell[..], hidden, sequences);
}

/// The numbers that hold a range of values.
#[inline(always)]
fn lanes<V: Vector>(values: &Range<usize>) -> Range<usize> {
    values.start * V::WIDTH..values.end * V::WIDTH
}

/// Copies each value of a position into its row of a block.
#[inline(always)]
fn put<V: Vector>(values: &[f32], block: &mut [f32], position: usize) {
    for at in (0..values.len()).step_by(V::WIDTH) {
        V::load(values, at).store(block, at * ROW + position * V::WIDTH);
    }
}

/// Transposes one position of each sequence into `[value, lane]`; sequence `s` starts at `s * stride`. Lanes
/// beyond the last sequence repeat it.
#[inline(always)]
fn gather<V: Vector>(from: &[f32], stride: usize, sequences: Range<usize>, to: &mut [f32]) {
    for lane in 0..V::WIDTH {
        let sequence = (sequences.start + lane).min(sequences.end - 1);
        gather_lane::<V>(&from[sequence * stride..], lane, to);
    }
}

/// The same, leaving lanes beyond the last sequence as they are.
#[inline(always)]
fn gather_filled<V: Vector>(from: &[f32], stride: usize, sequences: Range<usize>, to: &mut [f32]) {
    for (lane, sequence) in sequences.take(V::WIDTH).enumerate() {
        gather_lane::<V>(&from[sequence * stride..], lane, to);
    }
}

#[inline(always)]
fn gather_lane<V: Vector>(from: &[f32], lane: usize, to: &mut [f32]) {
    for (value, row) in from.iter().zip(to.chunks_exact_mut(V::WIDTH)) {
        row[lane] = *value;
    }
}

/// The inverse of [`gather`] for the lanes that hold a sequence.
#[inline(always)]
fn scatter<V: Vector>(from: &[f32], to: &mut [f32], stride: usize, sequences: Range<usize>) {
    for (lane, sequence) in sequences.take(V::WIDTH).enumerate() {
        for (value, row) in to[sequence * stride..].iter_mut().zip(from.chunks_exact(V::WIDTH)) {
            *value = row[lane];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffer, CellKind, Data, Gradients, InstructionSet, Layer, Parameters, backward, forward};
    use crate::recurrent::noise;

    const KINDS: [CellKind; 5] =
        [CellKind::Tanh, CellKind::Relu, CellKind::Linear, CellKind::Lstm, CellKind::Gru];

    fn supported() -> impl Iterator<Item = InstructionSet> {
        InstructionSet::ALL.into_iter().filter(|set| set.is_supported())
    }

    /// A layer with numbers in it, and a linear loss on its hidden states.
    #[derive(Clone)]
    struct Problem {
        layer: Layer,
        /// Inputs, input weights, recurrent weights, bias, recurrent bias, hidden state, cell.
        values: [Vec<f32>; 7],
        /// The gradient of the loss by the hidden states.
        d_output: Vec<f32>,
    }

    impl Problem {
        fn new(kind: CellKind, batch: usize, time: usize, inputs: usize, hidden: usize) -> Self {
            let columns = kind.gates() * hidden;
            let scaled = |count, seed, scale: f32| noise(count, seed).iter().map(|x| x * scale).collect();
            let scale = 1.0 / (hidden as f32).sqrt();
            let values = [
                noise(batch * time * inputs, 1),
                scaled(inputs * columns, 2, scale),
                scaled(hidden * columns, 3, scale),
                scaled(columns, 4, scale),
                scaled(hidden, 5, scale),
                noise(batch * hidden, 6),
                noise(batch * hidden, 7),
            ];
            let layer = Layer { kind, batch, time, inputs, hidden };
            // As of a mean over sequences and positions.
            let d_output = scaled(batch * time * hidden, 8, 1.0 / (batch * time) as f32);
            Self { layer, values, d_output }
        }

        fn run(&self, set: InstructionSet) -> (Vec<f32>, super::Tape) {
            let [inputs, input, recurrent, bias, recurrent_bias, hidden, cell] =
                self.values.each_ref().map(Vec::as_slice);
            let parameters = Parameters { input, recurrent, bias, recurrent_bias };
            forward(set, self.layer, parameters, Data { inputs, hidden, cell }, true)
        }

        fn loss(&self, set: InstructionSet) -> f64 {
            let (output, _) = self.run(set);
            output.iter().zip(&self.d_output).map(|(h, d)| f64::from(*h) * f64::from(*d)).sum()
        }

        /// Hidden states, and gradients in the order of `values`.
        fn solve(&self, set: InstructionSet) -> (Vec<f32>, [Vec<f32>; 7]) {
            let (output, tape) = self.run(set);
            let Gradients { inputs, input_weights, recurrent_weights, bias, recurrent_bias, hidden, cell } =
                backward(&tape, &self.d_output, true);
            let inputs = inputs.expect("asked for");
            let (gru, lstm) = (self.layer.kind == CellKind::Gru, self.layer.kind == CellKind::Lstm);
            let recurrent_bias = if gru { recurrent_bias } else { vec![0.0; self.layer.hidden] };
            let cell = if lstm { cell } else { vec![0.0; self.values[6].len()] };
            (output, [inputs, input_weights, recurrent_weights, bias, recurrent_bias, hidden, cell])
        }

        /// The largest distance between `gradients` and central differences of the loss with step `h`,
        /// fourth order: `(8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h`.
        fn distance_to_differences(&self, set: InstructionSet, gradients: &[Vec<f32>; 7], step: f32) -> f64 {
            let mut worst: f64 = 0.0;
            for (part, gradient) in gradients.iter().enumerate() {
                for (index, &gradient) in gradient.iter().enumerate() {
                    let at = |steps: f32| {
                        let mut moved = self.clone();
                        moved.values[part][index] += steps * step;
                        moved.loss(set)
                    };
                    let difference =
                        (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * f64::from(step));
                    worst = worst.max((difference - f64::from(gradient)).abs());
                }
            }
            worst
        }
    }

    /// Every gradient of every kind on every instruction set, and the twin: one entry 2% off must be noticed.
    ///
    /// The loss is a sum of 40 hidden states of 32 bits, each within 2e-7, weighted by at most 0.1; so it is
    /// known within 1e-7, and a fourth-order difference with step 0.01 within 2e-5. The error of the formula
    /// itself is below that. The rectifier has kinks, which a smaller step avoids, at ten times the
    /// rounding.
    #[test]
    fn gradients_equal_finite_differences() {
        for kind in KINDS {
            for set in supported() {
                let problem = Problem::new(kind, 2, 5, 3, 4);
                let (step, tolerance) = if kind == CellKind::Relu { (1e-3, 2e-4) } else { (1e-2, 2e-5) };
                let (_, gradients) = problem.solve(set);
                let distance = problem.distance_to_differences(set, &gradients, step);
                assert!(distance < tolerance, "{kind:?} on {set:?}: {distance}");

                for part in 0..4 {
                    let mut wrong = gradients.clone();
                    let largest = wrong[part].iter_mut().max_by(|a, b| a.abs().total_cmp(&b.abs()));
                    *largest.expect("no part is empty") *= 1.02;
                    let distance = problem.distance_to_differences(set, &wrong, step);
                    assert!(
                        distance > tolerance,
                        "{kind:?}: a wrong gradient {part} went unnoticed: {distance}"
                    );
                }
            }
        }
    }

    #[test]
    fn instruction_sets_agree() {
        // Batches below, at and above a register; times below, at and above a block; panels with and without
        // rest.
        let sizes =
            [(1, 1, 1, 1), (1, 3, 1, 7), (3, 40, 5, 33), (16, 32, 4, 24), (17, 33, 2, 10), (5, 2, 9, 100)];
        for kind in KINDS {
            for (batch, time, inputs, hidden) in sizes {
                let problem = Problem::new(kind, batch, time, inputs, hidden);
                let (output, gradients) = problem.solve(InstructionSet::Portable);
                for set in supported() {
                    let (other_output, other_gradients) = problem.solve(set);
                    let expected = output.iter().chain(gradients.iter().flatten());
                    let found = other_output.iter().chain(other_gradients.iter().flatten());
                    for (a, b) in found.zip(expected) {
                        assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{kind:?} {set:?}: {a}, not {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn results_have_the_same_bits_whatever_the_memory_held() {
        let poison = || {
            let buffers: Vec<Buffer> = (0..20).map(|_| Buffer::new(100_000)).collect();
            for mut buffer in buffers {
                buffer.fill(f32::NAN);
            }
        };
        for kind in KINDS {
            for set in supported() {
                let problem = Problem::new(kind, 18, 35, 3, 7);
                let (output, gradients) = problem.solve(set);
                assert!(gradients.iter().flatten().all(|number| number.is_finite()));
                poison();
                assert_eq!(problem.solve(set), (output, gradients), "{kind:?} {set:?}");
            }
        }
    }

    #[test]
    fn sequences_do_not_touch_each_other() {
        for kind in KINDS {
            for set in supported() {
                let together = Problem::new(kind, 18, 6, 3, 7);
                let (states, _) = together.solve(set);
                let mut alone = Problem::new(kind, 1, 6, 3, 7);
                alone.values[0] = together.values[0][17 * 6 * 3..].to_vec();
                alone.values[5] = together.values[5][17 * 7..].to_vec();
                alone.values[6] = together.values[6][17 * 7..].to_vec();
                assert_eq!(alone.solve(set).0, states[17 * 6 * 7..], "{kind:?} {set:?}");
            }
        }
    }

    /// A lane without a sequence that started from zero inputs would grow without bound here, and infinity
    /// times a gradient of zero is not zero.
    #[test]
    fn lanes_without_a_sequence_add_nothing() {
        for set in supported() {
            let mut problem = Problem::new(CellKind::Relu, 1, 60, 1, 1);
            problem.values =
                [vec![-2.0; 60], vec![1.0], vec![100.0], vec![1.0], vec![0.0], vec![0.0], vec![0.0]];
            let (states, gradients) = problem.solve(set);
            assert!(states.iter().all(|&h| h == 0.0));
            assert!(gradients.iter().flatten().all(|&gradient| gradient == 0.0), "{gradients:?}");
        }
    }

    #[test]
    fn without_a_tape_states_are_the_same() {
        let problem = Problem::new(CellKind::Lstm, 20, 4, 3, 5);
        let [inputs, input, recurrent, bias, recurrent_bias, hidden, cell] =
            problem.values.each_ref().map(Vec::as_slice);
        let parameters = Parameters { input, recurrent, bias, recurrent_bias };
        for set in supported() {
            let (states, _) = forward(set, problem.layer, parameters, Data { inputs, hidden, cell }, false);
            assert_eq!(states, problem.solve(set).0);
        }
    }
}
