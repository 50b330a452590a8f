//! Random numbers that are the same on every machine.
//!
//! `ChaCha8`'s stream is fixed by its definition; the bounded draw, the shuffle and the normal deviate
//! are ours, from integers and IEEE operations (plus `libm`), so that no library update and no
//! processor changes a sample.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a random stream is for. Streams of one seed are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The training batch of one update.
    Training(u64),
    /// The validation examples.
    Validation,
    /// The test examples.
    Test,
    /// The initial parameters.
    Initialisation,
    /// Dropout masks of one update.
    Dropout(u64),
    /// Text drawn from a trained model.
    Sampling,
    /// The order of things that are measured.
    Order,
    /// The direction in which a state is probed.
    Probe,
}

impl Stream {
    fn words(self) -> (u64, u64) {
        match self {
            Stream::Training(update) => (1, update),
            Stream::Validation => (2, 0),
            Stream::Test => (3, 0),
            Stream::Initialisation => (4, 0),
            Stream::Dropout(update) => (5, update),
            Stream::Sampling => (6, 0),
            Stream::Order => (7, 0),
            Stream::Probe => (8, 0),
        }
    }
}

/// A source of random numbers, determined by a seed and a purpose.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream of `seed` for one purpose.
    #[must_use]
    pub fn new(seed: u64, stream: Stream) -> Self {
        let (purpose, index) = stream.words();
        let mut key = [0_u8; 32];
        for (slot, word) in key.chunks_exact_mut(8).zip([seed, purpose, index, 0x7365_716c_6162]) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A whole number below `bound`, each equally likely (Lemire 2019, with rejection).
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "a draw needs at least one outcome");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.0.next_u32()) * u64::from(bound);
            #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
            let low = product as u32;
            if low >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// [`below`](Self::below) for indices.
    ///
    /// # Panics
    /// When `bound` is 0 or does not fit 32 bits.
    pub fn index(&mut self, bound: usize) -> usize {
        self.below(u32::try_from(bound).expect("an index bound fits 32 bits")) as usize
    }

    /// A real number in [0, 1), a multiple of 2^-24.
    pub fn unit(&mut self) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "24 bits fit an f32 exactly")]
        let numerator = (self.0.next_u32() >> 8) as f32;
        numerator / 16_777_216.0
    }

    /// A real number in [low, high).
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// A standard normal deviate (Box and Muller 1958).
    pub fn normal(&mut self) -> f32 {
        let radius = libm::sqrtf(-2.0 * libm::logf(1.0 - self.unit()));
        radius * libm::cosf(core::f32::consts::TAU * self.unit())
    }

    /// Puts `items` in random order, every order equally likely (Durstenfeld 1964).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }

    /// `count` distinct numbers below `bound`, in random order.
    ///
    /// # Panics
    /// When `count` exceeds `bound`.
    pub fn distinct(&mut self, count: usize, bound: usize) -> Vec<u32> {
        assert!(count <= bound, "cannot draw {count} distinct numbers below {bound}");
        let mut pool: Vec<u32> = (0..u32::try_from(bound).expect("a bound fits 32 bits")).collect();
        for position in 0..count {
            let other = position + self.index(bound - position);
            pool.swap(position, other);
        }
        pool.truncate(count);
        pool
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_seeds_differ_and_repeat() {
        let first = |seed, stream| Random::new(seed, stream).bits();
        assert_eq!(first(1, Stream::Test), first(1, Stream::Test));
        assert_ne!(first(1, Stream::Test), first(2, Stream::Test));
        assert_ne!(first(1, Stream::Test), first(1, Stream::Validation));
        assert_ne!(first(1, Stream::Training(0)), first(1, Stream::Training(1)));
    }

    #[test]
    fn bounded_draws_are_even() {
        let mut random = Random::new(7, Stream::Test);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[random.below(6) as usize] += 1;
        }
        // A fair die: mean 10,000, standard deviation 91; five of them either way.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 460), "{counts:?}");
    }

    #[test]
    fn normal_deviates_have_mean_zero_and_variance_one() {
        let mut random = Random::new(3, Stream::Test);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(random.normal())).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / 1e5;
        // Standard errors: 0.0032 and 0.0045.
        assert!(mean.abs() < 0.016, "{mean}");
        assert!((variance - 1.0).abs() < 0.023, "{variance}");
    }

    #[test]
    fn distinct_draws_are_distinct_and_shuffles_are_permutations() {
        let mut random = Random::new(5, Stream::Test);
        let mut drawn = random.distinct(10, 24);
        assert!(drawn.iter().all(|&number| number < 24));
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 10);
        let mut items: Vec<u32> = (0..50).collect();
        random.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<u32>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<u32>>());
    }
}
