//! The vocabulary that every other crate speaks: batches, tasks, learners and runs.
//!
//! Nothing here knows a tensor library, a table or a file. A [`Task`] owns what is asked (sampling,
//! targets, loss kind, mask, metrics, floors); a [`Learner`] owns how it is answered; a [`Dataset`]
//! stands between them, so that every learner sees the same examples in the same order.

mod batch;
mod generative;
mod learner;
mod random;
mod task;

pub use batch::{Batch, Inputs, Predictions, Targets};
pub use generative::{Generative, LogDensities, Samples};
pub use learner::{
    Budget, CurvePoint, Density, Explanation, Fit, LearnError, Learner, Observer, Outcome, Pass, PassCost,
    PositionCost, Predictor, Run, Stepwise, StopRule, Stopwatch,
};
pub use random::{Random, Stream};
pub use task::{
    Column, Dataset, Floor, Grounds, Groups, InputKind, Interface, LossKind, Score, Spelled, Split, Task,
    TestSet, Writing,
};
