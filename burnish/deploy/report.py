"""The report of a run: one HTML page with its numbers, pictures, doubts and settings, to keep or to send."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from burnish.data.lazy import pd
from burnish.deploy import charts
from burnish.deploy import page as html
from burnish.deploy.figures import drawn, jpeg, png
from burnish.deploy.mistakes import as_html, is_of_row, most_wrong, targets_of, where_it_errs
from burnish.errors import SettingError, listed, short
from burnish.evaluate.baselines import baseline_of
from burnish.evaluate.summary import chosen_metrics, not_clearly_better
from burnish.train.record import Record, run_record
from burnish.train.showing import is_drawn

if TYPE_CHECKING:
    from burnish.data.findings import Report
    from burnish.evaluate.interpret import Interpretation
    from burnish.train.learner import Learner

PREDICTED = {  # kind of target -> what is made of a prediction
    "category": "label, index, probs",
    "multicategory": "labels, given, probs",
    "number": "number, _, _",
    "mask": "mask, _, probs",
    "points": "points, _, _",
    "boxes": "boxes, _, _",
}
SHARES = (
    "mean_iou",
    "pixel_accuracy",
    "dice",
    "pck",
    "mean_ap",
    "map_",
    "accuracy",
    "error_rate",
    "f1",
    "precision",
    "recall",
    "jaccard",
    "roc_auc",
    "average_precision",
    "top_k",
)  # between 0 and 1


def write_report(
    learn: Learner,
    path: str | os.PathLike[str] = "report.html",
    interp: Interpretation | None = None,
    title: str | None = None,
    model_file: str | os.PathLike[str] | None = None,
    checks: bool = True,
    tables: Mapping[str, pd.DataFrame] | None = None,
    pictures: Mapping[str, str | os.PathLike[str]] | None = None,
) -> Path:
    """Writes a self-contained page about a trained learner: no script, nothing fetched, pictures inside.

    Args:
        path: relative to ``learn.path``; returned as written.
        interp: an interpretation of the learner that is there already, of any split; without one, one pass over the
            validation split is made. Results on the other split (validation, test) stand below, where they are known.
        title: the heading.
        model_file: the exported model, to show how it is used.
        checks: look for what would spoil the data (of pictures: reads every file once).
        tables: more sections, heading to table; ``table.attrs["about"]`` stands above one that has it.
        pictures: more sections, heading to a PNG file, which is put into the page.

    Raises:
        SettingError: the learner has no validation split to report on.
    """
    if not len(learn.dls) or getattr(learn.dls, "valid", None) is None:
        raise SettingError(
            "A report needs a validation split to say how good the model is, and this learner has none. Write it from the learner that was trained."
        )
    interp = _interpretation(learn) if interp is None else interp
    results, judged = interp.results(), _judged(learn, interp)
    record = run_record(learn)
    title = title or f"{record['settings']['architecture']}: {_what(learn)}"
    body = [
        f"<h1>{escape(title)}</h1>",
        html.paragraph(_lead(record), "soft"),
        html.section("How good is it?", headline(results), _explained(learn, interp, results, judged)),
        *_other_results(record, judged),
        html.section("Before you trust it", *_doubts(learn, results, record, judged, checks)),
        html.section("Where it errs", *where_it_errs(learn, interp)),
        html.section("The most wrong", *most_wrong(learn, interp, judged.samples)),
        *(html.section(heading, as_html(table)) for heading, table in (tables or {}).items()),
        *(html.section(heading, html.figure(png(file), heading)) for heading, file in (pictures or {}).items()),
        html.section("Training", _loss_chart(learn), _epochs(record)),
        html.section("What the model saw", *_seen(learn)),
        html.section("Data", *_data(record)),
        html.section("Use it", *_use(learn, model_file)) if model_file is not None else "",
        html.section("Settings", html.table(["setting", "value"], _settings(record))),
    ]
    target = Path(getattr(learn, "path", ".")) / path if not Path(path).is_absolute() else Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(html.page(title, body), encoding="utf-8")
    return target


# -- the numbers ------------------------------------------------------------------------------------------------------


def headline(results: pd.DataFrame) -> str:
    """Tiles of results (columns metric, value, low, high, baseline, n), each with its interval and the baseline."""
    return f'<div class="tiles">{"".join(_tile(row) for row in results.to_dict("records"))}</div>' if len(results) else ""


def _tile(row: dict[str, Any]) -> str:
    value, low, high, baseline = (_number(row.get(k)) for k in ("value", "low", "high", "baseline"))
    parts = [f'<div class="tile"><div class="name">{escape(str(row["metric"]))}</div><div class="value">{_short(value)}</div>']
    if value is not None and _is_share(str(row["metric"])):
        parts.append(charts.bar(value, low, high, baseline))
    if low is not None and high is not None:
        parts.append(f'<div class="soft">95 % interval {_short(low)} to {_short(high)}</div>')
    if baseline is not None:
        parts.append(f'<div class="soft">trivial baseline <span class="bad">{_short(baseline)}</span></div>')
    return "".join(parts) + "</div>"


class Judged(NamedTuple):
    """What the results are of, in words."""

    key: str | None  # the split; None for a loader of its own
    name: str  # "the validation split"
    samples: str  # "validation samples"
    said: str  # after "Measured on so many samples of NAME"
    limits: str  # what the figures leave open


SAME_SOURCE = "comes from the same source as the training data: {others} may be harder."
JUDGED = {
    "train": Judged(
        "train", "the training split", "training samples", ", which the model has learned from: this says nothing about new data",
        "The model has seen these very samples in training. Look at the validation or the test split to judge it.",
    ),
    "valid": Judged(
        "valid", "the validation split", "validation samples", ", which the model was not trained on",
        f"The validation split also guided choices, and {SAME_SOURCE}",
    ),
    "test": Judged(
        "test", "the test split", "test samples", ", which was kept aside while training",
        f"The test split is a fair judge once: not any more, when something was chosen by it. And it {SAME_SOURCE}",
    ),
}  # fmt: skip
OWN_LOADER = Judged(
    None, "the loader that was given", "samples", "", "Whether the model was trained on these samples, or chosen by them, isn't known here."
)


def _judged(learn: Learner, interp: Interpretation) -> Judged:
    judged = JUDGED[interp.split] if interp.dl is None else OWN_LOADER
    others = "other people, places and times" if is_of_row(learn) else "other cameras, places and people"
    return judged._replace(limits=judged.limits.format(others=others))


def _other_results(record: Record, judged: Judged) -> list[str]:
    """What is recorded of the other splits that judge the model."""
    sections = []
    for split in ("test", "valid"):
        rows = [row for row in record["results"] if row.get("split", "valid") == split]
        if rows and split != judged.key:
            found = pd.DataFrame(rows)
            of = f"On {JUDGED[split].name}"
            sections.append(html.section(of, headline(found), _measured(found, JUDGED[split])))
    return sections


def _measured(results: pd.DataFrame, judged: Judged) -> str:
    n = _samples(results)
    return html.paragraph(f"Measured on {f'{n:,} samples of ' if n else ''}{judged.name}{judged.said}.", "soft")


def _explained(learn: Learner, interp: Interpretation, results: pd.DataFrame, judged: Judged) -> str:
    bars = any(map(_is_share, results["metric"])) if len(results) else False
    line = "The line on a bar is the interval in which the true value lies with 95 % confidence; the red mark" if bars else "In red"
    base = baseline_of(learn.dls)
    if base is None:
        constant = getattr(interp, "baseline_says", None)
        return _measured(results, judged) + (
            html.paragraph(f"{line} is what one reaches without looking at the input: {constant}.", "soft") if constant else ""
        )
    of_loss = " (for the loss: always the classes' frequencies)" if base.kind not in ("numbers", "places") else ""
    reached = f"{line} is what one reaches without looking at the input: {base.says}{of_loss}."
    return _measured(results, judged) + html.paragraph(reached, "soft")


def _doubts(learn: Learner, results: pd.DataFrame, record: Record, judged: Judged, checks: bool) -> list[str]:
    """What should make a reader careful, in the order of weight."""
    found = learn.dls.check() if checks and len(learn.dls.table) else None
    said = [html.warning(text) for text in _no_better(learn, results)]
    if found is None or "tiny_split" not in set(found.issues["kind"]):
        said += [html.warning(text) for text in _few_samples(results, judged)]
    looked = (
        "duplicates, leaks between the splits, columns"
        if is_of_row(learn)
        else "unreadable files, duplicates, leaks between the splits, labels"
    )
    said += [html.warning(text) for text in _class_doubts(record)] if found is None else _findings(found, looked)
    skipped = {str(why) for dl in learn.dls for why in getattr(dl, "skipped", {}).values()}
    if skipped:
        said.append(html.warning(f"{len(skipped)} file(s) could not be read and were left out: {listed(sorted(skipped))}."))
    return [*said, html.paragraph(judged.limits, "soft")]


def _no_better(learn: Learner, results: pd.DataFrame) -> list[str]:
    """Results that one also reaches, or nearly, without looking at the input."""
    better: dict[str, str | None] = {"loss": "lower", **{m.name: m.better for m in chosen_metrics(learn)}}
    baselines = dict(zip(results["metric"], results["baseline"], strict=True))
    return [
        f"{name} is not clearly better than the trivial baseline, {_short(baselines[name])}."
        for name in not_clearly_better(results, better)
    ]


def _few_samples(results: pd.DataFrame, judged: Judged) -> list[str]:
    n = _samples(results)
    return (
        [f"Only {n} samples of {judged.name} were judged: the intervals are wide, and a difference of a few points means little."]
        if 0 < n < 100
        else []
    )


def _class_doubts(record: Record) -> list[str]:
    """What the counts of the classes alone say, where the data isn't checked."""
    said = []
    counts = record["classes"].get("train", {})
    few = [f"{label} ({k})" for label, k in counts.items() if k < 10]
    if few:
        said.append(f"Classes with fewer than 10 training samples: {listed(few, 8)}.")
    if counts and max(counts.values()) >= 5 * min(counts.values()):
        most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        said.append(
            f"The classes are unbalanced: {most} has {counts[most]} training samples, {least} has {counts[least]}. Look at the recall of each class."
        )
    return said


