"""Times our n-gram beside KenLM: estimation from a text, and scoring of another, one character a symbol.

Writes bench/results/PROCESSOR/n-gram.csv: implementation, task (`estimate` or `score`), order, seconds (processor time), detail; one
row a repeat. Interpolated Kneser-Ney of order 6 on the first million characters of tiny Shakespeare; the last twentieth is scored.

- Estimation is the processor time of a whole process. Both read the text; KenLM's lmplz also writes its model, to a null device.
- Scoring is timed within the process once the model is there: ours by `bench/n_gram.rs`, KenLM by its Python module, whose one
  call splits the text into words and adds up their log-probabilities. KenLM's model is the binary one with probing.

`detail` of `score` gives the mean of -ln p in nats a character. KenLM's is lower by 0.04, because its Kneser-Ney is the modified one
with three discounts an order where ours has one: with its discounts put into our formula (and its fall-back of 0.5, 1 and 1.5
for single characters, whose counts do not suit the estimate) the score comes out at KenLM's to 0.0001. The rest is
<s> before the text, and a little probability for </s> and <unk>. The end of the text is not scored.

Run through `make bench`, which builds both.
"""

import csv
import math
import os
import pathlib
import random
import subprocess
import tempfile
import time

import kenlm

import processor

HERE = pathlib.Path(__file__).parent
OURS = HERE.parent / "target/release/examples/n_gram"
KENLM = HERE.parent / ".seqlab/bench/kenlm/build/bin"
CORPUS = "lm/tinyshakespeare/input.txt"
ORDER, REPEATS, TRAINING = 6, 9, 1_000_000
# Memory of lmplz for sorting; more only costs time to clear.
SORT_MEMORY = "200M"
# A word has no white space in it.
SPELLED = {" ": "<space>", "\n": "<newline>"}


def corpus():
    """The text, from where seqlab looks for it."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "seqlab"
    folders = [pathlib.Path(folder) for folder in [os.environ.get("SEQLAB_DATA")] if folder] + [cache]
    for folder in folders:
        if (folder / CORPUS).exists():
            return (folder / CORPUS).read_text(encoding="utf-8")
    raise SystemExit("tiny Shakespeare is not here: `seqlab data fetch tiny-shakespeare`")


def words(text):
    return " ".join(SPELLED.get(character, character) for character in text) + "\n"


def process(command, **streams):
    """Processor seconds of a process, and what it printed."""
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **streams)
    printed = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{child.args} ended with {child.returncode}")
    return used.ru_utime + used.ru_stime, printed.decode()


def main():
    text = corpus()
    last_tenth = len(text) * 9 // 10
    parts = {"training": text[:TRAINING], "test": text[last_tenth + (len(text) - last_tenth) // 2 :]}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for part, characters in parts.items():
            (folder / f"{part}.txt").write_text(characters, encoding="utf-8")
            (folder / f"{part}.words").write_text(words(characters), encoding="utf-8")
        training, test = folder / "training.txt", folder / "test.txt"
        estimator = [KENLM / "lmplz", "-o", ORDER, "--discount_fallback", "-S", SORT_MEMORY, "-T", folder]
        estimator += ["--text", folder / "training.words", "--arpa"]
        process([*estimator, folder / "model.arpa"])
        process([KENLM / "build_binary", "probing", folder / "model.arpa", folder / "model.binary"])
        model = kenlm.Model(str(folder / "model.binary"))
        scored = (folder / "test.words").read_text(encoding="utf-8")

        def ours_estimates():
            return process([OURS, ORDER, training])[0], "reads the text and counts"

        def kenlm_estimates():
            return process([*estimator, "/dev/null"])[0], f"lmplz -S {SORT_MEMORY}: reads the text, estimates, writes ARPA to a null device"

        def ours_scores():
            seconds, nats = map(float, process([OURS, ORDER, training, test])[1].split())
            return seconds, f"{nats:.4f} nats a character"

        def kenlm_scores():
            start = time.process_time()
            total = model.score(scored, bos=True, eos=False)
            seconds = time.process_time() - start
            return seconds, f"{-total * math.log(10) / len(parts['test']):.4f} nats a character"

        arms = {
            ("seqlab", "estimate"): ours_estimates,
            ("KenLM", "estimate"): kenlm_estimates,
            ("seqlab", "score"): ours_scores,
            ("KenLM", "score"): kenlm_scores,
        }
        measured = {arm: [] for arm in arms}
        # The first round warms up.
        for repeat in range(REPEATS + 1):
            order = list(arms)
            random.Random(repeat).shuffle(order)
            for arm in order:
                result = arms[arm]()
                if repeat > 0:
                    measured[arm].append(result)
    path = processor.folder() / "n-gram.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["implementation", "task", "order", "seconds", "detail"])
        for (implementation, task), repeats in measured.items():
            writer.writerows((implementation, task, ORDER, f"{seconds:.6g}", detail) for seconds, detail in repeats)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
