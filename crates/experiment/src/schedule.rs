//! Cells on workers: as many at a time as there are jobs and as memory holds, and nothing lost when one dies.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::panic::AssertUnwindSafe;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use record::cell::Cell;

use crate::compute::failed;
use crate::plan::PlannedCell;
use crate::worker::{Answer, compute_and_store};
use crate::{ExperimentError, Workspace};

/// Where cells are computed.
#[derive(Clone, Debug)]
pub enum Executor {
    /// In processes of this command, which calls [`worker`](fn@crate::worker) on its standard streams.
    Processes(Vec<OsString>),
    /// In threads of this process, for tests: a cell that aborts takes everything with it.
    Threads,
}

/// How much may be computed at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Cells.
    pub(crate) jobs: usize,
    /// Memory of all cells together, in bytes; 0 where unknown.
    pub(crate) memory_bytes: u64,
}

/// What happens to a cell.
pub(crate) enum Message<'a> {
    /// A worker has it.
    Started(&'a PlannedCell),
    /// Its worker died; another gets it.
    Retried(&'a PlannedCell, String),
    /// It is stored.
    Done(&'a PlannedCell, Answer),
}

/// Cells expected to take less than this share a process.
const SMALL_SECONDS: f64 = 1.0;
/// Expected seconds of the cells that share a process, at most.
const BATCH_SECONDS: f64 = 5.0;
/// Memory of a worker beside its cell, in bytes.
const WORKER_BYTES: u64 = 64 << 20;
/// How often the caller's wish to stop is looked at.
const PATIENCE: Duration = Duration::from_millis(100);
/// How much of a dead worker's last words is kept, in bytes.
const LAST_WORDS: usize = 2000;

/// Computes all cells. Returns early, with every finished cell stored, when `cancel` is set.
pub(crate) fn schedule(
    cells: &[PlannedCell],
    limits: Limits,
    executor: &Executor,
    workspace: &Workspace,
    cancel: &AtomicBool,
    progress: &mut dyn FnMut(Message),
) -> Result<(), ExperimentError> {
    let pool = Pool {
        executor,
        workspace,
        memory_bytes: if limits.memory_bytes == 0 { u64::MAX } else { limits.memory_bytes },
        queue: Mutex::new(Queue { waiting: batches(cells, limits.jobs), bytes: 0 }),
        freed: Condvar::new(),
        stopped: AtomicBool::new(false),
        children: Mutex::new(Vec::new()),
    };
    let mut result = Ok(());
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..limits.jobs.max(1) {
            let (pool, sender) = (&pool, sender.clone());
            scope.spawn(move || {
                if let Err(error) = pool.serve(&sender) {
                    // Nobody listens only when everything is over.
                    let _ = sender.send(Err(error));
                }
            });
        }
        drop(sender);
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Ok(Ok(message)) => progress(message),
                Ok(Err(error)) => {
                    pool.stop();
                    result = Err(error);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if cancel.load(Ordering::Relaxed) {
                pool.stop();
            }
        }
    });
    result?;
    if cancel.load(Ordering::Relaxed) { Err(ExperimentError::Interrupted) } else { Ok(()) }
}

/// Cells that one worker computes one after the other.
#[derive(Debug, Default)]
struct Batch<'a> {
    cells: Vec<&'a PlannedCell>,
    seconds: f64,
    bytes: u64,
}

impl<'a> Batch<'a> {
    fn add(&mut self, cell: &'a PlannedCell) {
        self.cells.push(cell);
        self.seconds += cell.seconds;
        self.bytes = self.bytes.max(cell.peak_bytes + WORKER_BYTES);
    }
}

