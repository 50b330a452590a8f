"""Names this machine's processor, and the folder that holds its tables.

Seconds of one processor say little about another, so each kind has a folder of its own in bench/results/. seqlab finds PyTorch's
step times by the same name (src/processor.rs). Run as a program it prints the folder.
"""

import pathlib
import platform

RESULTS = pathlib.Path(__file__).resolve().parent / "results"


def described(field):
    """What Linux says of the first processor, or nothing."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(field)), "")


def name():
    """As the system names it; elsewhere the architecture."""
    return described("model name") or platform.machine().replace("arm64", "aarch64")


def instruction_set():
    """The widest vector instructions that seqlab's kernels use here."""
    flags = described("flags").split()
    if "avx512f" in flags:
        return "avx512"
    return "avx2" if "avx2" in flags and "fma" in flags else "portable"


def slug(processor, instructions):
    """Both as the name of a folder: words in small letters, without marks of trade.

    >>> slug("Intel(R) Xeon(R) Processor", "avx512")
    'intel-xeon-processor-avx512'
    >>> slug("AMD EPYC", "avx2")
    'amd-epyc-avx2'
    >>> slug("Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz", "avx2")
    'intel-core-i7-8550u-cpu-1-80ghz-avx2'
    >>> slug("aarch64", "portable")
    'aarch64-portable'
    """
    words = f"{processor} {instructions}".lower().replace("(r)", "").replace("(tm)", "")
    return "-".join("".join(letter if letter.isascii() and letter.isalnum() else " " for letter in words).split())


def folder():
    """The folder of this machine's tables, which is made if it is missing."""
    found = RESULTS / slug(name(), instruction_set())
    found.mkdir(parents=True, exist_ok=True)
    return found


if __name__ == "__main__":
    print(folder())
