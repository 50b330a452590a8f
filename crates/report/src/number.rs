//! Numbers as they are printed.

/// Three significant digits: `0.912`, `12.3`, `1,320`, `4.1e-6`; `-` where there is no number.
pub(crate) fn number(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    if value.abs() < 1e-3 && value != 0.0 {
        return format!("{value:.1e}");
    }
    // The digits of the rounded number count: 0.9996 with three of them is 1.00.
    let rounded = format!("{value:.2e}").parse().unwrap_or(value);
    decimals(value, usize::try_from(2 - magnitude(rounded)).unwrap_or(0))
}

/// Two significant digits, without zeros at the end: `0.4`, `0.027`, `12`.
pub(crate) fn short(value: f64) -> String {
    special(value).unwrap_or_else(|| record::spelled::spell(format!("{value:.1e}").parse().unwrap_or(value)))
}

/// An estimate and its interval with the digits that the interval leaves: `0.31 [0.24, 0.38]`.
pub(crate) fn estimate(value: f64, low: f64, high: f64) -> String {
    let [value, low, high] = alike([value, low, high]);
    format!("{value} [{low}, {high}]")
}

/// An estimate in running text: `0.31, 95% interval 0.24 to 0.38`.
pub(crate) fn estimate_in_words(value: f64, low: f64, high: f64) -> String {
    let [value, low, high] = alike([value, low, high]);
    format!("{value}, 95% interval {low} to {high}")
}

/// An interval alone: `[0.24, 0.38]`.
pub(crate) fn interval(low: f64, high: f64) -> String {
    let [_, low, high] = alike([f64::midpoint(low, high), low, high]);
    format!("[{low}, {high}]")
}

/// A value and the ends of its interval with one number of decimals: one digit of the half-width, at least
/// two decimals below 10 and one below 100.
fn alike([value, low, high]: [f64; 3]) -> [String; 3] {
    let largest =
        [value, low, high].into_iter().filter(|end| end.is_finite()).fold(0.0, |a: f64, b| a.max(b.abs()));
    let half_width = (high - low) / 2.0;
    let resolution = if half_width.is_finite() && half_width > 0.0 { -magnitude(half_width) } else { 0 };
    if largest > 0.0 && largest < 1e-3 {
        return [value, low, high].map(|end| special(end).unwrap_or_else(|| format!("{end:.1e}")));
    }
    let least = match largest {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    let places = usize::try_from(resolution.clamp(least, 6)).unwrap_or(0);
    [value, low, high].map(|end| special(end).unwrap_or_else(|| decimals(end, places)))
}

/// A whole number with its thousands apart: `1,320`.
pub(crate) fn count(value: f64) -> String {
    special(value).unwrap_or_else(|| decimals(value, 0))
}

/// A large count with its unit: `12.3 M`.
pub(crate) fn large(value: f64) -> String {
    for (scale, unit) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")] {
        if value >= scale {
            let scale = if unit == "k" { 1e3 } else { scale };
            return format!("{} {unit}", number(value / scale));
        }
    }
    count(value)
}

/// A duration: `0.8 ms`, `12.3 s`, `38 min`, `1 h 05 min`.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        ..0.1 => format!("{} ms", number(seconds * 1e3)),
        ..120.0 => format!("{} s", number(seconds)),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => {
            let minutes = (seconds / 60.0).round();
            format!("{:.0} h {:02.0} min", (minutes / 60.0).floor(), minutes % 60.0)
        }
    }
}

/// A place on an axis, short: `200`, `1,500`, `50k`, `1M`, `0.01`, `1e-5`.
pub(crate) fn tick(value: f64) -> String {
    let short = |value: f64| record::spelled::spell((value * 1e6).round() / 1e6);
    match value.abs() {
        1e6.. => format!("{}M", short(value / 1e6)),
        1e4.. => format!("{}k", short(value / 1e3)),
        1e3.. => count(value),
        ..1e-4 if value != 0.0 => format!("{value:e}"),
        _ => short(value),
    }
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        Some("-".to_owned())
    } else if value.is_infinite() {
        Some(if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() })
    } else {
        None
    }
}

/// Position of the first digit: 0 for 1 to 9.99, -1 for 0.1 to 0.999.
fn magnitude(value: f64) -> i32 {
    if value == 0.0 {
        return 0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of a double fits")]
    let exponent = value.abs().log10().floor() as i32;
    exponent
}

fn decimals(value: f64, places: usize) -> String {
    let text = format!("{value:.places$}");
    let (sign, digits) = match text.strip_prefix('-') {
        // No negative zero.
        Some(digits) if digits.chars().all(|digit| matches!(digit, '0' | '.')) => ("", digits),
        Some(digits) => ("-", digits),
        None => ("", text.as_str()),
    };
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0.00"),
            (0.125, "0.125"),
            (0.99951, "1.00"),
            (12.345, "12.3"),
            (-12.345, "-12.3"),
            (1319.6, "1,320"),
            (1_234_567.0, "1,234,567"),
            (4.06e-6, "4.1e-6"),
            (f64::NAN, "-"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn short_numbers_have_two_digits() {
        assert_eq!([0.4, 0.0271, 12.4, f64::NAN].map(short), ["0.4", "0.027", "12", "-"]);
    }

    #[test]
    fn an_interval_decides_the_digits() {
        assert_eq!(estimate(0.312_4, 0.243, 0.381_8), "0.31 [0.24, 0.38]");
        assert_eq!(estimate(1.834_21, 1.829_4, 1.838_9), "1.834 [1.829, 1.839]");
        assert_eq!(estimate(1319.7, 1100.2, 1540.1), "1,320 [1,100, 1,540]");
        assert_eq!(estimate(1.0, 1.0, 1.0), "1.00 [1.00, 1.00]");
        assert_eq!(estimate(-0.000_4, -0.05, 0.049), "0.00 [-0.05, 0.05]");
        assert_eq!(estimate(3.1e-5, 2.0e-5, 4.2e-5), "3.1e-5 [2.0e-5, 4.2e-5]");
        assert_eq!(estimate(0.5, f64::NEG_INFINITY, f64::INFINITY), "0.50 [-inf, inf]");
        assert_eq!(interval(0.1, 0.2), "[0.10, 0.20]");
    }

    #[test]
    fn amounts_carry_their_unit() {
        assert_eq!([9_999.0, 10_000.0, 4.2e6, 3e12].map(large), ["9,999", "10.0 k", "4.20 M", "3.00 T"]);
        assert_eq!(
            [0.000_8, 12.34, 119.0, 2310.0, 7500.0].map(duration),
            ["0.800 ms", "12.3 s", "119 s", "38 min", "2 h 05 min"]
        );
        assert_eq!(
            [0.0, 0.3, 200.0, 1500.0, 50_000.0, 1e6, 1e-5].map(tick),
            ["0", "0.3", "200", "1,500", "50k", "1M", "1e-5"]
        );
    }
}
