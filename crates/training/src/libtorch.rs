//! LibTorch, for comparison with flex. burn deprecates it, so its constructors are named in this file and nowhere else.

use burn::tensor::Device;

/// LibTorch on the processor.
#[cfg(feature = "tch")]
#[expect(deprecated, reason = "it is there to be compared with, for as long as burn has it")]
pub(crate) fn libtorch() -> Result<Device, &'static str> {
    Ok(Device::libtorch())
}

/// LibTorch on the first CUDA device.
#[cfg(feature = "tch")]
#[expect(deprecated, reason = "it is there to be compared with, for as long as burn has it")]
pub(crate) fn libtorch_cuda() -> Result<Device, &'static str> {
    // burn lists the CUDA devices of LibTorch alone, and its constructor panics where there is none.
    if Device::enumerate(burn::tensor::DeviceType::LibTorch).is_empty() {
        return Err(
            "needs a CUDA device and a LibTorch with CUDA; choose `tch`, or set LIBTORCH to such a one",
        );
    }
    Ok(Device::libtorch_cuda(0))
}

#[cfg(not(feature = "tch"))]
const LEFT_OUT: &str = "needs a build with `--features tch`; run `make setup-tch` first";

/// Says that this build has no LibTorch.
#[cfg(not(feature = "tch"))]
pub(crate) fn libtorch() -> Result<Device, &'static str> {
    Err(LEFT_OUT)
}

/// Says that this build has no LibTorch.
#[cfg(not(feature = "tch"))]
pub(crate) fn libtorch_cuda() -> Result<Device, &'static str> {
    Err(LEFT_OUT)
}
