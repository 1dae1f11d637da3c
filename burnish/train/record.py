"""The record of a run: what a model was trained on and how well it did, as JSON, and the same in words (a model card)."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import burnish.artifact as artifact
from burnish.data.lazy import pd
from burnish.data.table import SPLITS
from burnish.errors import listed, short

if TYPE_CHECKING:
    from burnish.train.learner import Learner

Record = dict[str, Any]
JUDGED = {  # split whose results are recorded -> how a model card introduces them
    "valid": "Measured on the validation split, which also guided the training, so new data may turn out harder:",
    "test": "Measured on the test split, which was kept aside; if it was used once, nothing was chosen by it:",
}


def run_record(learn: Learner) -> Record:
    """What is known of the run that made `learn`: date, seed, history, data and class counts, results, settings.

    Keys: date (UTC), seed (of initialisation, dropout and callbacks), data_seed (of order and augmentation; None with plain
    loaders, whose order follows `seed`), epochs, history (a list of rows), data (samples by split), classes (counts by split),
    results (rows of split, metric, value and, where known, low, high, baseline, n), settings, versions. A model that was
    loaded keeps the record it came with.
    """
    kept = learn.record
    history = _history(learn)
    if kept and not history:
        return kept
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": learn.seed,
        "data_seed": learn.dls.seed if learn.dls.blocks else None,
        "epochs": len(history),
        "history": history,
        "data": data_counts(learn.dls.table),
        "classes": class_counts(learn.dls.table) if _has_classes(learn) else {},
        "results": _results(learn, history),
        "settings": _settings(learn),
        "versions": artifact.versions(),
    }


def _has_classes(learn: Learner) -> bool:
    """Whether the first target is a category, as far as the data says."""
    return not learn.dls.target_blocks or learn.dls.target_blocks[0].kind == "category"


def data_counts(table: pd.DataFrame) -> dict[str, int]:
    """Samples by split."""
    if "split" not in table:
        return {}
    return {str(k): int(n) for k, n in table["split"].value_counts(sort=False).items()}


def class_counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Samples by split and class, for a data set whose (first) target is a category."""
    targets = table.attrs.get("targets", [])
    if not targets or "split" not in table or any(isinstance(v, (list, tuple, set, dict, float)) for v in table[targets[0]]):
        return {}
    counts: dict[str, dict[str, int]] = {}
    for split, rows in table.groupby("split", sort=False, observed=True)[targets[0]]:
        counts[str(split)] = {str(k): n for k, n in sorted(Counter(rows).items(), key=lambda kn: str(kn[0]))}
    return {split: counts[split] for split in sorted(counts, key=SPLITS.index)}


def finite(value: Any) -> Any:
    """A number as JSON has it: NaN and infinities as None; numpy's and torch's scalars as Python's."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _history(learn: Learner) -> list[dict[str, Any]]:
    recorder = getattr(learn, "recorder", None)
    rows = recorder.history() if recorder is not None else pd.DataFrame()
    return [{str(k): finite(v) for k, v in row.items()} for row in rows.to_dict("records")]


def _results(learn: Learner, history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results by split with their intervals where they were worked out; for validation, else the last epoch's bare numbers,
    if the weights are that epoch's."""
    found = {
        split: [{"split": split, **{str(k): finite(v) for k, v in row.items()}} for row in table.to_dict("records")]
        for split, table in learn.results.items()
    }
    if "valid" not in found and history and learn.recorder.is_current(learn) and not learn.replaced:
        bare = {k: v for k, v in history[-1].items() if k not in ("epoch", "fit", "phase", "time", "train_loss")}
        found["valid"] = [{"split": "valid", "metric": k, "value": v} for k, v in bare.items()]
    return [row for split in JUDGED for row in found.get(split, [])]


def _settings(learn: Learner) -> dict[str, Any]:
    dls = learn.dls
    loss = learn.loss_func
    return {
        "architecture": str(learn.arch or type(learn.model).__name__),
        "pretrained": learn.pretrained,
        "loss": getattr(loss, "__name__", type(loss).__name__),
        "batch size": getattr(dls, "bs", None),
        "item transforms": [repr(t) for t in dls.item_tfms],
        "batch transforms": [repr(t) for t in dls.batch_tfms],
    }


