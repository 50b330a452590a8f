//! A register full of numbers, one sequence of the batch a lane, and the two squashing functions on it.
//!
//! The kernels are written once over [`Vector`] and compiled for [`Portable`], `Avx2` and `Avx512`. Every
//! function here and above is `inline(always)`, so that it takes on the features of the entry point it ends
//! in.

use core::ops::{Add, Div, Mul, Sub};

/// A register of `WIDTH` lanes, and how many of them the kernels may hold at a time.
pub(super) trait Vector:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// Lanes.
    const WIDTH: usize;
    /// Rows of a panel of the step product: as many accumulators as the register file holds beside operands.
    const PANEL: usize;
    /// Rows of a tile of the weight gradient, which is four columns wide.
    const TILE: usize;

    /// Reads `WIDTH` numbers from `from[at..]`.
    fn load(from: &[f32], at: usize) -> Self;

    /// Writes `WIDTH` numbers to `to[at..]`.
    fn store(self, to: &mut [f32], at: usize);

    /// The same number in all lanes.
    fn splat(value: f32) -> Self;

    /// `self * factor + term`.
    fn multiply_add(self, factor: Self, term: Self) -> Self;

    /// Limits the lanes to `[-limit, limit]`; NaN stays, so that a diverging network is seen to diverge.
    fn clamp(self, limit: f32) -> Self;

    /// `max(self, 0)`; NaN stays.
    fn rectified(self) -> Self;

    /// The lanes of `self` where those of `sign` are positive, else 0.
    fn where_positive(self, sign: Self) -> Self;

    /// The sums over the lanes of four registers.
    fn sums(rows: [Self; 4]) -> [f32; 4];

    /// Hyperbolic tangent, by the rational minimax approximation of degree 13 over 6 from Eigen
    /// (`generic_fast_tanh_float`): relative error below `4e-7`, odd, never beyond 1.
    #[inline(always)]
    fn tanh(self) -> Self {
        // Beyond this the tangent is nearer to 1 than the error.
        let x = self.clamp(7.905_311);
        let square = x * x;
        let mut numerator = Self::splat(-2.760_768_4e-16);
        for coefficient in
            [2.000_188e-13, -8.604_672e-11, 5.122_297_3e-8, 1.485_722_35e-5, 6.372_619_5e-4, 4.893_524_6e-3]
        {
            numerator = numerator.multiply_add(square, Self::splat(coefficient));
        }
        let mut denominator = Self::splat(1.198_258_4e-6);
        for coefficient in [1.185_347_1e-4, 2.268_434_7e-3, 4.893_525e-3] {
            denominator = denominator.multiply_add(square, Self::splat(coefficient));
        }
        x * numerator / denominator
    }

    /// Logistic function `1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2`, within `2.5e-7`.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let half = Self::splat(0.5);
        (self * half).tanh().multiply_add(half, half)
    }
}

/// Eight lanes in plain Rust, which the compiler lays out over the target's baseline registers.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 8]);

macro_rules! lanewise {
    ($operator:ident, $name:ident, $symbol:tt) => {
        impl $operator for Portable {
            type Output = Self;

            #[inline(always)]
            fn $name(mut self, other: Self) -> Self {
                for (mine, theirs) in self.0.iter_mut().zip(other.0) {
                    *mine $symbol theirs;
                }
                self
            }
        }
    };
}

lanewise!(Add, add, +=);
lanewise!(Sub, sub, -=);
lanewise!(Mul, mul, *=);
lanewise!(Div, div, /=);

impl Vector for Portable {
    const WIDTH: usize = 8;
    const PANEL: usize = 6;
    const TILE: usize = 1;

    #[inline(always)]
    fn load(from: &[f32], at: usize) -> Self {
        let mut lanes = [0.0; 8];
        lanes.copy_from_slice(&from[at..at + 8]);
        Self(lanes)
    }

