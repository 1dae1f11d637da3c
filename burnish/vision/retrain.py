"""Training a learner anew on other data in the way it was trained, and comparing the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.data.dataloaders import DataLoaders
from burnish.data.lazy import pd
from burnish.data.notes import captured_notes, note
from burnish.errors import SettingError
from burnish.evaluate import outcome as outcomes
from burnish.evaluate.cross import parts
from burnish.evaluate.summary import chosen_metrics, results_of_metrics

if TYPE_CHECKING:
    from burnish.evaluate.tables import Compared
    from burnish.vision.learner import VisionLearner

Fit = Callable[[Any], Any]


def on_table(dls: DataLoaders, table: pd.DataFrame) -> DataLoaders:
    """DataLoaders of the same blocks, transforms and settings over another table of the same columns."""
    table.attrs = dict(dls.table.attrs)
    return DataLoaders.from_table(
        table, dls.blocks, n_inp=dls.n_inp or 1, item_tfms=dls.item_tfms, batch_tfms=dls.batch_tfms, bs=dls.bs, path=dls.path, device=dls.device,
        seed=dls.seed, num_workers=dls.num_workers, on_error=dls.on_error, balance=getattr(dls, "balance", None), labels_of=dls.labels_of,
    )  # fmt: skip


def retrained(learn: Any, dls: DataLoaders, epochs: int | None = None, fit: Fit | None = None) -> VisionLearner:
    """A new learner of the same settings and seed, trained on other data by the recipe of the learner's last fit.

    Args:
        epochs: those of the last fit by default.
        fit: trains the new learner in another way: ``lambda learn: learn.fit_one_cycle(5)``.

    Raises:
        SettingError: the learner wasn't made by ``vision_learner`` in this session, or was not trained and neither `epochs` nor `fit` is given.
    """
    if getattr(learn, "again", None) is None:
        raise SettingError(
            "Only a learner made by vision_learner in this session can be trained anew: a model file doesn't say from which weights it began. "
            "Make one: vision_learner(cleaner.dataloaders(), ARCH)."
        )
    if epochs is None and fit is None and not learn.fit_args:
        raise SettingError("The learner was not trained yet, so there is no recipe to follow. Say for how many epochs: retrain(3).")
    new = learn.again.learner(dls)
    (fit or _recipe(learn, epochs))(new)
    return new


def _recipe(learn: Any, epochs: int | None) -> Fit:
    """The last fit as a function: fine_tune where that was it (or nothing is known), else one cycle at the same rates."""
    said = learn.fit_args
    n, rates = epochs or said.get("epochs"), said.get("lr")
    if not said or said["phase"] is not None:
        base = {} if not rates else {"base_lr": rates[-1] * (4 if learn.pretrained else 2)}  # fine_tune's own relation
        return lambda new: new.fine_tune(n, **base)
    if said["recipe"] not in ("fit_one_cycle", "fit"):
        note(f"retrain: the last fit was {said['recipe']}; it is repeated as one cycle. fit= trains in another way.")
    frozen = not all(p.requires_grad for group in learn.groups for p in group)

    def one_cycle(new: Any) -> Any:
        new.freeze() if frozen else new.unfreeze()
        return new.fit_one_cycle(n, max(rates))

    return one_cycle


def _silently(learn: Any, fit: Fit) -> None:
    with learn.no_logging():
        fit(learn)


def compared(before: Any, after: Any, changed: int | None = None) -> Compared:
    """Two learners on the same validation rows: those of `after`, with the labels that these have now.

    Returns: a row each (before, after), with n and each metric and its 95 % interval.
    """
    from burnish.evaluate.tables import Compared

    metrics, loader = chosen_metrics(after), after.dls.valid
    rows = []
    for name, learn in (("before", before), ("after", after)):
        found = outcomes.run(learn, "valid", loader)
        groups = outcomes.groups_of(after.dls, found.rows)
        row: dict[str, Any] = {"model": name, "n": len(found.target)}
        for result in results_of_metrics(metrics, found, None, groups):
            row |= {result["metric"]: result["value"], f"{result['metric']}_low": result["low"], f"{result['metric']}_high": result["high"]}
        rows.append(row)
    corrected = "" if changed is None else f" ({changed} of them were changed or left out by cleaning)"
    note(
        f"compare: both are judged on the same validation pictures with the labels they have now{corrected}; what is still wrong there counts against both."
    )
    return Compared(rows)


def retrained_probs(
    learn: Any, rows: np.ndarray, labels: np.ndarray, groups: Sequence[Any], cv: int, epochs: int, seed: int
) -> np.ndarray:  # fmt: skip
    """The probability of each class for `rows` of ``dls.table`` ``(rows, classes)``, from learners trained on the other parts of them."""
    dls = learn.dls
    probs = np.zeros((len(rows), len(dls.vocab)))
    for part, (train, judged) in enumerate(parts(labels, cv, groups, seed)):
        table = dls.table.copy()
        sides = pd.Series([None] * len(table), dtype=object)
        sides.iloc[rows[train]], sides.iloc[rows[judged]] = "train", "valid"
        table["split"] = sides
        with captured_notes():
            new = retrained(learn, on_table(dls, table), fit=lambda new: _silently(new, _recipe(learn, epochs)))
            found = new.get_preds("valid")
        place = {int(row): i for i, row in enumerate(rows)}
        probs[[place[int(r)] for r in found.rows]] = found.preds.numpy()[:, : probs.shape[1]]
        note(f"find_issues: part {part + 1} of {cv} judged by a learner trained on the others.")
    return probs
