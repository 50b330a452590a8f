//! The tiled computation itself, on plain slices: one head after the other, no burn.
//!
//! **Lanes are queries.** A block of `N` vectors holds one number of each of `L = N * LANES` queries, so the
//! softmax over keys is elementwise: no reduction within a vector, and any head width works. Queries are
//! transposed once per block; keys and values enter as scalars, from wherever they are.
//!
//! **Three register blocks do the six products**, each into `R x N` (or `R x 2`) sums that stay in registers:
//! [`sum_over_width`] is `K Q^T` and `V dO^T`; [`sum_over_keys`] is `V^T P` and `K^T dS`; and [`sum_over_queries`],
//! where the vectors run along the width, is `P^T dO` and `dS^T Q`.
//!
//! Scores are kept in base 2 (`log2(e)` is part of the factor that queries are scaled by), which saves the
//! change of base in every exponential.

#![expect(
    clippy::inline_always,
    reason = "code outside the entry point is not compiled for its instruction set"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "a register block is indexed by row and vector, as its equation is"
)]

use crate::cost;
use crate::vector::{Kernel, Simd};
use std::ops::Range;

/// Vectors of queries in a block, where there are enough queries left.
const BLOCK: usize = 2;
/// Keys in a tile. The tile of scores, `TILE x BLOCK` vectors, stays in the first-level cache.
const TILE: usize = 64;
/// Tiles start and end at multiples of this many keys; every `R` divides it.
const GROUP: usize = 8;

/// The sizes of an attention problem.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) heads: usize,
    pub(super) time: usize,
    pub(super) width: usize,
}

impl Sizes {
    /// `time` up to a whole number of groups.
    fn padded_time(self) -> usize {
        self.time.next_multiple_of(GROUP)
    }

    /// `width` up to a whole number of groups.
    fn padded_width(self) -> usize {
        self.width.next_multiple_of(GROUP)
    }
}

/// A tensor [batch, heads, time, width], contiguous along the width.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) values: &'a [f32],
    /// Distance of neighbours along batch, heads and time.
    pub(super) strides: [usize; 3],
}

impl View<'_> {
    /// The rows of one head.
    fn head(&self, batch: usize, head: usize) -> Rows<'_> {
        Rows {
            values: &self.values[batch * self.strides[0] + head * self.strides[1]..],
            stride: self.strides[2],
        }
    }
}

/// As [`View`], to write to.
pub(super) struct ViewMut<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) strides: [usize; 3],
}

impl ViewMut<'_> {
    /// The rows of one head.
    fn head_mut(&mut self, batch: usize, head: usize) -> RowsMut<'_> {
        let start = batch * self.strides[0] + head * self.strides[1];
        RowsMut { values: &mut self.values[start..], stride: self.strides[2] }
    }
}

/// The rows of one head, [time, width].
#[derive(Clone, Copy)]
struct Rows<'a> {
    values: &'a [f32],
    /// At least the width.
    stride: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn row(&self, time: usize, width: usize) -> &'a [f32] {
        &self.values[time * self.stride..][..width]
    }

    /// The rows from `first`.
    #[inline(always)]
    fn from(&self, first: usize) -> Rows<'a> {
        Rows { values: &self.values[first * self.stride..], stride: self.stride }
    }

    /// The rows `first..first + R`; beyond the last, that one again.
    #[inline(always)]
    fn group<const R: usize>(&self, first: usize, time: usize, width: usize) -> [&'a [f32]; R] {
        let mut rows = [self.values; R];
        for r in 0..R {
            rows[r] = self.row((first + r).min(time - 1), width);
        }
        rows
    }
}

/// As [`Rows`], to write to.
struct RowsMut<'a> {
    values: &'a mut [f32],
    stride: usize,
}

impl RowsMut<'_> {
    #[inline(always)]
    fn row_mut(&mut self, time: usize, width: usize) -> &mut [f32] {
        &mut self.values[time * self.stride..][..width]
    }
}

