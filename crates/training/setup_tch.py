"""Lays out LibTorch for builds with the cargo feature `tch`: `make setup-tch` runs it.

    python3 setup_tch.py FOLDER

The libraries and headers come out of pinned Python wheels (900 MB to download, 500 MB to keep), for Linux on x86-64;
elsewhere, or for `tch-cuda`, set LIBTORCH to a LibTorch 2.9.0 of your own. It needs pip and a C compiler.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

VERSION = "2.9.0"
# One wheel each, whatever the Python that runs this: what is taken from them does not depend on it.
REQUIREMENTS = f"""
torch=={VERSION} --hash=sha256:51de31219c97c51cf4bf2be94d622e3deb5dcc526c6dc00e97c17eaec0fc1d67
nvidia-cuda-cupti-cu12==12.8.90 --hash=sha256:ea0cb07ebda26bb9b29ba82cda34849e73c166c18162d3913575b0c9db9a6182
nvidia-cuda-runtime-cu12==12.8.90 --hash=sha256:adade8dcbd0edf427b7204d480d6066d33902cab2a4707dcfc48a2d0fd44ab90
"""
PLATFORM = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
PLATFORM += ["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64"]
# libtorch_cpu.so links the last two although it computes without CUDA. The rest of CUDA, 1.2 GB, is left out.
LIBRARIES = {"libc10.so", "libtorch_cpu.so", "libgomp.so.1", "libcupti.so.12", "libcudart.so.12"}
HEADERS = "torch/include/"


def main():
    target = pathlib.Path(sys.argv[1])
    if target.exists():
        print(f"{target} is there already; remove it to prepare it again")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the result, so that what is finished only has to be renamed.
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        wheels, folder = pathlib.Path(temporary, "wheels"), pathlib.Path(temporary, "libtorch")
        download(wheels)
        for wheel in sorted(wheels.glob("*.whl")):
            unpack(wheel, folder)
        link(folder / "lib")
        (folder / "build-version").write_text(VERSION)
        folder.rename(target)
    print(f"{target} has LibTorch {VERSION}")


def download(wheels):
    """Has pip download the wheels and check their digests."""
    wheels.mkdir()
    requirements = wheels / "requirements.txt"
    requirements.write_text(REQUIREMENTS)
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", *PLATFORM, "--dest", wheels]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, "--requirement", requirements], check=True)


def unpack(wheel, folder):
    """Copies the libraries and headers that a build needs."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            base = name.rsplit("/", 1)[-1]
            if name.startswith(HEADERS) and base:
                target = folder / "include" / name.removeprefix(HEADERS)
            elif base in LIBRARIES:
                target = folder / "lib" / base
            else:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy)


def link(lib):
    """Makes an empty libtorch.so over the others; the wheel's own links CUDA."""
    shared = ["cc", "-shared", "-nostdlib", "-x", "c", "/dev/null", "-o", lib / "libtorch.so"]
    libraries = [f"-L{lib}", "-Wl,--no-as-needed", "-ltorch_cpu", "-lc10", "-Wl,--allow-shlib-undefined"]
    subprocess.run([*shared, *libraries], check=True)


if __name__ == "__main__":
    main()