    #[inline(always)]
    fn store(self, to: &mut [f32], at: usize) {
        to[at..at + 8].copy_from_slice(&self.0);
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; 8])
    }

    #[inline(always)]
    fn multiply_add(self, factor: Self, term: Self) -> Self {
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            let mut sum = self;
            for ((sum, factor), term) in sum.0.iter_mut().zip(factor.0).zip(term.0) {
                *sum = sum.mul_add(factor, term);
            }
            sum
        } else {
            // A library call a lane, where the baseline has no such instruction.
            self * factor + term
        }
    }

    #[inline(always)]
    fn clamp(mut self, limit: f32) -> Self {
        for lane in &mut self.0 {
            *lane = lane.clamp(-limit, limit);
        }
        self
    }

    #[inline(always)]
    fn rectified(mut self) -> Self {
        for lane in &mut self.0 {
            *lane = if *lane < 0.0 { 0.0 } else { *lane };
        }
        self
    }

    #[inline(always)]
    fn where_positive(mut self, sign: Self) -> Self {
        for (lane, sign) in self.0.iter_mut().zip(sign.0) {
            *lane = if sign > 0.0 { *lane } else { 0.0 };
        }
        self
    }

    // Where the compiler sees these sums behind the loop that fills the rows, it lays the rows out for them,
    // and shuffles in the loop.
    #[inline(never)]
    fn sums(rows: [Self; 4]) -> [f32; 4] {
        let mut sums = [0.0; 4];
        for (sum, Self([a, b, c, d, e, f, g, h])) in sums.iter_mut().zip(rows) {
            *sum = ((a + e) + (c + g)) + ((b + f) + (d + h));
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

/// Thin names over the intrinsics.
///
/// Their blocks share one argument. The types are reachable only through the two entry points of
/// `sequence.rs` that enable the features, after `InstructionSet::is_supported` found them on this processor
/// (in tests, after the same check); loads and stores go through slices whose length was checked.
#[cfg(target_arch = "x86_64")]
#[expect(
    unsafe_code,
    reason = "vector intrinsics have no safe interface outside functions with their features"
)]
mod x86 {
    use super::{Add, Div, Mul, Sub, Vector};
    use core::arch::x86_64::{
        __m256, __m512, _CMP_GT_OQ, _mm_add_ps, _mm_storeu_ps, _mm256_add_ps, _mm256_and_ps,
        _mm256_castpd_ps, _mm256_castps256_ps128, _mm256_cmp_ps, _mm256_div_ps, _mm256_extractf128_ps,
        _mm256_fmadd_ps, _mm256_hadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_min_ps, _mm256_mul_ps,
        _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm256_sub_ps, _mm512_add_ps, _mm512_castpd_ps,
        _mm512_castps_pd, _mm512_castps512_ps256, _mm512_cmp_ps_mask, _mm512_div_ps, _mm512_extractf64x4_pd,
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_maskz_mov_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps,
        _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps, _mm512_unpackhi_pd,
        _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };

    /// Eight lanes; 16 registers.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx2(__m256);

    /// Sixteen lanes; 32 registers.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Avx512(__m512);

    macro_rules! operators {
        ($vector:ident, $($operator:ident $name:ident $intrinsic:ident),*) => {$(
            impl $operator for $vector {
                type Output = Self;

                #[inline(always)]
                fn $name(self, other: Self) -> Self {
                    // SAFETY: the processor has the features, see the module.
                    Self(unsafe { $intrinsic(self.0, other.0) })
                }
            }
        )*};
    }

    operators!(Avx2, Add add _mm256_add_ps, Sub sub _mm256_sub_ps);
    operators!(Avx2, Mul mul _mm256_mul_ps, Div div _mm256_div_ps);
    operators!(Avx512, Add add _mm512_add_ps, Sub sub _mm512_sub_ps);
    operators!(Avx512, Mul mul _mm512_mul_ps, Div div _mm512_div_ps);

    impl Vector for Avx2 {
        const WIDTH: usize = 8;
        // 12 accumulators, the input and a weight.
        const PANEL: usize = 12;
        // 3 x 4 accumulators, 3 + 1 operands.
        const TILE: usize = 3;

