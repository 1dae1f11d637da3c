"""What is wrong with the pictures of a data set, in one table: labels, copies, outliers, and files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.data.notes import note
from burnish.data.whole import checked_whole
from burnish.errors import DataError, OfflineError, SettingError, listed, nearest
from burnish.evaluate.cross import cross_validated, powered
from burnish.evaluate.label_issues import find_label_issues
from burnish.vision import odd_pictures
from burnish.vision.features import picture_features, untrained_body
from burnish.vision.inputs import check_one_picture
from burnish.vision.weights import Source

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders
    from burnish.vision.issues_table import Issues

KINDS = {
    "wrong_label": "labels that are likely wrong",
    "conflicting_labels": "copies of a picture with another label",
    "leak": "pictures that validate or test and are copies of one on another side",
    "duplicate": "files that are copies of another",
    "near_duplicate": "pictures that are nearly the same as another, perhaps mirrored",
    "outlier": "pictures unlike all others",
    "unreadable": "files that can't be read",
    "odd_size": "very small or very long pictures",
    "blank": "pictures of one plain colour",
    "dark": "very dark pictures",
    "blurry": "pictures far less sharp than the others",
}
"""Kinds of issues, and what they are."""

FROM_FEATURES = ("wrong_label", "outlier")


def find_issues(
    learn: Any, kinds: Sequence[str] | None = None, *, cv: int = 5, body: Any = None, weights: Source | None = None, retrain: int | None = None,
    probs: Any = None, least: float = 0.5, seed: int = 0,
) -> Issues:  # fmt: skip
    """Looks for what is wrong with the pictures and labels of a learner's data, all splits together.

    Whether a label is wrong is judged by models that have not seen it: logistic regressions over what the pretrained body sees, each fitted
    on the other parts of the data (``cross_validated``), which costs one pass over the pictures. The fine-tuned body itself isn't asked: it
    has learned the wrong labels too.

    Args:
        learn: a learner, or the DataLoaders.
        kinds: which issues to look for (``burnish.vision.issues.KINDS``); all by default.
        cv: into how many parts the pictures are divided; copies of a picture are kept together.
        body, weights: another body for the features: an architecture's name (and where its weights are), or a module. By default the
            learner's own, with the weights that it began with.
        retrain: have the learner trained anew, for so many epochs, on all parts but one, for each part in turn, and judge labels by that:
            slow, and for learners without pretrained weights.
        probs: out-of-sample probabilities of your own, one row for each row of ``dls.table``; nothing else is then trained for labels.
        least: the least score, 0 to 1, that is told.

    Returns: a table, of each kind the most suspicious first: row (in ``dls.table``), file, label, split, issue, score (0 to 1; for
        wrong_label the probability of it), suggested (label), probability (of the suggested label), like (the file it resembles), about
        (in words).

    Raises:
        DataError: the input is no picture; or wrong_label is asked for, and the target is no labels. SettingError: a kind or a body isn't known; or, where `kinds` names wrong_label or
        outlier, there is no body that hasn't seen the labels (else a note says so, and the others are looked for).
    """
    dls, learn = (learn.dls, learn) if hasattr(learn, "dls") else (learn, None)
    wanted = _checked(dls, learn, kinds, retrain, least)
    checked_whole("cv", cv, least=2)
    rows = np.flatnonzero(dls.table["split"].notna().to_numpy())
    facts = odd_pictures.look_at(dls, rows)
    groups = odd_pictures.copies(facts)
    found = [*odd_pictures.issues_of(facts, rows, "blurry" in wanted), *odd_pictures.issues_of_copies(groups, dls, rows)]
    if set(wanted) & set(FROM_FEATURES):
        readable = np.array([f.problem is None for f in facts]) if facts else np.ones(len(rows), dtype=bool)
        group_of = _group_of(len(rows), groups)
        how = _Judge(learn, dls, rows[readable], group_of[readable], cv, body, weights, retrain, probs, seed)
        found += how.issues(wanted, explicit=kinds is not None)
    return _table([f for f in found if f["issue"] in wanted and f["score"] >= least], dls)


def _checked(dls: Any, learn: Any, kinds: Any, retrain: Any, least: float) -> list[str]:
    if getattr(dls, "blocks", None) and not len(dls):
        raise DataError(
            "This learner was loaded from a file and has no pictures to look at: give it some, learn.dls = ImageDataLoaders.from_folder(...), or pass these DataLoaders."
        )
    if not getattr(dls, "blocks", None) or dls.input_blocks[0].kind != "image":
        raise DataError(
            "find_issues looks at pictures and their labels: it needs a learner (or DataLoaders) made from a DataBlock with an ImageBlock."
        )
    check_one_picture(dls, "find_issues", "dls.check() looks at the files of several, ClassificationInterpretation at the labels.")
    target = dls.target_blocks[0].kind if len(dls.target_blocks) == 1 else "several"
    wanted = list(KINDS) if kinds is None else ([kinds] if isinstance(kinds, str) else list(kinds))
    for kind in wanted:
        if kind not in KINDS:
            raise SettingError(f"There is no kind of issue {kind!r}; there are: {listed(KINDS, 20)}.{nearest(str(kind), KINDS)}")
    if target not in ("category", "multicategory"):
        if kinds is not None and "wrong_label" in wanted:
            raise DataError(
                f"wrong_label: labels are judged of a CategoryBlock or a MultiCategoryBlock, and the target is {listed(type(b).__name__ for b in dls.target_blocks)}."
            )
        wanted = [k for k in wanted if k not in ("wrong_label", "conflicting_labels")]
    if retrain is not None:
        checked_whole("retrain", retrain, least=1)
        if getattr(learn, "again", None) is None:
            raise SettingError(
                "retrain= trains the learner anew, which needs one made by vision_learner in this session (not a loaded model, not DataLoaders)."
            )
    if not 0 <= least <= 1:
        raise SettingError(f"least={least!r}: expected a score, 0 to 1.")
    return wanted


def _group_of(n: int, groups: list[Any]) -> np.ndarray:
    """A number for each picture, the same for copies of one another."""
    made = np.arange(n)
    for group in groups:
        made[list(group.members)] = min(made[i] for i in group.members)
    return made


class _Judge:
    """Judges labels, and how unlike the others pictures are."""

    def __init__(
        self, learn: Any, dls: DataLoaders, rows: np.ndarray, group_of: np.ndarray, cv: int, body: Any, weights: Any, retrain: int | None, probs: Any, seed: int
    ) -> None:  # fmt: skip
        self.learn, self.dls, self.rows, self.group_of = learn, dls, rows, group_of
        self.cv, self.body, self.weights, self.retrain, self.probs, self.seed = cv, body, weights, retrain, probs, seed

    def issues(self, wanted: Sequence[str], explicit: bool) -> list[dict[str, Any]]:
        features, found = None, []
        by_features = "wrong_label" in wanted and self.retrain is None and self.probs is None
        if by_features or "outlier" in wanted:
            try:
                features = powered(self._features())
            except (OfflineError, SettingError) as error:
                if explicit or self.body is not None:  # what was asked for by name isn't left out in silence
                    raise
                left_out = "Wrong labels and outliers aren't" if by_features else "Outliers aren't"
                note(f"{left_out} looked for. {error}")
        if features is not None and "outlier" in wanted:
            found += self._outliers(features)
        if "wrong_label" in wanted and (features is not None or self.retrain or self.probs is not None):
            found += self._wrong_labels(features)
        return found

    def _features(self) -> np.ndarray:
        made = picture_features(untrained_body(self.learn, self.dls, self.body, self.weights), self.dls, self.rows)
        known = np.isfinite(made).all(1)  # others are named as unreadable
        self.rows, self.group_of = self.rows[known], self.group_of[known]
        return made[known]

    def _outliers(self, features: np.ndarray) -> list[dict[str, Any]]:
        scores, nearest_to = odd_pictures.unlikeness(features, self.group_of)
        about = "its nearest neighbours are far away"
        return [
            _issue(int(row), "outlier", float(score), near=int(self.rows[j]), about=about)
            for row, score, j in zip(self.rows, scores, nearest_to, strict=True)
        ]

    def _wrong_labels(self, features: np.ndarray | None) -> Iterator[dict[str, Any]]:
        block = self.dls.target_blocks[0]
        name, vocab = self.dls.table.attrs["targets"][0], list(block.vocab)  # type: ignore[attr-defined]
        labels = block.encode_all(self.dls.table[name].iloc[self.rows].tolist()).numpy()
        several = labels.ndim == 2
        labels = labels.astype(np.int64)
        keep = np.ones(len(labels), dtype=bool) if several else self._common(labels, vocab)
        if not keep.any():
            return
        probs = self._probs(features, labels, keep, len(vocab))
        found = find_label_issues(labels[keep], probs[:, : len(vocab)], None, least=0.0)
        rows = self.rows[keep]
        for one in found.to_dict("records"):
            row, wrong = int(rows[one["row"]]), one["score"]
            if several:
                said = f"{vocab[one['label']]!r} should {'be' if one['suggested'] else 'not be'} among its labels"
                yield _issue(
                    row,
                    "wrong_label",
                    wrong,
                    suggested=f"{'+' if one['suggested'] else '-'}{vocab[one['label']]}",
                    probability=wrong,
                    about=said,
                )
            else:
                yield _issue(row, "wrong_label", wrong, suggested=vocab[one["suggested"]], probability=one["probability"], about="")

    def _common(self, labels: np.ndarray, vocab: list[Any]) -> np.ndarray:
        """Which pictures are of a class that is in every part: of the others nothing can be learned for all parts."""
        counts = np.bincount(labels, minlength=len(vocab))
        few = [vocab[i] for i in np.flatnonzero((counts > 0) & (counts < self.cv))]
        if few:
            note(f"find_issues: labels of classes with fewer than {self.cv} pictures aren't judged: {listed(map(repr, few), 6)}.")
        return counts[labels] >= self.cv

    def _probs(self, features: np.ndarray | None, labels: np.ndarray, keep: np.ndarray, k: int) -> np.ndarray:
        if self.probs is not None:
            given = np.asarray(self.probs.detach().cpu() if hasattr(self.probs, "detach") else self.probs, dtype=np.float64)
            if len(given) != len(self.dls.table):
                raise DataError(f"probs has {len(given)} rows, and dls.table {len(self.dls.table)}; expected one for each, in its order.")
            return given[self.rows[keep]]
        if self.retrain is not None:
            from burnish.vision.retrain import retrained_probs

            return retrained_probs(
                self.learn, self.rows[keep], labels[keep], self.group_of[keep].tolist(), self.cv, self.retrain, self.seed
            )
        assert features is not None
        made = cross_validated(features[keep], labels[keep], self.cv, self.group_of[keep].tolist(), self.seed)
        return np.pad(made, ((0, 0), (0, k - made.shape[1])))


def _issue(
    row: int, issue: str, score: float, suggested: Any = None, probability: float = float("nan"), near: int | None = None, about: str = ""
) -> dict[str, Any]:  # fmt: skip
    return {"row": row, "issue": issue, "score": score, "suggested": suggested, "probability": probability, "near": near, "about": about}


def _table(found: list[dict[str, Any]], dls: DataLoaders) -> Issues:
    """The issues with what ``dls.table`` says of their rows."""
    inputs, targets = dls.table.attrs["inputs"], dls.table.attrs["targets"]
    files, splits = dls.table[inputs[0]].tolist(), dls.table["split"].tolist()
    labels = dls.table[targets[0]].tolist() if targets else [None] * len(files)
    from burnish.vision.issues_table import COLUMNS, Issues

    order = {kind: i for i, kind in enumerate(KINDS)}
    rows = []
    for f in sorted(found, key=lambda f: (order[f["issue"]], -f["score"], f["row"])):
        like = (
            ""
            if f["near"] is None
            else os.fspath(files[f["near"]])
            if isinstance(files[f["near"]], (str, os.PathLike))
            else f"row {f['near']}"
        )
        file = files[f["row"]] if isinstance(files[f["row"]], (str, os.PathLike)) else ""
        rows.append(
            (
                f["row"],
                os.fspath(file),
                labels[f["row"]],
                splits[f["row"]],
                f["issue"],
                f["score"],
                f["suggested"],
                f["probability"],
                like,
                f["about"],
            )
        )
    table = Issues(rows, columns=list(COLUMNS))
    for name in ("label", "suggested", "file", "like", "about", "issue", "split"):
        table[name] = table[name].astype(object)
    return table
