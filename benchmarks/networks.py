"""The networks for tables beside each other on real ones: ``python benchmarks/networks.py [--set adult] [--arch realmlp] [--seeds 3]``.

What docs/recipes.md quotes. Each line: the error on the rows that validate (classes: share of wrong answers; numbers: root mean squared
error of the logarithm), its mean over the seeds and each of them, and the seconds of a fit; last, gradient boosting on the same rows.
"""

from __future__ import annotations

import argparse
from statistics import mean
from time import perf_counter
from typing import Any

import numpy as np
import prepare
from measures.tables import boosting_error, read_table, rmse
from tabm import tabm_learner

from burnish.data.notes import captured_notes
from burnish.tabular.all import CategoryBlock, RegressionBlock, TabularDataLoaders, tabular_learner

EPOCHS = {"adult": 5, "titanic": 20, "ames": 30, "bikeshare": 10}
ARCHS: dict[str, dict[str, Any]] = {
    "realmlp": {"arch": "realmlp"},
    "realmlp, 2 bins": {"arch": "realmlp", "config": {"bins": 2}},
    "mlp": {"arch": "mlp"},
    "tabm": {},  # not burnish's: see tabm.py
}


def error(settings: dict[str, Any], arch: dict[str, Any], epochs: int, lr: float | None, seed: int) -> float:
    table = read_table(settings)
    valid = np.flatnonzero(table.pop("is_valid")).tolist()
    block = (CategoryBlock if settings["kind"] == "class" else RegressionBlock)()
    with captured_notes():
        dls = TabularDataLoaders.from_df(
            table, cat_names=settings["cat_names"], cont_names=settings["cont_names"], y_names=settings["target"], y_block=block,
            valid_idx=valid, seed=seed,
        )  # fmt: skip
        learn = tabular_learner(dls, seed=seed, **arch) if arch else tabm_learner(dls, seed)
        with learn.no_logging():
            learn.fit_one_cycle(epochs, lr)
    preds, targets = (t.double().numpy() for t in learn.get_preds()[:2])
    return float((preds.argmax(1) != targets).mean()) if settings["kind"] == "class" else rmse(preds, targets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", choices=list(EPOCHS), action="append", help="which tables (default: all)")
    parser.add_argument("--arch", choices=list(ARCHS), action="append", help="which networks (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, help="the learning rate (default: the network's own)")
    args = parser.parse_args()
    for name in args.set or EPOCHS:
        settings = prepare.table(name)
        for arch in args.arch or ARCHS:
            start = perf_counter()
            found = [error(settings, ARCHS[arch], EPOCHS[name], args.lr, seed) for seed in range(1, args.seeds + 1)]
            seconds = (perf_counter() - start) / args.seeds
            print(
                f"{name:10} {arch:16} {mean(found):.4f}  ({', '.join(f'{e:.4f}' for e in found)})  {seconds:.0f} s a fit of {EPOCHS[name]} epochs",
                flush=True,
            )
        print(f"{name:10} {'boosting':16} {boosting_error(settings, read_table(settings)):.4f}", flush=True)


if __name__ == "__main__":
    main()
