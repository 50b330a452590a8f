//! Finitely many labelled examples, and how a seed cuts them.
//!
//! Examples that repeat an earlier one are dropped before, so that none is in two parts. The members of each class are dealt out to
//! `folds` folds in a fixed random order, so that all folds have nearly the same shares of the classes. One fold is tested: that
//! of the seed, so that as many seeds in a row test every example once. What remains is ordered by the seed, so that every stretch
//! has nearly the shares of the whole; its first tenth is for choosing, and what follows for training. Models that choose nothing may be trained on that tenth, too, as those of
//! published numbers are.

use std::sync::{Arc, OnceLock};

use sequence::{Floor, Random, Stream};

use crate::DataError;
use crate::settings;

/// Of what is not tested, the part that is for choosing: one of so many.
const VALIDATION_PART: usize = 10;

/// Which examples are for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) training: Vec<usize>,
    pub(crate) validation: Vec<usize>,
    pub(crate) test: Vec<usize>,
}

/// How labelled examples are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cutting {
    /// Folds, of which one is tested.
    pub(crate) folds: usize,
    /// Training examples; 0 for all.
    pub(crate) examples: usize,
    /// Whether what is for choosing is trained on, too.
    pub(crate) train_on_validation: bool,
}

/// The cut of the first seed that is asked for: a run asks for one, at every update.
#[derive(Debug, Default)]
pub(crate) struct FirstCut(OnceLock<(u64, Arc<Cut>)>);

impl FirstCut {
    /// As [`cut`], with the same labels and cutting at every call.
    pub(crate) fn of(&self, labels: &[u32], cutting: Cutting, seed: u64) -> Arc<Cut> {
        let of_seed = || Arc::new(cut(labels, cutting, seed));
        let (known, first) = self.0.get_or_init(|| (seed, of_seed()));
        if *known == seed { Arc::clone(first) } else { of_seed() }
    }
}

/// Cuts the examples with these labels.
pub(crate) fn cut(labels: &[u32], cutting: Cutting, seed: u64) -> Cut {
    let Cutting { folds, examples: training, train_on_validation } = cutting;
    let fold = usize::try_from(seed % folds as u64).expect("a fold is a small number");
    let all: Vec<usize> = (0..labels.len()).collect();
    // One class after the other, so that where the dealing of one ends that of the next begins.
    let mut dealt = of_classes(&all, labels);
    let mut random = Random::new(0, Stream::Order);
    for members in &mut dealt {
        random.shuffle(members);
    }
    let dealt = dealt.concat().into_iter().enumerate();
    let (test, rest): (Vec<_>, Vec<_>) = dealt.partition(|(place, _)| place % folds == fold);
    let examples = |placed: Vec<(usize, usize)>| placed.into_iter().map(|(_, example)| example).collect();
    let (test, rest): (Vec<usize>, Vec<usize>) = (examples(test), examples(rest));
    let rest = stratified(&rest, labels, &mut Random::new(seed, Stream::Order));
    let (validation, others) = rest.split_at(rest.len() / VALIDATION_PART);
    let pool = if train_on_validation { rest.as_slice() } else { others };
    let training = if training == 0 { pool.len() } else { training.min(pool.len()) };
    Cut { training: pool[..training].to_vec(), validation: validation.to_vec(), test }
}

/// The examples in random order, but so that the classes are spread evenly: the i-th of the m examples of a class is placed
/// by (i + 1/2) / m.
fn stratified(examples: &[usize], labels: &[u32], random: &mut Random) -> Vec<usize> {
    let mut placed = Vec::with_capacity(examples.len());
    for members in &mut of_classes(examples, labels) {
        random.shuffle(members);
        let count = members.len() as u64;
        // Places are compared as fractions of whole numbers, so that they are the same everywhere.
        placed.extend(
            members.iter().enumerate().map(|(index, &example)| (2 * index as u64 + 1, count, example)),
        );
    }
    placed.sort_by(|a, b| (a.0 * b.1).cmp(&(b.0 * a.1)).then(a.2.cmp(&b.2)));
    placed.into_iter().map(|(_, _, example)| example).collect()
}

/// The examples of each class.
fn of_classes(examples: &[usize], labels: &[u32]) -> Vec<Vec<usize>> {
    let classes = labels.iter().max().map_or(0, |&class| class as usize + 1);
    let mut of_class = vec![Vec::new(); classes];
    for &example in examples {
        of_class[labels[example] as usize].push(example);
    }
    of_class
}