/// One batch for each large cell, in order; small cells together, but not so many that a worker has nothing to do.
fn batches(cells: &[PlannedCell], jobs: usize) -> VecDeque<Batch<'_>> {
    let is_small = |cell: &PlannedCell| cell.seconds < SMALL_SECONDS;
    let small_seconds: f64 = cells.iter().filter(|cell| is_small(cell)).map(|cell| cell.seconds).sum();
    let most = BATCH_SECONDS.min(small_seconds / jobs.max(1) as f64);
    let mut batches = VecDeque::new();
    let mut small = Batch::default();
    for cell in cells {
        if is_small(cell) {
            small.add(cell);
            if small.seconds >= most {
                batches.push_back(std::mem::take(&mut small));
            }
        } else {
            let mut large = Batch::default();
            large.add(cell);
            batches.push_back(large);
        }
    }
    if !small.cells.is_empty() {
        batches.push_back(small);
    }
    batches
}

/// The workers and what waits for them.
struct Pool<'a> {
    executor: &'a Executor,
    workspace: &'a Workspace,
    memory_bytes: u64,
    queue: Mutex<Queue<'a>>,
    /// Signalled when memory is given back or everything stops.
    freed: Condvar,
    stopped: AtomicBool,
    children: Mutex<Vec<Arc<Mutex<Child>>>>,
}

struct Queue<'a> {
    waiting: VecDeque<Batch<'a>>,
    /// Memory of the batches that are being computed.
    bytes: u64,
}

type Messages<'a> = Sender<Result<Message<'a>, ExperimentError>>;

impl<'a> Pool<'a> {
    /// Computes batches until none is left.
    fn serve(&self, messages: &Messages<'a>) -> Result<(), ExperimentError> {
        // A receiver that is gone has stopped the pool, so that sending in vain does no harm.
        let tell = |message| drop(messages.send(Ok(message)));
        while let Some(batch) = self.take() {
            let mut process = None;
            for &cell in &batch.cells {
                if self.is_stopped() {
                    break;
                }
                tell(Message::Started(cell));
                let mut answer = self.attempt(&mut process, &cell.cell)?;
                if let (Err(last_words), false) = (&answer, self.is_stopped()) {
                    tell(Message::Retried(cell, last_words.clone()));
                    answer = self.attempt(&mut process, &cell.cell)?;
                }
                match answer {
                    Ok(answer) => tell(Message::Done(cell, answer)),
                    Err(_) if self.is_stopped() => break,
                    Err(last_words) => tell(Message::Done(cell, self.give_up(&cell.cell, &last_words)?)),
                }
            }
            drop(process);
            self.give_back(batch.bytes);
        }
        Ok(())
    }

