"""Times training steps of PyTorch on the models of experiments/lstm-vs-transformer.toml, task `speed`.

Writes bench/results/pytorch-steps.csv: model, time (positions), seconds (processor time of one step), one row a repeat.
The sizes are those that seqlab solves for at width 32 and 30,000 body parameters. One thread, denormals flushed, eager mode;
attention through scaled_dot_product_attention with the causal flag. Arms are interleaved in random order. A repeat counts if
this process had its processor to itself and the rest of the machine was nearly idle; others are repeated.

Run through `make bench`.
"""

import csv
import os
import pathlib
import random
import sys
import time

import torch
from torch import nn
from torch.nn import functional

WIDTH, VOCABULARY, BATCH = 32, 65, 16
REPEATS, WARM_UP = 20, 2
# Steps of a repeat, so that it lasts a quarter of a second and more.
STEPS = {64: 48, 256: 12, 1024: 3}
# Of one arm; and of the wall time, what this process has at least and all others together at most.
TRIES, ENOUGH, OWN_SHARE, OTHERS_SHARE = 60, 15, 0.95, 0.05


class Recurrent(nn.Module):
    """Embedding, one recurrent layer, projection to the shared width, read-out."""

    def __init__(self, kind, hidden):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.layer = kind(WIDTH, hidden, batch_first=True)
        self.projection = nn.Linear(hidden, WIDTH)
        self.read_out = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, tokens):
        return self.read_out(self.projection(self.layer(self.embedding(tokens))[0]))


class Transformer(nn.Module):
    """Embedding, sinusoidal positions, two pre-norm blocks, read-out."""

    def __init__(self, feed_forward):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            WIDTH, 2, feed_forward, dropout=0.0, activation="relu", batch_first=True, norm_first=True
        )
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.read_out = nn.Linear(WIDTH, VOCABULARY)
        angles = torch.arange(max(STEPS))[:, None] * 10_000.0 ** (-2 * torch.arange(WIDTH // 2) / WIDTH)
        self.positions = torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)

    def forward(self, tokens):
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.read_out(self.encoder(self.embedding(tokens) + self.positions[: tokens.shape[1]], mask=mask, is_causal=True))


MODELS = {
    "LSTM b=1": lambda: Recurrent(nn.LSTM, 68),
    "GRU": lambda: Recurrent(nn.GRU, 80),
    "Transformer": lambda: Transformer(163),
}


def machine_busy():
    """Processor seconds of the whole machine that were not idle, where Linux tells."""
    try:
        fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    idle = int(fields[3]) + int(fields[4])
    return (sum(map(int, fields[:8])) - idle) / os.sysconf("SC_CLK_TCK")


def step_seconds(build, positions):
    """Processor seconds of a training step, or None if the repeat was disturbed."""
    torch.manual_seed(0)
    model = build()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    tokens = torch.randint(0, VOCABULARY, (BATCH, positions))
    targets = torch.randint(0, VOCABULARY, (BATCH * positions,))
    for index in range(WARM_UP + STEPS[positions]):
        if index == WARM_UP:
            start, wall, busy = time.process_time(), time.perf_counter(), machine_busy()
        optimiser.zero_grad()
        functional.cross_entropy(model(tokens).flatten(0, 1), targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    own, wall = time.process_time() - start, time.perf_counter() - wall
    # The machine counts in ticks of 0.01 s; two of them are not held against a repeat.
    others = 0 if busy is None else machine_busy() - busy - own - 0.02
    clean = own >= OWN_SHARE * wall and others <= OTHERS_SHARE * wall * (os.cpu_count() or 1)
    return own / STEPS[positions] if clean else None


def main():
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    for name, build in MODELS.items():
        body = [p.numel() for key, p in build().named_parameters() if not key.startswith(("embedding", "read_out"))]
        print(f"{name}: {sum(body)} body parameters")
    arms = [(name, positions) for name in MODELS for positions in STEPS]
    clean = {arm: [] for arm in arms}
    for attempt in range(TRIES):
        waiting = [arm for arm in arms if len(clean[arm]) < REPEATS]
        random.Random(attempt).shuffle(waiting)
        for name, positions in waiting:
            seconds = step_seconds(MODELS[name], positions)
            if seconds is not None:
                clean[name, positions].append(seconds)
    for arm, repeats in clean.items():
        if len(repeats) < ENOUGH:
            sys.exit(f"{arm}: {len(repeats)} clean repeats of {TRIES}, {ENOUGH} are needed; is the machine busy?")
    rows = [(*arm, seconds) for arm in sorted(arms) for seconds in clean[arm]]
    path = pathlib.Path(__file__).parent / "results" / "pytorch-steps.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "time", "seconds"])
        writer.writerows((name, positions, f"{seconds:.6g}") for name, positions, seconds in rows)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
