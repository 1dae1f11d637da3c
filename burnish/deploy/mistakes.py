"""Where a model errs, for the report: its mistakes by class, by label, by point, by number; and the samples it got most wrong."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.data.lazy import pd
from burnish.data.show import rows_only
from burnish.deploy import charts
from burnish.deploy import page as html
from burnish.deploy.figures import drawn, picture_of
from burnish.evaluate.boxes import mean_ap_is_there
from burnish.evaluate.by_class import labels_by_class, points_by_name, results_by_class
from burnish.train.showing import is_drawn

if TYPE_CHECKING:
    from burnish.train.learner import Learner

MOST_CLASSES = 40  # a confusion matrix beyond this can't be read; the list of most confused pairs still can
_MOST_DRAWN = 6  # of what is drawn over pictures, twice each
_MOST_NUMBERS = 4  # that a chart is drawn of
_MOST_DOTS = 1000


def where_it_errs(learn: Learner, interp: Any) -> list[str]:
    """What is wrong most often; nothing where there is no one target to tell it of."""
    kinds = [block.kind for block in learn.dls.target_blocks]
    if len(kinds) != 1:
        return []
    block, kind = learn.dls.target_blocks[0], kinds[0]
    if kind == "boxes" and interp.dl is None and mean_ap_is_there():
        return ["<h3>By class</h3>", as_html(results_by_class(learn, interp.split).round(3))]
    if kind == "multicategory":
        return ["<h3>By label</h3>", as_html(labels_by_class(block, interp.outcome).rename(columns={"class": "label"}).round(3))]
    if kind == "points":
        by_point = points_by_name(block, interp.outcome)
        return ["<h3>By point</h3>", as_html(by_point.round(3))] if len(by_point) <= MOST_CLASSES else []
    if kind == "number":
        return _numbers(block, interp)
    return _confusion(interp, kind == "mask") if hasattr(interp, "confusion_matrix") else []


def _numbers(block: Any, interp: Any) -> list[str]:
    """What was predicted over what is true."""
    true, said = (t.reshape(len(t), -1) for t in (interp.targs, interp.decoded))
    step = -(-len(true) // _MOST_DOTS)
    drawn_ones = []
    for i in range(min(true.shape[1], _MOST_NUMBERS)):
        name = "" if true.shape[1] == 1 else f" (number {i + 1})"
        drawn_ones.append(charts.scatter(true[::step, i].tolist(), said[::step, i].tolist(), f"actual{name}", f"predicted{name}"))
    few = html.paragraph(
        f"On the line, the prediction is right.{f' {len(true[::step]):,} of {len(true):,} samples.' if step > 1 else ''}", "soft"
    )
    return ["<h3>Predicted and actual</h3>", few, *drawn_ones] if any(drawn_ones) else []


def _confusion(interp: Any, of_pixels: bool) -> list[str]:
    """Which classes are taken for which."""
    vocab, (what, counted) = list(interp.vocab), ("what a pixel was", "pixels") if of_pixels else ("what it was", "times")
    parts = []
    if len(vocab) <= MOST_CLASSES:
        parts += [
            "<h3>Confusion matrix</h3>",
            html.paragraph(f"A row is {what}, a column what the model said.", "soft"),
            charts.matrix(interp.confusion_matrix().tolist(), vocab),
        ]
    else:
        parts.append(
            html.paragraph(
                f"With {len(vocab)} classes the confusion matrix is too large to read; these are the pairs that were mixed up most."
            )
        )
    confused = interp.most_confused(min_val=1)[:12]
    pairs = (
        html.table(["it was", "the model said", counted], [[a, b, f"{n:,}"] for a, b, n in confused])
        if confused
        else html.paragraph("Nothing was mixed up.")
    )
    report = interp.classification_report().round(3).reset_index()
    by_class = html.table(
        [str(c) if c != "index" else "" for c in report.columns], report.astype(object).where(report.notna(), None).to_numpy().tolist()
    )
    return [*parts, f'<div class="two"><div><h3>Most confused</h3>{pairs}</div><div><h3>By class</h3>{by_class}</div></div>']


def most_wrong(learn: Learner, interp: Any, samples: str, most: int = 12) -> list[str]:
    """The samples with the highest loss, drawn or named; `samples` is what they are, in words."""
    table = interp.table
    if "loss" not in table:
        return []
    places = np.argsort(-table["loss"].to_numpy(), kind="stable")[:most]
    worst = table.iloc[places]
    wrongly = "labelled" if _is_of_classes(learn) else "recorded"
    said = html.paragraph(f"The {samples} with the highest loss: hard ones, and sometimes wrongly {wrongly} ones.", "soft")
    if is_of_row(learn):
        outcome = [c for c in (*targets_of(learn), "prediction", "probability", "probability_actual", "loss") if c in worst]
        is_number = learn.dls.target_blocks[0].kind == "number"
        numbers = dict.fromkeys((c for c in targets_of(learn) if c in worst), float) if is_number else {}
        return [said, as_html(worst[[*outcome, *(c for c in worst if c not in (*outcome, "split"))]].astype(numbers))]
    if is_drawn(learn.dls.target_blocks):
        return [
            said,
            html.figure(drawn(lambda: interp.plot_top_losses(min(_MOST_DRAWN, len(interp)))), "What is true, and what was predicted"),
        ]
    figures = [_wrong_figure(learn, row, *interp.in_words(int(i))) for i, row in zip(places, worst.to_dict("records"), strict=True)]
    figures = [f for f in figures if f]
    if not figures:
        return []
    return [said, html.photos(figures)]


def as_html(table: pd.DataFrame) -> str:
    """A table, below what it says of itself (``table.attrs["about"]``)."""
    about = table.attrs.get("about")
    rows = [[cell if isinstance(cell, (str, int, float)) else str(cell) for cell in row] for row in table.itertuples(index=False)]
    return (html.paragraph(about, "soft") if about else "") + html.table([str(name) for name in table.columns], rows)


def _wrong_figure(learn: Learner, row: dict[str, Any], said: str, was: str) -> str:
    inputs = learn.dls.table.attrs.get("inputs")
    if not inputs or not set(inputs) <= set(row):  # plain loaders, or a loader of its own
        return ""
    raws = [row[name] for name in inputs]
    picture = picture_of(learn, raws)
    if not picture:
        return ""
    probability = row.get("probability")
    kind = ("good" if said == was else "bad") if _is_of_classes(learn) else ""
    sure = "" if probability is None or probability != probability else f" ({probability:.0%})"
    name = escape(", ".join(Path(raw).name for raw in raws if isinstance(raw, (str, Path))))
    return html.photo(
        picture,
        f'said <b class="{kind}">{escape(said)}</b>{sure}<br>it was <b>{escape(was)}</b><br><span class="soft">loss {row["loss"]:.2f} {name}</span>',
    )


def is_of_row(learn: Learner) -> bool:
    """Whether the samples are rows of a table."""
    return rows_only(learn.dls.input_blocks)


def _is_of_classes(learn: Learner) -> bool:
    """Whether what is predicted are classes or labels."""
    return bool(learn.dls.target_blocks) and learn.dls.target_blocks[0].kind in ("category", "multicategory")


def targets_of(learn: Learner) -> list[str]:
    """The columns that are predicted, where a table has them."""
    return list(learn.dls.table.attrs.get("targets", []))