# -- in words ---------------------------------------------------------------------------------------------------------


def model_card(record: Record, blocks: list[Any], n_inp: int | None) -> str:
    """The record as a model card: markdown with what it predicts, its data, its results and its limits."""
    targets = blocks[n_inp:] if blocks else []
    parts = ["# Model card", _purpose(blocks[:n_inp], targets), "## Trained on", *_data_words(record), "## Results", *_result_words(record)]
    return "\n\n".join([*parts, "## Limits", *_limit_words(record, targets), "## Made with", _made_with(record)]) + "\n"


def _purpose(inputs: list[Any], targets: list[Any]) -> str:
    if not targets:
        return "A model trained on plain tensors: what goes in and comes out is known to who made it."
    said = [f"one of {len(t.vocab)} labels ({listed(t.vocab, 20)})" if getattr(t, "vocab", None) else t.kind for t in targets]
    return f"From {' and '.join(b.kind for b in inputs)} it predicts {' and '.join(said)}."


def _data_words(record: Record) -> list[str]:
    counts = record["data"]
    if not counts:
        return ["The number of samples was not recorded."]
    words = [", ".join(f"{n:,} samples for {split}" for split, n in counts.items()) + "."]
    classes = record["classes"]
    if classes:
        splits = list(classes)
        labels = sorted({label for by_class in classes.values() for label in by_class})
        rows = [f"| {label} | {' | '.join(str(classes[s].get(label, 0)) for s in splits)} |" for label in labels]
        words.append("\n".join([f"| class | {' | '.join(splits)} |", "| --- |" + " ---: |" * len(splits), *rows]))
    return words


def _result_words(record: Record) -> list[str]:
    if not record["results"]:
        return [
            "Nothing is known about how good it is: it was not trained here, or these weights were trained on or loaded after they were last validated."
        ]
    found = {split: [row for row in record["results"] if row.get("split", "valid") == split] for split in JUDGED}
    return [part for split, rows in found.items() if rows for part in (JUDGED[split], _result_lines(rows))]


def _result_lines(rows: list[dict[str, Any]]) -> str:
    words = []
    for row in rows:
        line = f"- {row['metric']}: {shown(row['value'])}"
        if row.get("low") is not None and row.get("high") is not None:
            of = f", {row['n']:,} samples" if row.get("n") else ""
            line += f" (95 % interval {shown(row['low'])} to {shown(row['high'])}{of})"
        if row.get("baseline") is not None:
            line += f"; a trivial baseline reaches {shown(row['baseline'])}"
        words.append(line)
    return "\n".join(words)


def _limit_words(record: Record, targets: list[Any]) -> list[str]:
    limits = [
        "It has seen only data like its training data; on other cameras, places, times or people it may err more, and it won't say so."
    ]
    if any(t.kind == "category" for t in targets):
        limits.append("It always answers one of its labels, also for an input that shows none of them.")
    fewest = sorted(record["classes"].get("train", {}).items(), key=lambda kn: kn[1])[:3]
    if fewest and fewest[0][1] < 50:
        limits.append(f"Few training samples: {listed(f'{label} ({n})' for label, n in fewest)}.")
    return ["\n".join(f"- {limit}" for limit in limits)]


def _made_with(record: Record) -> str:
    made = [f"{k} {v}" for k, v in record["versions"].items()]
    settings = [f"{k}: {v}" for k, v in record["settings"].items() if v not in (None, [])]
    seeds = [f"{name}: {record[key]}" for name, key in (("seed", "seed"), ("seed of the data", "data_seed")) if record.get(key) is not None]
    lines = [f"date: {record['date']}", *seeds, f"epochs: {record['epochs']}", *settings, "versions: " + ", ".join(made)]
    return "\n".join(f"- {line}" for line in lines)


def shown(value: Any) -> str:
    """A result as people read it: four significant digits, or 'not computed'."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "not computed"
    return short(value) if isinstance(value, float) else f"{value}"
