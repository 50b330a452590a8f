"""Times training steps of seqlab and of PyTorch side by side, one setting after the other.

A step is forward, backward, clipping of the global norm and Adam, of embedding, body and read-out over 65 symbols, with
the cross-entropy of every position. Settings: `rnn`, `gru`, `lstm` (hidden 64, 128, 256; input 16) and `transformer` (two
pre-norm blocks of width 64, 128, 256; four heads; feed-forward four times as wide), each at 100, 400 and 1,024 positions
and batch 32; and the arms of experiments/lstm-vs-transformer.toml, task `speed`, at batch 16.

PyTorch at its best: its own recurrent layers, scaled_dot_product_attention with the causal flag, denormals flushed, threads
pinned; eager, and compiled where `torch.compile` accepts it. Peers of a setting are processes that wait for their turn; a
round asks each for one repeat, in random order. A repeat counts if its process had its processors to itself and the rest of
the machine was nearly idle; others are repeated.

Writes in bench/results/PROCESSOR/:
- steps.csv: model, size, batch, time, peer, threads, processor_seconds, wall_seconds (of one step), one row a repeat;
- memory.csv: model, size, batch, time, peer, idle_bytes (before the first step), peak_bytes;
- pytorch-steps.csv: model, time, seconds (processor time of a step), for the arms of the experiment, which reads it;
- gemm.csv: gflops of one thread of torch.mm at 1,024 x 1,024 x 1,024, one row a repeat;
- machine.csv: what all this ran on: processor, instruction set, cores, versions.

Run through `make bench`. `steps.py --only 'lstm 128'` is a quick trial of those settings that writes nothing.
"""

import argparse
import csv
import importlib.metadata
import json
import os
import pathlib
import random
import subprocess
import sys
import time

import processor

HERE = pathlib.Path(__file__).parent
SEQLAB = HERE.parent / "target" / "release" / "examples" / "training_step"
SYMBOLS = 65
# Clean repeats wanted of steps that last at most so many seconds; arms of the experiment, which judges by theirs, get the most.
REPEATS = ((0.1, 15), (0.5, 5), (float("inf"), 3))
# Tries of one peer, and the seconds after which no further one begins: at 60 tries of ten seconds a busy machine would hold all up.
TRIES, TRY_SECONDS = 60, 60
# A repeat is so many steps that it lasts this long at least.
REPEAT_SECONDS = 0.08
# Of the wall time, what a peer has at least of its threads and all others together use at most.
OWN_SHARE, OTHERS_SHARE = 0.95, 0.05
# The load of the machine is counted in ticks of 0.01 s; two of them are not held against a repeat.
TICKS = 0.02


def settings():
    """All settings: what both peers build, and how each builds it."""
    found = []
    for model in ["rnn", "gru", "lstm"]:
        for hidden in [64, 128, 256]:
            for positions in [100, 400, 1024]:
                found.append(
                    {
                        "label": model, "model": model, "size": hidden, "batch": 32, "time": positions, "width": 16,
                        "parameters": None, "settings": {"hidden": hidden},
                    }
                )
    for width in [64, 128, 256]:
        for positions in [100, 400, 1024]:
            sizes = {"inner-width": width, "feed-forward": 4 * width, "heads": 4}
            found.append(
                {
                    "label": "transformer", "model": "transformer", "size": width, "batch": 32, "time": positions,
                    "width": width, "parameters": None, "settings": sizes,
                }
            )
    # The sizes that seqlab solves for at width 32 and 30,000 body parameters.
    arms = [
        ("LSTM b=1", "lstm", {"hidden": 68}),
        ("GRU", "gru", {"hidden": 80}),
        ("Transformer", "transformer", {"inner-width": 32, "feed-forward": 163, "heads": 2}),
    ]
    for label, model, sizes in arms:
        for positions in [64, 256, 1024]:
            found.append(
                {
                    "label": label, "model": model, "size": 30_000, "batch": 16, "time": positions, "width": 32,
                    "parameters": None, "settings": sizes,
                }
            )
    return found


def peers(setting):
    """Names of the peers of a setting: who, and on how many threads."""
    names = [("seqlab", 1), ("pytorch", 1)]
    if (setting["batch"], setting["size"], setting["time"]) == (32, 128, 400):
        names += [("seqlab", 2), ("pytorch", 2)]
        if setting["model"] in ("transformer", "lstm"):
            names.append(("pytorch-compiled", 1))
    return names


