//! The two matrix products of a recurrent layer, with sequences of the batch in the lanes.
//!
//! - [`Panels::product`], once a step: weights times the state of `WIDTH` sequences. A panel of weight rows
//!   keeps one accumulator a row in registers for the whole product, so that nothing but weights and the
//!   state is read.
//! - [`add_outer`], once a block of steps: the gradient of the weights. A tile of it keeps `TILE x 4`
//!   accumulators and sums over the lanes at the end.
//!
//! A general matrix product would repack both operands at every step, and its tiles fit 16 columns poorly.

use super::vector::Vector;
use core::ops::Range;

/// A matrix `[outputs, depth]` for repeated products, stored panel by panel, each `[depth, height]`, so that
/// a product reads it from front to back.
pub(super) struct Panels {
    weights: Vec<f32>,
    outputs: usize,
    depth: usize,
}

/// Rows of the next panel when so many are left: whole panels, then the smallest third that holds the rest.
const fn height<V: Vector>(left: usize) -> usize {
    if left > V::PANEL / 3 * 2 {
        V::PANEL
    } else if left > V::PANEL / 3 {
        V::PANEL / 3 * 2
    } else {
        V::PANEL / 3
    }
}

impl Panels {
    /// Packs the matrix whose entry at `(output, depth)` is `weight(output, depth)`.
    pub(super) fn pack<V: Vector>(
        outputs: usize,
        depth: usize,
        weight: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let mut weights = Vec::with_capacity((outputs + V::PANEL) * depth);
        let mut first = 0;
        while first < outputs {
            let height = height::<V>(outputs - first);
            for column in 0..depth {
                // Rows beyond the matrix are computed as zeros and dropped.
                weights.extend(
                    (first..first + height).map(|row| if row < outputs { weight(row, column) } else { 0.0 }),
                );
            }
            first += height;
        }
        Self { weights, outputs, depth }
    }

    /// `output = matrix * input`, or with `add` set, `output += matrix * input`;
    /// `input` is `[depth, lane]`, `output` is `[outputs, lane]`.
    #[inline(always)]
    pub(super) fn product<V: Vector>(&self, input: &[f32], output: &mut [f32], add: bool) {
        assert_eq!(input.len(), self.depth * V::WIDTH, "input of a product");
        assert_eq!(output.len(), self.outputs * V::WIDTH, "output of a product");
        let mut weights = self.weights.as_slice();
        let mut rows = output;
        while !rows.is_empty() {
            let left = rows.len() / V::WIDTH;
            let height = height::<V>(left);
            let (panel, next_weights) = weights.split_at(height * self.depth);
            let (chunk, next_rows) = rows.split_at_mut(height.min(left) * V::WIDTH);
            // Nested, so that only the heights of this vector are compiled.
            match V::PANEL {
                24 => match height {
                    24 => panel_product::<V, 24>(panel, input, chunk, add),
                    16 => panel_product::<V, 16>(panel, input, chunk, add),
                    _ => panel_product::<V, 8>(panel, input, chunk, add),
                },
                12 => match height {
                    12 => panel_product::<V, 12>(panel, input, chunk, add),
                    8 => panel_product::<V, 8>(panel, input, chunk, add),
                    _ => panel_product::<V, 4>(panel, input, chunk, add),
                },
                _ => match height {
                    6 => panel_product::<V, 6>(panel, input, chunk, add),
                    4 => panel_product::<V, 4>(panel, input, chunk, add),
                    _ => panel_product::<V, 2>(panel, input, chunk, add),
                },
            }
            (weights, rows) = (next_weights, next_rows);
        }
    }
}

#[inline(always)]
fn panel_product<V: Vector, const HEIGHT: usize>(
    panel: &[f32],
    input: &[f32],
    output: &mut [f32],
    add: bool,
) {
    let mut sums = [V::splat(0.0); HEIGHT];
    for (weights, values) in panel.chunks_exact(HEIGHT).zip(input.chunks_exact(V::WIDTH)) {
        let value = V::load(values, 0);
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum = value.multiply_add(V::splat(*weight), *sum);
        }
    }
    if output.len() == HEIGHT * V::WIDTH {
        for (row, sum) in sums.into_iter().enumerate() {
            let at = row * V::WIDTH;
            let sum = if add { V::load(output, at) + sum } else { sum };
            sum.store(output, at);
        }
    } else {
        // The widest panel of the widest register. Indexing `sums` by a variable would move it out of
        // registers.
        let mut rows = [0.0; 24 * 16];
        for (row, sum) in sums.into_iter().enumerate() {
            sum.store(&mut rows, row * V::WIDTH);
        }
        for at in (0..output.len()).step_by(V::WIDTH) {
            let sum = V::load(&rows, at);
            let sum = if add { V::load(output, at) + sum } else { sum };
            sum.store(output, at);
        }
    }
}

/// Values of several consecutive positions, one row of `length` numbers each quantity.
pub(super) struct Rows<'a> {
    /// The numbers; row `r` starts at `r * stride`.
    pub(super) values: &'a [f32],
    /// Numbers between the starts of two rows.
    pub(super) stride: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn row(&self, index: usize, length: usize) -> &'a [f32] {
        &self.values[index * self.stride..][..length]
    }
}

