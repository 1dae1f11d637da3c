"""burnish beside fastai, on this machine: ``python benchmarks/run.py [NAMES] [--pairs 5] [--quick]``.

Every measurement is a fresh process; the two libraries take turns (who begins alternates), with the same files, split, seed,
batch size, number of threads and torch. Results go to benchmarks/results.json and, as a table, to benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import compileall
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from typing import Any

import prepare

HERE = Path(__file__).resolve().parent
PEER = "fastai==2.8.12"
SAME = ("torch", "torchvision", "timm", "numpy", "pillow", "pandas", "matplotlib")  # the peer gets burnish's versions of these
CODE = ("burnish", "benchmarks/measures", "benchmarks/sides")  # what a figure depends on


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Args:
        key: the figure of the measurement. what: how the table calls it.
        bar: what burnish is to reach. how: what the bar is about: "ratio" (ours / peer's, at most), "speedup" (ours / peer's, at
            least), "ours" (our figure, at most or, as "ours at least", at least), "lower" (ours less the peer's, at most), "below"
            (ours less the peer's, less than).
        over: how repeated measurements become one number.
    """

    key: str
    what: str
    bar: float | None
    how: str = "ratio"
    over: Callable[[list[float]], float] = median

    def value(self, ours: float, peer: float) -> float:
        if self.how in ("ratio", "speedup"):
            return ours / (peer or float("nan"))
        return ours - peer if self.how in ("lower", "below") else ours

    def reached(self, ours: float, peer: float) -> bool | None:
        if self.bar is None:
            return None
        value = self.value(ours, peer)
        if self.how == "below":
            return value < self.bar
        return value >= self.bar if self.how in ("speedup", "ours at least") else value <= self.bar

    def sign(self) -> str:
        """The bar, as the table shows it."""
        if self.bar is None:
            return ""
        return {
            "ratio": f"≤ {self.bar:g}×", "speedup": f"≥ {self.bar:g}×", "ours": f"≤ {self.bar:g}", "ours at least": f"≥ {self.bar:g}",
            "lower": "≤ the peer's", "below": "< the peer's",
        }[self.how]  # fmt: skip

    def shown(self, value: float) -> str:
        if self.how in ("ratio", "speedup"):
            return f"{value:.2f}×"
        return f"{value:+.3g}" if self.how in ("lower", "below") else f"{value:.3g}"


@dataclass(frozen=True)
class Benchmark:
    """A measurement with its settings; `quick` overrides them for a first look. `sets` prepares the data, given quick."""

    measure: str
    settings: dict[str, Any]
    quick: dict[str, Any]
    figures: tuple[Figure, ...]
    sets: Callable[[bool], dict[str, Any]] = lambda quick: {}
    gpu: bool = False  # needs one; the others run on the CPU


def _groceries(quick: bool) -> dict[str, Any]:
    return {"table": str(prepare.groceries(quick))}


def _pretrained(arch: str) -> Callable[[bool], dict[str, Any]]:
    return lambda quick: {**_groceries(quick), "weights": prepare.weights(arch)}


def _finetune(arch: str, weights: bool, size: int, bs: int, epochs: int, figures: tuple[Figure, ...]) -> Benchmark:
    return Benchmark(
        "finetune", {"arch": arch, "size": size, "bs": bs, "epochs": epochs}, {"size": 64, "bs": 16, "epochs": 1}, figures,
        _pretrained(arch) if weights else _groceries,
    )  # fmt: skip


def _table(name: str) -> Callable[[bool], dict[str, Any]]:
    return lambda quick: prepare.table(name, quick)


def _quality(name: str, epochs: int, error: str, splits: int = 0) -> Benchmark:
    rows = "on random fifths of the rows" if splits else "on the rows that validate"
    figures = (
        Figure("error", f"{error} {rows} (mean)", 0.0, "below", mean),
        Figure("over_boosting", "the same, less that of gradient boosting (mean)", 0.0, "ours", mean),
        *([Figure("loss", f"log loss {rows} (mean)", None, "lower", mean)] if error == "error" else []),
        Figure("seconds", "seconds", None),
    )
    settings = {"what": "splits" if splits else "quality", "bs": 64, "epochs": epochs, **({"splits": splits} if splits else {})}
    return Benchmark("tables", settings, {"epochs": 1, **({"splits": 2} if splits else {})}, figures, _table(name))


def _ratings(name: str, goal: float | None) -> Benchmark:
    figures = (
        Figure("error", "RMSE, mean of the folds", 0.0, "below", mean),
        Figure("error", "RMSE, mean of the folds", goal, "ours", mean),
        Figure("seconds", "seconds", None),
    )
    return Benchmark("tables", {"what": "ratings", "bs": 64, "epochs": 5}, {"epochs": 1}, figures, lambda quick: prepare.folds(name, quick))


