//! What tables need to know of a metric: which way is better.

/// Whether a metric is a fraction of answers that are right.
#[must_use]
pub fn is_accuracy(metric: &str) -> bool {
    let named = metric.starts_with("accuracy") || metric == "sequence-accuracy";
    named && chosen_by(metric) == metric
}

/// The metric whose validation score chooses the best of several arms: of a slope over lengths, such as `accuracy-slope`,
/// which validation does not have, the one whose slope it is.
#[must_use]
pub fn chosen_by(metric: &str) -> &str {
    metric.strip_suffix("-slope").unwrap_or(metric)
}

/// Whether a metric says of each seed if it solved the task: within its budget, or given more updates.
#[must_use]
pub fn is_solved(metric: &str) -> bool {
    metric == "solved" || metric == "solved-extended"
}

/// Whether a metric describes a network without saying how good it is, as its gradients do: neither more nor less of it is
/// better.
#[must_use]
pub fn is_description(metric: &str) -> bool {
    [
        "slope",
        "half-life",
        "reach",
        "token-cosine",
        "position-explained",
        "bias-share",
        "overfitting-detected",
        "unknown-words",
        "unknown-words-of-source",
        "groups",
        "generative",
        "exact-likelihood",
        "draws",
        "rand-index-of-truth",
        "rand-index-at-random",
        "angle-to-principal",
        "angle-at-random",
    ]
    .contains(&metric)
        || [
            "log10-",
            "slope-at-",
            "auroc",
            "overfitting-detected",
            "exponent-of-",
            "doubling-of-",
            "share-of-",
            "update-size",
        ]
        .iter()
        .any(|prefix| metric.starts_with(prefix))
}

/// Whether more of a metric is better.
#[must_use]
pub fn larger_is_better(metric: &str) -> bool {
    is_accuracy(chosen_by(metric))
        || is_solved(metric)
        || [
            "longest",
            "bleu",
            "adjusted-rand-index",
            "nested-accuracy",
            "cross-validated-accuracy",
            "answered",
            "outlier-auc",
            "mixed-row-auc",
            "modes",
            "all-modes",
            "quality",
            "best-fresh",
            "last-fresh",
            "last-clean",
            "written-named",
            "true-named",
            "good-decades",
            "good-fraction",
            "gain-of-selection",
            "law-fit",
        ]
        .contains(&metric)
}

/// Whether less of a metric is better, as of losses, errors and costs. Of many metrics neither is.
#[must_use]
pub fn smaller_is_better(metric: &str) -> bool {
    let neither = ["-slope", "-change", "-over-training-error"].iter().any(|end| metric.ends_with(end))
        || ["estimate-less-error", "exact-likelihood"].iter().any(|start| metric.starts_with(start));
    !neither
        && !larger_is_better(metric)
        && [
            "error",
            "loss",
            "entropy",
            "likelihood",
            "nats",
            "excess",
            "divergence",
            "distance",
            "updates-to-solve",
            "seconds",
            "bytes",
            "multiply-adds",
            "waiting-steps",
            "deletion-",
            "bystander-above-",
            "two-sample-auc",
            "draw-auc",
            "fresh-lost",
        ]
        .iter()
        .any(|part| metric.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_no_fraction_and_is_chosen_by_what_it_is_of() {
        assert!(is_accuracy("accuracy") && is_accuracy("accuracy-all") && is_accuracy("sequence-accuracy"));
        assert!(!is_accuracy("accuracy-slope") && !is_accuracy("cross-entropy"));
        assert_eq!((chosen_by("accuracy-slope"), chosen_by("accuracy-all")), ("accuracy", "accuracy-all"));
        assert!(larger_is_better("accuracy-slope") && !larger_is_better("cross-entropy-slope"));
        assert!(is_description("slope") && is_description("unknown-words"));
        assert!(is_accuracy("accuracy-free-running") && larger_is_better("bleu") && !is_accuracy("bleu"));
        assert!(larger_is_better("adjusted-rand-index") && is_description("rand-index-at-random"));
    }

    #[test]
    fn a_metric_has_one_direction_or_none() {
        for loss in
            ["cross-entropy", "error-at-best", "own-loss", "negative-log-likelihood", "mixing-seconds"]
        {
            assert!(smaller_is_better(loss) && !larger_is_better(loss), "{loss}");
        }
        for score in ["modes", "nested-accuracy", "mixed-row-auc"] {
            assert!(larger_is_better(score) && !smaller_is_better(score), "{score}");
        }
        for neither in ["variance-kept", "error-slope", "estimate-less-error", "last-noisy", "best-rate"] {
            assert!(!larger_is_better(neither) && !smaller_is_better(neither), "{neither}");
        }
    }
}
