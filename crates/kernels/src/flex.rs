//! Slices of the tensors that the `flex` device keeps in main memory, and tensors of vectors.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

/// The numbers of a contiguous tensor.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    let layout = tensor.layout();
    &tensor.storage()[layout.start_offset()..][..layout.num_elements()]
}

/// The same to write to; what other tensors share is copied first.
pub(crate) fn values_mut(tensor: &mut FlexTensor) -> &mut [f32] {
    let (start, length) = (tensor.layout().start_offset(), tensor.layout().num_elements());
    &mut tensor.storage_mut()[start..][..length]
}

/// A contiguous tensor of these numbers.
pub(crate) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}
