"""How the cost of a table grows with its rows, in memory and in files: ``python benchmarks/large_tables.py [--rows 1 10 50] [--memory 8]``.

For each number of rows (in millions), in a process of its own: a Parquet file of 4 categories (as texts) and 6 numbers is made ready and
trained on for two epochs with a small network, batches of 16,384. Printed: the table's size, seconds to make it ready, seconds of the
second epoch (training and validation) and those a million rows, and the memory of its own that the process has after it (without the pages
of files, which the system takes back when it needs them; ``--memory`` bounds it throughout).
"""

from __future__ import annotations

import argparse
import multiprocessing
import queue
import re
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from prepare import SMALL

from burnish.data.notes import captured_notes
from burnish.tabular.all import TabularDataLoaders, tabular_learner

GIB = 2**30
PIECE = 1_000_000


def write(file: Path, millions: float) -> None:
    """Random rows whose target follows from two of the columns."""
    rng = np.random.default_rng(0)
    words = [np.array([f"{name}{i}" for i in range(n)]) for name, n in zip("abcd", (5, 20, 100, 1000), strict=True)]
    writer = None
    for start in range(0, round(millions * 1e6), PIECE):
        n = min(PIECE, round(millions * 1e6) - start)
        columns = {
            f"category{k}": pa.DictionaryArray.from_arrays(rng.integers(len(w), size=n, dtype=np.int32), w).cast(pa.string())
            for k, w in enumerate(words)
        }
        numbers = rng.normal(size=(n, 6))
        columns |= {f"number{k}": pa.array(numbers[:, k]) for k in range(6)}
        columns["target"] = pa.array(np.sin(numbers[:, 0]) + numbers[:, 1] ** 2 + 0.1 * rng.normal(size=n))
        piece = pa.table(columns)
        writer = writer or pyarrow.parquet.ParquetWriter(file, piece.schema)
        writer.write_table(piece)
    if writer is not None:
        writer.close()


def measure(file: Path, in_memory: bool, memory: float | None, answers) -> None:
    """Puts the figures of one table into the queue `answers`."""
    if memory is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (round(memory * GIB),) * 2)
    with captured_notes():
        start = perf_counter()
        dls = TabularDataLoaders.from_file(file, y_names="target", bs=16_384, seed=0, in_memory=in_memory)
        ready = perf_counter() - start
        learn = tabular_learner(dls, layers=[64], arch="mlp", seed=0)
        with learn.no_logging():
            learn.fit(1)
            start = perf_counter()
            learn.fit(1)
        epoch = perf_counter() - start
    tensors = sum(t.numel() * t.element_size() for t in dls.prepared.tensors)
    own = re.search(r"RssAnon:\s*(\d+)", Path("/proc/self/status").read_text())
    answers.put(
        {
            "encoded": tensors / GIB,
            "ready": ready,
            "epoch": epoch,
            "own": int(own[1]) / 2**20 if own else float("nan"),
            "loss": learn.recorder.values[-1][1],
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=float, nargs="+", default=[0.1, 1, 10, 50], help="millions of rows")
    parser.add_argument("--memory", type=float, help="GiB of memory of its own that a process may have")
    parser.add_argument("--in-memory", action="store_true", help="tables in memory instead of in files")
    args = parser.parse_args()
    SMALL.mkdir(parents=True, exist_ok=True)
    print(f"{'rows':>12} {'encoded':>10} {'ready':>9} {'epoch':>9} {'a million rows':>15} {'memory of its own':>18} {'loss':>8}")
    for millions in args.rows:
        file = SMALL / f"large_{millions:g}.parquet"
        if not file.is_file():
            write(file, millions)
        spawn = multiprocessing.get_context("spawn")
        answers = spawn.Queue()
        process = spawn.Process(target=measure, args=(file, args.in_memory, args.memory, answers))
        process.start()
        found = None
        while found is None and (process.is_alive() or not answers.empty()):
            try:
                found = answers.get(timeout=1)
            except queue.Empty:
                continue
        process.join()
        if found is None:
            print(f"{millions * 1e6:>12,.0f} didn't come through (exit status {process.exitcode})", flush=True)
            continue
        print(
            f"{millions * 1e6:>12,.0f} {found['encoded']:>6.2f} GiB {found['ready']:>7.1f} s {found['epoch']:>7.1f} s {found['epoch'] / millions:>13.2f} s "
            f"{found['own']:>14.2f} GiB {found['loss']:>8.4f}",
            flush=True,
        )
        file.unlink()


if __name__ == "__main__":
    main()
