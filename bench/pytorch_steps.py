"""Times training steps of PyTorch on the models of experiments/lstm-vs-transformer.toml, task `speed`.

Writes bench/results/pytorch-steps.csv: model, time (positions), seconds (processor time of one step), one row a repeat.
The sizes are those that seqlab solves for at width 32 and 30,000 body parameters. One thread, denormals flushed, eager mode;
attention through scaled_dot_product_attention with the causal flag. Arms are interleaved in random order.

Run through `make bench`.
"""

import csv
import pathlib
import random
import time

import torch
from torch import nn
from torch.nn import functional

WIDTH, VOCABULARY, BATCH = 32, 65, 16
TIMES = (64, 256, 1024)
REPEATS, WARM_UP, STEPS = 20, 2, 3


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
    """Embedding, two pre-norm blocks, read-out."""

    def __init__(self, feed_forward):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            WIDTH, 2, feed_forward, dropout=0.0, activation="relu", batch_first=True, norm_first=True
        )
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.encoder = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.read_out = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, tokens):
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        return self.read_out(self.encoder(self.embedding(tokens), mask=mask, is_causal=True))


MODELS = {
    "LSTM b=1": lambda: Recurrent(nn.LSTM, 68),
    "GRU": lambda: Recurrent(nn.GRU, 80),
    "Transformer": lambda: Transformer(163),
}


def step_seconds(build, positions):
    torch.manual_seed(0)
    model = build()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    tokens = torch.randint(0, VOCABULARY, (BATCH, positions))
    targets = torch.randint(0, VOCABULARY, (BATCH * positions,))
    for index in range(WARM_UP + STEPS):
        if index == WARM_UP:
            start = time.process_time()
        optimiser.zero_grad()
        functional.cross_entropy(model(tokens).flatten(0, 1), targets).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    return (time.process_time() - start) / STEPS


def main():
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    for name, build in MODELS.items():
        body = [p.numel() for key, p in build().named_parameters() if not key.startswith(("embedding", "read_out"))]
        print(f"{name}: {sum(body)} body parameters")
    order = [(name, positions) for name in MODELS for positions in TIMES] * REPEATS
    random.Random(1).shuffle(order)
    rows = sorted((name, positions, step_seconds(MODELS[name], positions)) for name, positions in order)
    path = pathlib.Path(__file__).parent / "results" / "pytorch-steps.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "time", "seconds"])
        writer.writerows((name, positions, f"{seconds:.6g}") for name, positions, seconds in rows)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
