"""Writes bench/README.md and its figure bench/results/steps.svg from the tables in bench/results/.

Nothing is measured here. Run through `make bench`, or alone after a table has changed.
"""

import collections
import csv
import math
import pathlib

HERE = pathlib.Path(__file__).parent
MODELS = {"rnn": "RNN", "gru": "GRU", "lstm": "LSTM", "transformer": "Transformer"}
TIMES = [100, 400, 1024]
SIZES = [64, 128, 256]
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
SYMBOLS, INPUTS = 65, 16
COLOURS = {100: "#9ecae1", 400: "#4292c6", 1024: "#084594"}


def table(name):
    """The rows of a table in bench/results/."""
    with (HERE / "results" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def quartiles(values):
    """First quartile, median and third quartile, by linear interpolation."""
    values = sorted(values)

    def at(fraction):
        place = fraction * (len(values) - 1)
        low = math.floor(place)
        return values[low] + (place - low) * (values[min(low + 1, len(values) - 1)] - values[low])

    return at(0.25), at(0.5), at(0.75)


def median(values):
    """The second quartile."""
    return quartiles(values)[1]


def geometric_mean(values):
    """The exponential of the mean logarithm."""
    return math.exp(sum(map(math.log, values)) / len(values))


def step_flops(model, size, positions, batch=32):
    """Floating-point operations of the matrix products of a step, causal pairs counted once and backward twice forward."""
    tokens = batch * positions
    if model == "transformer":
        weights = 2 * 12 * size * size + size * SYMBOLS
        pairs = 2 * 2 * size * batch * positions * (positions + 1) // 2
    else:
        weights = GATES[model] * size * (INPUTS + size) + size * INPUTS + INPUTS * SYMBOLS
        pairs = 0
    return 3 * 2 * (tokens * weights + pairs)


class Steps:
    """The repeats of steps.csv, by setting and peer."""

    def __init__(self):
        self.repeats = collections.defaultdict(list)
        for row in table("steps.csv"):
            clock = "processor_seconds" if row["threads"] == "1" else "wall_seconds"
            key = (row["model"], int(row["size"]), int(row["time"]), row["peer"], int(row["threads"]))
            self.repeats[key].append(float(row[clock]))

    def seconds(self, model, size, positions, peer, threads=1):
        """Quartiles of the seconds of a step; none where nothing clean was measured."""
        repeats = self.repeats.get((model, size, positions, peer, threads))
        return quartiles(repeats) if repeats else None

    def ratio(self, model, size, positions, peer="pytorch", threads=1):
        """How many times as fast as the peer a step of ours is: the ratio of medians."""
        ours = self.seconds(model, size, positions, "seqlab", threads)
        theirs = self.seconds(model, size, positions, peer, threads)
        return theirs[1] / ours[1] if ours and theirs else None


def milliseconds(seconds):
    """Median and interquartile range, or a dash."""
    if seconds is None:
        return "–"
    low, middle, high = (1e3 * value for value in seconds)
    digits = 0 if middle >= 100 else 1 if middle >= 10 else 2
    return f"{middle:,.{digits}f} ({low:,.{digits}f}–{high:,.{digits}f})"


def times(ratio):
    """A ratio, or a dash."""
    return "–" if ratio is None else f"{ratio:.2f}"


def memory():
    """Bytes that a process took beyond what it had before its first step, by setting and peer."""
    return {
        (row["model"], int(row["size"]), int(row["time"]), row["peer"]): int(row["peak_bytes"]) - int(row["idle_bytes"])
        for row in table("memory.csv")
    }


def harness():
    """Medians of harness.csv, by quantity."""
    values = collections.defaultdict(list)
    for row in table("harness.csv"):
        values[row["quantity"]].append(float(row["value"]))
    return {quantity: (median(found), len(found)) for quantity, found in values.items()}


def summary(steps, used):
    """One line a goal."""
    lines = ["| | reached | goal at least (or at most) | spread over settings |", "|---|---|---|---|"]
    for model, name in MODELS.items():
        ratios = [steps.ratio(model, size, positions) for size in SIZES for positions in TIMES]
        ratios = [ratio for ratio in ratios if ratio]
        at_least = {"rnn": "2", "gru": "2", "lstm": "1.2, none below 0.9", "transformer": "1.0, none below 0.8"}[model]
        lines.append(
            f"| {name} step, times as fast as PyTorch eager (geometric mean of {len(ratios)} settings) "
            f"| **{geometric_mean(ratios):.2f}** | {at_least} | {min(ratios):.2f} to {max(ratios):.2f} |"
        )
    of_peer = [used["transformer", size, 1024, "seqlab"] / used["transformer", size, 1024, "pytorch"] for size in SIZES]
    lines.append(
        f"| Transformer at 1,024 positions, peak memory over PyTorch's | **{geometric_mean(of_peer):.2f}** | 1 "
        f"| {min(of_peer):.2f} to {max(of_peer):.2f} |"
    )
    peak = median([float(row["gflops"]) for row in table("gemm.csv")])
    operations = collections.defaultdict(list)
    for row in table("recurrent-operations.csv"):
        operations[row["kind"], row["hidden"], row["time"]].append(float(row["gflops"]))
    shares = [median(found) / peak for (_, hidden, _), found in operations.items() if hidden == "128"]
    lines.append(
        f"| recurrent operations at hidden 128, share of the {peak:.0f} GFLOP/s of torch.mm on one thread "
        f"| **{geometric_mean(shares):.0%}** | 50% | {min(shares):.0%} to {max(shares):.0%} |"
    )
    of_harness = {
        "throughput of two jobs": ("two cells side by side, throughput over one", "1.8", "{:.2f}"),
        "overhead of the harness": ("overhead of the harness", "5%", "{:.1%}"),
        "first build": ("first build, seconds", "420", "{:.0f}"),
    }
    for quantity, (value, _) in harness().items():
        if quantity in of_harness:
            name, at_least, spelled = of_harness[quantity]
            lines.append(f"| {name} | **{spelled.format(value)}** | {at_least} | |")
    return lines


def step_lines(steps):
    """The table of steps on one thread."""
    lines = [
        "| model | size | positions | seqlab, ms | PyTorch, ms | times as fast | seqlab, GFLOP/s | PyTorch, GFLOP/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model, name in MODELS.items():
        for size in SIZES:
            for positions in TIMES:
                ours, theirs = (steps.seconds(model, size, positions, peer) for peer in ("seqlab", "pytorch"))
                speeds = [
                    f"{1e-9 * step_flops(model, size, positions) / found[1]:.0f}" if found else "–" for found in (ours, theirs)
                ]
                ratio = times(steps.ratio(model, size, positions))
                lines.append(
                    f"| {name} | {size} | {positions:,} | {milliseconds(ours)} | {milliseconds(theirs)} | **{ratio}** "
                    f"| {speeds[0]} | {speeds[1]} |"
                )
    for model in ["LSTM b=1", "GRU", "Transformer"]:
        for positions in [64, 256, 1024]:
            ours, theirs = (steps.seconds(model, 30_000, positions, peer) for peer in ("seqlab", "pytorch"))
            ratio = times(steps.ratio(model, 30_000, positions))
            lines.append(
                f"| {model} of the experiment | 30,000 parameters | {positions:,} | {milliseconds(ours)} "
                f"| {milliseconds(theirs)} | **{ratio}** | | |"
            )
    return lines


def other_lines(steps):
    """Two threads, and what PyTorch compiled."""
    lines = ["| model | size | positions | peer | seqlab, ms | peer, ms | times as fast |", "|---|---|---|---|---|---|---|"]
    for model, size, positions, peer, threads in sorted(steps.repeats):
        if peer == "seqlab" or (peer, threads) == ("pytorch", 1):
            continue
        ours = steps.seconds(model, size, positions, "seqlab", threads)
        theirs = steps.seconds(model, size, positions, peer, threads)
        what = "PyTorch, 2 threads, wall time" if threads == 2 else "PyTorch compiled, 1 thread"
        ratio = times(steps.ratio(model, size, positions, peer, threads))
        name = MODELS.get(model, model)
        lines.append(
            f"| {name} | {size} | {positions:,} | {what} | {milliseconds(ours)} | {milliseconds(theirs)} | {ratio} |"
        )
    return lines


def memory_lines(used):
    """Peak memory at 1,024 positions."""
    lines = ["| model | size | seqlab, MB | PyTorch, MB | share |", "|---|---|---|---|---|"]
    for model, name in MODELS.items():
        for size in SIZES:
            ours, theirs = (used[model, size, 1024, peer] for peer in ("seqlab", "pytorch"))
            lines.append(f"| {name} | {size} | {1e-6 * ours:,.0f} | {1e-6 * theirs:,.0f} | {ours / theirs:.2f} |")
    return lines


def n_gram_lines():
    """Counting and scoring beside KenLM."""
    found, details = collections.defaultdict(list), {}
    for row in table("n-gram.csv"):
        found[row["task"], row["implementation"]].append(float(row["seconds"]))
        details[row["task"], row["implementation"]] = row["detail"]
    lines = ["| task | implementation | seconds | repeats | |", "|---|---|---|---|---|"]
    for key, repeats in sorted(found.items()):
        low, middle, high = quartiles(repeats)
        seconds = f"{middle:.3f} ({low:.3f}–{high:.3f})"
        lines.append(f"| {key[0]} | {key[1]} | {seconds} | {len(repeats)} | {details[key]} |")
    return lines


def classifier_lines():
    """Naive Bayes and logistic regression beside scikit-learn."""
    found = collections.defaultdict(list)
    for row in table("classifiers.csv"):
        found[row["model"], row["task"], row["implementation"]].append((float(row["seconds"]), float(row["accuracy"])))
    lines = ["| model | task | seqlab, ms | scikit-learn, ms | times as fast | accuracy of either |", "|---|---|---|---|---|---|"]
    for model, task in sorted({key[:2] for key in found}):
        # scikit-learn's fit once its matrix is there has no counterpart of ours but the whole fit.
        ours = found[model, "fit" if task == "fit-matrix" else task, "seqlab"]
        theirs = found[model, task, "scikit-learn"]
        cells, middles = [], []
        for repeats in (ours, theirs):
            low, middle, high = (1e3 * value for value in quartiles([seconds for seconds, _ in repeats]))
            middles.append(middle)
            cells.append(f"{middle:,.1f} ({low:,.1f}–{high:,.1f})")
        accuracies = " and ".join(f"{repeats[0][1]:.4f}" for repeats in (ours, theirs))
        lines.append(f"| {model} | {task} | {' | '.join(cells)} | **{middles[1] / middles[0]:.2f}** | {accuracies} |")
    return lines


def hidden_markov_lines():
    """The hidden Markov model beside hmmlearn."""
    found = collections.defaultdict(list)
    for row in table("hidden-markov.csv"):
        found[row["task"], row["implementation"]].append(float(row["seconds"]))
    lines = ["| task | seqlab, ms | hmmlearn, ms | times as fast |", "|---|---|---|---|"]
    for task in ("fit", "score", "decode"):
        cells, middles = [], []
        for who in ("seqlab", "hmmlearn"):
            low, middle, high = (1e3 * value for value in quartiles(found[task, who]))
            middles.append(middle)
            cells.append(f"{middle:,.1f} ({low:,.1f}–{high:,.1f})")
        lines.append(f"| {task} | {' | '.join(cells)} | **{middles[1] / middles[0]:.2f}** |")
    return lines


def harness_lines():
    """What the harness adds."""
    rows = {row["quantity"]: row for row in table("harness.csv")}
    lines = ["| quantity | median | repeats | what it is |", "|---|---|---|---|"]
    for quantity, (value, count) in harness().items():
        unit, detail = rows[quantity]["unit"], rows[quantity]["detail"]
        number = f"{value:.1%}" if unit == "fraction" else f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
        lines.append(f"| {quantity} | {number.removesuffix(' ratio')} | {count} | {detail} |")
    return lines


def figure(steps):
    """How many times as fast as PyTorch, one line a model and size, one dot a length."""
    rows = [(model, size) for model in MODELS for size in SIZES]
    left, top, row_height, width = 132, 58, 22, 700
    right, bottom = width - 24, top + row_height * len(rows) + 14
    low, high = math.log(0.7), math.log(8)

    def x(ratio):
        return left + (right - left) * (math.log(ratio) - low) / (high - low)

    svg = [
        "<!-- Generated by bench/report.py from bench/results/steps.csv. Do not edit: run it again. -->",
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 40}" font-family="Helvetica, Arial, sans-serif" '
        'font-size="12" fill="#222">',
        f'<rect width="{width}" height="{bottom + 40}" fill="#fff"/>',
        '<text x="16" y="22" font-size="15" font-weight="bold">A training step beside PyTorch, one thread</text>',
    ]
    legend = 16
    for positions in TIMES:
        svg.append(f'<circle cx="{legend + 5}" cy="38" r="5" fill="{COLOURS[positions]}"/>')
        svg.append(f'<text x="{legend + 15}" y="42">{positions:,} positions</text>')
        legend += 118
    for tick in [0.8, 1, 1.5, 2, 3, 4, 6, 8]:
        colour = "#222" if tick == 1 else "#ddd"
        svg.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top - 6}" y2="{bottom}" stroke="{colour}"/>')
        svg.append(f'<text x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick}×</text>')
    svg.append(f'<text x="{(left + right) / 2:.0f}" y="{bottom + 34}" text-anchor="middle">times as fast as PyTorch eager</text>')
    for index, (model, size) in enumerate(rows):
        y = top + row_height * (index + 0.5)
        if index % len(SIZES) == 0 and index:
            line = y - row_height / 2
            svg.append(f'<line x1="16" x2="{right}" y1="{line:.1f}" y2="{line:.1f}" stroke="#ddd"/>')
        svg.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{MODELS[model]} {size}</text>')
        for positions in TIMES:
            ratio = steps.ratio(model, size, positions)
            if ratio:
                dot = f'<circle cx="{x(ratio):.1f}" cy="{y:.1f}" r="5" fill="{COLOURS[positions]}" stroke="#fff"/>'
                svg.append(dot)
    svg.append("</svg>")
    return "\n".join(svg) + "\n"


