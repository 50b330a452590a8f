//! LibTorch, for comparison with flex. burn deprecates it, so its constructors are named in this file and nowhere else.

use burn::tensor::Device;

/// LibTorch on the processor or on the first CUDA device, or else what it needs.
#[cfg(feature = "tch")]
#[expect(deprecated, reason = "it is there to be compared with, for as long as burn has it")]
pub(crate) fn libtorch(cuda: bool) -> Result<Device, &'static str> {
    if !cuda {
        return Ok(Device::libtorch());
    }
    // burn lists the CUDA devices of LibTorch alone. A tensor on one that does not exist would panic.
    if Device::enumerate(burn::tensor::DeviceType::LibTorch).is_empty() {
        return Err(
            "needs a CUDA device and a LibTorch with CUDA; choose `tch`, or set LIBTORCH to such a one",
        );
    }
    Ok(Device::libtorch_cuda(0))
}

/// What it needs, because this build left it out.
#[cfg(not(feature = "tch"))]
pub(crate) fn libtorch(_cuda: bool) -> Result<Device, &'static str> {
    Err("needs a build with `--features tch`; run `make setup-tch` first")
}