/// Which keys a query sees: query `i` sees key `j` when `i - behind <= j <= i + ahead` and `j < keys`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visibility {
    pub(super) behind: Option<usize>,
    pub(super) ahead: Option<usize>,
    pub(super) keys: usize,
}

impl Visibility {
    /// The keys that at least one of the queries `first..=last` sees, in whole groups.
    fn keys(&self, first: usize, last: usize) -> Range<usize> {
        let start = self.behind.map_or(0, |behind| first.saturating_sub(behind));
        let end = self.ahead.map_or(self.keys, |ahead| self.keys.min(last + ahead + 1));
        if start < end { start - start % GROUP..end.next_multiple_of(GROUP) } else { 0..0 }
    }

    /// Whether every one of the queries `first..=last` sees every one of `keys`.
    fn is_complete(&self, first: usize, last: usize, keys: &Range<usize>) -> bool {
        keys.end <= self.keys
            && self.behind.is_none_or(|behind| last <= keys.start + behind)
            && self.ahead.is_none_or(|ahead| keys.end <= first + ahead + 1)
    }

    /// Whether query `i` sees key `j`.
    pub(super) fn sees(&self, i: usize, j: usize) -> bool {
        j < self.keys
            && self.behind.is_none_or(|behind| i <= j + behind)
            && self.ahead.is_none_or(|ahead| j <= i + ahead)
    }
}

/// What the forward and the backward pass share.
pub(super) struct Problem<'a> {
    pub(super) sizes: Sizes,
    pub(super) query: View<'a>,
    pub(super) key: View<'a>,
    pub(super) value: View<'a>,
    /// One for each batch element.
    pub(super) visibility: &'a [Visibility],
    /// The slope of each head's distance penalty, or empty.
    pub(super) slopes: &'a [f32],
}

impl Problem<'_> {
    /// The factor of the scores, `1 / sqrt(width)`.
    fn scale(&self) -> f32 {
        1.0 / (self.sizes.width as f32).sqrt()
    }
}

/// The forward pass: output, and the base-2 logarithm of each row's sum of exponentials.
pub(super) struct Forward<'a> {
    pub(super) problem: Problem<'a>,
    pub(super) output: ViewMut<'a>,
    /// [batch, heads, time]; infinite for a query that sees no key.
    pub(super) log_sums: &'a mut [f32],
}

/// The backward pass: the gradients of query, key and value.
pub(super) struct Backward<'a> {
    pub(super) problem: Problem<'a>,
    pub(super) output: View<'a>,
    pub(super) log_sums: &'a [f32],
    /// The gradient of the output.
    pub(super) gradient: View<'a>,
    pub(super) query_gradient: ViewMut<'a>,
    pub(super) key_gradient: ViewMut<'a>,
    pub(super) value_gradient: ViewMut<'a>,
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(mut self, simd: S) {
        let Sizes { batch, heads, time, .. } = self.problem.sizes;
        let mut scratch = ForwardScratch::new(simd, self.problem.sizes);
        for b in 0..batch {
            for h in 0..heads {
                let mut first = 0;
                while time - first > S::LANES {
                    forward_block::<S, R, BLOCK>(simd, &mut self, b, h, first, &mut scratch);
                    first = time.min(first + BLOCK * S::LANES);
                }
                if first < time {
                    forward_block::<S, R, 1>(simd, &mut self, b, h, first, &mut scratch);
                }
            }
        }
    }
}

/// Room for one block.
struct ForwardScratch<V> {
    /// [width][N]
    query: Vec<V>,
    /// [TILE][N]: scores, then weights before normalisation.
    weights: Vec<V>,
    /// [width][N]
    output: Vec<V>,
}

