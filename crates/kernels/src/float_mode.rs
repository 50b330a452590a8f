//! Flush-to-zero, as a guard with a scope.
//!
//! Backward passes over long sequences produce denormal numbers, which processors handle in microcode:
//! an LSTM step over 400 positions then takes seven times as long. Training flushes them to zero; gradient
//! probes, whose subject is tiny numbers, do not take the guard.

/// While it lives, this thread flushes denormal results and operands to zero; dropping it restores the mode.
///
/// On processors other than x86-64 and aarch64 it does nothing.
#[derive(Debug)]
pub struct FlushToZero {
    previous: u64,
    // The mode belongs to a thread, so the guard must not leave it.
    _not_send: core::marker::PhantomData<*const ()>,
}

impl FlushToZero {
    /// Sets the mode on this thread.
    #[must_use]
    pub fn new() -> Self {
        let previous = control::read();
        control::write(previous | control::FLUSH);
        Self { previous, _not_send: core::marker::PhantomData }
    }
}

impl Default for FlushToZero {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FlushToZero {
    fn drop(&mut self) {
        control::write(self.previous);
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the control register has no safe interface")]
mod control {
    use core::arch::asm;

    /// FTZ (bit 15) and DAZ (bit 6) of MXCSR, Intel SDM volume 1, section 10.2.3.
    pub(super) const FLUSH: u64 = 1 << 15 | 1 << 6;

    pub(super) fn read() -> u64 {
        let mut value: u32 = 0;
        // SAFETY: stores MXCSR to a live, aligned 4-byte local and touches nothing else.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
        u64::from(value)
    }

    pub(super) fn write(value: u64) {
        #[expect(clippy::cast_possible_truncation, reason = "MXCSR has 32 bits, and `read` returned it")]
        let value = value as u32;
        // SAFETY: loads MXCSR from a live local; only FTZ and DAZ differ from a value the processor reported,
        // so no reserved bit is set. Rust assumes default rounding and masks, which stay as they were.
        unsafe {
            asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, readonly, preserves_flags));
        }
    }
}

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "the control register has no safe interface")]
mod control {
    use core::arch::asm;

    /// FZ (bit 24) of FPCR, Arm ARM section C5.2.8.
    pub(super) const FLUSH: u64 = 1 << 24;

    pub(super) fn read() -> u64 {
        let value: u64;
        // SAFETY: reads the thread's FPCR.
        unsafe { asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }

    pub(super) fn write(value: u64) {
        // SAFETY: sets the thread's FPCR to a value it held, with FZ on or off.
        unsafe { asm!("msr fpcr, {}", in(reg) value, options(nomem, nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod control {
    pub(super) const FLUSH: u64 = 0;

    pub(super) fn read() -> u64 {
        0
    }

    pub(super) fn write(_value: u64) {}
}

#[cfg(test)]
mod tests {
    use super::FlushToZero;
    use std::hint::black_box;

    #[test]
    fn denormals_vanish_only_inside_the_guard() {
        let halve = || black_box(f32::MIN_POSITIVE) * black_box(0.5);
        assert!(halve() > 0.0);
        {
            let _guard = FlushToZero::new();
            assert_eq!(halve(), 0.0);
        }
        assert!(halve() > 0.0);
    }
}
