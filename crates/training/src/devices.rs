//! The devices that networks train on, by name.

use burn::tensor::Device;

use crate::TrainingError;

/// A device by name. Gradients are a matter of the caller: see [`Device::autodiff`].
///
/// # Errors
/// [`TrainingError::UnknownDevice`], which lists the known names.
pub fn device(name: &str) -> Result<Device, TrainingError> {
    match name {
        "flex" => Ok(Device::flex()),
        _ => Err(TrainingError::UnknownDevice { name: name.to_owned(), known: "flex".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::device;

    #[test]
    fn an_unknown_device_is_an_error_that_lists_the_known_ones() {
        assert!(device("flex").is_ok());
        let message = device("felx").unwrap_err().to_string();
        assert_eq!(message, "unknown device `felx`; known devices: flex");
    }
}