impl<V: Copy> ForwardScratch<V> {
    #[inline(always)]
    fn new<S: Simd<Vector = V>>(simd: S, sizes: Sizes) -> Self {
        let zero = simd.splat(0.0);
        Self {
            query: vec![zero; sizes.padded_width() * BLOCK],
            weights: vec![zero; TILE * BLOCK],
            output: vec![zero; sizes.padded_width() * BLOCK],
        }
    }
}

/// The queries `first..` of one head, up to `N` vectors of them, against every key they see.
#[inline(always)]
fn forward_block<S: Simd, const R: usize, const N: usize>(
    simd: S,
    pass: &mut Forward<'_>,
    b: usize,
    h: usize,
    first: usize,
    scratch: &mut ForwardScratch<S::Vector>,
) {
    let problem = &pass.problem;
    let Sizes { heads, time, width, .. } = problem.sizes;
    let count = (time - first).min(N * S::LANES);
    let visibility = &problem.visibility[b];
    let bias = Bias::<S, N>::new(simd, visibility, problem.slopes.get(h).copied(), first);
    let (keys, values) = (problem.key.head(b, h), problem.value.head(b, h));

    let query = scratch.query.as_chunks_mut::<N>().0;
    let factor = problem.scale() * std::f32::consts::LOG2_E;
    transpose_in(simd, problem.query.head(b, h), first..first + count, width, factor, query);
    let query = &query[..width];
    let output = scratch.output.as_chunks_mut::<N>().0;
    output.fill([simd.splat(0.0); N]);
    // The lowest finite number, so that a masked score (minus infinity) less the maximum is never NaN.
    let mut maximum = [simd.splat(f32::MIN); N];
    let mut sum = [simd.splat(0.0); N];

    let seen = visibility.keys(first, first + count - 1);
    for start in seen.clone().step_by(TILE) {
        let tile = start..seen.end.min(start + TILE);
        let weights = &mut scratch.weights.as_chunks_mut::<N>().0[..tile.len()];
        let biased = bias.applies(visibility, first, first + count - 1, &tile);

        let mut raised = maximum;
        for (j, scores) in tile.clone().step_by(R).zip(weights.as_chunks_mut::<R>().0) {
            let mut block = sum_over_width(simd, &keys.group::<R>(j, time, width), query);
            if biased {
                bias.add(simd, j, &mut block);
            }
            for row in &block {
                for n in 0..N {
                    raised[n] = simd.max(raised[n], row[n]);
                }
            }
            *scores = block;
        }

        // A larger maximum shrinks what was summed with the former one.
        let mut decay = raised;
        for n in 0..N {
            decay[n] = simd.exp2(simd.sub(maximum[n], raised[n]));
            sum[n] = simd.mul(sum[n], decay[n]);
        }
        maximum = raised;
        for row in weights.iter_mut() {
            for n in 0..N {
                row[n] = simd.exp2(simd.sub(row[n], maximum[n]));
                sum[n] = simd.add(sum[n], row[n]);
            }
        }
        for row in output.iter_mut() {
            for n in 0..N {
                row[n] = simd.mul(row[n], decay[n]);
            }
        }
        let existing = &weights[..time.min(tile.end) - tile.start];
        sum_over_keys::<S, R, N>(simd, values.from(tile.start), existing, &mut output[..width]);
        // Scores and outputs.
        cost::count(2 * count * existing.len() * width);
    }

    let log_sums = &mut pass.log_sums[(b * heads + h) * time + first..][..count];
    let sums = simd.floats(&sum).iter().zip(simd.floats(&maximum));
    for (log_sum, (sum, maximum)) in log_sums.iter_mut().zip(sums) {
        *log_sum = if *sum == 0.0 { f32::INFINITY } else { maximum + sum.log2() };
    }
    for sum in simd.floats_mut(&mut sum) {
        *sum = if *sum == 0.0 { 0.0 } else { 1.0 / *sum };
    }
    for row in output.iter_mut() {
        for n in 0..N {
            row[n] = simd.mul(row[n], sum[n]);
        }
    }
    transpose_out(simd, output, pass.output.head_mut(b, h), first..first + count, width);
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd, const R: usize>(mut self, simd: S) {
        let Sizes { batch, heads, time, width } = self.problem.sizes;
        let mut scratch = BackwardScratch::new(simd, self.problem.sizes);
        for b in 0..batch {
            for h in 0..heads {
                scratch.key_gradient.fill(simd.splat(0.0));
                scratch.value_gradient.fill(simd.splat(0.0));
                let mut first = 0;
                while time - first > S::LANES {
                    backward_block::<S, R, BLOCK>(simd, &mut self, b, h, first, &mut scratch);
                    first = time.min(first + BLOCK * S::LANES);
                }
                if first < time {
                    backward_block::<S, R, 1>(simd, &mut self, b, h, first, &mut scratch);
                }

                let stride = width.next_multiple_of(S::LANES);
                let keys = simd.floats(&scratch.key_gradient).chunks_exact(stride);
                let values = simd.floats(&scratch.value_gradient).chunks_exact(stride);
                let mut key_rows = self.key_gradient.head_mut(b, h);
                let mut value_rows = self.value_gradient.head_mut(b, h);
                for (j, (key, value)) in keys.zip(values).take(time).enumerate() {
                    key_rows.row_mut(j, width).copy_from_slice(&key[..width]);
                    value_rows.row_mut(j, width).copy_from_slice(&value[..width]);
                }
            }
        }
    }
}

