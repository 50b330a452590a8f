//! The slope of a straight line, for each seed; slopes are then averaged like any other statistic.

use super::StatisticsError;

/// A straight line fitted by least squares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    /// Change of y for one unit of x.
    pub slope: f64,
    /// y at x = 0.
    pub intercept: f64,
    /// Standard error of the slope from the residuals; 0 with two points, which leave none. It describes one
    /// line: the interval over seeds comes from the spread of their slopes.
    pub standard_error: f64,
}

/// Fits y = intercept + slope x by ordinary least squares.
///
/// # Errors
/// With fewer than two different `x`, sides of different length, or a value that is not finite.
pub fn slope(x: &[f64], y: &[f64]) -> Result<Slope, StatisticsError> {
    let statistic = "a slope";
    if x.len() != y.len() {
        return Err(StatisticsError::Unpaired { statistic, first: x.len(), second: y.len() });
    }
    if let Some(&value) = x.iter().chain(y).find(|value| !value.is_finite()) {
        return Err(StatisticsError::Value { statistic, value, reason: "it must be finite" });
    }
    let points = x.len() as f64;
    let (x_mean, y_mean) = (x.iter().sum::<f64>() / points, y.iter().sum::<f64>() / points);
    let x_squares: f64 = x.iter().map(|x| (x - x_mean).powi(2)).sum();
    if x.len() < 2 || x_squares == 0.0 {
        let found = x.len().min(1);
        return Err(StatisticsError::TooFew { statistic, unit: "different settings", needed: 2, found });
    }
    let products: f64 = x.iter().zip(y).map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let slope = products / x_squares;
    let intercept = y_mean - slope * x_mean;
    let residuals: f64 = x.iter().zip(y).map(|(x, y)| (y - intercept - slope * x).powi(2)).sum();
    let standard_error = if x.len() > 2 { (residuals / (points - 2.0) / x_squares).sqrt() } else { 0.0 };
    Ok(Slope { slope, intercept, standard_error })
}

#[cfg(test)]
mod tests {
    use super::*;

    // NIST Statistical Reference Datasets, linear regression, "Norris".
    const NORRIS_X: [f64; 36] = [
        0.2, 337.4, 118.2, 884.6, 10.1, 226.5, 666.3, 996.3, 448.6, 777.0, 558.2, 0.4, 0.6, 775.5, 666.9,
        338.0, 447.5, 11.6, 556.0, 228.1, 995.8, 887.6, 120.2, 0.3, 0.3, 556.8, 339.1, 887.2, 999.0, 779.0,
        11.1, 118.3, 229.2, 669.1, 448.9, 0.5,
    ];
    const NORRIS_Y: [f64; 36] = [
        0.1, 338.8, 118.1, 888.0, 9.2, 228.1, 668.5, 998.5, 449.1, 778.9, 559.2, 0.3, 0.1, 778.1, 668.8,
        339.3, 448.9, 10.8, 557.7, 228.3, 998.0, 888.8, 119.6, 0.3, 0.6, 557.6, 339.3, 888.0, 998.5, 778.9,
        10.2, 117.6, 228.9, 668.4, 449.2, 0.2,
    ];

    #[test]
    fn norris_has_its_certified_slope() {
        let line = slope(&NORRIS_X, &NORRIS_Y).unwrap();
        // Certified values of the data set.
        assert!((line.slope / 1.002_116_818_020_45 - 1.0).abs() < 1e-12, "{line:?}");
        assert!((line.standard_error / 4.297_968_481_999_37e-4 - 1.0).abs() < 1e-8, "{line:?}");
        assert!((line.intercept / -0.262_323_073_774_029 - 1.0).abs() < 1e-9, "{line:?}");
    }

    #[test]
    fn two_points_define_a_line_and_one_does_not() {
        let line = slope(&[1.0, 3.0], &[5.0, 9.0]).unwrap();
        assert_eq!((line.slope, line.intercept, line.standard_error), (2.0, 3.0, 0.0));
        assert!(matches!(slope(&[1.0, 1.0], &[5.0, 9.0]), Err(StatisticsError::TooFew { found: 1, .. })));
        assert!(matches!(slope(&[], &[]), Err(StatisticsError::TooFew { found: 0, .. })));
        assert!(matches!(slope(&[1.0, 2.0], &[1.0]), Err(StatisticsError::Unpaired { .. })));
    }
}
