//! The straight line through points.

/// The slope of the least-squares line through points; `None` through fewer than three.
pub(super) fn slope(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < 3 {
        return None;
    }
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let products: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let squares: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    Some(products / squares)
}

#[cfg(test)]
mod tests {
    use super::slope;

    #[test]
    fn the_slope_of_a_line_is_its_own_and_two_points_are_none() {
        let line: Vec<(f64, f64)> = (5..20).map(|x| (f64::from(x), 3.0 - 0.25 * f64::from(x))).collect();
        assert!((slope(&line).unwrap() + 0.25).abs() < 1e-12);
        assert_eq!(slope(&line[..2]), None);
    }
}