/// Room for one block, and one head's gradient sums.
struct BackwardScratch<V> {
    /// [width][N]
    query: Vec<V>,
    /// [width][N], of the output.
    gradient: Vec<V>,
    /// [width / LANES][N * LANES]: each query's own row, along the width.
    query_rows: Vec<V>,
    /// [width / LANES][N * LANES]
    gradient_rows: Vec<V>,
    /// [TILE][N]
    weights: Vec<V>,
    /// [TILE][N]
    score_gradients: Vec<V>,
    /// [width][N]
    query_gradient: Vec<V>,
    /// [time][width / LANES]
    key_gradient: Vec<V>,
    /// [time][width / LANES]
    value_gradient: Vec<V>,
}

impl<V: Copy> BackwardScratch<V> {
    #[inline(always)]
    fn new<S: Simd<Vector = V>>(simd: S, sizes: Sizes) -> Self {
        let zero = simd.splat(0.0);
        let vectors = sizes.width.div_ceil(S::LANES);
        Self {
            query: vec![zero; sizes.padded_width() * BLOCK],
            gradient: vec![zero; sizes.padded_width() * BLOCK],
            query_rows: vec![zero; vectors * BLOCK * S::LANES],
            gradient_rows: vec![zero; vectors * BLOCK * S::LANES],
            weights: vec![zero; TILE * BLOCK],
            score_gradients: vec![zero; TILE * BLOCK],
            query_gradient: vec![zero; sizes.padded_width() * BLOCK],
            key_gradient: vec![zero; vectors * sizes.padded_time()],
            value_gradient: vec![zero; vectors * sizes.padded_time()],
        }
    }
}

