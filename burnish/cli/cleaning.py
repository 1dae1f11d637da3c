"""The command that opens the cleaner on a folder of photographs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burnish.cli.images import photos_in
from burnish.cli.places import place
from burnish.cli.saying import console_of, counted
from burnish.errors import DataError, SettingError, nearest

if TYPE_CHECKING:
    from burnish.data.dataloaders import DataLoaders

SORTS = ("suspicion", "loss")


def clean(
    model: Path, folder: str, *, sort: str, undo: bool, port: int, browser: bool, out: Path | None, valid: float | None, seed: int,
    weights: str | None, device: str | None,
) -> None:  # fmt: skip
    """Serves the cleaner until Ctrl-C; with `undo` takes the last changes back instead."""
    if sort not in SORTS:
        raise SettingError(f"--sort {sort}: expected suspicion or loss.{nearest(sort, SORTS)}")
    console, photos = console_of(), photos_in(folder)
    if not Path(folder).exists():
        raise SettingError("'sample' is part of the installation and isn't changed: copy the photographs to a folder of yours first.")
    kept = place(out, photos, "burnish-out") / "cleaning"
    if undo:
        _undo(console, kept)
        return
    from burnish.train.export import load_learner
    from burnish.vision.cleaner import ImageClassifierCleaner
    from burnish.vision.issues import find_issues

    learn = load_learner(model) if device is None else load_learner(model, device=device)
    learn.dls = loaders(learn, photos, valid, seed)
    issues = None
    if sort == "suspicion":
        console.print("Looking for wrong labels, copies and odd files ...", highlight=False)
        issues = find_issues(learn, weights=weights)
        console.print(_counts(issues), highlight=False, markup=False)
    cleaner = ImageClassifierCleaner(learn, issues=issues, path=kept)
    page = cleaner.open(port, browser)
    console.print(f"\n{page.url}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"This page is for this computer alone. Choices are kept in {kept}; nothing changes before you apply. Ctrl-C ends.",
        highlight=False,
        markup=False,
    )
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass
    finally:
        page.close()
    console.print(f"\nEnded. {_left(cleaner)}", highlight=False, markup=False)


def loaders(learn: Any, photos: Path, valid: float | None, seed: int) -> DataLoaders:
    """The photographs as the model reads them, split as 'burnish train' splits them with the same options."""
    from burnish.vision.dataloaders import ImageDataLoaders

    before = learn.dls
    kinds = [block.kind for block in before.blocks]
    if kinds != ["image", "category"]:
        raise DataError(f"'burnish clean' is for photographs with one label each, and the model is of {' and '.join(kinds)}.")
    return ImageDataLoaders.from_folder(
        photos, valid_pct=valid, seed=seed, vocab=list(before.vocab), item_tfms=before.item_tfms, batch_tfms=before.batch_tfms,
        img_cls=before.input_blocks[0], bs=before.bs, device=before.device,
    )  # fmt: skip


def _undo(console: Any, kept: Path) -> None:
    from burnish.vision.changes import ChangeList

    undone = ChangeList(kept.absolute()).undo()
    console.print(f"{counted(len(undone), 'change', 's')} taken back; {kept / 'changes.jsonl'} tells which.", highlight=False, markup=False)


def _counts(issues: Any) -> str:
    from burnish.vision.issues import KINDS

    counts = issues["issue"].value_counts()
    return "\n".join(f"{counts[kind]:>6}  {said}" for kind, said in KINDS.items() if kind in counts) or "Nothing found."


def _left(cleaner: Any) -> str:
    n = len(cleaner.delete()) + len(cleaner.change())
    return f"{counted(n, 'choice', 's')} not applied yet, kept for the next time." if n else "Nothing is left to apply."