/// Numbers of `left` that a pass over the columns reads again and again: 24 KiB, half of a first-level cache.
const RESIDENT: usize = 6 * 1024;

/// Adds to `gradient[row, column]` the inner product of `left`'s row and `right`'s row `column` over
/// `length` numbers, for the given ranges; `gradient` has `width` columns.
#[inline(always)]
pub(super) fn add_outer<V: Vector>(
    left: &Rows,
    rows: Range<usize>,
    right: &Rows,
    columns: Range<usize>,
    length: usize,
    gradient: &mut [f32],
    width: usize,
) {
    // Rows that stay in the first cache while the columns, too many for it, stream past them.
    let resident = (RESIDENT / length.max(1)).next_multiple_of(V::TILE);
    for first in rows.clone().step_by(resident) {
        for column in columns.clone().step_by(4) {
            for row in (first..rows.end.min(first + resident)).step_by(V::TILE) {
                let corner = (row, rows.end, column, columns.end);
                match V::TILE {
                    6 => add_tile::<V, 6>(left, right, corner, length, gradient, width),
                    3 => add_tile::<V, 3>(left, right, corner, length, gradient, width),
                    _ => add_tile::<V, 1>(left, right, corner, length, gradient, width),
                }
            }
        }
    }
}

#[inline(always)]
fn add_tile<V: Vector, const TILE: usize>(
    left: &Rows,
    right: &Rows,
    (row, row_end, column, column_end): (usize, usize, usize, usize),
    length: usize,
    gradient: &mut [f32],
    width: usize,
) {
    // Beyond the edge the last row stands in; its sums are dropped.
    let mut lefts = [left.row(row, length); TILE];
    for (offset, values) in lefts.iter_mut().enumerate() {
        *values = left.row((row + offset).min(row_end - 1), length);
    }
    let mut rights = [right.row(column, length); 4];
    for (offset, values) in rights.iter_mut().enumerate() {
        *values = right.row((column + offset).min(column_end - 1), length);
    }
    let mut sums = [[V::splat(0.0); 4]; TILE];
    let mut at = 0;
    while at + V::WIDTH <= length {
        let mut right = [V::splat(0.0); 4];
        for (value, values) in right.iter_mut().zip(rights) {
            *value = V::load(values, at);
        }
        for (sums, values) in sums.iter_mut().zip(lefts) {
            let left = V::load(values, at);
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = left.multiply_add(right, *sum);
            }
        }
        at += V::WIDTH;
    }
    for (row, sums) in (row..).zip(sums) {
        let sums = V::sums(sums);
        if row < row_end {
            let start = row * width + column;
            let entries = &mut gradient[start..start + 4.min(column_end - column)];
            for (entry, sum) in entries.iter_mut().zip(sums) {
                *entry += sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Panels, Rows, add_outer};
    use crate::recurrent::noise;
    use crate::recurrent::vector::{Vector, on_every_vector};

    #[test]
    fn products_of_every_size_equal_the_definition() {
        fn check<V: Vector>() {
            // Around every panel height of every vector, and several panels.
            for outputs in (1..=26).chain([40, 48, 49, 100]) {
                for depth in [1, 3, 20] {
                    let (matrix, input) = (noise(outputs * depth, 1), noise(depth * V::WIDTH, 2));
                    let panels =
                        Panels::pack::<V>(outputs, depth, |row, column| matrix[row * depth + column]);
                    let mut output = vec![f32::NAN; outputs * V::WIDTH];
                    panels.product::<V>(&input, &mut output, false);
                    panels.product::<V>(&input, &mut output, true);
                    for row in 0..outputs {
                        for lane in 0..V::WIDTH {
                            let terms =
                                (0..depth).map(|k| matrix[row * depth + k] * input[k * V::WIDTH + lane]);
                            let expected = 2.0 * terms.sum::<f32>();
                            assert!((output[row * V::WIDTH + lane] - expected).abs() < 1e-5);
                        }
                    }
                }
            }
        }
        on_every_vector!(check);
    }

    #[test]
    fn outer_products_fill_their_range_and_nothing_else() {
        fn check<V: Vector>() {
            for (rows, columns) in [(0..1, 0..1), (1..8, 2..5), (0..13, 0..11), (3..13, 4..8)] {
                let (length, stride, width) = (3 * V::WIDTH, 4 * V::WIDTH, 11);
                let (left, right) = (noise(13 * stride, 3), noise(11 * stride, 4));
                let mut gradient = vec![1.0; 13 * width];
                add_outer::<V>(
                    &Rows { values: &left, stride },
                    rows.clone(),
                    &Rows { values: &right, stride },
                    columns.clone(),
                    length,
                    &mut gradient,
                    width,
                );
                for (index, &found) in gradient.iter().enumerate() {
                    let (row, column) = (index / width, index % width);
                    let terms = (0..length).map(|k| left[row * stride + k] * right[column * stride + k]);
                    let inside = rows.contains(&row) && columns.contains(&column);
                    let expected = if inside { 1.0 + terms.sum::<f32>() } else { 1.0 };
                    assert!(
                        (found - expected).abs() < 1e-5,
                        "entry {row}, {column}: {found}, not {expected}"
                    );
                }
            }
        }
        on_every_vector!(check);
    }
}