/// The contribution of the queries `first..` of one head, up to `N` vectors of them, to all three gradients.
#[inline(always)]
fn backward_block<S: Simd, const R: usize, const N: usize>(
    simd: S,
    pass: &mut Backward<'_>,
    b: usize,
    h: usize,
    first: usize,
    scratch: &mut BackwardScratch<S::Vector>,
) {
    let problem = &pass.problem;
    let Sizes { heads, time, width, .. } = problem.sizes;
    let lanes = N * S::LANES;
    let vectors = width.div_ceil(S::LANES);
    let count = (time - first).min(lanes);
    let visibility = &problem.visibility[b];
    let bias = Bias::<S, N>::new(simd, visibility, problem.slopes.get(h).copied(), first);

    let (keys, values) = (problem.key.head(b, h), problem.value.head(b, h));
    let block = first..first + count;

    // Lanes without a query keep zero rows and an infinite log-sum: their weights are 0, and they add nothing.
    let mut log_sums = [simd.splat(f32::INFINITY); N];
    simd.floats_mut(&mut log_sums)[..count]
        .copy_from_slice(&pass.log_sums[(b * heads + h) * time + first..][..count]);
    let (query_rows, gradient_rows) = (problem.query.head(b, h), pass.gradient.head(b, h));
    let output_rows = pass.output.head(b, h);
    let mut overlaps = [simd.splat(0.0); N];
    for (overlap, i) in simd.floats_mut(&mut overlaps).iter_mut().zip(block.clone()) {
        *overlap = dot(output_rows.row(i, width), gradient_rows.row(i, width));
    }
    let (query, gradient) = (scratch.query.as_chunks_mut::<N>().0, scratch.gradient.as_chunks_mut::<N>().0);
    let factor = problem.scale() * std::f32::consts::LOG2_E;
    transpose_in(simd, query_rows, block.clone(), width, factor, query);
    transpose_in(simd, gradient_rows, block.clone(), width, 1.0, gradient);
    let (query, gradient) = (&query[..width], &gradient[..width]);
    copy_rows(simd, query_rows, block.clone(), width, lanes, &mut scratch.query_rows);
    let scale = simd.splat(problem.scale());
    for vector in &mut scratch.query_rows[..vectors * lanes] {
        *vector = simd.mul(*vector, scale);
    }
    copy_rows(simd, gradient_rows, block.clone(), width, lanes, &mut scratch.gradient_rows);
    let query_gradient = scratch.query_gradient.as_chunks_mut::<N>().0;
    query_gradient.fill([simd.splat(0.0); N]);

    let seen = visibility.keys(first, first + count - 1);
    for start in seen.clone().step_by(TILE) {
        let tile = start..seen.end.min(start + TILE);
        let weights = &mut scratch.weights.as_chunks_mut::<N>().0[..tile.len()];
        let score_gradients = &mut scratch.score_gradients.as_chunks_mut::<N>().0[..tile.len()];
        let biased = bias.applies(visibility, first, first + count - 1, &tile);

        let groups = weights.as_chunks_mut::<R>().0.iter_mut().zip(score_gradients.as_chunks_mut::<R>().0);
        for (j, (weights, score_gradients)) in tile.clone().step_by(R).zip(groups) {
            let mut block = sum_over_width(simd, &keys.group::<R>(j, time, width), query);
            if biased {
                bias.add(simd, j, &mut block);
            }
            for row in &mut block {
                for n in 0..N {
                    row[n] = simd.exp2(simd.sub(row[n], log_sums[n]));
                }
            }
            *weights = block;
            let mut block = sum_over_width(simd, &values.group::<R>(j, time, width), gradient);
            for r in 0..R {
                for n in 0..N {
                    block[r][n] = simd.mul(weights[r][n], simd.sub(block[r][n], overlaps[n]));
                }
            }
            *score_gradients = block;
        }

        let sums = tile.start * vectors..tile.end * vectors;
        let (flat, rows) = (simd.floats(weights.as_flattened()), &scratch.gradient_rows);
        sum_over_queries::<S, R>(simd, flat, rows, lanes, &mut scratch.value_gradient[sums.clone()]);
        let (flat, rows) = (simd.floats(score_gradients.as_flattened()), &scratch.query_rows);
        sum_over_queries::<S, R>(simd, flat, rows, lanes, &mut scratch.key_gradient[sums]);
        let existing = &score_gradients[..time.min(tile.end) - tile.start];
        sum_over_keys::<S, R, N>(simd, keys.from(tile.start), existing, &mut query_gradient[..width]);
        // Scores once more, and the gradients of weights, values, keys and queries.
        cost::count(5 * count * existing.len() * width);
    }

    for row in query_gradient.iter_mut() {
        for n in 0..N {
            row[n] = simd.mul(row[n], scale);
        }
    }
    transpose_out(simd, query_gradient, pass.query_gradient.head_mut(b, h), block, width);
}