        #[inline(always)]
        fn load(from: &[f32], at: usize) -> Self {
            let from = &from[at..at + Self::WIDTH];
            // SAFETY: the slice has 8 numbers, and the processor has the features.
            Self(unsafe { _mm256_loadu_ps(from.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut [f32], at: usize) {
            let to = &mut to[at..at + Self::WIDTH];
            // SAFETY: the slice has 8 numbers, and the processor has the features.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: the processor has the features.
            Self(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        fn multiply_add(self, factor: Self, term: Self) -> Self {
            // SAFETY: the processor has the features.
            Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, term.0) })
        }

        #[inline(always)]
        fn clamp(self, limit: f32) -> Self {
            // SAFETY: the processor has the features. Both return their second operand where one is NaN.
            Self(unsafe {
                let above = _mm256_max_ps(_mm256_set1_ps(-limit), self.0);
                _mm256_min_ps(_mm256_set1_ps(limit), above)
            })
        }

        #[inline(always)]
        fn rectified(self) -> Self {
            // SAFETY: the processor has the features. It returns its second operand where one is NaN.
            Self(unsafe { _mm256_max_ps(_mm256_setzero_ps(), self.0) })
        }

        #[inline(always)]
        fn where_positive(self, sign: Self) -> Self {
            // SAFETY: the processor has the features.
            Self(unsafe { _mm256_and_ps(self.0, _mm256_cmp_ps::<_CMP_GT_OQ>(sign.0, _mm256_setzero_ps())) })
        }

        #[inline(always)]
        fn sums([a, b, c, d]: [Self; 4]) -> [f32; 4] {
            // SAFETY: the processor has the features, and four numbers fit the array.
            unsafe {
                // Adjacent lanes first: each half ends as (a, b, c, d).
                let pairs = _mm256_hadd_ps(_mm256_hadd_ps(a.0, b.0), _mm256_hadd_ps(c.0, d.0));
                let halves = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps::<1>(pairs));
                let mut sums = [0.0; 4];
                _mm_storeu_ps(sums.as_mut_ptr(), halves);
                sums
            }
        }
    }

    impl Vector for Avx512 {
        const WIDTH: usize = 16;
        // 24 accumulators and the input; weights are broadcast by the multiplication itself.
        const PANEL: usize = 24;
        // 6 x 4 accumulators, 6 + 1 operands.
        const TILE: usize = 6;

        #[inline(always)]
        fn load(from: &[f32], at: usize) -> Self {
            let from = &from[at..at + Self::WIDTH];
            // SAFETY: the slice has 16 numbers, and the processor has the features.
            Self(unsafe { _mm512_loadu_ps(from.as_ptr()) })
        }

        #[inline(always)]
        fn store(self, to: &mut [f32], at: usize) {
            let to = &mut to[at..at + Self::WIDTH];
            // SAFETY: the slice has 16 numbers, and the processor has the features.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
        }

        #[inline(always)]
        fn splat(value: f32) -> Self {
            // SAFETY: the processor has the features.
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        fn multiply_add(self, factor: Self, term: Self) -> Self {
            // SAFETY: the processor has the features.
            Self(unsafe { _mm512_fmadd_ps(self.0, factor.0, term.0) })
        }

        #[inline(always)]
        fn clamp(self, limit: f32) -> Self {
            // SAFETY: the processor has the features. Both return their second operand where one is NaN.
            Self(unsafe {
                let above = _mm512_max_ps(_mm512_set1_ps(-limit), self.0);
                _mm512_min_ps(_mm512_set1_ps(limit), above)
            })
        }

        #[inline(always)]
        fn rectified(self) -> Self {
            // SAFETY: the processor has the features. It returns its second operand where one is NaN.
            Self(unsafe { _mm512_max_ps(_mm512_setzero_ps(), self.0) })
        }

        #[inline(always)]
        fn where_positive(self, sign: Self) -> Self {
            // SAFETY: the processor has the features.
            Self(unsafe {
                let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(sign.0, _mm512_setzero_ps());
                _mm512_maskz_mov_ps(positive, self.0)
            })
        }

        #[inline(always)]
        fn sums([a, b, c, d]: [Self; 4]) -> [f32; 4] {
            // SAFETY: the processor has the features, and four numbers fit the array.
            unsafe {
                // Within each quarter of a register: 2 lanes of a and b interleaved, then one lane of each
                // row.
                let ab = _mm512_add_ps(_mm512_unpacklo_ps(a.0, b.0), _mm512_unpackhi_ps(a.0, b.0));
                let cd = _mm512_add_ps(_mm512_unpacklo_ps(c.0, d.0), _mm512_unpackhi_ps(c.0, d.0));
                let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
                let rows = _mm512_add_ps(
                    _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                    _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
                );
                let upper = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(rows));
                let halves = _mm256_add_ps(_mm512_castps512_ps256(rows), _mm256_castpd_ps(upper));
                let quarters = _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps::<1>(halves));
                let mut sums = [0.0; 4];
                _mm_storeu_ps(sums.as_mut_ptr(), quarters);
                sums
            }
        }
    }
}

