"""A folder of photographs verified, and made smaller into another folder."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: seconds, from the list of files (verify) or the folder (resize) to the end."""
    import pandas  # noqa: F401  # which fastai's star import brings, and burnish imports when a table is made: imports have a benchmark of their own

    folder = Path(s["folder"])
    call, check = side.verifier(folder) if s["what"] == "verify" else side.resizer(folder, Path("small"), s["max_size"])
    start = perf_counter()
    result = call()
    seconds = perf_counter() - start
    if not check(result):
        raise AssertionError(f"{s['what']} has not done its work on {folder}")
    return {"seconds": seconds}
