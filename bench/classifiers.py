"""Times naive Bayes and logistic regression beside scikit-learn, on the film reviews as words and pairs.

Writes bench/results/PROCESSOR/classifiers.csv: implementation, model, task (`fit` or `answer`), seconds (processor time of one thread),
accuracy; one row a repeat. Both sides get the same sequences of words, by number, of the same fold. `fit` is from these to a fitted model: counting
the n-grams and fitting. Ours also answers for the validation examples in that time, which the harness asks of every model.
scikit-learn reads the words with CountVectorizer, and `fit-matrix` is its fit alone, once the matrix is there. Logistic regression
ends on both sides where no entry of the gradient of the mean loss exceeds 0.0001, with C = 1.

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

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB

import processor

HERE = pathlib.Path(__file__).parent
OURS = HERE.parent / "target/release/examples/classifiers"
REPEATS = 7
MODELS = {
    "naive-bayes": ({"order": 2}, MultinomialNB),
    "logistic-regression": ({"order": 2, "tolerance": 1e-4}, lambda: LogisticRegression(tol=1e-4, max_iter=10_000)),
}


def read(path):
    """Labels and texts."""
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    return [label for label, _ in lines], [text for _, text in lines]


def timed(work):
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def theirs(make, training, test):
    """Seconds and accuracy of each task."""
    vectorizer = CountVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), binary=True)
    counting, matrix = timed(lambda: vectorizer.fit_transform(training[1]))
    fitting, model = timed(lambda: make().fit(matrix, training[0]))
    answering, accuracy = timed(lambda: model.score(vectorizer.transform(test[1]), test[0]))
    return {"fit": (counting + fitting, accuracy), "fit-matrix": (fitting, accuracy), "answer": (answering, accuracy)}


def ours(name, settings):
    printed = subprocess.check_output([OURS, name, json.dumps(settings)], text=True)
    fitting, answering, accuracy = map(float, printed.split())
    return {"fit": (fitting, accuracy), "answer": (answering, accuracy)}


def main():
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.check_call([OURS, "examples", folder])
        training, test = read(folder / "training.tsv"), read(folder / "test.tsv")
        # The first round warms up.
        for repeat in range(REPEATS + 1):
            arms = [(who, model) for who in ("seqlab", "scikit-learn") for model in MODELS]
            random.Random(repeat).shuffle(arms)
            for who, model in arms:
                settings, make = MODELS[model]
                found = ours(model, settings) if who == "seqlab" else theirs(make, training, test)
                if repeat > 0:
                    rows += [(who, model, task, f"{seconds:.6g}", f"{accuracy:.6g}") for task, (seconds, accuracy) in found.items()]
    path = processor.folder() / "classifiers.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["implementation", "model", "task", "seconds", "accuracy"])
        writer.writerows(sorted(rows, key=lambda row: row[:3]))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
