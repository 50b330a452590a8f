//! MNIST-1D of Greydanus and Kobak (2020, arXiv 2011.14439), made here as its authors made it.
//!
//! ```text
//! outline of a digit   12 points, mean 0 and variance 1, moved to begin at 0, divided by 6
//! padded               with 36 to 60 zeros
//! stretched            to 72 points
//! scaled               by 0.8 to 1.2
//! moved                round a circle by 0 to 47 points
//! noise                smooth, of scale 0.25, where the outline is not; rough, of scale 0.02, everywhere
//! sheared              by a line that falls by -0.375 to 0.375
//! read                 at 40 points
//! ```
//!
//! There are 500 signals of each digit in one random order, as a whole of mean 0 and variance 1. The data set is published as a file that
//! Python alone reads. It was drawn with the first generator of `numpy`, seed 42, which is followed here number by number: what is made
//! is what is published but for the last rounding.

use std::fmt::Write;

use rand_mt::Mt;

/// Heights of each digit's outline, drawn from top to bottom.
const OUTLINES: [[f64; 12]; 10] = [
    [5.0, 6.0, 6.5, 6.75, 7.0, 7.0, 7.0, 7.0, 6.75, 6.5, 6.0, 5.0],
    [5.0, 3.0, 3.0, 3.4, 3.8, 4.2, 4.6, 5.0, 5.4, 5.8, 5.0, 5.0],
    [5.0, 6.0, 6.5, 6.5, 6.0, 5.25, 4.75, 4.0, 3.5, 3.5, 4.0, 5.0],
    [5.0, 6.0, 6.5, 6.5, 6.0, 5.0, 5.0, 6.0, 6.5, 6.5, 6.0, 5.0],
    [5.0, 4.4, 3.8, 3.2, 2.6, 2.6, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0],
    [5.0, 3.0, 3.0, 3.0, 3.0, 5.0, 6.0, 6.5, 6.5, 6.0, 4.5, 5.0],
    [5.0, 4.0, 3.5, 3.25, 3.0, 3.0, 3.0, 3.0, 3.25, 3.5, 4.0, 5.0],
    [5.0, 7.0, 7.0, 6.6, 6.2, 5.8, 5.4, 5.0, 4.6, 4.2, 5.0, 5.0],
    [5.0, 4.0, 3.5, 3.5, 4.0, 5.0, 5.0, 4.0, 3.5, 3.5, 4.0, 5.0],
    [5.0, 4.0, 3.5, 3.5, 4.0, 5.0, 5.0, 5.0, 5.0, 4.7, 4.3, 5.0],
];
const SIGNALS_A_DIGIT: usize = 500;
/// Points of a signal while it is made.
const STRETCHED: usize = 72;
/// Points of a signal.
pub(crate) const POINTS: usize = 40;
/// Points that smooth noise is an average of, to either side.
const RADIUS: usize = 8;
const SEED: u32 = 42;

/// The file: a line for each signal, of its 40 points and its digit.
#[expect(clippy::cast_possible_truncation, reason = "points are read in single precision")]
pub(super) fn make() -> String {
    let mut random = NumpyRandom { twister: Mt::new(SEED), spare: None };
    let mut signals = Vec::new();
    for (digit, outline) in OUTLINES.iter().enumerate() {
        let outline = standardised(outline);
        for _ in 0..SIGNALS_A_DIGIT {
            signals.push((signal(&outline, &mut random), digit));
        }
    }
    random.shuffle(&mut signals);
    let count = (signals.len() * POINTS) as f64;
    let values = || signals.iter().flat_map(|(signal, _)| signal);
    let mean = values().sum::<f64>() / count;
    let deviation = (values().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let mut text = String::new();
    for (signal, digit) in &signals {
        for value in signal {
            write!(text, "{},", ((value - mean) / deviation) as f32).expect("a text grows");
        }
        writeln!(text, "{digit}").expect("a text grows");
    }
    text
}

fn standardised(outline: &[f64; 12]) -> Vec<f64> {
    let count = outline.len() as f64;
    let mean = outline.iter().sum::<f64>() / count;
    let deviation = (outline.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let first = (outline[0] - mean) / deviation;
    outline.iter().map(|value| ((value - mean) / deviation - first) / 6.0).collect()
}

fn signal(outline: &[f64], random: &mut NumpyRandom) -> Vec<f64> {
    // So that a zero of the outline is told from one of the padding.
    let mut signal: Vec<f64> = outline.iter().map(|value| value + 1e-8).collect();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is rounded down, from 0 to 24"
    )]
    let padding = 36 + (random.uniform() * 25.0) as usize;
    signal.resize(signal.len() + padding, 0.0);
    let mut signal = interpolated(&signal, STRETCHED);
    let scale = 1.0 + 0.4 * (random.uniform() - 0.5);
    for value in &mut signal {
        *value *= scale;
    }
    signal.rotate_right(random.below(48) as usize);
    let rough: Vec<f64> = (0..STRETCHED).map(|_| 0.25 * random.normal()).collect();
    for (value, noise) in signal.iter_mut().zip(smooth(&rough)) {
        if *value == 0.0 {
            *value = noise;
        }
    }
    for value in &mut signal {
        *value += 0.02 * random.normal();
    }
    let shear = 0.75 * (random.uniform() - 0.5);
    for (value, place) in signal.iter_mut().zip(places(STRETCHED)) {
        *value -= shear * (place - 0.5);
    }
    interpolated(&signal, POINTS)
}