def main():
    steps, used = Steps(), memory()
    machine = {row["what"]: row["value"] for row in table("machine.csv")}
    clean = [len(repeats) for repeats in steps.repeats.values()]
    text = [
        "<!-- Generated by `make bench` (bench/report.py) from the tables in bench/results/. Do not edit: run it again. -->",
        "",
        "# Speed beside PyTorch and KenLM",
        "",
        "![How many times as fast as PyTorch a training step is](results/steps.svg)",
        "",
        *summary(steps, used),
        "",
        f"Measured on {machine['processor']}, {machine['cores']} cores, with PyTorch {machine['PyTorch']} and {machine['rustc']}, at "
        f"revision {machine['seqlab']}. Again: `make bench` (the peers need Python, a C++ compiler and Boost; minutes, and an otherwise "
        "idle machine). Another processor gives other numbers.",
        "",
        "## Training steps",
        "",
        "Forward, backward, clipping and Adam, of embedding, body and read-out over 65 symbols, batch 32: recurrent layers with 16 "
        "inputs and the hidden size given; Transformers of two pre-norm blocks with the width given, four heads and a feed-forward layer "
        "four times as wide. Below them the arms of `lstm-vs-transformer`, batch 16. PyTorch runs its own fused recurrent layers "
        "and scaled_dot_product_attention with the causal flag, denormals flushed. Milliseconds are processor time on one thread, "
        f"median and interquartile range of {min(clean)} to {max(clean)} undisturbed repeats, peers in random order: the fewer, the "
        "longer a step takes. GFLOP/s counts matrix products alone, a causal pair once.",
        "",
        *step_lines(steps),
        "",
        "## Two threads, and torch.compile",
        "",
        "An experiment gives each cell one thread and each core a cell, so steps are made fast on one thread; seqlab's recurrent and "
        "attention operations use no second one. PyTorch does not compile its recurrent layers but falls back to them.",
        "",
        *other_lines(steps),
        "",
        "## Memory",
        "",
        "The most resident memory at 1,024 positions and batch 32, less what the process had before its first step.",
        "",
        *memory_lines(used),
        "",
        "## Kneser-Ney of order 6",
        "",
        "On the first million characters of tiny Shakespeare, beside KenLM; the last twentieth is scored. KenLM has three discounts an "
        "order where ours has one, which accounts for its lower score. Processor time, median and interquartile range.",
        "",
        *n_gram_lines(),
        "",
        "## Classifiers on film reviews",
        "",
        "Words and pairs of nine tenths of the distinct film reviews, beside scikit-learn, from sequences of words by number to a fitted "
        "model (`fit`), and answers for the other tenth. `fit-matrix` is scikit-learn's fit alone, once it has counted the words, beside "
        "the whole of ours. Logistic regression ends on both sides at a gradient of 0.0001. Processor time of one thread, median and "
        "interquartile range.",
        "",
        *classifier_lines(),
        "",
        "## Hidden Markov model",
        "",
        "Three states and six symbols, 500 sequences of 40 symbols, beside hmmlearn: 20 iterations of Baum-Welch from the same start (`fit`), "
        "the probability of all sequences (`score`) and the likeliest path of each (`decode`). hmmlearn fits with compiled loops, but "
        "goes through Python once a sequence and iteration. Both come to the same log-probability within 1e-6. Processor time of one thread, median and interquartile range.",
        "",
        *hidden_markov_lines(),
        "",
        "## The harness",
        "",
        *harness_lines(),
        "",
    ]
    (HERE / "README.md").write_text("\n".join(text))
    (HERE / "results" / "steps.svg").write_text(figure(steps))
    print(f"wrote {HERE / 'README.md'}")


if __name__ == "__main__":
    main()
