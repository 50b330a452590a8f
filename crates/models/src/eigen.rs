//! Eigenvalues and eigenvectors of a symmetric matrix, by rotations that take one entry off the diagonal at a time until none is
//! left (Jacobi 1846; Golub and Van Loan 2013, 8.5).

/// Sweeps over all entries at most; a handful is usual.
const SWEEPS: usize = 60;

/// The eigenvalues of a symmetric matrix, the largest first, and an orthonormal eigenvector for each.
#[derive(Clone, Debug)]
pub(crate) struct Eigen {
    /// `[size]`
    pub(crate) values: Vec<f64>,
    /// A row each, `[size, size]`; the entry of largest size is positive.
    pub(crate) vectors: Vec<f64>,
}

impl Eigen {
    /// Of a symmetric matrix `[size, size]`.
    pub(crate) fn of(matrix: &[f64], size: usize) -> Self {
        let mut a = matrix.to_vec();
        let mut vectors = vec![0.0; size * size];
        vectors.iter_mut().step_by(size + 1).for_each(|entry| *entry = 1.0);
        let total: f64 = a.iter().map(|entry| entry * entry).sum();
        for _ in 0..SWEEPS {
            let off: f64 = (0..size)
                .flat_map(|p| (0..p).map(move |q| (p, q)))
                .map(|(p, q)| a[p * size + q].powi(2))
                .sum();
            if off <= f64::EPSILON.powi(2) * total {
                break;
            }
            for p in 0..size {
                for q in p + 1..size {
                    rotate(&mut a, &mut vectors, size, (p, q));
                }
            }
        }
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by(|&p, &q| a[q * size + q].total_cmp(&a[p * size + p]));
        let vector = |&p: &usize| {
            let row = &vectors[p * size..][..size];
            let largest = row
                .iter()
                .copied()
                .fold(0.0, |most: f64, entry| if entry.abs() > most.abs() { entry } else { most });
            row.iter().map(move |entry| entry * largest.signum())
        };
        Self {
            values: order.iter().map(|&p| a[p * size + p]).collect(),
            vectors: order.iter().flat_map(vector).collect(),
        }
    }
}

/// Turns the plane of the axes p and q so that the entry of both becomes 0, and the vectors with it.
fn rotate(a: &mut [f64], vectors: &mut [f64], size: usize, (p, q): (usize, usize)) {
    let entry = a[p * size + q];
    if entry == 0.0 {
        return;
    }
    let slope = (a[q * size + q] - a[p * size + p]) / (2.0 * entry);
    let tangent = slope.signum() / (slope.abs() + slope.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    let turn = |one: f64, other: f64| (cosine * one - sine * other, sine * one + cosine * other);
    for k in 0..size {
        (a[k * size + p], a[k * size + q]) = turn(a[k * size + p], a[k * size + q]);
    }
    for k in 0..size {
        (a[p * size + k], a[q * size + k]) = turn(a[p * size + k], a[q * size + k]);
        (vectors[p * size + k], vectors[q * size + k]) = turn(vectors[p * size + k], vectors[q * size + k]);
    }
}

#[cfg(test)]
mod tests {
    use sequence::{Random, Stream};

    use super::*;

    #[test]
    fn a_matrix_of_two_is_by_hand() {
        // [2 1; 1 2] has 3 along (1, 1) and 1 along (1, -1).
        let eigen = Eigen::of(&[2.0, 1.0, 1.0, 2.0], 2);
        assert!((eigen.values[0] - 3.0).abs() < 1e-14 && (eigen.values[1] - 1.0).abs() < 1e-14);
        let half = 0.5_f64.sqrt();
        assert!((eigen.vectors[0] - half).abs() < 1e-14 && (eigen.vectors[1] - half).abs() < 1e-14);
        assert!((eigen.vectors[2] + eigen.vectors[3]).abs() < 1e-14);
        // A diagonal stays, in order.
        assert_eq!(Eigen::of(&[1.0, 0.0, 0.0, 4.0], 2).values, [4.0, 1.0]);
        assert_eq!(Eigen::of(&[0.0; 4], 2).values, [0.0, 0.0]);
    }

    #[test]
    fn vectors_are_orthonormal_and_give_the_matrix_back() {
        let size = 12;
        let mut random = Random::new(3, Stream::Sampling);
        let mut matrix = vec![0.0; size * size];
        for p in 0..size {
            for q in 0..=p {
                let entry = f64::from(random.normal());
                (matrix[p * size + q], matrix[q * size + p]) = (entry, entry);
            }
        }
        let Eigen { values, vectors } = Eigen::of(&matrix, size);
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
        let vector = |k: usize| &vectors[k * size..][..size];
        for p in 0..size {
            for q in 0..size {
                let product: f64 = vector(p).iter().zip(vector(q)).map(|(a, b)| a * b).sum();
                assert!((product - f64::from(u8::from(p == q))).abs() < 1e-13, "{p} {q}: {product}");
                let again: f64 = (0..size).map(|k| values[k] * vector(k)[p] * vector(k)[q]).sum();
                assert!((again - matrix[p * size + q]).abs() < 1e-12, "{p} {q}: {again}");
            }
        }
    }
}