/// Runs `check::<V>()` for every vector that this processor has.
#[cfg(test)]
macro_rules! on_every_vector {
    ($check:ident) => {{
        use crate::{instruction_set::InstructionSet, recurrent::vector};
        $check::<vector::Portable>();
        #[cfg(target_arch = "x86_64")]
        {
            if InstructionSet::Avx2.is_supported() {
                $check::<vector::Avx2>();
            }
            if InstructionSet::Avx512.is_supported() {
                $check::<vector::Avx512>();
            }
        }
    }};
}

#[cfg(test)]
pub(super) use on_every_vector;

#[cfg(test)]
mod tests {
    use super::Vector;

    /// `function` on each of `xs`, whose number is a multiple of every width.
    fn map<V: Vector>(xs: &[f32], function: fn(V) -> V) -> Vec<f32> {
        let mut ys = vec![0.0; xs.len()];
        for at in (0..xs.len()).step_by(V::WIDTH) {
            function(V::load(xs, at)).store(&mut ys, at);
        }
        ys
    }

    #[test]
    fn squashing_functions_are_accurate() {
        // 64,000 points from -16 to 16, and as many of all magnitudes from 1e-30 to 1e3.
        fn check<V: Vector>() {
            let even = (0..64_000).map(|index| (index - 32_000) as f32 / 2_000.0);
            let logarithmic = (0..64_000).map(|index| {
                let magnitude = 10_f32.powf((index / 2) as f32 / 32_000.0 * 33.0 - 30.0);
                if index % 2 == 0 { magnitude } else { -magnitude }
            });
            let xs: Vec<f32> = even.chain(logarithmic).collect();
            for ((x, tanh), sigmoid) in xs.iter().zip(map(&xs, V::tanh)).zip(map(&xs, V::sigmoid)) {
                // The reference is the 64-bit function of the standard library.
                let x = f64::from(*x);
                let (exact, tanh) = (x.tanh(), f64::from(tanh));
                assert!((tanh - exact).abs() <= 4e-7 * exact.abs(), "tanh({x}) = {tanh}");
                assert!(tanh.abs() <= 1.0, "tanh({x}) = {tanh}");
                let exact = 1.0 / (1.0 + (-x).exp());
                assert!((f64::from(sigmoid) - exact).abs() < 2.5e-7, "sigmoid({x}) = {sigmoid}");
                assert!((0.0..=1.0).contains(&sigmoid), "sigmoid({x}) = {sigmoid}");
            }
        }
        on_every_vector!(check);
    }

    #[test]
    fn not_a_number_passes_through_and_infinity_saturates() {
        fn check<V: Vector>() {
            let mut xs = [0.5; 16];
            (xs[0], xs[1], xs[2]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
            for (function, high, low) in [
                (V::tanh as fn(V) -> V, 1.0, -1.0),
                (V::sigmoid, 1.0, 0.0),
                (V::rectified, f32::INFINITY, 0.0),
            ] {
                let ys = map(&xs, function);
                assert!(ys[0].is_nan());
                assert!(ys[1] == high || (ys[1] - high).abs() < 4e-7, "{}", ys[1]);
                assert!((ys[2] - low).abs() < 4e-7, "{}", ys[2]);
                assert!(ys[3..].iter().all(|y| (0.3..0.7).contains(y)));
            }
        }
        on_every_vector!(check);
    }

    #[test]
    fn lanes_are_selected_and_summed() {
        fn check<V: Vector>() {
            let signs: Vec<f32> = (0..16).map(|lane| (lane % 3) as f32 - 1.0).collect();
            let ones = [1.0; 16];
            let mut kept = [9.0; 16];
            for at in (0..16).step_by(V::WIDTH) {
                V::load(&ones, at).where_positive(V::load(&signs, at)).store(&mut kept, at);
            }
            let positive: Vec<f32> = (0..16).map(|lane| f32::from(u8::from(lane % 3 == 2))).collect();
            assert_eq!(kept.as_slice(), positive);

            // Row r holds r + 1, r + 2, ..; the sums of so few small integers are exact.
            let rows: [V; 4] = core::array::from_fn(|row| {
                let numbers: Vec<f32> = (1..=16).map(|lane| (row + lane) as f32).collect();
                V::load(&numbers, 0)
            });
            let expected: [usize; 4] =
                core::array::from_fn(|row| row * V::WIDTH + V::WIDTH * (V::WIDTH + 1) / 2);
            assert_eq!(V::sums(rows), expected.map(|sum| sum as f32));
        }
        on_every_vector!(check);
    }
}
