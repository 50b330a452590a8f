//! Numbers as text: the shortest decimal that reads back to the same number, with the special values spelled.

/// `0.1`, `12.5`, `1e-7`, `NaN`, `inf`, `-inf`.
#[must_use]
pub fn spell(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let magnitude = value.abs();
    if value != 0.0 && value.is_finite() && !(1e-5..1e16).contains(&magnitude) {
        format!("{value:e}")
    } else {
        format!("{value}")
    }
}

/// The number that [`spell`] wrote.
///
/// # Errors
/// When the text is not a number.
pub fn read(text: &str) -> Result<f64, std::num::ParseFloatError> {
    text.parse()
}

/// Serialises an `f64` as spelled text, because JSON has no `NaN`.
///
/// # Errors
/// As the serializer says.
pub fn serialize<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&spell(*value))
}

/// Reads what [`serialize`] wrote.
///
/// # Errors
/// When the text is not a number.
pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text: String = serde::Deserialize::deserialize(deserializer)?;
    read(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::{read, spell};

    #[test]
    fn every_number_reads_back_to_itself() {
        for value in [0.0, -0.0, 0.1, 1.0 / 3.0, 1e-300, 5e-324, 1e300, 12345.678, 1e15, 1e16, f64::INFINITY]
        {
            for signed in [value, -value] {
                assert_eq!(read(&spell(signed)).unwrap().to_bits(), signed.to_bits(), "{}", spell(signed));
            }
        }
        assert!(read(&spell(f64::NAN)).unwrap().is_nan());
        assert_eq!(spell(0.1), "0.1");
        assert_eq!(spell(1e-7), "1e-7");
    }
}