/// What is added to the scores of a block: minus infinity for keys out of sight, and the distance penalty.
struct Bias<S: Simd, const N: usize> {
    /// The position of each query.
    positions: [S::Vector; N],
    /// Minus the penalty of each position of distance, in base 2.
    slope: Option<f32>,
    /// `i - j` of visible keys lies within these.
    nearest: f32,
    furthest: f32,
    keys: usize,
}

impl<S: Simd, const N: usize> Bias<S, N> {
    #[inline(always)]
    fn new(simd: S, visibility: &Visibility, slope: Option<f32>, first: usize) -> Self {
        let mut positions = [simd.splat(0.0); N];
        for (lane, position) in simd.floats_mut(&mut positions).iter_mut().enumerate() {
            *position = (first + lane) as f32;
        }
        Self {
            positions,
            slope: slope.map(|slope| -slope * std::f32::consts::LOG2_E),
            nearest: visibility.ahead.map_or(f32::NEG_INFINITY, |ahead| -(ahead as f32)),
            furthest: visibility.behind.map_or(f32::INFINITY, |behind| behind as f32),
            keys: visibility.keys,
        }
    }

    /// Whether it changes any score of the tile.
    fn applies(&self, visibility: &Visibility, first: usize, last: usize, tile: &Range<usize>) -> bool {
        self.slope.is_some() || !visibility.is_complete(first, last, tile)
    }

    /// Adds it to the scores of the `R` keys from `key`.
    #[inline(always)]
    fn add<const R: usize>(&self, simd: S, key: usize, scores: &mut [[S::Vector; N]; R]) {
        let hidden = simd.splat(f32::NEG_INFINITY);
        let (nearest, furthest) = (simd.splat(self.nearest), simd.splat(self.furthest));
        for (key, row) in (key..).zip(scores) {
            if key >= self.keys {
                *row = [hidden; N];
                continue;
            }
            let position = simd.splat(key as f32);
            for n in 0..N {
                let distance = simd.sub(self.positions[n], position);
                if let Some(slope) = self.slope {
                    let absolute = simd.max(distance, simd.sub(simd.splat(0.0), distance));
                    row[n] = simd.mul_add(absolute, simd.splat(slope), row[n]);
                }
                row[n] = simd.select_less(distance, nearest, hidden, row[n]);
                row[n] = simd.select_less(furthest, distance, hidden, row[n]);
            }
        }
    }
}

/// `sums[r] = sum_c rows[r][c] * vectors[c]` over the width.
#[inline(always)]
fn sum_over_width<S: Simd, const R: usize, const N: usize>(
    simd: S,
    rows: &[&[f32]; R],
    vectors: &[[S::Vector; N]],
) -> [[S::Vector; N]; R] {
    let mut sums = [[simd.splat(0.0); N]; R];
    let mut rows = *rows;
    for r in 0..R {
        rows[r] = &rows[r][..vectors.len()];
    }
    for c in 0..vectors.len() {
        for r in 0..R {
            let scalar = simd.splat(rows[r][c]);
            for n in 0..N {
                sums[r][n] = simd.mul_add(scalar, vectors[c][n], sums[r][n]);
            }
        }
    }
    sums
}

/// `sums[c] += sum_j rows[j][c] * weights[j]` over the keys `j` of a tile, for every column `c`.
#[inline(always)]
fn sum_over_keys<S: Simd, const R: usize, const N: usize>(
    simd: S,
    rows: Rows<'_>,
    weights: &[[S::Vector; N]],
    sums: &mut [[S::Vector; N]],
) {
    let (groups, rest) = sums.as_chunks_mut::<R>();
    let whole = groups.len() * R;
    for (group, sums) in groups.iter_mut().enumerate() {
        add_columns(simd, rows, group * R, weights, sums);
    }
    for (column, sum) in (whole..).zip(rest) {
        add_columns(simd, rows, column, weights, std::array::from_mut(sum));
    }
}

