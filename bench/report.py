"""Writes bench/README.md, its figure bench/results/steps.svg and a page for each processor from the tables in bench/results/.

The tables of a processor lie in a folder of its own, and so does its page. Nothing is measured here. Run through `make bench`, or
alone after a table has changed.
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
TABLES = [
    "classifiers", "gemm", "harness", "hidden-markov", "machine", "memory", "n-gram", "recurrent-operations", "steps",
]
# What a recurrent or attention step is to reach beside PyTorch's: as the geometric mean, and in each setting.
STEP_GOALS = {"rnn": (2, None), "gru": (2, None), "lstm": (1.2, 0.9), "transformer": (1, 0.8)}
MISSED = "✗"


def processors():
    """The folders of the processors that were measured in full."""
    folders = sorted(path for path in (HERE / "results").iterdir() if path.is_dir())
    complete = [folder for folder in folders if all((folder / f"{name}.csv").exists() for name in TABLES)]
    for folder in folders:
        if folder not in complete:
            print(f"{folder} is left out: it lacks tables, which `make bench` measures")
    return complete


def table(folder, name):
    """The rows of a table of a processor."""
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def machine(folder):
    """What the tables were measured with, and what the processor is called on a page."""
    found = {row["what"]: row["value"] for row in table(folder, "machine.csv")}
    name = found["processor"].replace("(R)", "").replace("(TM)", "")
    instructions = {"avx512": "AVX-512", "avx2": "AVX2"}.get(found["instruction set"], found["instruction set"])
    return found | {"title": f"{name}, {instructions}"}


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

    def __init__(self, folder):
        self.repeats = collections.defaultdict(list)
        for row in table(folder, "steps.csv"):
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


def memory(folder):
    """Bytes that a process took beyond what it had before its first step, by setting and peer."""
    return {
        (row["model"], int(row["size"]), int(row["time"]), row["peer"]): int(row["peak_bytes"]) - int(row["idle_bytes"])
        for row in table(folder, "memory.csv")
    }


def harness(folder):
    """Medians of harness.csv, by quantity."""
    values = collections.defaultdict(list)
    for row in table(folder, "harness.csv"):
        values[row["quantity"]].append(float(row["value"]))
    return {quantity: (median(found), len(found)) for quantity, found in values.items()}


def goals(folder):
    """What was to be reached and what is: a line each of name, goal, reached, and whether that misses the goal."""
    steps, used, lines = Steps(folder), memory(folder), []
    for model, name in MODELS.items():
        found = [steps.ratio(model, size, positions) for size in SIZES for positions in TIMES]
        ratios = [ratio for ratio in found if ratio]
        mean, (at_least, each) = geometric_mean(ratios), STEP_GOALS[model]
        of = "" if len(ratios) == len(found) else f", {len(ratios)} settings"
        lines.append((
            f"{name} step, times as fast as PyTorch eager (geometric mean of {len(found)} settings)",
            f"at least {at_least}" + (f", none below {each}" if each else ""),
            f"**{mean:.2f}** ({min(ratios):.2f} to {max(ratios):.2f}{of})",
            mean < at_least or min(ratios) < (each or 0),
        ))
    of_peer = [used["transformer", size, 1024, "seqlab"] / used["transformer", size, 1024, "pytorch"] for size in SIZES]
    mean = geometric_mean(of_peer)
    reached = f"**{mean:.2f}** ({min(of_peer):.2f} to {max(of_peer):.2f})"
    lines.append(("Transformer at 1,024 positions, peak memory over PyTorch's", "at most 1", reached, mean > 1))
    peak = median([float(row["gflops"]) for row in table(folder, "gemm.csv")])
    operations = collections.defaultdict(list)
    for row in table(folder, "recurrent-operations.csv"):
        operations[row["kind"], row["hidden"], row["time"]].append(float(row["gflops"]))
    shares = [median(found) / peak for (_, hidden, _), found in operations.items() if hidden == "128"]
    mean = geometric_mean(shares)
    lines.append((
        "recurrent operations at hidden 128, share of torch.mm on one thread",
        "at least 50%",
        f"**{mean:.0%}** of {peak:.0f} GFLOP/s ({min(shares):.0%} to {max(shares):.0%})",
        mean < 0.5,
    ))
    found = harness(folder)
    for quantity, name, goal, spelled, misses in (
        ("overhead of the harness", "overhead of the harness", "at most 5%", "{:.1%}", lambda value: value > 0.05),
        ("throughput of two jobs", "two cells side by side, throughput over one", "at least 1.8", "{:.2f}", lambda value: value < 1.8),
        ("first build", "first build, seconds", "at most 420", "{:.0f}", lambda value: value > 420),
    ):
        if quantity in found:
            value = found[quantity][0]
            lines.append((name, goal, f"**{spelled.format(value)}**", misses(value)))
        else:
            lines.append((name, goal, "–", False))
    return lines


def summary(folders):
    """One line a goal, one column a processor."""
    heads = [f"[{machine(folder)['title']}](results/{folder.name}/README.md)" for folder in folders]
    lines = [f"| | goal | {' | '.join(heads)} |", "|---|---|" + "---|" * len(folders)]
    for of_goal in zip(*map(goals, folders)):
        cells = [f"{reached} {MISSED}" if misses else reached for _, _, reached, misses in of_goal]
        lines.append(f"| {of_goal[0][0]} | {of_goal[0][1]} | {' | '.join(cells)} |")
    return lines


def machine_lines(folders):
    """What each was measured with."""
    lines = ["| processor | cores | PyTorch | Rust | revision |", "|---|---|---|---|---|"]
    for folder in folders:
        found = machine(folder)
        rust = found["rustc"].split()[1]
        lines.append(f"| {found['title']} | {found['cores']} | {found['PyTorch']} | {rust} | {found['seqlab']} |")
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


def n_gram_lines(folder):
    """Counting and scoring beside KenLM."""
    found, details = collections.defaultdict(list), {}
    for row in table(folder, "n-gram.csv"):
        found[row["task"], row["implementation"]].append(float(row["seconds"]))
        details[row["task"], row["implementation"]] = row["detail"]
    lines = ["| task | implementation | seconds | repeats | |", "|---|---|---|---|---|"]
    for key, repeats in sorted(found.items()):
        low, middle, high = quartiles(repeats)
        seconds = f"{middle:.3f} ({low:.3f}–{high:.3f})"
        lines.append(f"| {key[0]} | {key[1]} | {seconds} | {len(repeats)} | {details[key]} |")
    return lines


def classifier_lines(folder):
    """Naive Bayes and logistic regression beside scikit-learn."""
    found = collections.defaultdict(list)
    for row in table(folder, "classifiers.csv"):
        repeat = (float(row["seconds"]), float(row["accuracy"]))
        found[row["data"], row["model"], row["task"], row["implementation"]].append(repeat)
    lines = ["| data | model | task | seqlab, ms | scikit-learn, ms | times as fast | accuracy of either |", "|---|---|---|---|---|---|---|"]
    for data, model, task in sorted({key[:3] for key in found}):
        # scikit-learn's fit once its matrix is there has no counterpart of ours but the whole fit.
        ours = found[data, model, "fit" if task == "fit-matrix" else task, "seqlab"]
        theirs = found[data, model, task, "scikit-learn"]
        cells, middles = [], []
        for repeats in (ours, theirs):
            low, middle, high = (1e3 * value for value in quartiles([seconds for seconds, _ in repeats]))
            middles.append(middle)
            cells.append(f"{middle:,.1f} ({low:,.1f}–{high:,.1f})")
        accuracies = " and ".join(f"{repeats[0][1]:.4f}" for repeats in (ours, theirs))
        lines.append(f"| {data} | {model} | {task} | {' | '.join(cells)} | **{middles[1] / middles[0]:.2f}** | {accuracies} |")
    return lines


def hidden_markov_lines(folder):
    """The hidden Markov model beside hmmlearn."""
    found = collections.defaultdict(list)
    for row in table(folder, "hidden-markov.csv"):
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


def harness_lines(folder):
    """What the harness adds."""
    rows = {row["quantity"]: row for row in table(folder, "harness.csv")}
    lines = ["| quantity | median | repeats | what it is |", "|---|---|---|---|"]
    for quantity, (value, count) in harness(folder).items():
        unit, detail = rows[quantity]["unit"], rows[quantity]["detail"]
        number = f"{value:.1%}" if unit == "fraction" else f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
        lines.append(f"| {quantity} | {number.removesuffix(' ratio')} | {count} | {detail} |")
    return lines


def figure(folders):
    """How many times as fast as PyTorch, one panel a processor, one line a model and size, one dot a length."""
    rows = [(model, size) for model in MODELS for size in SIZES]
    left, top, row_height, gap = 132, 80, 22, 28
    panel = 544 if len(folders) == 1 else 310
    width, bottom = left + len(folders) * (panel + gap) - 4, top + row_height * len(rows) + 14
    timed = [Steps(folder) for folder in folders]
    ratios = [steps.ratio(model, size, positions) for steps in timed for model, size in rows for positions in TIMES]
    ratios = [ratio for ratio in ratios if ratio]
    low, high = math.log(min(0.7, *ratios)), math.log(max(8, *ratios))
    svg = [
        "<!-- Generated by bench/report.py from the tables in bench/results/. Do not edit: run it again. -->",
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 40}" font-family="Helvetica, Arial, sans-serif" '
        'font-size="12" fill="#222">',
        f'<rect width="{width}" height="{bottom + 40}" fill="#fff"/>',
        '<text x="16" y="22" font-size="15" font-weight="bold">A training step beside PyTorch, one thread</text>',
    ]
    for place, positions in enumerate(TIMES):
        svg.append(f'<circle cx="{21 + 118 * place}" cy="38" r="5" fill="{COLOURS[positions]}"/>')
        svg.append(f'<text x="{31 + 118 * place}" y="42">{positions:,} positions</text>')
    for index, (model, size) in enumerate(rows):
        y = top + row_height * (index + 0.5)
        if index % len(SIZES) == 0 and index:
            line = y - row_height / 2
            svg.append(f'<line x1="16" x2="{width - 24}" y1="{line:.1f}" y2="{line:.1f}" stroke="#ddd"/>')
        svg.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{MODELS[model]} {size}</text>')
    for place, (folder, steps) in enumerate(zip(folders, timed)):
        start = left + place * (panel + gap)

        def x(ratio):
            return start + panel * (math.log(ratio) - low) / (high - low)

        svg.append(f'<text x="{start}" y="{top - 14}" font-weight="bold">{machine(folder)["title"]}</text>')
        for tick in [0.8, 1, 1.5, 2, 3, 4, 6, 8]:
            colour = "#222" if tick == 1 else "#ddd"
            svg.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top - 6}" y2="{bottom}" stroke="{colour}"/>')
            svg.append(f'<text x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle">{tick}×</text>')
        middle = start + panel / 2
        svg.append(f'<text x="{middle:.0f}" y="{bottom + 34}" text-anchor="middle">times as fast as PyTorch eager</text>')
        for index, (model, size) in enumerate(rows):
            y = top + row_height * (index + 0.5)
            for positions in TIMES:
                ratio = steps.ratio(model, size, positions)
                if ratio:
                    dot = f'<circle cx="{x(ratio):.1f}" cy="{y:.1f}" r="5" fill="{COLOURS[positions]}" stroke="#fff"/>'
                    svg.append(dot)
    svg.append("</svg>")
    return "\n".join(svg) + "\n"


def page(folder):
    """All that was measured on a processor."""
    steps, found = Steps(folder), machine(folder)
    clean = [len(repeats) for repeats in steps.repeats.values()]
    return [
        "<!-- Generated by `make bench` (bench/report.py) from the tables beside it. Do not edit: run it again. -->",
        "",
        f"# Speed on {found['title']}",
        "",
        f"Measured on {found['processor']}, {found['cores']} cores, with PyTorch {found['PyTorch']} and {found['rustc']}, at "
        f"revision {found['seqlab']}. [All processors](../../README.md).",
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
        *memory_lines(memory(folder)),
        "",
        "## Kneser-Ney of order 6",
        "",
        "On the first million characters of tiny Shakespeare, beside KenLM; the last twentieth is scored. KenLM has three discounts an "
        "order where ours has one, which accounts for its lower score. Processor time, median and interquartile range.",
        "",
        *n_gram_lines(folder),
        "",
        "## Classifiers",
        "",
        "Beside scikit-learn, on nine tenths of two sets: `reviews`, words and pairs of the distinct film reviews, and `census`, the "
        "categories and numbers of the table `adult`. From sequences of words by number, or rows of values, to a fitted model (`fit`), and "
        "answers for the other tenth. `fit-matrix` is scikit-learn's fit alone, once it has counted the words, beside the whole of ours. "
        "Logistic regression ends on both sides at a gradient of 0.0001. Processor time of one thread, median and interquartile range.",
        "",
        *classifier_lines(folder),
        "",
        "## Hidden Markov model",
        "",
        "Three states and six symbols, 500 sequences of 40 symbols, beside hmmlearn: 20 iterations of Baum-Welch from the same start (`fit`), "
        "the probability of all sequences (`score`) and the likeliest path of each (`decode`). hmmlearn fits with compiled loops, but "
        "goes through Python once a sequence and iteration. Both come to the same log-probability within 1e-6. Processor time of one thread, median and interquartile range.",
        "",
        *hidden_markov_lines(folder),
        "",
        "## The harness",
        "",
        *harness_lines(folder),
        "",
    ]


def main():
    folders = processors()
    text = [
        "<!-- Generated by `make bench` (bench/report.py) from the tables in bench/results/. Do not edit: run it again. -->",
        "",
        "# Speed beside PyTorch and KenLM",
        "",
        "![How many times as fast as PyTorch a training step is](results/steps.svg)",
        "",
        *summary(folders),
        "",
        f"In brackets the spread over settings; {MISSED} misses its goal. Below each processor's name are its seconds, and the "
        "comparisons with KenLM, scikit-learn and hmmlearn.",
        "",
        *machine_lines(folders),
        "",
        "On your processor: `make bench` (the peers need Python, a C++ compiler and Boost; 20 to 30 minutes, and an otherwise idle machine). "
        "It writes tables and a page of its own. Claims about seconds are judged with PyTorch's on the same processor.",
        "",
    ]
    for folder in folders:
        (folder / "README.md").write_text("\n".join(page(folder)))
    (HERE / "README.md").write_text("\n".join(text))
    (HERE / "results" / "steps.svg").write_text(figure(folders))
    print(f"wrote {HERE / 'README.md'}")


if __name__ == "__main__":
    main()
