//! One position of a sequence: from pre-activations to the next state, and the derivative of that.
//!
//! All slices hold `[unit, lane]` with the kernel's lanes innermost, gates one after the other. The
//! equations are those of PyTorch; `mod.rs` states them.

use super::vector::Vector;

/// The recurrent cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CellKind {
    /// Simple recurrence with the hyperbolic tangent (Elman 1990).
    Tanh,
    /// Simple recurrence with the rectifier (Le, Jaitly and Hinton 2015).
    Relu,
    /// Simple recurrence without a squashing function, whose gradients have a closed form.
    Linear,
    /// Long short-term memory with a forget gate (Hochreiter and Schmidhuber 1997; Gers et al. 2000).
    Lstm,
    /// Gated recurrent unit, the reset gate applied after the product (Cho et al. 2014, as in cuDNN).
    Gru,
}

impl CellKind {
    /// Gates, or columns of the weights a hidden unit: LSTM input, forget, candidate, output; GRU reset,
    /// update, candidate.
    #[must_use]
    pub const fn gates(self) -> usize {
        match self {
            Self::Tanh | Self::Relu | Self::Linear => 1,
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    /// Values a hidden unit that a step computes: the gates, and for the GRU also the recurrent term of its
    /// candidate, which the reset gate keeps apart.
    pub(super) const fn rows(self) -> usize {
        match self {
            Self::Tanh | Self::Relu | Self::Linear => 1,
            Self::Lstm | Self::Gru => 4,
        }
    }
}

/// `h = f(z)`, in place and copied to `hidden`.
#[inline(always)]
pub(super) fn simple<V: Vector>(kind: CellKind, gates: &mut [f32], hidden: &mut [f32]) {
    for at in (0..hidden.len()).step_by(V::WIDTH) {
        let z = V::load(gates, at);
        let h = match kind {
            CellKind::Linear => z,
            CellKind::Relu => z.rectified(),
            _ => z.tanh(),
        };
        h.store(gates, at);
        h.store(hidden, at);
    }
}

/// `dz = f'(z) dh`, with `f'` read off the state: `1 - h^2`, whether `h` is positive, or 1.
#[inline(always)]
pub(super) fn simple_backward<V: Vector>(
    kind: CellKind,
    gates: &[f32],
    d_hidden: &mut [f32],
    d_gates: &mut [f32],
) {
    let one = V::splat(1.0);
    for at in (0..d_hidden.len()).step_by(V::WIDTH) {
        let (h, dh) = (V::load(gates, at), V::load(d_hidden, at));
        let dz = match kind {
            CellKind::Linear => dh,
            CellKind::Relu => dh.where_positive(h),
            _ => dh * (one - h * h),
        };
        dz.store(d_gates, at);
        V::splat(0.0).store(d_hidden, at);
    }
}

/// `c = f c' + i g`, `h = o tanh(c)`, the gates activated in place.
#[inline(always)]
pub(super) fn lstm<V: Vector>(gates: &mut [f32], cell_before: &[f32], cell: &mut [f32], hidden: &mut [f32]) {
    let size = hidden.len();
    for at in (0..size).step_by(V::WIDTH) {
        let i = V::load(gates, at).sigmoid();
        let f = V::load(gates, at + size).sigmoid();
        let g = V::load(gates, at + 2 * size).tanh();
        let o = V::load(gates, at + 3 * size).sigmoid();
        let c = f * V::load(cell_before, at) + i * g;
        i.store(gates, at);
        f.store(gates, at + size);
        g.store(gates, at + 2 * size);
        o.store(gates, at + 3 * size);
        c.store(cell, at);
        (o * c.tanh()).store(hidden, at);
    }
}

/// The derivative of [`lstm`]: `d_cell` arrives as the gradient from the next step and leaves as that for
/// the one before.
#[inline(always)]
pub(super) fn lstm_backward<V: Vector>(
    gates: &[f32],
    cell_before: &[f32],
    cell: &[f32],
    d_hidden: &mut [f32],
    d_cell: &mut [f32],
    d_gates: &mut [f32],
) {
    let size = d_hidden.len();
    let one = V::splat(1.0);
    for at in (0..size).step_by(V::WIDTH) {
        let i = V::load(gates, at);
        let f = V::load(gates, at + size);
        let g = V::load(gates, at + 2 * size);
        let o = V::load(gates, at + 3 * size);
        // Cheaper to compute again than to keep for every position.
        let squashed = V::load(cell, at).tanh();
        let dh = V::load(d_hidden, at);
        let dc = V::load(d_cell, at) + dh * o * (one - squashed * squashed);
        (dc * g * i * (one - i)).store(d_gates, at);
        (dc * V::load(cell_before, at) * f * (one - f)).store(d_gates, at + size);
        (dc * i * (one - g * g)).store(d_gates, at + 2 * size);
        (dh * squashed * o * (one - o)).store(d_gates, at + 3 * size);
        (dc * f).store(d_cell, at);
        V::splat(0.0).store(d_hidden, at);
    }
}

/// `n = tanh(a + r m)`, `h = n + z (h' - n)`, where `gates` arrives as the recurrent term of the candidate
/// `m`, then the pre-activations of `r` and `z`, then the candidate's input term `a`, and leaves as `m, r,
/// z, n`.
#[inline(always)]
pub(super) fn gru<V: Vector>(gates: &mut [f32], hidden_before: &[f32], hidden: &mut [f32]) {
    let size = hidden.len();
    for at in (0..size).step_by(V::WIDTH) {
        let m = V::load(gates, at);
        let r = V::load(gates, at + size).sigmoid();
        let z = V::load(gates, at + 2 * size).sigmoid();
        let n = r.multiply_add(m, V::load(gates, at + 3 * size)).tanh();
        r.store(gates, at + size);
        z.store(gates, at + 2 * size);
        n.store(gates, at + 3 * size);
        z.multiply_add(V::load(hidden_before, at) - n, n).store(hidden, at);
    }
}

/// The derivative of [`gru`]: `d_hidden` leaves as the part of the gradient that the update gate carries
/// past the products.
#[inline(always)]
pub(super) fn gru_backward<V: Vector>(
    gates: &[f32],
    hidden_before: &[f32],
    d_hidden: &mut [f32],
    d_gates: &mut [f32],
) {
    let size = d_hidden.len();
    let one = V::splat(1.0);
    for at in (0..size).step_by(V::WIDTH) {
        let m = V::load(gates, at);
        let r = V::load(gates, at + size);
        let z = V::load(gates, at + 2 * size);
        let n = V::load(gates, at + 3 * size);
        let dh = V::load(d_hidden, at);
        let da = dh * (one - z) * (one - n * n);
        (da * r).store(d_gates, at);
        (da * m * r * (one - r)).store(d_gates, at + size);
        (dh * (V::load(hidden_before, at) - n) * z * (one - z)).store(d_gates, at + 2 * size);
        da.store(d_gates, at + 3 * size);
        (dh * z).store(d_hidden, at);
    }
}
