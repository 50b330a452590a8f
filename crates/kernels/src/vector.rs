//! Vectors of `f32` on the instruction sets that have a kernel, and the base-2 exponential on top of them.
//!
//! A kernel is written once, generic over [`Simd`], and compiled three times: [`dispatch`] enters it through a
//! function that enables the instruction set, so everything that is inlined below may use it. The three
//! copies evaluate the same expressions in the same order; they differ in the rounding of multiply-add
//! (fused or not) and in the order that follows from their vector length.

#![expect(
    clippy::inline_always,
    reason = "code outside the entry point is not compiled for its instruction set"
)]

use crate::instruction_set::InstructionSet;

/// A computation written once for every instruction set.
pub(crate) trait Kernel {
    /// Runs it. `R` is the number of rows of a register block, which grows with the register file.
    /// Implementations are `#[inline(always)]`, and so is whatever they call with `simd`.
    fn run<S: Simd, const R: usize>(self, simd: S);
}

/// Runs `kernel` on `set`, or on the portable one where the processor lacks `set`.
pub(crate) fn dispatch(set: InstructionSet, kernel: impl Kernel) {
    match set {
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => {
            if let Some(simd) = x86::Avx512::detect() {
                return x86::enter_avx512(simd, kernel);
            }
        }
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => {
            if let Some(simd) = x86::Avx2::detect() {
                return x86::enter_avx2(simd, kernel);
            }
        }
        _ => {}
    }
    kernel.run::<_, 4>(Portable);
}

/// The operations of one instruction set. A value of the type is the proof that the processor has it.
pub(crate) trait Simd: Copy {
    /// [`Self::LANES`] numbers.
    type Vector: Copy;
    /// Numbers in a vector.
    const LANES: usize;

    fn splat(self, value: f32) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, fused where the instruction set fuses.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// Lane by lane, `yes` where `a < b` and `no` elsewhere (so `no` where either is NaN).
    fn select_less(
        self,
        a: Self::Vector,
        b: Self::Vector,
        yes: Self::Vector,
        no: Self::Vector,
    ) -> Self::Vector;
    /// The bits of each lane moved left by 23, the width of the fraction of an `f32`.
    fn shift_into_exponent(self, a: Self::Vector) -> Self::Vector;
    /// The transposed matrix.
    fn transpose(self, block: [[f32; 8]; 8]) -> [[f32; 8]; 8];
    /// The sum over the lanes, halves added to halves.
    fn sum(self, a: Self::Vector) -> f32;
    /// The largest of the lanes, if none is NaN.
    fn largest(self, a: Self::Vector) -> f32;
    /// The first [`Self::LANES`] numbers of a slice.
    fn load(self, numbers: &[f32]) -> Self::Vector;
    /// The numbers of a slice of vectors.
    fn floats(self, vectors: &[Self::Vector]) -> &[f32];
    /// The numbers of a slice of vectors.
    fn floats_mut(self, vectors: &mut [Self::Vector]) -> &mut [f32];

    /// `2^x` for `x <= 127`, with a relative error below 4e-7; 0 below `2^-126`, and NaN for NaN.
    ///
    /// With `n` the integer nearest to `x`, `2^x = 2^n 2^(x - n)`. Adding 1.5 * 2^23 rounds `x` to `n` and leaves
    /// `n` in the low bits of the sum; adding the bias 127 as well leaves there the exponent field of `2^n`.
    /// `2^r` on `[-1/2, 1/2]` is the polynomial of degree 5 that begins `1 + ln(2) r` and whose largest relative
    /// error, 1.1e-7, is least; found by iteratively reweighted least squares.
    #[inline(always)]
    fn exp2(self, x: Self::Vector) -> Self::Vector {
        const ROUND: f32 = 1.5 * (1 << 23) as f32 + 127.0;
        const COEFFICIENTS: [f32; 5] =
            [0.001_330_060_7, 0.009_669_691, 0.055_505_585, 0.240_222_83, std::f32::consts::LN_2];
        let round = self.splat(ROUND);
        let shifted = self.add(x, round);
        let r = self.sub(x, self.sub(shifted, round));
        let mut polynomial = self.splat(COEFFICIENTS[0]);
        for coefficient in &COEFFICIENTS[1..] {
            polynomial = self.mul_add(polynomial, r, self.splat(*coefficient));
        }
        polynomial = self.mul_add(polynomial, r, self.splat(1.0));
        let power = self.mul(polynomial, self.shift_into_exponent(shifted));
        self.select_less(x, self.splat(-126.0), self.splat(0.0), power)
    }
}

