//! Which vector instructions the fused kernels use.
//!
//! The same source is compiled once for each set; the best set of the running processor is chosen at run
//! time, unless one is forced. Results of two sets agree to rounding (AVX fuses multiplication and addition,
//! and sums run over as many lanes as a register holds), and one set always returns the same bits.

use core::sync::atomic::{AtomicU8, Ordering};

/// Vector instructions that the fused kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// What every processor of the target has: 4 lanes, on x86-64 without fused multiply-add.
    Portable,
    /// 8 lanes with fused multiply-add: x86-64 from 2013 on.
    Avx2,
    /// 16 lanes and 32 registers.
    Avx512,
}

impl InstructionSet {
    /// All sets, from the narrowest to the widest.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// Whether this processor has it.
    #[must_use]
    pub fn is_supported(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }

    /// The widest set of this processor.
    #[must_use]
    pub fn widest() -> Self {
        Self::ALL.into_iter().rev().find(|set| set.is_supported()).unwrap_or(Self::Portable)
    }
}

/// The forced set, as its place in [`InstructionSet::ALL`], or `AUTOMATIC`.
static FORCED: AtomicU8 = AtomicU8::new(AUTOMATIC);
const AUTOMATIC: u8 = u8::MAX;

/// Forces the kernels of the whole process to one set, or with `None` back to the widest.
///
/// # Panics
/// When this processor does not have the set; ask [`InstructionSet::is_supported`] first.
pub fn set_instruction_set(set: Option<InstructionSet>) {
    assert!(set.is_none_or(InstructionSet::is_supported), "this processor does not support {set:?}");
    FORCED.store(set.map_or(AUTOMATIC, |set| set as u8), Ordering::Relaxed);
}

/// The set in use.
#[must_use]
pub fn instruction_set() -> InstructionSet {
    let forced = usize::from(FORCED.load(Ordering::Relaxed));
    InstructionSet::ALL.get(forced).copied().unwrap_or_else(InstructionSet::widest)
}

/// Runs a test on every instruction set of this processor, one test at a time: the choice is the process's.
#[cfg(test)]
pub(crate) fn on_every_instruction_set(test: impl Fn()) {
    use std::sync::{Mutex, PoisonError};
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for set in InstructionSet::ALL.into_iter().filter(|set| set.is_supported()) {
        set_instruction_set(Some(set));
        test();
    }
    set_instruction_set(None);
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{InstructionSet, instruction_set, on_every_instruction_set};

    #[test]
    fn a_forced_set_is_used() {
        let seen = RefCell::new(Vec::new());
        on_every_instruction_set(|| seen.borrow_mut().push(instruction_set()));
        let supported: Vec<_> = InstructionSet::ALL.into_iter().filter(|set| set.is_supported()).collect();
        assert_eq!(*seen.borrow(), supported);
    }
}
