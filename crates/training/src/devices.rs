//! The devices that networks train on, by name.

use burn::tensor::Device;

use crate::TrainingError;
use crate::libtorch::libtorch;

/// A device by name. Gradients are a matter of the caller: see [`Device::autodiff`].
///
/// # Errors
/// [`TrainingError::UnknownDevice`], which lists the known names, and [`TrainingError::MissingDevice`], which says
/// what a known one needs.
pub fn device(name: &str) -> Result<Device, TrainingError> {
    let found = match name {
        "flex" => Ok(Device::flex()),
        "tch" => libtorch(false),
        "tch-cuda" => libtorch(true),
        _ => {
            let known = "flex, tch, tch-cuda".to_owned();
            return Err(TrainingError::UnknownDevice { name: name.to_owned(), known });
        }
    };
    found.map_err(|reason| TrainingError::MissingDevice { name: name.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::device;

    fn message(name: &str) -> String {
        device(name).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_device_is_an_error_that_lists_the_known_ones() {
        assert!(device("flex").is_ok());
        assert_eq!(message("felx"), "unknown device `felx`; known devices: flex, tch, tch-cuda");
    }

    #[cfg(not(feature = "tch"))]
    #[test]
    fn a_device_that_is_not_compiled_in_says_what_it_needs() {
        for name in ["tch", "tch-cuda"] {
            let needs = "needs a build with `--features tch`; run `make setup-tch` first";
            assert_eq!(message(name), format!("device `{name}` {needs}"));
        }
    }

    #[cfg(feature = "tch")]
    #[test]
    fn libtorch_is_a_device_and_cuda_is_one_or_says_what_it_needs() {
        assert!(device("tch").is_ok());
        if device("tch-cuda").is_err() {
            assert!(message("tch-cuda").starts_with("device `tch-cuda` needs a CUDA device"));
        }
    }
}