/// Points from 0 to 1 at equal distances.
fn places(count: usize) -> impl Iterator<Item = f64> {
    let step = 1.0 / (count - 1) as f64;
    (0..count).map(move |index| if index + 1 == count { 1.0 } else { index as f64 * step })
}

/// The values between the given ones, by straight lines, at `count` places.
fn interpolated(values: &[f64], count: usize) -> Vec<f64> {
    let given: Vec<f64> = places(values.len()).collect();
    let at = |place: f64| {
        let right = given.partition_point(|&given| given <= place);
        let left = right - 1;
        if right == given.len() || given[left] == place {
            return values[left];
        }
        let slope = (values[right] - values[left]) / (given[right] - given[left]);
        slope * (place - given[left]) + values[left]
    };
    places(count).map(at).collect()
}

/// An average of each value and its neighbours, weighted by a normal density of deviation 2; beyond the ends, values are mirrored.
fn smooth(values: &[f64]) -> Vec<f64> {
    let weight = |distance: usize| libm::exp(-((distance * distance) as f64) / 8.0);
    let total = weight(0) + 2.0 * (1..=RADIUS).map(weight).sum::<f64>();
    let mirrored = |index: isize| {
        let last = values.len().cast_signed() - 1;
        let inside = if index < 0 { -index - 1 } else { index.min(2 * last + 1 - index) };
        values[inside.cast_unsigned()]
    };
    let average = |index: usize| {
        let around = |distance: usize| {
            let (index, distance) = (index.cast_signed(), distance.cast_signed());
            mirrored(index - distance) + mirrored(index + distance)
        };
        let sum: f64 = (1..=RADIUS).map(|distance| weight(distance) * around(distance)).sum();
        (weight(0) * values[index] + sum) / total
    };
    (0..values.len()).map(average).collect()
}

/// The numbers of `numpy.random.RandomState`.
struct NumpyRandom {
    twister: Mt,
    /// The second of a pair of normal numbers.
    spare: Option<f64>,
}

impl NumpyRandom {
    /// In [0, 1), of 53 bits.
    fn uniform(&mut self) -> f64 {
        let (high, low) = (self.twister.next_u32() >> 5, self.twister.next_u32() >> 6);
        (f64::from(high) * f64::from(1 << 26) + f64::from(low)) / (1u64 << 53) as f64
    }

    /// By the polar method of Marsaglia.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (one, other) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = one * one + other * other;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * libm::log(square) / square).sqrt();
                self.spare = Some(factor * one);
                return factor * other;
            }
        }
    }

    /// Below a limit: of as many bits as that needs, drawn until one is.
    fn below(&mut self, limit: u32) -> u32 {
        let mask = (limit - 1).checked_ilog2().map_or(0, |bits| u32::MAX >> (31 - bits));
        loop {
            let number = self.twister.next_u32() & mask;
            if number < limit {
                return number;
            }
        }
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            let other = self.below(u32::try_from(index + 1).expect("a few thousand items"));
            items.swap(index, other as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_that_of_numpy() {
        // By NumPy 2.4.6: `r = numpy.random.RandomState(42)`, then `r.rand()`, `r.choice(48)`, `r.randn(3)`, `r.permutation(8)`.
        let mut random = NumpyRandom { twister: Mt::new(SEED), spare: None };
        assert_eq!(random.uniform(), 0.374_540_118_847_362_5);
        assert_eq!(random.below(48), 28);
        for expected in [0.543_743_160_481_298_6, -0.615_429_769_598_336, -1.197_806_426_553_955_6] {
            assert!((random.normal() - expected).abs() < 1e-14);
        }
        let mut order: Vec<u32> = (0..8).collect();
        random.shuffle(&mut order);
        assert_eq!(order, [0, 1, 5, 3, 4, 7, 2, 6]);
    }
}
