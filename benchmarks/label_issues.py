"""Wrong labels found, burnish beside cleanlab on the same predictions: ``python benchmarks/label_issues.py [--seeds 5]``.

Labels of real sets are made wrong on purpose: a tenth of them, either to any other class (uniform) or always to the next one (pair). Both
libraries get the same cross-validated probabilities and order the samples by suspicion; how well is the area under the curve of precision
and recall (average precision), and the precision among as many as there are errors, which is the recall too. The opponent is the best of
cleanlab's scores and filters for each set and noise, chosen by the result, which favours it. Below that: burnish's own second round of
cross-validation, and what both call wrong without being told how many there are.

cleanlab (AGPL) runs in an environment of its own, made at the first run; ``BURNISH_CLEANLAB_PYTHON`` names another one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
OPPONENT = "cleanlab==2.9.0"
SHARE = 0.1
NOISES = ("uniform", "pair")

THEIRS = """
import json, sys
import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
given = np.load(sys.argv[1])
labels, probs, found, flagged = given["labels"], given["probs"], {}, {}
for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
    for adjusted in (False, True):
        if not (adjusted and method == "confidence_weighted_entropy"):
            quality = get_label_quality_scores(labels, probs, method=method, adjust_pred_probs=adjusted)
            found[method + ", adjusted" * adjusted] = (-quality).tolist()
    for filter_by in ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given"):
        quality = get_label_quality_scores(labels, probs, method=method)
        first = find_label_issues(labels, probs, return_indices_ranked_by=method, filter_by=filter_by, n_jobs=1)
        score = -quality - quality.max() - 1  # what the filter leaves comes after what it names
        score[first] = np.arange(len(first), 0, -1)
        found[f"{filter_by}, {method}"] = score.tolist()
        flagged[filter_by] = np.asarray(first).tolist()
print("\\n" + json.dumps({"scores": found, "flagged": flagged}))
"""


def opponent() -> str:
    """The interpreter of cleanlab's environment."""
    if given := os.environ.get("BURNISH_CLEANLAB_PYTHON"):
        return given
    venv = HERE / ".cleanlab"
    python, ready = venv / "bin" / "python", venv / ".ready"
    if not ready.is_file():
        print(f"Installing {OPPONENT} in {venv} (once) ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", OPPONENT], check=True)
        ready.touch()
    return str(python)


def theirs(python: str, labels: np.ndarray, probs: np.ndarray) -> dict[str, Any]:
    """Every score and filter of cleanlab on these predictions: {"scores": {name: scores}, "flagged": {filter: rows}}."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(f"{folder}/given.npz", labels=labels, probs=probs)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run([python, "-c", THEIRS, f"{folder}/given.npz"], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"cleanlab failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Features and true labels of real sets."""
    from sklearn.datasets import load_digits

    from burnish.evaluate.cross import powered

    digits: Any = load_digits()
    made = {f"groceries, {arch}": _groceries(arch) for arch in ("tf_efficientnet_lite0", "mobilenetv2_100")}
    return {**{name: (powered(x), y) for name, (x, y) in made.items()}, "digits": (powered(digits.data), digits.target)}


def _groceries(arch: str) -> tuple[np.ndarray, np.ndarray]:
    sys.path.insert(0, str(HERE.parent / "tests"))
    import realdata

    kept = realdata.ROOT / "benchmarks" / f"features_{arch}.npz"
    if not kept.is_file():
        from burnish.vision.all import ImageDataLoaders, Resize, create_body
        from burnish.vision.features import picture_features

        weights = {"tf_efficientnet_lite0": realdata.efficientnet_lite0_weights, "mobilenetv2_100": realdata.mobilenetv2_weights}[arch]()
        table = realdata.groceries()
        dls = ImageDataLoaders.from_lists(".", table["file"].tolist(), table["label"].tolist(), seed=1, item_tfms=Resize(224))
        features = picture_features(create_body(arch, weights=weights), dls, np.arange(len(table)))
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, x=features, y=table["label"].astype("category").cat.codes.to_numpy().astype(np.int64))
    data = np.load(kept)
    return data["x"], data["y"]


def corrupted(labels: np.ndarray, noise: str, seed: int) -> np.ndarray:
    rng, k = np.random.default_rng(seed), int(labels.max()) + 1
    wrong = rng.choice(len(labels), round(SHARE * len(labels)), replace=False)
    made = labels.copy()
    made[wrong] = (labels[wrong] + (rng.integers(1, k, len(wrong)) if noise == "uniform" else 1)) % k
    return made


def scores_of(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
    from burnish.evaluate.label_issues import find_label_issues

    found, scores = find_label_issues(labels, probs, least=0.0), np.zeros(len(labels))
    scores[found["row"]] = found["score"]
    return scores


def judged(wrong: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Average precision, and the precision among as many as are wrong."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(wrong, scores)), float(wrong[np.argsort(-scores, kind="stable")[: wrong.sum()]].mean())


def called(wrong: np.ndarray, flagged: np.ndarray) -> str:
    return f"{wrong[flagged].mean() if flagged.any() else float('nan'):.3f} / {(flagged & wrong).sum() / wrong.sum():.3f}"


def one_set(python: str, features: np.ndarray, true: np.ndarray, noise: str, seeds: int) -> list[str]:
    """A line of the table: means over the seeds."""
    from burnish.evaluate.cross import cross_validated

    ours, best, rivals, calls = [], [], dict[str, list[tuple[float, float]]](), []
    for seed in range(seeds):
        given = corrupted(true, noise, seed)
        wrong, probs = given != true, cross_validated(features, given, seed=seed, rounds=1)
        scores = scores_of(given, probs)
        ours.append(judged(wrong, scores))
        again = scores_of(given, cross_validated(features, given, seed=seed, rounds=2))
        best.append(judged(wrong, again))
        other = theirs(python, given, probs)
        for name, s in other["scores"].items():
            rivals.setdefault(name, []).append(judged(wrong, np.asarray(s)))
        flagged = np.zeros(len(given), dtype=bool)
        flagged[other["flagged"]["prune_by_noise_rate"]] = True  # its default
        calls.append((called(wrong, scores >= 0.5), called(wrong, flagged)))
    rival = max(rivals, key=lambda name: mean(ap for ap, _ in rivals[name]))
    (a, p), (b, q), (c, r) = (tuple(mean(v) for v in zip(*found, strict=True)) for found in (ours, rivals[rival], best))
    return [noise, f"{a:.4f}", f"{b:.4f}", rival, f"{a / b:.3f}×", f"{p:.3f}", f"{q:.3f}", f"{c:.4f}", f"{r:.3f}", calls[0][0], calls[0][1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    python = opponent()
    head = [
        "set", "noise", "AP", "AP of cleanlab", "its best way", "ratio", "at n", "cleanlab at n", "AP, two rounds", "at n, two rounds",
        "called wrong: precision / recall", "cleanlab's",
    ]  # fmt: skip
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}", flush=True)
    for name, (features, true) in sets().items():
        for noise in NOISES:
            print(f"| {' | '.join([name, *one_set(python, features, true, noise, args.seeds)])} |", flush=True)


if __name__ == "__main__":
    main()
