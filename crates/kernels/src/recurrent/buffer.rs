//! Working memory that is reused from one call to the next.
//!
//! A training step needs the same few megabytes every time. Allocators return blocks of that size to the
//! system, and fetching and clearing their pages again would cost more than the arithmetic of a small layer.

use core::cell::RefCell;
use core::ops::{Deref, DerefMut};

thread_local! {
    /// Memory not in use: never more blocks than were in use at one time, since a request enlarges one
    /// before it adds one.
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Numbers whose memory goes back to this thread's spare blocks when dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    /// At least `length` numbers.
    block: Vec<f32>,
    length: usize,
}

impl Buffer {
    /// A buffer with arbitrary numbers in it, which the caller must overwrite before reading.
    pub(super) fn new(length: usize) -> Self {
        let spare = SPARE.with_borrow_mut(|spare| {
            let fits = |&index: &usize| spare[index].len() >= length;
            let smallest = (0..spare.len()).filter(fits).min_by_key(|&index| spare[index].len());
            let largest = || (0..spare.len()).max_by_key(|&index| spare[index].len());
            smallest.or_else(largest).map(|index| spare.swap_remove(index))
        });
        let block = spare.filter(|block| block.len() >= length).unwrap_or_else(|| vec![0.0; length]);
        Self { block, length }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let block = core::mem::take(&mut self.block);
        // While a thread ends, its spare blocks may be gone already; then this one just goes too.
        SPARE.try_with(|spare| spare.borrow_mut().push(block)).ok();
    }
}

impl Deref for Buffer {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        &self.block[..self.length]
    }
}

impl DerefMut for Buffer {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.block[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::{Buffer, SPARE};

    #[test]
    fn memory_is_used_again() {
        let spare = || SPARE.with_borrow(Vec::len);
        let address = {
            let buffer = Buffer::new(100);
            buffer.as_ptr()
        };
        assert_eq!(spare(), 1);
        let (smaller, other) = (Buffer::new(60), Buffer::new(10));
        assert_eq!((smaller.as_ptr(), smaller.len(), other.len()), (address, 60, 10));
        drop((smaller, other));
        // One of the two is enlarged, so that there are never more than were in use at once.
        let larger = Buffer::new(1000);
        assert_eq!((larger.len(), spare()), (1000, 1));
    }
}
