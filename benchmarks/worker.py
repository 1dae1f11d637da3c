"""One measurement in a fresh process: ``python worker.py MEASURE SIDE JSON``. The last line it prints is its figures as JSON."""

from __future__ import annotations

import importlib
import json
import sys
from importlib.metadata import version


def main() -> None:
    measure, side, settings = sys.argv[1], importlib.import_module(f"sides.{sys.argv[2]}"), json.loads(sys.argv[3])
    figures = importlib.import_module(f"measures.{measure}").measure(side, settings)
    versions = {name: version(name) for name in ("torch", "torchvision", "timm", "pillow", "numpy")}
    print("\n" + json.dumps({"figures": figures, "versions": {**versions, **side.versions()}}))


if __name__ == "__main__":
    main()
