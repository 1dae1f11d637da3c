"""Tables and ratings: an epoch, single-row predictions, making a CSV file ready, and how good the models are."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

WARM = 1  # epochs before those that are timed


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures by ``s["what"]``; see the functions below."""
    return {"epoch": epoch, "predict": predict, "ready": ready, "quality": quality}[s["what"]](side, s)


def epoch(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: seconds of an epoch (training and validation), the median of several after one to warm up."""
    learn = _learner(side, s, _table(s), same=True)
    times = []
    for _ in range(WARM + s["epochs"]):
        start = perf_counter()
        side.fit_quietly(learn, 1, s["lr"])
        times.append(perf_counter() - start)
    return {"seconds": median(times[WARM:])}


def predict(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: seconds of so many predictions of a single row."""
    table = _table(s)
    learn = _learner(side, s, table, same=True)
    side.fit_quietly(learn, 1, s["lr"])
    rows = [table.iloc[i] for i in range(s["calls"])]
    side.predict_row(learn, rows[0])
    start = perf_counter()
    for row in rows:
        side.predict_row(learn, row)
    return {"seconds": perf_counter() - start}


def ready(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: seconds from a CSV file to its loaders, after a small one that pays for the imports."""
    side.table_from_csv(s["small"], s["cat_names"], s["cont_names"], s["target"], s["seed"], s["bs"])
    start = perf_counter()
    side.table_from_csv(s["csv"], s["cat_names"], s["cont_names"], s["target"], s["seed"], s["bs"])
    return {"seconds": perf_counter() - start}


def quality(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: what the library's defaults score on the rows that validate (never used to choose anything), and seconds.

    Classes: error and log loss; numbers: root mean squared error (of logarithms where ``s["log"]``).
    """
    table = _table(s)
    start = perf_counter()
    learn = _learner(side, s, table)
    side.fit_by_default(learn, s["epochs"])
    seconds = perf_counter() - start
    preds, targets = (np.asarray(t, dtype=np.float64) for t in side.table_preds(learn))
    if s["kind"] == "class":
        chosen = preds[np.arange(len(targets)), targets.astype(int)]
        return {
            "error": float((preds.argmax(1) != targets).mean()),
            "loss": float(-np.log(np.clip(chosen, 1e-7, 1)).mean()),
            "seconds": seconds,
        }
    return {"error": float(np.sqrt(np.mean((preds.reshape(len(targets)) - targets.reshape(-1)) ** 2))), "seconds": seconds}


def _table(s: dict[str, Any]) -> pd.DataFrame:
    """The rows, their categories as texts on both sides."""
    return pd.read_csv(s["table"], dtype=dict.fromkeys(s["cat_names"], str))


def _learner(side: Any, s: dict[str, Any], table: pd.DataFrame, same: bool = False) -> Any:
    valid = np.flatnonzero(table.pop("is_valid")).tolist() if s["kind"] != "class" or "is_valid" in table else []
    if s["kind"] == "ratings":
        return side.ratings_learner(table, valid, s["bs"], s["seed"], s.get("n_factors", 50))
    return side.table_learner(table, s["cat_names"], s["cont_names"], s["target"], valid, s["bs"], s["seed"], s["kind"], same)
