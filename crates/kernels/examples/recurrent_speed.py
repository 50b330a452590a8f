"""The settings of recurrent_speed.rs in eager PyTorch on one thread with flush-to-zero."""

import time

import torch

INPUTS, REPEATS = 32, 30
MODULES = {
    "Tanh": lambda hidden: torch.nn.RNN(INPUTS, hidden, batch_first=True),
    "Relu": lambda hidden: torch.nn.RNN(INPUTS, hidden, nonlinearity="relu", batch_first=True),
    "Lstm": lambda hidden: torch.nn.LSTM(INPUTS, hidden, batch_first=True),
    "Gru": lambda hidden: torch.nn.GRU(INPUTS, hidden, batch_first=True),
}


def milliseconds(module, batch, hidden, length):
    net = module(hidden)
    inputs = torch.randn(batch, length, INPUTS, requires_grad=True)
    upstream = torch.randn(batch, length, hidden)
    fastest = float("inf")
    for _ in range(REPEATS):
        net.zero_grad(set_to_none=True)
        inputs.grad = None
        start = time.perf_counter()
        states, _ = net(inputs)
        (states * upstream).sum().backward()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest * 1e3


torch.set_num_threads(1)
torch.set_flush_denormal(True)
print(f"kind,batch,hidden,time,PyTorch {torch.__version__} ms")
for kind, module in MODULES.items():
    for batch in [16, 32]:
        for hidden in [40, 64, 128]:
            for length in [64, 100, 200]:
                print(f"{kind},{batch},{hidden},{length},{milliseconds(module, batch, hidden, length):.3f}")
