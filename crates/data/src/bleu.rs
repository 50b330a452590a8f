//! How alike what a model wrote and what a person wrote are, by the words and runs of words that both have: BLEU.
//!
//! ```text
//! p_n = runs of n words that the sentence and its reference share / runs of n words of the sentence     both summed over all sentences
//! BLEU = min(1, exp(1 - r / c)) exp((ln p_1 + ln p_2 + ln p_3 + ln p_4) / 4)            c words written, r words in the references
//! ```
//!
//! A run that a sentence has more often than its reference counts as often as the reference has it. With one `p_n` of 0 it is 0: nothing
//! is smoothed. Papineni, Roukos, Ward and Zhu 2002, with one reference a sentence.

use std::collections::HashMap;

/// The longest run of words.
const LONGEST: usize = 4;

/// BLEU of a corpus of pairs of what was written and its reference, from 0 to 1.
pub(crate) fn bleu<'a>(pairs: impl IntoIterator<Item = (&'a [u32], &'a [u32])>) -> f64 {
    let (mut shared, mut runs) = ([0_usize; LONGEST], [0_usize; LONGEST]);
    let (mut written, mut expected) = (0, 0);
    for (sentence, reference) in pairs {
        written += sentence.len();
        expected += reference.len();
        for length in 1..=LONGEST {
            let known = counted(reference, length);
            let of = |(run, count): (&[u32], usize)| count.min(known.get(run).copied().unwrap_or(0));
            shared[length - 1] += counted(sentence, length).into_iter().map(of).sum::<usize>();
            runs[length - 1] += (sentence.len() + 1).saturating_sub(length);
        }
    }
    if shared.contains(&0) {
        return 0.0;
    }
    let logarithms = shared.iter().zip(runs).map(|(&shared, runs)| libm::log(shared as f64 / runs as f64));
    let mean = logarithms.sum::<f64>() / LONGEST as f64;
    libm::exp((1.0 - expected as f64 / written as f64).min(0.0) + mean)
}

/// How often each run of so many words occurs.
fn counted(sentence: &[u32], length: usize) -> HashMap<&[u32], usize> {
    let mut counts = HashMap::new();
    for run in sentence.windows(length) {
        *counts.entry(run).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of sentences, by their words.
    fn of(pairs: &[(&str, &str)]) -> f64 {
        let mut numbers = HashMap::new();
        let mut numbered = |sentence: &str| -> Vec<u32> {
            let mut number = |word: &str| {
                let next = u32::try_from(numbers.len()).unwrap();
                *numbers.entry(word.to_owned()).or_insert(next)
            };
            sentence.split(' ').map(&mut number).collect()
        };
        let pairs: Vec<_> = pairs.iter().map(|(one, other)| (numbered(one), numbered(other))).collect();
        bleu(pairs.iter().map(|(one, other)| (one.as_slice(), other.as_slice())))
    }

    const PAIRS: [(&str, &str); 3] = [
        ("the cat sat on the mat .", "the cat is sitting on the mat ."),
        ("tom went to boston last year .", "tom went to boston on vacation last year ."),
        ("i do not know what you want to do .", "i don't know what you want to do ."),
    ];

    /// By sacrebleu 2.6.0, `corpus_bleu(hypotheses, [references], smooth_method="none", tokenize="none")`, and the first by nltk's
    /// `corpus_bleu` as well.
    #[test]
    fn it_is_that_of_sacrebleu() {
        assert!((of(&PAIRS) - 0.561_662_810_852_248).abs() < 1e-12, "{}", of(&PAIRS));
        // Longer than the references, so that brevity costs nothing.
        let long = PAIRS.map(|(one, other)| (format!("{one} and then some more"), other));
        let long: Vec<(&str, &str)> = long.iter().map(|(one, other)| (one.as_str(), *other)).collect();
        assert!((of(&long) - 0.374_360_558_192_794).abs() < 1e-12, "{}", of(&long));
        // `the` counts twice of five times.
        let repeated = [("the the the the the", "the cat the mat x"), ("a b c d e", "a b c d e")];
        assert!((of(&repeated) - 0.543_878_652_968_639).abs() < 1e-12, "{}", of(&repeated));
    }

    #[test]
    fn the_same_is_1_and_what_shares_no_run_of_four_is_0() {
        assert_eq!(of(&[("a b c d e", "a b c d e")]), 1.0);
        assert_eq!(of(&[("a b c x d e", "a b c d e")]), 0.0);
        // Nothing was written, or nothing that is long enough.
        assert_eq!(bleu([(&[][..], &[1, 2, 3, 4][..])]), 0.0);
        assert_eq!(of(&[("a b c", "a b c")]), 0.0);
        assert_eq!(bleu([]), 0.0);
    }
}