    /// The first batch that memory holds beside those that are being computed; one alone always may.
    fn take(&self) -> Option<Batch<'a>> {
        let mut queue = lock(&self.queue);
        loop {
            if self.is_stopped() || queue.waiting.is_empty() {
                return None;
            }
            let free = self.memory_bytes.saturating_sub(queue.bytes);
            let alone = queue.bytes == 0;
            if let Some(index) = queue.waiting.iter().position(|batch| alone || batch.bytes <= free) {
                let batch = queue.waiting.remove(index)?;
                queue.bytes += batch.bytes;
                return Some(batch);
            }
            queue = self.freed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, bytes: u64) {
        lock(&self.queue).bytes -= bytes;
        self.freed.notify_all();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Feeds no more cells, and kills the workers: a cell is stored whole or not at all.
    fn stop(&self) {
        if self.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        for child in lock(&self.children).iter() {
            // One that has just ended cannot be killed, and need not be.
            let _ = lock(child).kill();
        }
        // With the lock held, so that nobody is between looking at the queue and waiting.
        let _queue = lock(&self.queue);
        self.freed.notify_all();
    }

    /// The answer of a worker, or the last words of one that died.
    fn attempt(
        &self,
        process: &mut Option<Process>,
        cell: &Cell,
    ) -> Result<Result<Answer, String>, ExperimentError> {
        let Executor::Processes(command) = self.executor else {
            let computed =
                std::panic::catch_unwind(AssertUnwindSafe(|| compute_and_store(cell, self.workspace)));
            return match computed {
                Ok(answer) => Ok(Ok(answer?)),
                Err(_) => Ok(Err("the cell panicked".to_owned())),
            };
        };
        if process.is_none() {
            *process = self.spawn(command)?;
        }
        let Some(running) = process.as_mut() else { return Ok(Err("stopped".to_owned())) };
        match running.ask(cell) {
            Ok(answer) => Ok(Ok(answer)),
            Err(error) => {
                let last_words = process.take().map(Process::last_words).unwrap_or_default();
                Ok(Err(if last_words.is_empty() { error.to_string() } else { last_words }))
            }
        }
    }

    fn give_up(&self, cell: &Cell, last_words: &str) -> Result<Answer, ExperimentError> {
        let record = failed(cell, format!("its worker died twice: {last_words}"), self.workspace);
        self.workspace.store().store(&record)?;
        Ok(Answer {
            key: record.key,
            outcome: record.outcome,
            message: record.message,
            processor_seconds: 0.0,
        })
    }

    /// A new worker process, unless everything has stopped.
    fn spawn(&self, command: &[OsString]) -> Result<Option<Process>, ExperimentError> {
        // The lock is held until the child is listed, so that `stop` misses none.
        let mut children = lock(&self.children);
        if self.is_stopped() {
            return Ok(None);
        }
        let program = command.first().cloned().unwrap_or_default();
        let start = || -> io::Result<Process> {
            let mut child = Command::new(&program)
                .args(command.iter().skip(1))
                .env("RAYON_NUM_THREADS", "1")
                // The same for LibTorch.
                .env("OMP_NUM_THREADS", "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            let input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
            let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
            let mut errors = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
            let errors = thread::spawn(move || {
                let mut text = Vec::new();
                // What cannot be read cannot be told.
                let _ = errors.read_to_end(&mut text);
                text
            });
            let child = Arc::new(Mutex::new(child));
            Ok(Process { child, input: Some(input), output: BufReader::new(output), errors: Some(errors) })
        };
        let process = start().map_err(|source| ExperimentError::Worker {
            program: program.to_string_lossy().into_owned(),
            source,
        })?;
        children.retain(|child| lock(child).try_wait().is_ok_and(|status| status.is_none()));
        children.push(Arc::clone(&process.child));
        Ok(Some(process))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker process.
struct Process {
    child: Arc<Mutex<Child>>,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    errors: Option<JoinHandle<Vec<u8>>>,
}

impl Process {
    fn ask(&mut self, cell: &Cell) -> io::Result<Answer> {
        let mut line = serde_json::to_string(cell)?;
        line.push('\n');
        let input = self.input.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(line.as_bytes())?;
        input.flush()?;
        let mut answer = String::new();
        if self.output.read_line(&mut answer)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without an answer"));
        }
        Ok(serde_json::from_str(&answer)?)
    }

    /// How the process ended, and the end of what it wrote on standard error.
    fn last_words(mut self) -> String {
        self.input = None;
        // A process that answers nonsense is not waited for.
        let _ = lock(&self.child).kill();
        let status =
            lock(&self.child).wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        let errors = self.errors.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        let text =
            String::from_utf8_lossy(&errors[errors.len().saturating_sub(LAST_WORDS)..]).trim().to_owned();
        if text.is_empty() { status } else { format!("{status}: {text}") }
    }
}

impl Drop for Process {
    /// The end of its input ends a worker.
    fn drop(&mut self) {
        self.input = None;
        let _ = lock(&self.child).wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn planned(seconds: &[f64]) -> Vec<PlannedCell> {
        let cell = |(index, &seconds): (usize, &f64)| PlannedCell {
            seconds,
            peak_bytes: 1 << 20,
            ..testing::planned_cell(index as u64)
        };
        seconds.iter().enumerate().map(cell).collect()
    }

    fn sizes(batches: &VecDeque<Batch>) -> Vec<usize> {
        batches.iter().map(|batch| batch.cells.len()).collect()
    }

    #[test]
    fn small_cells_share_a_process_and_large_ones_do_not() {
        let cells = planned(&[7.0, 0.5, 0.5, 3.0, 0.5, 0.5, 0.5]);
        // By hand: 2.5 s of small cells on one worker make one batch; on two, batches close at 1.25 s.
        assert_eq!(sizes(&batches(&cells, 1)), [1, 1, 5]);
        assert_eq!(sizes(&batches(&cells, 2)), [1, 1, 3, 2]);
        let many = planned(&[0.9; 100]);
        assert!(batches(&many, 1).iter().all(|batch| batch.seconds < BATCH_SECONDS + 1.0));
    }

    #[test]
    fn memory_is_never_oversubscribed_and_a_giant_runs_alone() {
        let workspace = testing::workspace(&tempfile::tempdir().unwrap().path().join("state"));
        let mut cells = planned(&[9.0, 9.0, 9.0]);
        for (cell, gib) in cells.iter_mut().zip([3, 3, 9]) {
            cell.peak_bytes = gib << 30;
        }
        let pool = Pool {
            executor: &Executor::Threads,
            workspace: &workspace,
            memory_bytes: 4 << 30,
            queue: Mutex::new(Queue { waiting: batches(&cells, 2), bytes: 0 }),
            freed: Condvar::new(),
            stopped: AtomicBool::new(false),
            children: Mutex::new(Vec::new()),
        };
        let first = pool.take().unwrap();
        assert!(lock(&pool.queue).waiting.iter().all(|batch| batch.bytes + first.bytes > pool.memory_bytes));
        pool.give_back(first.bytes);
        let second = pool.take().unwrap();
        pool.give_back(second.bytes);
        // The last needs more than there is, and gets it once nothing else runs.
        assert_eq!(pool.take().unwrap().cells[0].peak_bytes, 9 << 30);
        pool.stop();
        assert!(pool.take().is_none());
    }

    #[test]
    fn a_worker_that_dies_is_tried_twice_and_its_cell_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = testing::workspace(folder.path());
        let cells = planned(&[9.0]);
        let command = ["sh", "-c", "echo out of luck >&2; exit 3"].map(OsString::from).to_vec();
        let limits = Limits { jobs: 2, memory_bytes: 0 };
        let mut seen = Vec::new();
        schedule(
            &cells,
            limits,
            &Executor::Processes(command),
            &workspace,
            &AtomicBool::new(false),
            &mut |message| {
                seen.push(match message {
                    Message::Started(_) => "started".to_owned(),
                    Message::Retried(..) => "retried".to_owned(),
                    Message::Done(_, answer) => answer.message.unwrap_or_default(),
                });
            },
        )
        .unwrap();
        assert_eq!(seen[..2], ["started", "retried"]);
        assert!(seen[2].contains("died twice") && seen[2].contains("out of luck"), "{seen:?}");
        let stored = workspace.store().load(&cells[0].cell).unwrap().unwrap();
        assert_eq!(stored.outcome, record::cell::Outcome::Failed);
    }

    #[test]
    fn a_worker_that_cannot_be_started_is_an_error_and_cancelling_kills() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = testing::workspace(folder.path());
        let cells = planned(&[9.0, 9.0]);
        let limits = Limits { jobs: 1, memory_bytes: 0 };
        let run = |command: &[&str], cancel: bool| {
            let command = command.iter().map(OsString::from).collect();
            let cancel = AtomicBool::new(cancel);
            schedule(&cells, limits, &Executor::Processes(command), &workspace, &cancel, &mut |_| {})
        };
        let missing = run(&["/no/such/program"], false).unwrap_err().to_string();
        assert!(missing.starts_with("cannot start a worker (/no/such/program)"), "{missing}");
        // A worker that never answers: only killing it ends the run.
        assert!(matches!(run(&["sleep", "1000"], true), Err(ExperimentError::Interrupted)));
    }
}
