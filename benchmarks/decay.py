"""What the weight decay of ratings rests on: ``python benchmarks/decay.py --users 40 [--wd 0.5] [--epochs 5] [--bs 64] [--seeds 3]``.

So many users of MovieLens 100k (6,040: all of MovieLens 1M), a random fifth of whose ratings validates, another one for each seed: the root
mean squared error of ``collab_learner``, its mean over the seeds and each of them.
"""

from __future__ import annotations

import argparse
from statistics import mean

import numpy as np
import prepare
from measures.tables import rmse

from burnish.collab.all import CollabDataLoaders, collab_learner
from burnish.data.notes import captured_notes

ALL_OF_100K = 943


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--users", type=int, default=ALL_OF_100K)
    parser.add_argument("--wd", type=float, help="the weight decay (default: burnish's own)")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--bs", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    realdata = prepare.realdata
    ratings = (realdata.movielens_100k if args.users <= ALL_OF_100K else realdata.movielens_1m)()[0]
    some = np.random.default_rng(0).permutation(ratings["user_id"].unique())[: args.users]
    ratings = ratings[ratings["user_id"].isin(some)].reset_index(drop=True)
    found = []
    for seed in range(1, args.seeds + 1):
        with captured_notes():
            dls = CollabDataLoaders.from_df(ratings, seed=seed, bs=args.bs)
            learn = collab_learner(dls, wd=args.wd, seed=seed)
            with learn.no_logging():
                learn.fit_one_cycle(args.epochs)
        preds, targets = (t.double().numpy() for t in learn.get_preds()[:2])
        found.append(rmse(preds, targets))
    print(
        f"{len(ratings):,} ratings, {len(dls.train):,} steps an epoch, {args.epochs} epochs, decay {learn.wd:.3g}: {mean(found):.4f} "
        f"({', '.join(f'{e:.4f}' for e in found)})"
    )


if __name__ == "__main__":
    main()