class Peer:
    """A process that makes training steps when told to.

    Importing PyTorch takes seconds, so one process of each (peer, threads) imports all of it and forks a fresh child a setting.
    """

    parents = {}

    def __init__(self, setting, name, threads):
        self.name, self.threads, self.clean, self.tries, self.tried_seconds = name, threads, [], 0, 0
        self.judged = setting["batch"] == 16
        environment = os.environ | {
            variable: str(threads) for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"]
        }
        start = lambda *command: subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        if name == "seqlab":
            self.process = start(str(SEQLAB), json.dumps(setting))
            self.idle_bytes = memory(self.process.pid, "VmRSS")
        else:
            if (name, threads) not in self.parents:
                self.parents[name, threads] = start(sys.executable, __file__, "--peer", name)
            self.process = self.parents[name, threads]
            self.idle_bytes = int(self.ask(json.dumps(setting)))
        # The first step allocates, compiles and packs. It is not timed, so all peers make theirs side by side.
        self.tell(1)

    def second_step(self):
        """Makes the step that tells how long one lasts, which is a repeat if that is long."""
        self.count = 1
        self.step_seconds = self.repeat()
        self.count = max(1, round(REPEAT_SECONDS / self.step_seconds))
        if self.count > 1:
            self.clean.clear()

    def tell(self, line):
        """Sends a line."""
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def answer(self):
        """The answer to the last line."""
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"{self.name} ended with {self.process.wait()}")
        return answer

    def ask(self, line):
        """The answer to a line."""
        self.tell(line)
        return self.answer()

    def steps(self, count):
        """Processor and wall seconds of `count` steps."""
        return tuple(map(float, self.ask(count).split()))

    def wanted(self):
        """How many clean repeats are wanted."""
        return next(repeats for seconds, repeats in REPEATS if self.judged or self.step_seconds <= seconds)

    def is_done(self):
        """Whether it has its repeats, or no more tries."""
        return len(self.clean) >= self.wanted() or self.tries >= TRIES or self.tried_seconds >= TRY_SECONDS

    def repeat(self):
        """Times one repeat, and keeps it if it is clean. Returns its wall seconds."""
        self.tries += 1
        busy = machine_busy()
        own, wall = self.steps(self.count)
        self.tried_seconds += wall
        others = 0 if busy is None else machine_busy() - busy - own - TICKS
        # More than one thread is timed by the wall, and a peer may leave a thread idle.
        has_own = self.threads > 1 or own >= OWN_SHARE * wall
        if has_own and others <= OTHERS_SHARE * wall * (os.cpu_count() or 1):
            self.clean.append((own / self.count, wall / self.count))
        return wall

    def close(self):
        """Ends the process, or the forked one, and returns the most memory it had."""
        if self.name != "seqlab":
            return int(self.ask("end"))
        peak = memory(self.process.pid, "VmHWM")
        self.process.stdin.close()
        self.process.wait()
        return peak


def memory(process, field):
    """Bytes of a field of a process's status, where Linux tells."""
    try:
        status = pathlib.Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(field + ":"))


def machine_busy():
    """Processor seconds of the whole machine that were not idle, where Linux tells."""
    try:
        fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    idle = int(fields[3]) + int(fields[4])
    return (sum(map(int, fields[:8])) - idle) / os.sysconf("SC_CLK_TCK")


def time_setting(setting, order, trial):
    """All peers of one setting, with their clean repeats; in a trial with three repeats of one thread, clean or not."""
    waiting = [Peer(setting, *name) for name in peers(setting) if not trial or name[1] == 1]
    everyone = list(waiting)
    for peer in everyone:
        peer.answer()
    for peer in everyone:
        peer.second_step()
    if trial:
        for peer in 3 * everyone:
            peer.clean.append(tuple(seconds / peer.count for seconds in peer.steps(peer.count)))
        waiting = []
    while waiting:
        order.shuffle(waiting)
        for peer in waiting:
            peer.repeat()
        waiting = [peer for peer in waiting if not peer.is_done()]
    for peer in everyone:
        peer.peak_bytes = peer.close()
        if not trial and len(peer.clean) < peer.wanted():
            print(
                f"{setting['label']} {setting['size']} at {setting['time']}, {peer.name}: {len(peer.clean)} clean "
                f"repeats of {peer.tries} tries, {peer.wanted()} are wanted; is the machine busy?",
                file=sys.stderr,
            )
    return everyone


