//! What operations cost: multiply-adds, counted where they are executed, and bytes, counted where they are allocated.
//!
//! A formula says what a model should cost; these say what it did cost, from the shapes that the operations met. Products
//! are counted on the calling thread, which is where operations run: every matrix product of a linear map, a recurrent
//! sequence or attention, forward and backward, and the forward pass of [`product`]. Tiles that are skipped count nothing,
//! and those at the edge of a causal mask count in full; tiles are as wide as the processor's vectors, so that such a count is
//! another by a percent or so on another kind of processor.
//!
//! Bytes are counted in a program whose allocator is a [`CountingAllocator`], and only within [`peak_bytes`]. Blocks of less than a
//! page are not: they hold the bookkeeping of the tape, whose hash tables grow at random moments, and the sum must be the same
//! in every run.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use burn::tensor::Tensor;

thread_local! {
    static MULTIPLY_ADDS: Cell<u64> = const { Cell::new(0) };
    static WAITS: Cell<u64> = const { Cell::new(0) };
}

/// Adds steps along the sequence of which each had to wait for the one before.
pub(crate) fn wait(steps: usize) {
    WAITS.set(WAITS.get().wrapping_add(steps as u64));
}

/// How many steps along the sequence `run` executes on this thread that wait for each other, whatever the number of
/// processors: one a position of a recurrent layer, one a round of a scan, none of attention. Beside it what `run` returns.
pub fn waits<R>(run: impl FnOnce() -> R) -> (R, u64) {
    let before = WAITS.get();
    let result = run();
    (result, WAITS.get().wrapping_sub(before))
}

/// Adds to what this thread has executed; for products that run elsewhere.
pub fn count(multiply_adds: usize) {
    MULTIPLY_ADDS.set(MULTIPLY_ADDS.get().wrapping_add(multiply_adds as u64));
}

/// The multiply-adds of the matrix products that `run` executes on this thread, beside what it returns.
pub fn multiply_adds<R>(run: impl FnOnce() -> R) -> (R, u64) {
    let before = MULTIPLY_ADDS.get();
    let result = run();
    (result, MULTIPLY_ADDS.get().wrapping_sub(before))
}

/// The matrix product `[.., rows, depth] [.., depth, columns]`, whose forward pass is counted.
///
/// # Panics
/// When the shapes do not fit.
#[must_use]
pub fn product<const D: usize>(left: Tensor<D>, right: Tensor<D>) -> Tensor<D> {
    let columns = right.dims()[D - 1];
    let depth = left.dims()[D - 1];
    let result = left.matmul(right);
    count(result.shape().num_elements() / columns.max(1) * depth * columns);
    result
}

/// Bytes of the smallest block that is counted.
const SMALLEST_BLOCK: usize = 4096;

/// Whether allocations are counted now.
static COUNTING: AtomicBool = AtomicBool::new(false);
/// Whether a counting allocator has ever been asked for memory.
static INSTALLED: AtomicBool = AtomicBool::new(false);
/// Bytes allocated less bytes freed since counting began; freed ones may be older than that.
static LIVE: AtomicI64 = AtomicI64::new(0);
/// The largest value of [`LIVE`].
static PEAK: AtomicI64 = AtomicI64::new(0);

/// An allocator that counts the blocks of a page and more that another one gives out, within [`peak_bytes`].
#[derive(Debug, Default)]
pub struct CountingAllocator<A>(pub A);

impl<A> CountingAllocator<A> {
    fn add(bytes: usize) {
        if COUNTING.load(Ordering::Relaxed) {
            if bytes < SMALLEST_BLOCK {
                return;
            }
            let bytes = bytes.cast_signed() as i64;
            let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
            PEAK.fetch_max(live, Ordering::Relaxed);
        } else if !INSTALLED.load(Ordering::Relaxed) {
            INSTALLED.store(true, Ordering::Relaxed);
        }
    }

