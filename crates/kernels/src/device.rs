//! Where the fused operations run.

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Tensor};

/// Whether a tensor is on the flex device, with or without gradients, and in single precision.
pub(crate) fn is_fused<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.device().inner().as_dispatch(), DispatchDevice::Flex(_)) && tensor.dtype() == DType::F32
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn only_single_precision_on_flex_is_fused() {
        let tensor = Tensor::<4>::zeros([1, 1, 1, 1], &Device::flex());
        assert!(is_fused(&tensor));
        assert!(is_fused(&Tensor::<4>::zeros([1, 1, 1, 1], &Device::flex().autodiff())));
        assert!(!is_fused(&tensor.cast(DType::F64)));
    }
}
