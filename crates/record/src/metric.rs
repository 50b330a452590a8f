//! What tables need to know of a metric: which way is better.

/// Whether a metric is a fraction of answers that are right.
#[must_use]
pub fn is_accuracy(metric: &str) -> bool {
    metric.starts_with("accuracy")
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
    ["slope", "half-life", "reach", "token-cosine", "position-explained"].contains(&metric)
        || ["log10-", "auroc", "exponent-of-", "doubling-of-", "share-of-", "update-size"]
            .iter()
            .any(|prefix| metric.starts_with(prefix))
}

/// Whether more of a metric is better; of losses, errors and costs it is not.
#[must_use]
pub fn larger_is_better(metric: &str) -> bool {
    is_accuracy(metric) || is_solved(metric) || metric == "longest"
}