def gemm_gflops():
    """The peak that matrix products reach on one thread, by the fastest library at hand."""
    script = (
        "import torch, time; torch.set_num_threads(1); a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)\n"
        "for _ in range(3): a @ b\n"
        "for _ in range(15):\n"
        "    start = time.process_time()\n"
        "    for _ in range(8): a @ b\n"
        "    print(8 * 2 * 1024 ** 3 / (time.process_time() - start) / 1e9)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return [float(line) for line in answer.stdout.split()]


def machine():
    """Processor, its instruction set and cores, and the versions of the peers."""
    versions = [("rustc", ["rustc", "--version"]), ("seqlab", ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"])]
    found = [("processor", processor.name()), ("instruction set", processor.instruction_set()), ("cores", os.cpu_count())]
    found.append(("PyTorch", importlib.metadata.version("torch")))
    return found + [(name, subprocess.check_output(command, text=True).strip()) for name, command in versions]


def median(values):
    """The middle of the sorted values."""
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def write(name, header, rows):
    """A table in the folder of this processor."""
    with (processor.folder() / name).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--only", help="settings whose name contains this: a trial that writes nothing")
    arguments.add_argument("--peer", help=argparse.SUPPRESS)
    arguments = arguments.parse_args()
    if arguments.peer:
        return serve(arguments.peer)
    steps, memory, experiment = [], [], []
    for setting in settings():
        key = [setting["label"], setting["size"], setting["batch"], setting["time"]]
        name = " ".join(map(str, key))
        if arguments.only is not None and arguments.only not in name:
            continue
        found = time_setting(setting, random.Random(name), arguments.only is not None)
        line = [f"{name:30}"]
        for peer in found:
            clock = 0 if peer.threads == 1 else 1
            line.append(f"{peer.name} x{peer.threads} {1e3 * median([r[clock] for r in peer.clean] or [0]):.1f} ms")
            line.append(f"{(peer.peak_bytes - peer.idle_bytes) / 1e6:.0f} MB")
            steps += [[*key, peer.name, peer.threads, *(f"{value:.6g}" for value in repeat)] for repeat in peer.clean]
            if peer.threads == 1:
                memory.append([*key, peer.name, peer.idle_bytes, peer.peak_bytes])
            if setting["batch"] == 16 and peer.name == "pytorch":
                experiment += [[setting["label"], setting["time"], f"{own:.6g}"] for own, _ in peer.clean]
        print("  ".join(line), flush=True)
    if arguments.only is not None:
        return
    write("steps.csv", ["model", "size", "batch", "time", "peer", "threads", "processor_seconds", "wall_seconds"], steps)
    write("memory.csv", ["model", "size", "batch", "time", "peer", "idle_bytes", "peak_bytes"], memory)
    write("pytorch-steps.csv", ["model", "time", "seconds"], sorted(experiment, key=lambda row: row[:2]))
    write("gemm.csv", ["gflops"], [[f"{value:.5g}"] for value in gemm_gflops()])
    write("machine.csv", ["what", "value"], machine())


def serve(name):
    """PyTorch's side of training_step.rs: a line is a setting, then counts of steps, then `end`."""
    import torch
    # The optimiser would import it, in every child anew.
    import torch._dynamo

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    # No operation has run so far, so there are no threads that a fork would lose.
    while setting := sys.stdin.readline():
        if child := os.fork():
            os.waitpid(child, 0)
        else:
            return train(torch, json.loads(setting), name)


def train(torch, setting, name):
    """Builds the model of a setting and makes steps until `end`."""
    nn, functional = torch.nn, torch.nn.functional

    class Recurrent(nn.Module):
        """Embedding, one recurrent layer, projection to the embedding's width, read-out."""

        def __init__(self, kind, width, hidden):
            super().__init__()
            self.embedding = nn.Embedding(SYMBOLS, width)
            self.layer = kind(width, hidden, batch_first=True)
            self.projection = nn.Linear(hidden, width)
            self.read_out = nn.Linear(width, SYMBOLS)

        def forward(self, tokens):
            return self.read_out(self.projection(self.layer(self.embedding(tokens))[0]))

    class Transformer(nn.Module):
        """Embedding, sinusoidal positions, two pre-norm blocks, read-out."""

        def __init__(self, width, feed_forward, heads, positions):
            super().__init__()
            layer = nn.TransformerEncoderLayer(
                width, heads, feed_forward, dropout=0.0, activation="relu", batch_first=True, norm_first=True
            )
            self.embedding = nn.Embedding(SYMBOLS, width)
            self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(width), enable_nested_tensor=False)
            self.read_out = nn.Linear(width, SYMBOLS)
            angles = torch.arange(positions)[:, None] * 10_000.0 ** (-2 * torch.arange(width // 2) / width)
            self.register_buffer("positions", torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1))
            self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(positions))

        def forward(self, tokens):
            hidden = self.embedding(tokens) + self.positions
            return self.read_out(self.encoder(hidden, mask=self.mask, is_causal=True))

    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    sizes, width, positions = setting["settings"], setting["width"], setting["time"]
    if setting["model"] == "transformer":
        model = Transformer(sizes["inner-width"], sizes["feed-forward"], sizes["heads"], positions)
    else:
        kind = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[setting["model"]]
        model = Recurrent(kind, width, sizes["hidden"])
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    shape = (setting["batch"], positions)
    tokens = torch.randint(0, SYMBOLS, shape)
    targets = torch.randint(0, SYMBOLS, (shape[0] * shape[1],))
    run = torch.compile(model) if name == "pytorch-compiled" else model
    print(memory("self", "VmRSS"), flush=True)
    while (line := sys.stdin.readline().strip()) != "end":
        start, wall = time.process_time(), time.perf_counter()
        for _ in range(int(line)):
            optimiser.zero_grad()
            functional.cross_entropy(run(tokens).flatten(0, 1), targets).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
        print(time.process_time() - start, time.perf_counter() - wall, flush=True)
    print(memory("self", "VmHWM"), flush=True)


if __name__ == "__main__":
    main()
