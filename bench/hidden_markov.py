"""Times the hidden Markov model beside hmmlearn's CategoricalHMM, whose loops are compiled C++.

Writes bench/results/PROCESSOR/hidden-markov.csv: implementation, task, seconds (processor time of one thread), log-probability; one row a
repeat.
Tasks: `fit`, 20 iterations of Baum-Welch on 500 sequences of 40 symbols from one start, three states, without priors; `score`, the
probability of all sequences; `decode`, the likeliest path of each. hmmlearn goes through Python once a sequence and iteration. Both sides must come to the same log-probability within 1e-6 and
to the same states on the paths, but for one in a thousand that are equally likely.

Run through `make bench`.
"""

import csv
import json
import os
import pathlib
import random
import subprocess
import tempfile
import time

# One thread on both sides; the libraries read this when they are imported.
os.environ |= {name: "1" for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}

import numpy
from hmmlearn.hmm import CategoricalHMM

import processor

HERE = pathlib.Path(__file__).parent
OURS = HERE.parent / "target/release/examples/hidden_markov"
REPEATS = 7
ITERATIONS, SEQUENCES, LENGTH = 20, 500, 40
TRANSITIONS = numpy.array([[17, 2, 1], [1, 17, 2], [2, 1, 17]]) / 20
EMISSIONS = numpy.array([[8, 6, 2, 2, 1, 1], [1, 1, 8, 6, 2, 2], [2, 2, 1, 1, 8, 6]]) / 20


def model(start, transitions, emissions):
    made = CategoricalHMM(3, n_features=6, init_params="", n_iter=ITERATIONS, tol=-1e9)
    made.startprob_, made.transmat_, made.emissionprob_ = start, transitions, emissions
    return made


def given():
    draws = numpy.random.default_rng(7)
    truth = model(numpy.full(3, 1 / 3), TRANSITIONS, EMISSIONS)
    sequences = [truth.sample(LENGTH, random_state=seed)[0] for seed in range(SEQUENCES)]
    start = [draws.dirichlet([2.0] * 3), draws.dirichlet([2.0] * 3, 3), draws.dirichlet([2.0] * 6, 3)]
    return sequences, start


def timed(work):
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def theirs(sequences, start):
    joined, lengths = numpy.concatenate(sequences), [LENGTH] * SEQUENCES
    made = model(*(part.copy() for part in start))
    fitting, _ = timed(lambda: made.fit(joined, lengths))
    scoring, log_probability = timed(lambda: made.score(joined, lengths))
    decoding, (_, path) = timed(lambda: made.decode(joined, lengths))
    return {"fit": fitting, "score": scoring, "decode": decoding}, log_probability, numpy.bincount(path, minlength=3)


def ours(path):
    fit, score, decode, log_probability, visits = subprocess.check_output([OURS, path], text=True).split()
    seconds = {"fit": float(fit), "score": float(score), "decode": float(decode)}
    return seconds, float(log_probability), numpy.array([int(count) for count in visits.split(",")])


def main():
    sequences, start = given()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name) / "given.json"
        parts = dict(zip(("start", "transitions", "emissions"), (part.flatten().tolist() for part in start)))
        symbols = [sequence[:, 0].tolist() for sequence in sequences]
        path.write_text(json.dumps({"iterations": ITERATIONS, **parts, "sequences": symbols}))
        # The first round warms up.
        for repeat in range(REPEATS + 1):
            arms = ["seqlab", "hmmlearn"]
            random.Random(repeat).shuffle(arms)
            found = {who: ours(path) if who == "seqlab" else theirs(sequences, start) for who in arms}
            apart = abs(found["seqlab"][1] - found["hmmlearn"][1])
            moved = abs(found["seqlab"][2] - found["hmmlearn"][2]).sum()
            assert apart < 1e-6 and moved <= SEQUENCES * LENGTH / 1000, (found, apart, moved)
            if repeat > 0:
                for who, (seconds, log_probability, _) in found.items():
                    rows += [(who, task, f"{each:.6g}", f"{log_probability:.6f}") for task, each in seconds.items()]
    path = processor.folder() / "hidden-markov.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["implementation", "task", "seconds", "log-probability"])
        writer.writerows(sorted(rows, key=lambda row: row[:2]))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
