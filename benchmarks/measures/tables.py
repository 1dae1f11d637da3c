"""Tables and ratings: an epoch, single-row predictions, making a CSV file ready, and how good the models are."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import mean, median
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

WARM = 1  # epochs before those that are timed


def measure(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures by ``s["what"]``; see the functions below."""
    return {"epoch": epoch, "predict": predict, "ready": ready, "quality": quality, "splits": splits, "ratings": ratings}[s["what"]](
        side, s
    )


def epoch(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: seconds of an epoch (training and validation), the median of several after one to warm up; and of the same arithmetic in a
    plain PyTorch loop, over batches that are there already."""
    learn = _learner(side, s, read_table(s), same=True)
    times = []
    for _ in range(WARM + s["epochs"]):
        start = perf_counter()
        side.fit_quietly(learn, 1, s["lr"])
        times.append(perf_counter() - start)
    return {"seconds": median(times[WARM:]), "plain": plain_epoch(learn, s["epochs"], s["kind"] == "class")}


def plain_epoch(learn: Any, epochs: int, classes: bool) -> float:
    """Seconds of forward and backward passes and AdamW's steps over an epoch's batches, and of validation: a library's own limit."""
    model, opt, times = learn.model, torch.optim.AdamW(learn.model.parameters(), lr=1e-3), []
    train, valid = ([(batch[:-1], batch[-1].reshape(-1)) for batch in dl] for dl in learn.dls.loaders[:2])

    def loss(inputs: Any, target: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(model(*inputs), target.long()) if classes else F.mse_loss(model(*inputs).reshape(-1), target)

    for _ in range(WARM + epochs):
        start = perf_counter()
        model.train()
        for inputs, target in train:
            loss(inputs, target).backward()
            opt.step()
            opt.zero_grad()
        model.eval()
        with torch.no_grad():
            for inputs, target in valid:
                loss(inputs, target)
        times.append(perf_counter() - start)
    return median(times[WARM:])


def predict(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: seconds of so many predictions of a single row."""
    table = read_table(s)
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

    Classes: error and log loss; numbers: root mean squared error. Beside it how much larger the error is than that of scikit-learn's
    gradient boosting with its defaults, of the same rows and columns.
    """
    table = read_table(s)
    boosting = boosting_error(s, table.copy())
    start = perf_counter()
    learn = _learner(side, s, table)
    side.fit_by_default(learn, s["epochs"])
    seconds = perf_counter() - start
    preds, targets = (np.asarray(t, dtype=np.float64) for t in side.table_preds(learn))
    targets = targets.reshape(-1)  # the peer's have a second dimension
    if s["kind"] == "number":
        error = rmse(preds, targets)
        return {"error": error, "over_boosting": error - boosting, "seconds": seconds}
    chosen = preds[np.arange(len(targets)), targets.astype(int)]
    error = float((preds.argmax(1) != targets).mean())
    loss = float(-np.log(np.clip(chosen, 1e-7, 1)).mean())
    return {"error": error, "over_boosting": error - boosting, "loss": loss, "seconds": seconds}


def splits(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """The figures of ``quality``, their means over ``s["splits"]`` random fifths of the rows: of a small table one split says little."""
    table, found = read_table(s).drop(columns="is_valid"), []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(s["splits"]):
            rng = np.random.default_rng([s["seed"], i])
            file = Path(folder) / f"{i}.csv"
            table.assign(is_valid=rng.permutation(len(table)) < len(table) // 5).to_csv(file, index=False)
            found.append(quality(side, {**s, "table": str(file)}))
    return {key: mean(figures[key] for figures in found) for key in found[0]}


def ratings(side: Any, s: dict[str, Any]) -> dict[str, float]:
    """Figures: root mean squared error on a fold of the ratings, another one for each seed, and seconds; the peer by its documented recipe."""
    table = read_table({**s, "table": s["tables"][s["seed"] % len(s["tables"])]})
    start = perf_counter()
    learn = _learner(side, s, table)
    side.fit_ratings(learn, s["epochs"])
    seconds = perf_counter() - start
    return {"error": rmse(*(np.asarray(t, dtype=np.float64) for t in side.table_preds(learn))), "seconds": seconds}


def rmse(preds: np.ndarray, targets: np.ndarray) -> float:
    return float(np.sqrt(np.mean((preds.reshape(-1) - targets.reshape(-1)) ** 2)))


def boosting_error(s: dict[str, Any], table: pd.DataFrame) -> float:
    """The error of gradient boosting on the rows that validate."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.preprocessing import OrdinalEncoder

    valid, target = table.pop("is_valid").to_numpy(dtype=bool), table.pop(s["target"])
    cats = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    codes = cats.fit(table.loc[~valid, s["cat_names"]].astype(object)).transform(table[s["cat_names"]].astype(object))
    x = np.hstack([codes, table[s["cont_names"]].to_numpy(dtype=np.float64)])
    few = [i for i, c in enumerate(cats.categories_) if len(c) <= 255]
    kind = HistGradientBoostingClassifier if s["kind"] == "class" else HistGradientBoostingRegressor
    found = kind(categorical_features=few, random_state=0).fit(x[~valid], target[~valid]).predict(x[valid])
    return float((found != target[valid]).mean()) if s["kind"] == "class" else rmse(found, target[valid].to_numpy())


def read_table(s: dict[str, Any]) -> pd.DataFrame:
    """The rows, their categories as texts on both sides."""
    return pd.read_csv(s["table"], dtype=dict.fromkeys(s["cat_names"], str))


def _learner(side: Any, s: dict[str, Any], table: pd.DataFrame, same: bool = False) -> Any:
    valid = np.flatnonzero(table.pop("is_valid")).tolist() if s["kind"] != "class" or "is_valid" in table else []
    if s["kind"] == "ratings":
        return side.ratings_learner(table, valid, s["bs"], s["seed"], s.get("n_factors", 50))
    return side.table_learner(table, s["cat_names"], s["cont_names"], s["target"], valid, s["bs"], s["seed"], s["kind"], same)