/// [`sum_over_keys`] for `R` columns.
#[inline(always)]
fn add_columns<S: Simd, const R: usize, const N: usize>(
    simd: S,
    rows: Rows<'_>,
    column: usize,
    weights: &[[S::Vector; N]],
    sums: &mut [[S::Vector; N]; R],
) {
    let mut block = *sums;
    for (row, weights) in rows.values.chunks(rows.stride).zip(weights) {
        let Some(scalars) = row[column..].first_chunk::<R>() else { break };
        for r in 0..R {
            let scalar = simd.splat(scalars[r]);
            for n in 0..N {
                block[r][n] = simd.mul_add(scalar, weights[n], block[r][n]);
            }
        }
    }
    *sums = block;
}

/// `sums[j] += sum_i weights[j][i] * rows[i]` over the queries `i` of a block, for every key `j` of a tile.
///
/// `weights` is [keys][lanes], `rows` [width / LANES][lanes] vectors, `sums` [keys][width / LANES] vectors.
/// Vectors along the width are taken in pairs; a last one alone takes even and odd queries in pairs instead,
/// so that there are always `2 R` sums under way.
#[inline(always)]
fn sum_over_queries<S: Simd, const R: usize>(
    simd: S,
    weights: &[f32],
    rows: &[S::Vector],
    lanes: usize,
    sums: &mut [S::Vector],
) {
    let vectors = sums.len() * lanes / weights.len();
    for (weights, sums) in weights.chunks_exact(R * lanes).zip(sums.chunks_exact_mut(R * vectors)) {
        let mut of_key = [weights; R];
        for r in 0..R {
            of_key[r] = &weights[r * lanes..][..lanes];
        }
        for vector in (0..vectors).step_by(2) {
            let mut block = [[simd.splat(0.0); 2]; R];
            let first = &rows[vector * lanes..][..lanes];
            if vector + 1 < vectors {
                let second = &rows[(vector + 1) * lanes..][..lanes];
                for i in 0..lanes {
                    for r in 0..R {
                        let weight = simd.splat(of_key[r][i]);
                        block[r][0] = simd.mul_add(weight, first[i], block[r][0]);
                        block[r][1] = simd.mul_add(weight, second[i], block[r][1]);
                    }
                }
                for r in 0..R {
                    let sum = &mut sums[r * vectors + vector + 1];
                    *sum = simd.add(*sum, block[r][1]);
                }
            } else {
                for i in (0..lanes).step_by(2) {
                    for r in 0..R {
                        block[r][0] = simd.mul_add(simd.splat(of_key[r][i]), first[i], block[r][0]);
                        block[r][1] = simd.mul_add(simd.splat(of_key[r][i + 1]), first[i + 1], block[r][1]);
                    }
                }
                for row in &mut block {
                    row[0] = simd.add(row[0], row[1]);
                }
            }
            for r in 0..R {
                let sum = &mut sums[r * vectors + vector];
                *sum = simd.add(*sum, block[r][0]);
            }
        }
    }
}

/// Transposes some rows, times `factor`, to [width][N] vectors, with zeros in lanes beyond the last row.
#[inline(always)]
fn transpose_in<S: Simd, const N: usize>(
    simd: S,
    rows: Rows<'_>,
    range: Range<usize>,
    width: usize,
    factor: f32,
    transposed: &mut [[S::Vector; N]],
) {
    let transposed = simd.floats_mut(transposed.as_flattened_mut());
    let lanes = N * S::LANES;
    for lane in (0..lanes).step_by(8) {
        for column in (0..width).step_by(8) {
            let mut block = [[0.0; 8]; 8];
            for (slots, i) in block.iter_mut().zip(range.clone().skip(lane)) {
                let row = &rows.row(i, width)[column..];
                match row.first_chunk() {
                    Some(whole) => *slots = *whole,
                    None => slots[..row.len()].copy_from_slice(row),
                }
            }
            for slots in block.as_flattened_mut() {
                *slots *= factor;
            }
            for (c, slots) in simd.transpose(block).iter().enumerate() {
                transposed[(column + c) * lanes + lane..][..8].copy_from_slice(slots);
            }
        }
    }
}