def _findings(found: Report, looked: str, most: int = 12) -> list[str]:
    """The findings of the data's checks; grave ones stand out."""
    said = []
    for row in found.issues.head(most).to_dict("records"):
        text = f"{row['message']} {row['advice']}"
        said.append(html.paragraph(text, "soft") if row["severity"] == "low" else html.warning(text))
    if len(found) > most:
        said.append(html.paragraph(f"And {len(found) - most} more findings: dls.check() lists them all.", "soft"))
    return said or [html.paragraph(f"The checks of the data ({looked}) found nothing: {found.scope}.")]


# -- training and data ------------------------------------------------------------------------------------------------


def _loss_chart(learn: Learner) -> str:
    curves = learn.recorder.curves()
    losses = [loss for curve in curves for loss in curve.losses]
    first = len(curves[0].losses) if len(curves) > 1 else 0
    step = max(1, len(losses) // 400)
    lines: list[charts.Line] = [("training (smoothed)", list(range(1, len(losses) + 1))[::step], losses[::step], "var(--main)")]
    ends = [i + first * k for k, curve in enumerate(curves) for i in curve.iters]
    lines.append(("validation", ends, [loss for curve in curves for loss in curve.valid], "var(--bad)"))
    phases = f"training batch (the head alone up to {first}, then the whole model)" if first else "training batch of the last fit"
    chart = charts.line_chart(lines, phases, "loss")
    return f"<h3>Loss</h3>{chart}" if chart else ""


def _epochs(record: Record) -> str:
    rows = record["history"]
    if not rows:
        return html.paragraph("It was not trained in this session.")
    columns = [c for c in dict.fromkeys(k for row in rows for k in row) if c != "fit" or len({r.get("fit") for r in rows}) > 1]
    shown = [[_clock(row.get(c)) if c == "time" else row.get(c) for c in columns] for row in rows]
    return "<h3>Epochs</h3>" + html.table(["seconds" if c == "time" else c for c in columns], shown)


def _seen(learn: Learner, most: int = 12) -> list[str]:
    """Samples of a training batch, augmented as they were in training."""
    dl = learn.dls.train
    if not hasattr(dl, "decode_batch"):
        return []
    above = html.paragraph("A training batch, cut and augmented as in training.", "soft")
    if is_drawn(learn.dls.target_blocks):
        return [above, html.figure(drawn(lambda: learn.dls.show_batch(max_n=8)), "Samples of a training batch")]
    figures = []
    for values in dl.decode_batch(dl.one_batch(), most):
        picture = jpeg(values[0])
        said = ", ".join(b.say(v) for b, v in zip(dl.blocks[1:], values[1:], strict=True))
        if picture:
            figures.append(html.photo(picture, escape(said)))
    return [above, html.photos(figures)] if figures else []


def _data(record: Record) -> list[str]:
    counts = record["data"]
    if not counts:
        return []
    parts = [html.paragraph(", ".join(f"{n:,} samples for {split}" for split, n in counts.items()) + ".")]
    classes = record["classes"]
    if classes:
        labels = sorted({label for by_class in classes.values() for label in by_class})
        parts.append(html.table(["class", *classes], [[label, *(c.get(label, 0) for c in classes.values())] for label in labels]))
    return parts


def _settings(record: Record) -> list[list[str]]:
    settings = {"date": record["date"], "seed": record["seed"], "epochs": record["epochs"], **record["settings"]}
    rows = [[k, ", ".join(v) if isinstance(v, list) else str(v)] for k, v in settings.items() if v not in (None, [])]
    return [*rows, ["versions", ", ".join(f"{k} {v}" for k, v in record["versions"].items())]]


def _use(learn: Learner, model_file: str | os.PathLike[str]) -> list[str]:
    path, of_row, kinds = Path(model_file), is_of_row(learn), [block.kind for block in learn.dls.target_blocks]
    star = f"from burnish.{getattr(learn.dls, 'kind', 'vision')}.all import *"
    given = PREDICTED.get(kinds[0], "said, _, _") if len(kinds) == 1 else "said, _, _"
    call = (
        'preds, _ = learn.get_preds(dl=learn.dls.test_dl(pd.read_csv("ROWS.csv")))' if of_row else f'{given} = learn.predict("PHOTO.jpg")'
    )
    size = f" ({path.stat().st_size / 1e6:.1f} MB)" if path.is_file() else ""
    return [
        html.paragraph(
            f"The model is in {path.name}{size}. It opens on another machine, with or without a GPU, without the training data, and runs no code from the file."
        ),
        html.code(f"burnish predict {shlex.quote(path.name)} {'ROWS.csv' if of_row else 'PHOTO.jpg'}"),
        html.code(f'{star}\n\nlearn = load_learner("{path.name}")\n{call}'),
    ]


# -- small things -----------------------------------------------------------------------------------------------------


def _interpretation(learn: Learner) -> Interpretation:
    from burnish.evaluate.interpret import ClassificationInterpretation, Interpretation

    single = learn.dls.target_blocks and learn.dls.target_blocks[0].kind == "category"
    return (ClassificationInterpretation if single else Interpretation).from_learner(learn)


def _what(learn: Learner) -> str:
    if is_of_row(learn):
        return ", ".join(targets_of(learn)) or "results"
    vocab = next((v for b in learn.dls.target_blocks if (v := getattr(b, "vocab", None))), None)
    if vocab is None:
        named = next((n for b in learn.dls.target_blocks if (n := getattr(b, "names", None))), targets_of(learn))
        return ", ".join(map(str, named)) or "results"
    return ", ".join(map(str, vocab)) if len(vocab) <= 6 else f"{len(vocab)} classes"


def _lead(record: Record) -> str:
    data = record["data"]
    pretrained = " from pretrained weights" if record["settings"]["pretrained"] else ""
    return f"Trained{pretrained} for {record['epochs']} epochs on {data.get('train', 0):,} samples, checked on {data.get('valid', 0):,} others. {record['date'][:10]}."


def _samples(results: pd.DataFrame) -> int:
    return max((int(n) for n in results["n"] if n == n), default=0) if "n" in results else 0


def _is_share(metric: str) -> bool:
    return metric.removeprefix("valid_").startswith(SHARES)


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)


def _short(value: float | None) -> str:
    return "not computed" if value is None else short(value, 3)


def _clock(seconds: Any) -> Any:
    return None if seconds is None else round(float(seconds), 1)


__all__: Sequence[str] = ["headline", "write_report"]
