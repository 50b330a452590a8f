"""Times naive Bayes and logistic regression beside scikit-learn, on the film reviews as words and pairs and on the table of the census.

Writes bench/results/PROCESSOR/classifiers.csv: implementation, data, model, task (`fit` or `answer`), seconds (processor time of one
thread), accuracy; one row a repeat. Both sides get the same examples of the same fold: sequences of words by number, or rows of values in
which a category is a number. `fit` is from these to a fitted model; ours also answers for the validation examples in that time, which
the harness asks of every model. On the reviews scikit-learn reads the words with CountVectorizer, and `fit-matrix` is its fit
alone, once the matrix is there. On the census its naive Bayes is the sum of CategoricalNB and GaussianNB, and its logistic regression has
StandardScaler and OneHotEncoder before it, as ours has; a missing value is a category of its own. Logistic regression ends on both sides where no
entry of the gradient of the mean loss exceeds 0.0001, with C = 1.

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
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import CategoricalNB, GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import processor

HERE = pathlib.Path(__file__).parent
OURS = HERE.parent / "target/release/examples/classifiers"
REPEATS = 7
PENALISED = {"tol": 1e-4, "max_iter": 10_000}
# Settings of ours, and how theirs is made.
MODELS = {
    "reviews": {
        "naive-bayes": ({"order": 2}, MultinomialNB),
        "logistic-regression": ({"order": 2, "tolerance": 1e-4}, lambda: LogisticRegression(**PENALISED)),
    },
    "census": {
        "naive-bayes": ({}, lambda levels: MixedNB(levels)),
        "logistic-regression": ({"tolerance": 1e-4}, lambda levels: scaled_regression(levels)),
    },
}


class MixedNB:
    """Naive Bayes over columns of numbers and of categories: scikit-learn has the one or the other."""

    def __init__(self, levels):
        self.real, self.category = numpy.flatnonzero(levels == 0), numpy.flatnonzero(levels)
        self.gaussian, self.categorical = GaussianNB(), CategoricalNB(min_categories=levels[self.category])

    def fit(self, rows, labels):
        self.gaussian.fit(rows[:, self.real], labels)
        self.categorical.fit(rows[:, self.category].astype(int), labels)
        return self

    def score(self, rows, labels):
        of_real = self.gaussian.predict_joint_log_proba(rows[:, self.real])
        of_category = self.categorical.predict_joint_log_proba(rows[:, self.category].astype(int))
        joint = of_real + of_category - numpy.log(self.gaussian.class_prior_)
        return numpy.mean(self.gaussian.classes_[joint.argmax(axis=1)] == labels)


def scaled_regression(levels):
    real, category = numpy.flatnonzero(levels == 0), numpy.flatnonzero(levels)
    categories = OneHotEncoder(categories=[numpy.arange(levels[column], dtype=float) for column in category])
    columns = ColumnTransformer([("real", StandardScaler(), real), ("category", categories, category)])
    return make_pipeline(columns, LogisticRegression(**PENALISED))


def read(path):
    """Labels and examples, as they are written."""
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    return [label for label, _ in lines], [example for _, example in lines]


def read_rows(path):
    """Labels and rows of values."""
    labels, rows = read(path)
    return numpy.array(labels), numpy.array([row.split() for row in rows], dtype=float)


def timed(work):
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def theirs_on_reviews(make, training, test):
    """Seconds and accuracy of each task."""
    vectorizer = CountVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), binary=True)
    counting, matrix = timed(lambda: vectorizer.fit_transform(training[1]))
    fitting, model = timed(lambda: make().fit(matrix, training[0]))
    answering, accuracy = timed(lambda: model.score(vectorizer.transform(test[1]), test[0]))
    return {"fit": (counting + fitting, accuracy), "fit-matrix": (fitting, accuracy), "answer": (answering, accuracy)}


def theirs_on_census(make, training, test, levels):
    """Seconds and accuracy of each task."""
    fitting, model = timed(lambda: make(levels).fit(training[1], training[0]))
    answering, accuracy = timed(lambda: model.score(test[1], test[0]))
    return {"fit": (fitting, accuracy), "answer": (answering, accuracy)}


def ours(data, name, settings):
    printed = subprocess.check_output([OURS, data, name, json.dumps(settings)], text=True)
    fitting, answering, accuracy = map(float, printed.split())
    return {"fit": (fitting, accuracy), "answer": (answering, accuracy)}


def compare(data):
    """Rows of all repeats on these data."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.check_call([OURS, data, "examples", folder])
        if data == "census":
            levels = numpy.array((folder / "columns.txt").read_text().split(), dtype=int)
            examples = (read_rows(folder / "training.tsv"), read_rows(folder / "test.tsv"), levels)
        else:
            examples = (read(folder / "training.tsv"), read(folder / "test.tsv"))
        # The first round warms up.
        for repeat in range(REPEATS + 1):
            arms = [(who, model) for who in ("seqlab", "scikit-learn") for model in MODELS[data]]
            random.Random(repeat).shuffle(arms)
            for who, model in arms:
                settings, make = MODELS[data][model]
                theirs = theirs_on_census if data == "census" else theirs_on_reviews
                found = ours(data, model, settings) if who == "seqlab" else theirs(make, *examples)
                if repeat > 0:
                    rows += [
                        (who, data, model, task, f"{seconds:.6g}", f"{accuracy:.6g}")
                        for task, (seconds, accuracy) in found.items()
                    ]
    return rows


def main():
    rows = [row for data in MODELS for row in compare(data)]
    path = processor.folder() / "classifiers.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["implementation", "data", "model", "task", "seconds", "accuracy"])
        writer.writerows(sorted(rows, key=lambda row: row[:4]))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