/// Arrays of eight, which compilers turn into whatever vectors the target has.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Applies an expression lane by lane.
macro_rules! lanes {
    (|$($name:ident),+| $result:expr) => {{
        let mut output = [0.0; Portable::LANES];
        for lane in 0..Portable::LANES {
            $(let $name = $name[lane];)+
            output[lane] = $result;
        }
        output
    }};
}

impl Simd for Portable {
    type Vector = [f32; 8];
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 8] {
        [value; 8]
    }
    #[inline(always)]
    fn add(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        lanes!(|a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        lanes!(|a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        lanes!(|a, b| a * b)
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        // Without the instruction, `f32::mul_add` is a function call of some hundred cycles.
        if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
            lanes!(|a, b, c| a.mul_add(b, c))
        } else {
            lanes!(|a, b, c| a * b + c)
        }
    }
    #[inline(always)]
    fn max(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        lanes!(|a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn select_less(self, a: [f32; 8], b: [f32; 8], yes: [f32; 8], no: [f32; 8]) -> [f32; 8] {
        lanes!(|a, b, yes, no| if a < b { yes } else { no })
    }
    #[inline(always)]
    fn shift_into_exponent(self, a: [f32; 8]) -> [f32; 8] {
        lanes!(|a| f32::from_bits(a.to_bits() << 23))
    }
    #[inline(always)]
    fn transpose(self, block: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
        std::array::from_fn(|row| std::array::from_fn(|column| block[column][row]))
    }
    #[inline(always)]
    fn sum(self, [a, b, c, d, e, f, g, h]: [f32; 8]) -> f32 {
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
    #[inline(always)]
    fn largest(self, a: [f32; 8]) -> f32 {
        a.into_iter().fold(f32::MIN, f32::max)
    }
    #[inline(always)]
    fn load(self, numbers: &[f32]) -> [f32; 8] {
        let mut lanes = [0.0; 8];
        lanes.copy_from_slice(&numbers[..8]);
        lanes
    }
    #[inline(always)]
    fn floats(self, vectors: &[[f32; 8]]) -> &[f32] {
        vectors.as_flattened()
    }
    #[inline(always)]
    fn floats_mut(self, vectors: &mut [[f32; 8]]) -> &mut [f32] {
        vectors.as_flattened_mut()
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector instructions, and the entry into code compiled for them")]
mod x86 {
    use super::{InstructionSet, Kernel, Simd};
    use core::arch::x86_64::{
        __m256, __m512, _CMP_LT_OQ, _mm_add_ps, _mm_cvtss_f32, _mm_max_ps, _mm_movehl_ps, _mm_shuffle_ps,
        _mm256_add_ps, _mm256_blendv_ps, _mm256_castps_si256, _mm256_castps256_ps128, _mm256_castsi256_ps,
        _mm256_cmp_ps, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_max_ps, _mm256_mul_ps,
        _mm256_permute2f128_ps, _mm256_set1_ps, _mm256_shuffle_ps, _mm256_slli_epi32, _mm256_sub_ps,
        _mm256_unpackhi_ps, _mm256_unpacklo_ps, _mm512_add_ps, _mm512_castps_si512, _mm512_castsi512_ps,
        _mm512_cmp_ps_mask, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_blend_ps, _mm512_max_ps,
        _mm512_mul_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_set1_ps, _mm512_slli_epi32,
        _mm512_sub_ps,
    };

    /// Implements [`Simd`] for a token, giving the intrinsic of each operation.
    macro_rules! simd {
        ($name:ident, $vector:ident, $lanes:literal, {
            $($operation:ident($($argument:ident: $type:ty),+) => $body:expr;)+
        }, $load:ident, $sum:ident, $largest:ident) => {
            /// Proof that the processor has the instruction set of this name; `detect` alone makes one.
            #[derive(Clone, Copy)]
            pub(crate) struct $name(());

            impl $name {
                pub(crate) fn detect() -> Option<Self> {
                    InstructionSet::$name.is_supported().then_some(Self(()))
                }
            }

            impl Simd for $name {
                type Vector = $vector;
                const LANES: usize = $lanes;

                $(#[inline(always)]
                fn $operation(self, $($argument: $type),+) -> $vector {
                    // SAFETY: `self` proves that the processor has the instructions; none touches memory.
                    unsafe { $body }
                })+
                #[inline(always)]
                fn sum(self, a: $vector) -> f32 {
                    // SAFETY: as above.
                    unsafe { $sum(a) }
                }
                #[inline(always)]
                fn largest(self, a: $vector) -> f32 {
                    // SAFETY: as above.
                    unsafe { $largest(a) }
                }
                #[inline(always)]
                fn load(self, numbers: &[f32]) -> $vector {
                    let numbers = &numbers[..$lanes];
                    // SAFETY: the slice has as many numbers as are read, and `self` proves the instructions.
                    unsafe { $load(numbers.as_ptr()) }
                }
                #[inline(always)]
                fn transpose(self, block: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
                    // SAFETY: both instruction sets include AVX; none of its shuffles touches memory.
                    unsafe { transpose(block) }
                }
                #[inline(always)]
                fn floats(self, vectors: &[$vector]) -> &[f32] {
                    // SAFETY: a vector is exactly `LANES` consecutive `f32`, more strictly aligned, and every
                    // bit pattern is valid for both; the borrow is passed on.
                    unsafe { core::slice::from_raw_parts(vectors.as_ptr().cast(), vectors.len() * $lanes) }
                }
                #[inline(always)]
                fn floats_mut(self, vectors: &mut [$vector]) -> &mut [f32] {
                    // SAFETY: as above, and the exclusive borrow is passed on.
                    unsafe { core::slice::from_raw_parts_mut(vectors.as_mut_ptr().cast(), vectors.len() * $lanes) }
                }
            }
        };
    }

    simd!(Avx2, __m256, 8, {
        splat(value: f32) => _mm256_set1_ps(value);
        add(a: __m256, b: __m256) => _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) => _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) => _mm256_mul_ps(a, b);
        mul_add(a: __m256, b: __m256, c: __m256) => _mm256_fmadd_ps(a, b, c);
        max(a: __m256, b: __m256) => _mm256_max_ps(a, b);
        select_less(a: __m256, b: __m256, yes: __m256, no: __m256) =>
            _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b));
        shift_into_exponent(a: __m256) => _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(a)));
    }, _mm256_loadu_ps, sum_of_eight, largest_of_eight);

    simd!(Avx512, __m512, 16, {
        splat(value: f32) => _mm512_set1_ps(value);
        add(a: __m512, b: __m512) => _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) => _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) => _mm512_mul_ps(a, b);
        mul_add(a: __m512, b: __m512, c: __m512) => _mm512_fmadd_ps(a, b, c);
        max(a: __m512, b: __m512) => _mm512_max_ps(a, b);
        select_less(a: __m512, b: __m512, yes: __m512, no: __m512) =>
            _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes);
        shift_into_exponent(a: __m512) => _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(a)));
    }, _mm512_loadu_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps);

    /// Reduces halves with halves, by the given operation on four lanes.
    macro_rules! halves {
        ($name:ident, $operation:ident) => {
            /// # Safety
            /// The processor must have AVX.
            #[inline(always)]
            unsafe fn $name(a: __m256) -> f32 {
                // SAFETY: the caller vouches for AVX; none of the instructions touches memory.
                unsafe {
                    let four = $operation(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
                    let two = $operation(four, _mm_movehl_ps(four, four));
                    _mm_cvtss_f32($operation(two, _mm_shuffle_ps::<1>(two, two)))
                }
            }
        };
    }

    halves!(sum_of_eight, _mm_add_ps);
    halves!(largest_of_eight, _mm_max_ps);

    /// The transposed matrix: pairs, then fours, then halves of rows change places.
    ///
    /// # Safety
    /// The processor must have AVX.
    #[inline(always)]
    unsafe fn transpose(block: [[f32; 8]; 8]) -> [[f32; 8]; 8] {
        // SAFETY: the caller vouches for AVX; an array of eight `f32` and a vector have the same size, and every
        // bit pattern is valid for both.
        unsafe {
            let rows: [__m256; 8] = core::mem::transmute(block);
            let mut pairs = rows;
            let mut fours = rows;
            let mut columns = rows;
            for i in 0..4 {
                pairs[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
                pairs[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
            }
            for i in 0..2 {
                for j in 0..2 {
                    let (a, b) = (pairs[4 * i + j], pairs[4 * i + j + 2]);
                    fours[4 * i + 2 * j] = _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
                    fours[4 * i + 2 * j + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
                }
            }
            for i in 0..4 {
                columns[i] = _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
                columns[i + 4] = _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
            }
            core::mem::transmute(columns)
        }
    }

    /// Runs `kernel` with AVX2 and FMA.
    pub(crate) fn enter_avx2(simd: Avx2, kernel: impl Kernel) {
        #[target_feature(enable = "avx2,fma")]
        fn enter(simd: Avx2, kernel: impl Kernel) {
            kernel.run::<_, 4>(simd);
        }
        // SAFETY: `simd` proves that the processor has AVX2 and FMA.
        unsafe { enter(simd, kernel) }
    }

    /// Runs `kernel` with AVX-512F.
    pub(crate) fn enter_avx512(simd: Avx512, kernel: impl Kernel) {
        #[target_feature(enable = "avx512f")]
        fn enter(simd: Avx512, kernel: impl Kernel) {
            kernel.run::<_, 8>(simd);
        }
        // SAFETY: `simd` proves that the processor has AVX-512F.
        unsafe { enter(simd, kernel) }
    }
}

#[cfg(test)]
mod tests {
    use super::{InstructionSet, Kernel, Simd, dispatch};

    struct Exponentials<'a>(&'a [f32], &'a mut Vec<f32>);

    impl Kernel for Exponentials<'_> {
        #[inline(always)]
        fn run<S: Simd, const R: usize>(self, simd: S) {
            for &x in self.0 {
                self.1.push(simd.floats(&[simd.exp2(simd.splat(x))])[0]);
            }
        }
    }

    fn exp2(set: InstructionSet, x: &[f32]) -> Vec<f32> {
        let mut powers = Vec::new();
        dispatch(set, Exponentials(x, &mut powers));
        powers
    }

    struct Transposed<'a>(&'a mut [[f32; 8]; 8]);

    impl Kernel for Transposed<'_> {
        #[inline(always)]
        fn run<S: Simd, const R: usize>(self, simd: S) {
            *self.0 = simd.transpose(*self.0);
        }
    }

    #[test]
    fn a_transposed_block_has_rows_for_columns() {
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_supported()) {
            let mut block = std::array::from_fn(|i| std::array::from_fn(|j| (10 * i + j) as f32));
            dispatch(set, Transposed(&mut block));
            for (i, row) in block.iter().enumerate() {
                assert_eq!(*row, std::array::from_fn(|j| (10 * j + i) as f32), "{set:?}");
            }
        }
    }

    struct Reduced<'a>(&'a [f32], &'a mut [f32; 2]);

    impl Kernel for Reduced<'_> {
        #[inline(always)]
        fn run<S: Simd, const R: usize>(self, simd: S) {
            let numbers = simd.load(self.0);
            *self.1 = [simd.sum(numbers), simd.largest(numbers)];
        }
    }

    #[test]
    fn lanes_are_reduced() {
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_supported()) {
            let lanes = if set == InstructionSet::Avx512 { 16 } else { 8 };
            // Each lane in turn holds the largest number; the sums of so few small integers are exact.
            for place in 0..lanes {
                let mut numbers: Vec<f32> = (0..lanes).map(|lane| -(lane as f32)).collect();
                let expected = numbers.iter().sum::<f32>() - numbers[place] + 5.0;
                numbers[place] = 5.0;
                let mut reduced = [0.0; 2];
                dispatch(set, Reduced(&numbers, &mut reduced));
                assert_eq!(reduced, [expected, 5.0], "{set:?}, lane {place}");
            }
        }
    }

    #[test]
    fn exp2_is_accurate_over_its_whole_range() {
        let x: Vec<f32> = (0..=200_000).map(|i| -126.0 + 0.000_65 * i as f32).collect();
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_supported()) {
            for (x, power) in x.iter().zip(exp2(set, &x)) {
                let exact = f64::from(*x).exp2();
                assert!(
                    (f64::from(power) / exact - 1.0).abs() < 4e-7,
                    "{set:?}: 2^{x} = {power}, not {exact}"
                );
            }
        }
    }

    #[test]
    fn exp2_of_the_special_values() {
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_supported()) {
            let powers = exp2(set, &[0.0, f32::NEG_INFINITY, f32::MIN, -126.5, 3.0, f32::NAN]);
            assert_eq!(powers[..5], [1.0, 0.0, 0.0, 0.0, 8.0], "{set:?}");
            assert!(powers[5].is_nan(), "{set:?}");
        }
    }
}
