//! Progress on standard error: bars on a terminal, plain lines at sensible intervals elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use experiment::{EstimateRow, Event, Stage};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::output;

/// Without a terminal, a line is written at most this often.
const INTERVAL: Duration = Duration::from_secs(15);

static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Runs `print` while no bar is drawn, so that its lines stay above the bars.
pub(crate) fn above(print: impl FnOnce()) {
    BARS.suspend(print);
}

/// Whether a person looks at standard error.
pub(crate) fn on_terminal() -> bool {
    std::io::stderr().is_terminal()
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is a literal");
    BARS.add(ProgressBar::new(length).with_style(style.progress_chars("=> ")))
}

/// Writes log lines above the bars.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Above;

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        BARS.suspend(|| std::io::stderr().write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// The progress of a download.
#[derive(Debug)]
pub(crate) struct Bytes(ProgressBar);

impl Bytes {
    /// A download of `total` bytes.
    pub(crate) fn new(name: &str, total: u64) -> Self {
        let bar = bar(total, "{prefix} [{bar:40}] {bytes}/{total_bytes}, {eta} left");
        bar.set_prefix(name.to_owned());
        Self(bar)
    }

    /// So many bytes have arrived.
    pub(crate) fn reached(&self, done: u64) {
        self.0.set_position(done);
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// The progress of one training.
#[derive(Debug)]
pub(crate) struct Updates {
    bar: ProgressBar,
    name: String,
    total: u64,
}

impl Updates {
    /// A training of `total` updates.
    pub(crate) fn new(name: &str, total: u64) -> Self {
        let bar = bar(total, "{prefix} [{bar:40}] {pos}/{len} updates, {msg}{eta} left");
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, name: name.to_owned(), total }
    }

    /// So many updates are made, with this score on validation.
    pub(crate) fn reached(&self, updates: u64, validation: f64) {
        self.bar.set_message(format!("validation {validation:.3}, "));
        self.bar.set_position(updates);
        if !on_terminal() {
            let (name, total) = (&self.name, self.total);
            above(|| {
                drop(writeln!(
                    std::io::stderr(),
                    "{name}: {updates}/{total} updates, validation {validation:.3}"
                ));
            });
        }
    }
}

impl Drop for Updates {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// How many cells are where.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// Finished in this run.
    pub(crate) done: usize,
    /// Being computed.
    pub(crate) running: usize,
    /// Finished with an error.
    pub(crate) failed: usize,
    /// Found finished.
    pub(crate) reused: usize,
    /// In the whole plan, as far as it is known.
    pub(crate) total: usize,
    /// Estimated processor seconds of what is done in this run.
    pub(crate) seconds_done: f64,
    /// Estimated processor seconds of what is left.
    pub(crate) seconds_left: f64,
}

impl Tally {
    fn settled(&self) -> usize {
        self.done + self.failed + self.reused
    }

    /// Wall time left, from how the estimates have fared so far.
    fn time_left(&self, elapsed: Duration, jobs: usize) -> Duration {
        // Until a minute of work is done by each job, what is half done weighs too much against the estimate.
        let seconds = if self.seconds_done > 60.0 * jobs as f64 {
            elapsed.as_secs_f64() * self.seconds_left / self.seconds_done
        } else {
            self.seconds_left / jobs.max(1) as f64
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
    }

    fn sentence(&self, elapsed: Duration, jobs: usize) -> String {
        let Self { done, running, failed, reused, .. } = self;
        let failed = if *failed == 0 { String::new() } else { format!(", {failed} failed") };
        let reused = if *reused == 0 { String::new() } else { format!(", {reused} reused") };
        let left = clock_face(self.time_left(elapsed, jobs));
        format!("{done} done, {running} running{failed}{reused}, about {left} left")
    }
}

/// `1:02:03`, `4:05`, `0:07`.
pub(crate) fn clock_face(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// What the events of a run amount to. Stages that have not begun count as estimated.
#[derive(Debug)]
pub(crate) struct Course {
    stages: BTreeMap<Stage, Tally>,
}

impl Course {
    /// A run that has not begun.
    pub(crate) fn new(estimate: &[EstimateRow]) -> Self {
        let mut stages: BTreeMap<Stage, Tally> = BTreeMap::new();
        for row in estimate {
            let tally = stages.entry(row.stage).or_default();
            tally.total += row.cells;
            tally.seconds_left += row.core_seconds;
        }
        Self { stages }
    }

    /// Takes an event in.
    pub(crate) fn follow(&mut self, event: &Event) {
        match event {
            Event::Stage { stage, cells, finished, core_seconds } => {
                let tally = self.stages.entry(*stage).or_default();
                tally.total = *cells;
                // A stage that goes on counts what this run has computed as finished.
                tally.reused = finished.saturating_sub(tally.done + tally.failed);
                tally.seconds_left = *core_seconds;
            }
            Event::Started(cell) => self.stages.entry(cell.stage).or_default().running += 1,
            Event::Done { cell, answer } => {
                let tally = self.stages.entry(cell.stage).or_default();
                tally.running = tally.running.saturating_sub(1);
                tally.seconds_done += cell.seconds;
                tally.seconds_left = (tally.seconds_left - cell.seconds).max(0.0);
                if answer.outcome == record::cell::Outcome::Failed {
                    tally.failed += 1;
                } else {
                    tally.done += 1;
                }
            }
            Event::LeftOut { .. } | Event::Damaged { .. } | Event::Retried { .. } | Event::Tuned { .. } => {}
        }
    }

    /// All stages together.
    pub(crate) fn tally(&self) -> Tally {
        self.stages.values().fold(Tally::default(), |sum, stage| Tally {
            done: sum.done + stage.done,
            running: sum.running + stage.running,
            failed: sum.failed + stage.failed,
            reused: sum.reused + stage.reused,
            total: sum.total + stage.total,
            seconds_done: sum.seconds_done + stage.seconds_done,
            seconds_left: sum.seconds_left + stage.seconds_left,
        })
    }
}

/// What the user should see although the bar goes on.
pub(crate) fn tell(event: &Event) {
    match event {
        Event::LeftOut { task, reason } => {
            output::warning(format_args!("task `{task}` is left out: {reason}"));
        }
        Event::Damaged { message } => output::warning(message),
        Event::Retried { cell, message } => {
            output::warning(format_args!("{}: its worker died, it is tried again: {message}", cell.name()));
        }
        Event::Done { cell, answer } if answer.outcome == record::cell::Outcome::Failed => {
            let message = answer.message.as_deref().unwrap_or("no message");
            output::warning(format_args!("{} failed: {message}", cell.name()));
        }
        Event::Tuned { task, model, rate } => tracing::info!(task, model, rate, "tuned"),
        Event::Stage { .. } | Event::Started(_) | Event::Done { .. } => {}
    }
}

/// The progress of a run.
#[derive(Debug)]
pub(crate) struct Cells {
    bar: ProgressBar,
    name: String,
    jobs: usize,
    start: Instant,
    spoken: Option<Instant>,
}

impl Cells {
    /// A run with so many cells at the same time.
    pub(crate) fn new(name: &str, jobs: usize) -> Self {
        let bar = bar(0, "{prefix} [{bar:30}] {pos}/{len} cells, {msg}");
        bar.set_prefix(name.to_owned());
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { bar, name: name.to_owned(), jobs, start: Instant::now(), spoken: None }
    }

    /// The state has changed by an event.
    pub(crate) fn reached(&mut self, tally: &Tally, event: &Event) {
        let sentence = tally.sentence(self.start.elapsed(), self.jobs);
        self.bar.set_length(tally.total as u64);
        self.bar.set_position(tally.settled() as u64);
        self.bar.set_message(sentence.clone());
        // The next cell starts at once, and is counted then.
        let between = matches!(event, Event::Done { .. }) && tally.settled() + tally.running < tally.total;
        let due = !between && self.spoken.is_none_or(|spoken| spoken.elapsed() >= INTERVAL);
        if !on_terminal() && (due || tally.settled() == tally.total) {
            self.spoken = Some(Instant::now());
            let line = format!("{}: {}/{} cells, {sentence}", self.name, tally.settled(), tally.total);
            above(|| drop(writeln!(std::io::stderr(), "{line}")));
        }
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_the_estimates_and_then_their_record() {
        let tally = Tally { seconds_left: 120.0, ..Tally::default() };
        assert_eq!(tally.time_left(Duration::from_secs(1), 2).as_secs(), 60);
        // 200 estimated seconds took 400: the other 120 will take 240.
        let slower = Tally { seconds_done: 200.0, ..tally };
        assert_eq!(slower.time_left(Duration::from_secs(400), 2).as_secs(), 240);
    }

    #[test]
    fn a_course_counts_what_is_finished_once() {
        let row = |stage, cells| EstimateRow {
            task: "recall".to_owned(),
            model: "lstm".to_owned(),
            stage,
            cells,
            core_seconds: cells as f64,
        };
        let mut course = Course::new(&[row(Stage::Tuning, 4), row(Stage::Evaluation, 10)]);
        assert_eq!((course.tally().total, course.tally().seconds_left), (14, 14.0));
        let begins =
            |cells, finished| Event::Stage { stage: Stage::Tuning, cells, finished, core_seconds: 2.0 };
        course.follow(&begins(4, 2));
        assert_eq!((course.tally().reused, course.tally().seconds_left), (2, 12.0));
        // The two others are computed, and two rates are added.
        course.stages.entry(Stage::Tuning).or_default().done = 2;
        course.follow(&begins(6, 4));
        let tally = course.tally();
        assert_eq!((tally.reused, tally.done, tally.total), (2, 2, 16));
    }

    #[test]
    fn a_sentence_leaves_out_what_did_not_happen() {
        let tally = Tally { done: 3, running: 2, total: 9, seconds_left: 14.0, ..Tally::default() };
        assert_eq!(tally.sentence(Duration::ZERO, 2), "3 done, 2 running, about 0:07 left");
        let failed = Tally { failed: 1, reused: 4, ..tally };
        assert_eq!(
            failed.sentence(Duration::ZERO, 2),
            "3 done, 2 running, 1 failed, 4 reused, about 0:07 left"
        );
        assert_eq!(clock_face(Duration::from_secs(3723)), "1:02:03");
    }
}