    fn subtract(bytes: usize) {
        if bytes >= SMALLEST_BLOCK && COUNTING.load(Ordering::Relaxed) {
            LIVE.fetch_sub(bytes.cast_signed() as i64, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call goes to the inner allocator with the arguments that came, and its answer is returned as it is.
#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
unsafe impl<A: GlobalAlloc> GlobalAlloc for CountingAllocator<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::subtract(layout.size());
        // SAFETY: as above.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may be live while one is copied to the other.
        Self::add(size);
        Self::subtract(layout.size());
        // SAFETY: as above.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}

/// The most bytes, in blocks of a page and more, that `run` had allocated at once beyond what there was before, beside what it returns; `None` in a
/// program without a [`CountingAllocator`]. Other threads are counted along, and two calls at a time disturb each other.
pub fn peak_bytes<R>(run: impl FnOnce() -> R) -> (R, Option<u64>) {
    if !INSTALLED.load(Ordering::Relaxed) {
        return (run(), None);
    }
    LIVE.store(0, Ordering::Relaxed);
    PEAK.store(0, Ordering::Relaxed);
    COUNTING.store(true, Ordering::Relaxed);
    let result = run();
    COUNTING.store(false, Ordering::Relaxed);
    (result, Some(PEAK.load(Ordering::Relaxed).max(0).cast_unsigned()))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::{multiply_adds, product};
    use crate::attention::{AttentionOptions, self_attention};
    use crate::instruction_set::on_every_instruction_set;
    use crate::linear::{Activation, linear};
    use crate::recurrent::{CellKind, RecurrentWeights, recurrent_sequence};

    fn ones<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        Tensor::ones(shape, &Device::flex())
    }

    #[test]
    fn products_are_counted_by_their_shapes() {
        let (_, counted) = multiply_adds(|| product(ones([2, 3, 5]), ones([2, 5, 7])));
        assert_eq!(counted, 2 * 3 * 5 * 7);
        let map = || linear(ones([2, 3, 5]), ones([5, 7]), ones([7]), Activation::Relu);
        assert_eq!(multiply_adds(map).1, 2 * 3 * 5 * 7);
        assert_eq!(multiply_adds(|| ()).1, 0);
    }

    #[test]
    fn a_backward_pass_of_a_linear_map_costs_two_forward_passes() {
        let device = Device::flex().autodiff();
        let leaf = |shape: [usize; 2]| Tensor::<2>::ones(shape, &device).require_grad();
        let (inputs, weight) = (leaf([3, 5]), leaf([5, 7]));
        let bias = Tensor::<1>::ones([7], &device);
        let whole = || linear(inputs, weight, bias, Activation::None).sum().backward();
        assert_eq!(multiply_adds(whole).1, 3 * (3 * 5 * 7));
    }

    #[test]
    fn attention_without_a_mask_costs_two_products_of_all_pairs() {
        let pairs = |time: usize, options: &AttentionOptions| {
            multiply_adds(|| self_attention(ones([2, time, 3 * 8]), 2, options)).1
        };
        on_every_instruction_set(|| {
            // Two sequences, eight values a position over both heads, and a product each for scores and outputs.
            assert_eq!(pairs(64, &AttentionOptions::default()), 2 * 2 * 64 * 64 * 8);
            // Tiles above the diagonal are skipped, those that it crosses are not.
            let causal = pairs(512, &AttentionOptions { causal: true, ..AttentionOptions::default() });
            let (half, all) = (2 * 2 * 512 * 513 / 2 * 8, 2 * 2 * 512 * 512 * 8);
            assert!(causal > half && causal < all * 7 / 10, "{causal} of {all}");
        });
    }

    #[test]
    fn a_recurrent_layer_costs_its_weights_at_every_position() {
        let weights = RecurrentWeights {
            input: ones([5, 4 * 3]),
            recurrent: ones([3, 4 * 3]),
            bias: ones([4 * 3]),
            recurrent_bias: None,
        };
        let layer = || recurrent_sequence(CellKind::Lstm, ones([2, 7, 5]), &weights, None);
        assert_eq!(multiply_adds(layer).1, 2 * 7 * (5 + 3) * 4 * 3);
    }
}