/// Transposes [width][N] vectors to some rows, the first lane to the first of them.
#[inline(always)]
fn transpose_out<S: Simd, const N: usize>(
    simd: S,
    transposed: &[[S::Vector; N]],
    mut rows: RowsMut<'_>,
    range: Range<usize>,
    width: usize,
) {
    let transposed = simd.floats(transposed.as_flattened());
    let lanes = N * S::LANES;
    for (lane, first) in (0..lanes).step_by(8).zip(range.clone().step_by(8)) {
        for column in (0..width).step_by(8) {
            let mut block = [[0.0; 8]; 8];
            for (c, slots) in block.iter_mut().enumerate() {
                slots.copy_from_slice(&transposed[(column + c) * lanes + lane..][..8]);
            }
            for (slots, i) in simd.transpose(block).iter().zip(first..range.end) {
                let row = &mut rows.row_mut(i, width)[column..];
                match row.first_chunk_mut() {
                    Some(whole) => *whole = *slots,
                    None => row.copy_from_slice(&slots[..row.len()]),
                }
            }
        }
    }
}

/// Copies some rows to [width / LANES][lanes] vectors, with zeros beyond the last row and column.
#[inline(always)]
fn copy_rows<S: Simd>(
    simd: S,
    rows: Rows<'_>,
    range: Range<usize>,
    width: usize,
    lanes: usize,
    copied: &mut [S::Vector],
) {
    if range.len() < lanes || !width.is_multiple_of(S::LANES) {
        copied.fill(simd.splat(0.0));
    }
    for (vector, copied) in copied.chunks_exact_mut(lanes).enumerate().take(width.div_ceil(S::LANES)) {
        let first = vector * S::LANES;
        for (slots, i) in simd.floats_mut(copied).chunks_exact_mut(S::LANES).zip(range.clone()) {
            let row = rows.row(i, width);
            match row.get(first..first + S::LANES) {
                Some(whole) => slots.copy_from_slice(whole),
                None => slots[..width - first].copy_from_slice(&row[first..]),
            }
        }
    }
}

/// The inner product, in eight partial sums.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::{GROUP, Visibility};

    #[test]
    fn tiles_leave_out_no_visible_key_and_call_no_hidden_one_complete() {
        let reaches = [None, Some(0), Some(3), Some(20)];
        for (behind, ahead) in reaches.into_iter().flat_map(|behind| reaches.map(|ahead| (behind, ahead))) {
            for keys in [0, 1, 17, 40] {
                let visibility = Visibility { behind, ahead, keys };
                for (first, last) in [(0, 0), (0, 15), (16, 31), (32, 39)] {
                    let visited = visibility.keys(first, last);
                    let seen = |j| (first..=last).any(|i| visibility.sees(i, j));
                    assert!((0..40).filter(|j| seen(*j)).all(|j| visited.contains(&j)), "{visibility:?}");
                    for start in visited.step_by(GROUP) {
                        let tile = start..start + GROUP;
                        let complete = (first..=last).all(|i| tile.clone().all(|j| visibility.sees(i, j)));
                        assert_eq!(
                            visibility.is_complete(first, last, &tile),
                            complete,
                            "{visibility:?}, {tile:?}"
                        );
                        assert!(tile.clone().any(seen), "{visibility:?} visits {tile:?} in vain");
                    }
                }
            }
        }
    }
}
