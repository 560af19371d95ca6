"""Writes python/fastcnn/_C.pyi from the built module: `python tools/stubs.py [--check]`.

--check changes nothing and fails, with the difference, if the file does not describe the module.
"""

from __future__ import annotations

import difflib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

COMMITTED = Path(__file__).parents[1] / "python" / "fastcnn" / "_C.pyi"


def generate() -> str:
    """The stub of the importable fastcnn._C."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pybind11_stubgen", "fastcnn._C", "-o", folder, "--exit-code"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"pybind11-stubgen failed:\n{done.stderr}")
        text = (Path(folder) / "fastcnn" / "_C.pyi").read_text()
    text = text.replace("numpy.dtype[typing.Any]", "dtype")  # stubgen takes our class of that name for NumPy's
    text = text.replace("device: device", "device: device | str")  # strings convert
    text = text.replace("(*args, **kwargs):", "(*args: typing.Any, **kwargs: typing.Any) -> str:")  # __repr__, __str__
    of_emulator = r"^def emulator_\w+\(.*\n(?: .*\n|\n(?= ))*"  # self-tests that one kind of build has
    text = re.sub(of_emulator, "", text, flags=re.MULTILINE)
    if "numpy.typing." not in text:
        text = text.replace("import numpy.typing\n", "")
    lines = [line.rstrip() for line in text.splitlines() if not line.startswith("__all__")]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes or checks the stub."""
    wanted = generate()
    if "--check" not in sys.argv:
        COMMITTED.write_text(wanted)
        print(f"wrote {COMMITTED.relative_to(Path.cwd())}")
        return
    present = COMMITTED.read_text() if COMMITTED.exists() else ""
    difference = "".join(difflib.unified_diff(present.splitlines(True), wanted.splitlines(True), "committed", "built"))
    if difference:
        raise SystemExit(f"{COMMITTED.name} does not describe the built module; run `make stubs`:\n{difference}")


if __name__ == "__main__":
    main()