def _files(what: str) -> Benchmark:
    return Benchmark(
        "files", {"what": what, "max_size": 160}, {}, (Figure("seconds", "seconds for 2,000 photographs", 0.5),),
        lambda quick: {"folder": str(prepare.photographs(100 if quick else 2000))},
    )  # fmt: skip


def _epoch(name: str, bs: int, sets: Callable[[bool], dict[str, Any]]) -> Benchmark:
    return Benchmark(
        "tables",
        {"what": "epoch", "bs": bs, "epochs": 3, "lr": 1e-3},
        {"epochs": 1},
        (Figure("seconds", "seconds an epoch", 0.2), Figure("plain", "seconds of the same arithmetic in a plain PyTorch loop", None)),
        sets,
    )


_ERRORS = (
    Figure("seconds", "seconds", 0.6),
    Figure("test_error", "error on the test split (mean)", 0.0, "below", mean),
    Figure("test_loss", "loss on the test split (mean)", None, "lower", mean),
)
BENCHMARKS: dict[str, Benchmark] = {
    "finetune_scratch": _finetune("resnet18", False, 160, 32, 3, (
        Figure("seconds", "seconds", 0.40),
        Figure("valid_loss", "loss on the validation split (mean)", 0.0, "lower", mean),
        Figure("test_loss", "loss on the test split (mean)", 0.0, "lower", mean),
        Figure("test_error", "error on the test split (mean)", None, "lower", mean),
    )),
    "finetune_scratch_whole": Benchmark(
        "finetune", {"arch": "resnet18", "size": 160, "bs": 32, "epochs": 3, "whole_pictures": True}, {"size": 64, "bs": 16, "epochs": 1}, (
            Figure("seconds", "seconds", None),
            Figure("valid_loss", "loss on the validation split (mean)", None, "lower", mean),
            Figure("test_loss", "loss on the test split (mean)", None, "lower", mean),
        ), _groceries,
    ),
    "finetune_mobilenetv2": _finetune("mobilenetv2_100", True, 160, 64, 5, _ERRORS),
    "finetune_resnet50": _finetune("resnet50", True, 160, 64, 5, _ERRORS),
    "loader": Benchmark(
        "loader", {"size": 224, "bs": 64, "epochs": 3}, {"bs": 16}, (
            Figure("first_images_per_s", "images a second, first epoch", 2.0, "speedup"),
            Figure("later_images_per_s", "images a second, later epochs", 8.0, "speedup"),
        ), lambda quick: {"table": str(prepare.large_jpegs(48 if quick else 256))},
    ),
    "loop_overhead": Benchmark(
        "loop", {"batches": 600, "tries": 15}, {"batches": 200, "tries": 3},
        (Figure("overhead_ms", "ms a batch beyond the plain loop", 0.1, "ours"),),
    ),
    "imports": Benchmark("imports", {}, {}, (
        Figure("seconds", "seconds beyond torch and torchvision", 0.3),
        Figure("mb", "MB beyond torch and torchvision", 0.3),
    )),
    "predict_latency": Benchmark(
        "predict", {"size": 160, "calls": 200}, {"calls": 20},
        (Figure("overhead_ms", "ms beyond decoding and forward pass", 1.0, "ours"),), lambda quick: {"table": str(prepare.small_set())},
    ),
    "interpretation_passes": Benchmark(
        "interpretation", {"size": 64}, {}, (
            Figure("passes", "passes over the validation set", 1.0, "ours"),
            Figure("seconds", "seconds", None),
        ), lambda quick: {"table": str(prepare.small_set())},
    ),
    "memory_20k": Benchmark(
        "memory_use", {"size": 32, "bs": 64, "epochs": 4}, {"epochs": 3},
        (Figure("growth_mb_per_epoch", "MB of growth an epoch", 2.0, "ours"), Figure("last_mb", "MB after the last epoch", None)),
        lambda quick: {"table": str(prepare.many_images(2_000 if quick else 20_000))},
    ),
    "unet_epoch": Benchmark(
        "unet", {"arch": "resnet18", "bs": 16, "epochs": 3, "lr": 1e-3}, {"epochs": 1}, (
            Figure("seconds", "seconds an epoch", 0.6),
            Figure("miou", "mean IoU after three epochs (mean)", 1.0, "speedup", mean),
        ), lambda quick: prepare.stamps(200 if quick else 1000, 128),
    ),
    "augment": Benchmark("augment", {"size": 224, "bs": 64, "calls": 10}, {"bs": 16, "calls": 3}, (Figure("ms", "ms a batch", 0.5),)),
    "verify_images": _files("verify"), "resize_images": _files("resize"),
    "table_epoch_64": _epoch("adult", 64, _table("adult")),
    "table_epoch_1024": _epoch("adult", 1024, _table("adult")),
    "table_predict": Benchmark(
        "tables", {"what": "predict", "bs": 64, "lr": 1e-3, "calls": 1000}, {"calls": 20},
        (Figure("seconds", "seconds for 1,000 rows, one by one", 0.05),), _table("adult"),
    ),
    "table_csv": Benchmark(
        "tables", {"what": "ready", "bs": 64}, {}, (Figure("seconds", "seconds from a CSV file of 1,000,000 rows to loaders", 0.5),),
        lambda quick: prepare.large_csv(20_000 if quick else 1_000_000),
    ),
    "ratings_epoch": _epoch("movielens_100k", 64, lambda quick: prepare.ratings("movielens_100k", 0, quick)),
    "ratings_100k": _ratings("movielens_100k", 0.919), "ratings_1m": _ratings("movielens_1m", None),
    "table_adult": _quality("adult", 5, "error"),
    "table_titanic": _quality("titanic", 20, "error"), "table_titanic_splits": _quality("titanic", 20, "error", splits=20),
    "table_ames": _quality("ames", 30, "RMSE of the logarithm"),
    "table_bikeshare": _quality("bikeshare", 10, "RMSE of the logarithm"),
    "gpu_throughput": Benchmark(
        "throughput", {"arch": "resnet50", "size": 224, "bs": 64, "epochs": 4, "steps": 50},
        {"arch": "resnet18", "size": 64, "bs": 16, "epochs": 2, "steps": 2}, (
            Figure("later_images_per_s", "images a second, later epochs", 5.0, "speedup"),
            Figure("first_images_per_s", "images a second, first epoch", None, "speedup"),
            Figure("share", "later epochs as a share of synthetic data", 0.95, "ours at least"),
            Figure("waits_a_step", "waits for the device in a step", 0.0, "ours"),
        ), lambda quick: {"table": str(prepare.large_jpegs(48 if quick else 2048))}, gpu=True,
    ),
}  # fmt: skip


