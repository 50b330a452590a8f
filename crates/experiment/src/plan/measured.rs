//! What cells took when the committed result was made, which is nearer than any estimate.

use std::collections::BTreeMap;

use record::definition::Definition;
use record::label;
use record::provenance::Provenance;
use record::table::read_timing;

use super::Arm;
use crate::Workspace;

/// Mean processor seconds of a cell by task, setting and model.
#[derive(Debug, Default)]
pub(super) struct Measured(BTreeMap<[String; 3], f64>);

impl Measured {
    /// From the committed result of this very definition; empty without one. A damaged one is named by what judges it.
    pub(super) fn read(definition: &Definition, workspace: &Workspace) -> Self {
        let folder = workspace.results.join(&definition.name);
        let same = |provenance: &Provenance| provenance.definition == definition.digest;
        if !Provenance::read(&folder.join("provenance.json")).as_ref().is_ok_and(same) {
            return Self::default();
        }
        let mut sums: BTreeMap<[String; 3], (f64, f64)> = BTreeMap::new();
        let rows = read_timing(&folder.join("timing.csv")).unwrap_or_default();
        for row in rows.into_iter().filter(|row| row.metric == "processor-seconds") {
            let (sum, count) = sums.entry([row.task, row.setting, row.model]).or_default();
            *sum += row.value;
            *count += 1.0;
        }
        Self(sums.into_iter().map(|(arm, (sum, count))| (arm, sum / count)).collect())
    }

    /// Processor seconds of a cell of `arm`, where they were measured.
    pub(super) fn seconds(&self, arm: &Arm) -> Option<f64> {
        self.0.get(&[arm.task.clone(), label(&arm.setting), arm.model.clone()]).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use record::table::{read_timing, write_timing};

    use crate::testing::{TINY, definition, workspace};
    use crate::{Executor, Plan, PlanOptions, RunOptions, Workspace, run};

    fn plan(text: &str, workspace: &Workspace) -> Plan {
        Plan::new(&definition(text), &PlanOptions::default(), workspace).unwrap()
    }

    fn seconds(plan: &Plan, task: &str, model: &str) -> f64 {
        let arms = || plan.evaluation.iter().filter(|arm| arm.task == task && arm.model == model);
        arms().map(|arm| arm.seconds).sum::<f64>() / arms().count() as f64
    }

    #[test]
    fn cells_are_expected_to_take_what_they_took_until_the_definition_changes() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = workspace(folder.path());
        let options = RunOptions {
            jobs: Some(1),
            force: false,
            allow_dirty: false,
            executor: Executor::Threads,
            shuffle: None,
        };
        let before = plan(TINY, &workspace);
        assert_ne!(seconds(&before, "recall", "lstm"), 7.0);
        run(&before, &workspace, &options, &AtomicBool::new(false), &mut |_| {}).unwrap();
        let path = folder.path().join("results/tiny/timing.csv");
        let mut rows = read_timing(&path).unwrap();
        for row in rows.iter_mut().filter(|row| row.task == "recall" && row.model == "lstm") {
            // Two seeds, whose mean is 7.
            row.value = if row.seed == 1000 { 4.0 } else { 10.0 };
        }
        write_timing(&path, &rows).unwrap();
        let after = plan(TINY, &workspace);
        assert_eq!(seconds(&after, "recall", "lstm"), 7.0);
        let tuned = after.tuning.iter().find(|arm| arm.task == "recall" && arm.model == "lstm").unwrap();
        assert_eq!(tuned.seconds, 7.0);
        // What a budget refuses does not depend on the machine that made the result.
        assert_eq!(after.estimated_seconds, before.estimated_seconds);

        let changed = TINY.replace("updates = 20", "updates = 24");
        assert_ne!(seconds(&plan(&changed, &workspace), "recall", "lstm"), 7.0);
    }
}