/// Checks what the settings ask of so many examples.
///
/// # Errors
/// When there are too few examples to cut, or of a class too few to be in each part.
pub(crate) fn check(
    task: &'static str,
    labels: &[u32],
    classes: &[String],
    cutting: Cutting,
) -> Result<(), DataError> {
    let Cutting { folds, examples: training, .. } = cutting;
    settings::within(task, "folds", &folds, 2..=100)?;
    let smallest = (0_u32..)
        .zip(classes)
        .map(|(class, name)| (labels.iter().filter(|&&label| label == class).count(), name));
    match smallest.min() {
        Some((count, name)) if count < 2 * folds => {
            let reason = format!(
                "class `{name}` has {count} examples, fewer than two a fold; use fewer `folds` or more data"
            );
            return Err(settings::wrong(task, "folds", reason));
        }
        _ => {}
    }
    let most = cut(labels, Cutting { examples: 0, ..cutting }, 0).training.len();
    if training > most {
        let reason = format!("{training} is more than there are for training, {most}; 0 takes all");
        return Err(settings::wrong(task, "examples", reason));
    }
    Ok(())
}

/// What is reached by the shares of the classes alone.
pub(crate) fn floors(labels: &[u32], classes: usize) -> Vec<Floor> {
    let mut counts = vec![0_u32; classes];
    for &label in labels {
        counts[label as usize] += 1;
    }
    let shares = counts.iter().map(|&count| f64::from(count) / labels.len().max(1) as f64);
    let entropy =
        -shares.clone().filter(|share| *share > 0.0).map(|share| share * libm::log(share)).sum::<f64>();
    vec![
        Floor { metric: "accuracy", name: "most-frequent", value: shares.fold(0.0, f64::max) },
        Floor { metric: "cross-entropy", name: "class-shares", value: entropy },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(folds: usize, examples: usize) -> Cutting {
        Cutting { folds, examples, train_on_validation: false }
    }

    /// 300 examples, of which every third is of class 1.
    fn labels() -> Vec<u32> {
        (0..300).map(|example| u32::from(example % 3 == 0)).collect()
    }

    #[test]
    fn folds_cover_every_example_once_and_parts_are_disjoint() {
        let labels = labels();
        let mut tested = vec![0; 300];
        for seed in 1000..1010 {
            let Cut { training, validation, test } = cut(&labels, of(10, 0), seed);
            assert_eq!((training.len(), validation.len(), test.len()), (243, 27, 30));
            for &example in &test {
                tested[example] += 1;
            }
            let mut all: Vec<_> = [training, validation, test].concat();
            all.sort_unstable();
            assert_eq!(all, (0..300).collect::<Vec<_>>());
        }
        assert!(tested.iter().all(|&times| times == 1));
    }

    #[test]
    fn every_part_has_its_share_of_the_classes() {
        let labels = labels();
        let ones = |examples: &[usize]| examples.iter().filter(|&&example| labels[example] == 1).count();
        for seed in [1, 2, 15] {
            let small = cut(&labels, of(10, 12), seed).training;
            assert_eq!((small.len(), ones(&small)), (12, 4));
            // More examples begin with the fewer.
            assert_eq!(cut(&labels, of(10, 60), seed).training[..12], small);
            assert_eq!(ones(&cut(&labels, of(10, 0), seed).test), 10);
        }
        assert_ne!(
            cut(&labels, of(10, 12), 1).training,
            cut(&labels, of(10, 12), 11).training,
            "drawn by the seed"
        );
        let whole = cut(&labels, Cutting { train_on_validation: true, ..of(10, 0) }, 1);
        assert_eq!((whole.training.len(), whole.validation.len()), (270, 27));
        assert!(whole.test.iter().all(|example| !whole.training.contains(example)));
    }

    #[test]
    fn classes_of_equal_size_are_in_every_fold() {
        for classes in [2, 5, 10] {
            let labels: Vec<u32> = (0..200).map(|example| example % classes).collect();
            for seed in 0..10 {
                let test = cut(&labels, of(10, 0), seed).test;
                for class in 0..classes {
                    let count = test.iter().filter(|&&example| labels[example] == class).count();
                    assert_eq!(count, 20 / classes as usize, "class {class} of {classes} in fold {seed}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_cut_is_refused() {
        let names = ["no".to_owned(), "yes".to_owned()];
        let refusal = |labels: &[u32], folds, training| {
            check("example", labels, &names, of(folds, training)).unwrap_err().to_string()
        };
        assert!(refusal(&labels(), 1, 0).contains("`folds`: 1 is outside"));
        assert!(refusal(&labels(), 10, 244).contains("more than there are for training, 243"));
        let few: Vec<u32> = (0..50).map(|example| u32::from(example < 7)).collect();
        assert!(refusal(&few, 5, 0).contains("class `yes` has 7 examples"), "{}", refusal(&few, 5, 0));
        assert!(check("example", &few, &names, of(3, 0)).is_ok());
    }
}