def peer_python() -> str:
    """The peer's interpreter: $BURNISH_PEER_PYTHON, or an environment made here at the first run."""
    if given := os.environ.get("BURNISH_PEER_PYTHON"):
        return given
    venv = HERE / ".peer"
    python, ready = venv / "bin" / "python", venv / ".ready"
    if not ready.is_file():
        print(f"Installing {PEER} in {venv} (once) ...", file=sys.stderr)
        lock = (HERE.parent / "requirements.lock").read_text().splitlines()
        same = [line for line in lock if line.split("==")[0].lower() in (*SAME, "safetensors")]
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", PEER, *same], check=True)
        ready.touch()
    return str(python)


def run_once(benchmark: Benchmark, side: str, python: str, settings: dict[str, Any], threads: int, place: str) -> dict[str, Any]:
    """One measurement in a process of its own, in an empty folder in `place`, on the CPU (unless it is one of a GPU), without a network.

    Args:
        side: the module of sides/ whose code is measured.
    """
    environment = {
        **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},  # modules are compiled once, on both sides
        "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg",
        "PYTHONWARNINGS": "ignore", **({} if benchmark.gpu else {"CUDA_VISIBLE_DEVICES": ""}),
    }  # fmt: skip
    command = [python, str(HERE / "worker.py"), benchmark.measure, side, json.dumps(settings)]
    done = subprocess.run(command, cwd=tempfile.mkdtemp(dir=place), env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{benchmark.measure} failed with {side} (exit {done.returncode}):\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def run(
    name: str, pairs: int, quick: bool, threads: int, sides: dict[str, str], before: dict[str, Any] | None = None, compat: bool = False
) -> Iterator[dict[str, Any]]:
    """After every pair of one benchmark, all pairs so far: {"ours": [figures], "peer": [figures], "versions": {...}, ...}.

    `before` is what an interrupted run has left: its pairs are not repeated. With `compat` burnish runs the peer's code as it stands.
    """
    benchmark = BENCHMARKS[name]
    settings = {**benchmark.settings, **(benchmark.quick if quick else {}), **benchmark.sets(quick)}
    result: dict[str, Any] = {"ours": [], "peer": [], "versions": {}, "settings": settings, "quick": quick, "threads": threads}
    result["measured"] = f"{machine()}; {code()}"
    if before and all(before.get(key) == result[key] for key in ("settings", "quick", "threads", "measured")):
        result = before
    with (
        tempfile.TemporaryDirectory() as place
    ):  # emptied after the last pair: ext4 is slow to make files where thousands have just been removed
        for i in range(min(len(result[side]) for side in sides), pairs):
            for side in sorted(sides, reverse=i % 2 == 0):
                code_of = "compat" if compat and side == "ours" else side
                got = run_once(benchmark, code_of, sides[side], {**settings, "seed": i + 1}, threads, place)
                result[side][i:] = [got["figures"]]
                result["versions"] |= got["versions"] | {
                    "burnish": f"{version('burnish')} ({commit()})",
                    "Python": platform.python_version(),
                }
                result["date"] = str(date.today())
                shown = ", ".join(f"{k} {v:.4g}" for k, v in got["figures"].items())
                print(f"{name} {i + 1}/{pairs} {side}: {shown}", file=sys.stderr, flush=True)
            yield result


def rows(name: str, result: dict[str, Any]) -> list[list[str]]:
    """The table's lines of one benchmark; a side that was not run is shown as a dash."""
    lines = []
    for f in BENCHMARKS[name].figures:
        ours, peer = ([r[f.key] for r in result[side]] for side in ("ours", "peer"))
        both = bool(ours and peer)
        a, b = (f.over(v) if v else float("nan") for v in (ours, peer))
        value = f.value(a, b)
        met = f.reached(a, b) if both else None
        cells = [name, f.what, f"{a:.4g}" if ours else "–", f"{b:.4g}" if peer else "–", f.shown(value) if both else "–", f.sign()]
        lines.append(
            [*cells, "" if met is None else "yes" if met else "**no**", str(min(len(ours), len(peer)) or max(len(ours), len(peer)))]
        )
    return lines


def markdown(results: dict[str, Any]) -> str:
    """RESULTS.md: command, and for each machine its versions and its table."""
    machines = dict.fromkeys(r["measured"].split("; ")[0] for r in results.values())
    quick = (
        "\n\n**A quick look (`--quick`): small sets and few repeats; not the figures that count.**"
        if any(r["quick"] for r in results.values())
        else ""
    )
    parts = [_of_machine(name, {k: r for k, r in results.items() if r["measured"].startswith(f"{name}; ")}) for name in machines]
    return f"""# Results

Made by `python benchmarks/run.py` (see [README.md](README.md)); "compared" is burnish's figure divided by fastai's (×), less
fastai's (+/-), or by itself where the bar is absolute. Times are medians over the pairs, errors and losses means over seeds.{quick}

{chr(10).join(parts)}"""


def _of_machine(name: str, results: dict[str, Any]) -> str:
    newest = list(results.values())[-1]
    versions = ", ".join(f"{k} {v}" for k, v in newest["versions"].items())
    head = ["benchmark", "figure", "burnish", "fastai", "compared", "bar", "reached", "pairs"]
    lines = [head, ["---"] * len(head), *(row for name in BENCHMARKS if name in results for row in rows(name, results[name]))]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"""## {name}

{newest.get("date", "")} · {newest["threads"]} threads · {versions}

{table}
"""


def has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def commit() -> str:
    """The commit that is measured; with a mark where the code differs from it."""
    return _git("describe", "--always", "--exclude=*") + ("-dirty" if _git("diff", "HEAD", "--", *CODE) else "") or "unknown"


def code() -> str:
    """What a figure depends on: the state of burnish and of the measurements, whatever else was committed since."""
    trees = _git("rev-parse", *(f"HEAD:{folder}" for folder in CODE)).split()
    changes = _git("diff", "HEAD", "--", *CODE)
    return " ".join([*(tree[:12] for tree in trees), *([hashlib.sha256(changes.encode()).hexdigest()[:12]] if changes else [])])


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=HERE.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def machine() -> str:
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    cpu = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), platform.processor())
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cpu}, {os.cpu_count()} cores{gpu}, {platform.system()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small sets and few repeats: does it run, roughly what comes out")
    parser.add_argument("--side", choices=["ours", "peer"], help="run one library only")
    parser.add_argument(
        "--compat", action="store_true", help="burnish runs the peer's code as it stands (burnish.compat); written to RESULTS_compat.md"
    )
    parser.add_argument("--resume", action="store_true", help="keep the pairs that an interrupted run has left, and go on to --pairs")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=HERE, help="folder of results.json and RESULTS.md")
    args = parser.parse_args()
    if unknown := [n for n in args.names if n not in BENCHMARKS]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are: {', '.join(BENCHMARKS)}")
    compileall.compile_dir(HERE.parent / "burnish", quiet=1)  # as pip did with the peer
    sides = {side: peer_python() if side == "peer" else sys.executable for side in ([args.side] if args.side else ["ours", "peer"])}
    kind = ("_compat" if args.compat else "") + ("_quick" if args.quick else "")
    file = args.out / f"results{kind}.json"
    results = json.loads(file.read_text()) if file.is_file() else {}
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.names or [name for name, benchmark in BENCHMARKS.items() if has_gpu() or not benchmark.gpu]:
        before = results.get(name) if args.resume else None
        for so_far in run(name, args.pairs, args.quick, args.threads, sides, before, args.compat):
            results[name] = so_far
            file.write_text(json.dumps(results, indent=1))
            (args.out / f"RESULTS{kind}.md").write_text(markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
