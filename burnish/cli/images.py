"""The commands on photographs: a folder with a sub-folder a class."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from burnish.cli.places import as_picture, for_shell, made, place
from burnish.cli.saying import console_of, counted, end_of, plain, save, say_test, table_of
from burnish.errors import DataError
from burnish.wording import in_options

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

DEFAULT_ARCH = "tf_efficientnet_lite0"  # small and quick, good on photographs, and its weights come with burnish[offline]


def train(
    folder: str, *, arch: str | None, epochs: int | None, freeze_epochs: int, size: int, valid: float | None, test: float, seed: int,
    out: Path | None, pretrained: bool, weights: str | None, bs: int | None, lr: float | None, augment: bool, balance: str | None,
    device: str | None,
) -> None:  # fmt: skip
    """Fine-tunes a model on a folder of photographs; writes the model, a report and pictures."""
    arch = arch or DEFAULT_ARCH
    console, out = console_of(), place(out, photos_in(folder), "burnish-out")
    dls = _loaders(folder, size=size, valid=valid, test=test, seed=seed, bs=bs, augment=augment, balance=balance, device=device)
    _say_counts(console, dls, folder)
    from burnish.vision.learner import vision_learner

    with made(out):
        learn = vision_learner(dls, arch, pretrained=pretrained, weights=weights, path=out, seed=seed)
        console.print(f"\nFine-tuning {arch} at {size} px, batches of {dls.bs}, on {dls.device}, seed {seed}.", highlight=False)
        learn.fine_tune(5 if epochs is None else epochs, base_lr=2e-3 if lr is None else lr, freeze_epochs=freeze_epochs)
        if dls.test is not None:
            say_test(console, learn)
        _write_results(console, learn, out)


def _loaders(
    folder: str,
    *,
    size: int,
    valid: float | None,
    test: float,
    seed: int,
    bs: int | None,
    augment: bool,
    balance: str | None,
    device: str | None,
) -> Any:
    from burnish.vision.augment import aug_transforms
    from burnish.vision.dataloaders import ImageDataLoaders
    from burnish.vision.transforms import Resize

    if bs is None:
        bs = _batch_size(folder)
    return ImageDataLoaders.from_folder(
        photos_in(folder), valid_pct=valid, test_pct=test, seed=seed, item_tfms=Resize(size), batch_tfms=aug_transforms() if augment else None,
        bs=bs, balance=balance, device=device,
    )  # fmt: skip


def photos_in(folder: str) -> Path:
    if folder == "sample" and not Path(folder).exists():
        from burnish.vision.sample import sample_photos

        return sample_photos()
    if Path(folder).is_file():
        raise DataError(f"{folder!r} is a file, and a folder with a sub-folder of photographs a class was expected.")
    if not Path(folder).is_dir():
        raise DataError(
            f"There is no folder {folder!r} (looked in {str(Path.cwd())!r}). Give a folder with a sub-folder of photographs a class; 'burnish train sample' tries it on the ones that come along."
        )
    return Path(folder)


def _batch_size(folder: str) -> int:
    """64, and less for few photographs, so that an epoch has some ten steps; not below 16, which batch statistics need."""
    from burnish.data.files import get_image_files

    n = len(get_image_files(photos_in(folder)))
    return next((size for size in (64, 32) if n >= 10 * size), 16)


def _write_results(console: Console, learn: Any, out: Path) -> None:
    from burnish.deploy.report import write_report
    from burnish.evaluate.interpret import ClassificationInterpretation

    interp: Any = ClassificationInterpretation.from_learner(learn)
    model = learn.export("model.burnish")
    save(out / "batch.png", lambda: learn.dls.show_batch(max_n=9))
    save(out / "loss.png", lambda: learn.recorder.plot_loss())
    save(out / "confusion.png", lambda: interp.plot_confusion_matrix())
    save(out / "top_losses.png", lambda: interp.plot_top_losses(9))
    write_report(learn, "report.html", interp=interp, model_file=model)
    made = table_of("Written", "", "")
    for name, what in WRITTEN.items():
        made.add_row(str(out / name), what)
    console.print()
    console.print(made)
    console.print("\nNext, on a photograph of yours:", highlight=False)
    console.print(f"  burnish predict {for_shell(out / 'model.burnish')} PHOTO.jpg", highlight=False, soft_wrap=True)


WRITTEN = {
    "report.html": "everything below on one page: open it in a browser",
    "model.burnish": "the model: predicts anywhere, without the photographs",
    "batch.png": "photographs as the model sees them in training",
    "loss.png": "the losses while training",
    "confusion.png": "which classes are taken for which",
    "top_losses.png": "the photographs it got most wrong",
}


def predict(model: Any, files: list[str], as_json: bool, as_csv: bool) -> None:
    """Says what photographs show. Exit code 1 when some can't be read. `model` is a Predictor."""
    table = model.table(_expanded(files), all_probabilities=as_json or as_csv)
    if as_json:
        print(json.dumps([_record(row) for row in table.to_dict("records")], indent=1, ensure_ascii=False))
    elif as_csv:
        table.to_csv(sys.stdout, index=False)
    else:
        _say_predictions(table)
    if any(table["error"] != ""):
        raise typer.Exit(1)


def _expanded(files: list[str]) -> list[str]:
    """Folders replaced by the pictures in them; one without any stays, and can't be read."""
    from burnish.data.files import get_image_files

    out: list[str] = []
    for file in files:
        try:
            out += map(str, get_image_files(Path(file))) if Path(file).is_dir() else [file]
        except DataError:  # no pictures
            out.append(file)
    return out


def _record(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the predictions as JSON: not-a-number as null, the labels' probabilities as one object."""
    clean = {k: None if isinstance(v, float) and v != v else v for k, v in row.items()}
    probs = {k[2:-1]: v for k, v in clean.items() if k.startswith("p(")}
    kept = {k: clean[k] for k in ("file", "label", "probability", "error")}
    return {**kept, "error": kept["error"] or None, "probabilities": probs if kept["label"] is not None else None}


def _say_predictions(table: pd.DataFrame) -> None:
    console, shown = console_of(sys.stdout), table_of("file", "label", "probability")
    shown.columns[2].justify = "right"
    shown.columns[2].no_wrap = shown.columns[1].no_wrap = True
    for row in table.to_dict("records"):
        if row["error"]:
            shown.add_row(plain(end_of(row["file"])), "can't be read", "")
        else:
            sure = "" if row["probability"] != row["probability"] else f"{row['probability']:.1%}"
            shown.add_row(plain(end_of(row["file"])), plain(row["label"]), sure)
    console.print(shown)
    for error in table.loc[table["error"] != "", "error"]:
        print(f"burnish: {in_options(error)}", file=sys.stderr)


def show(folder: str, *, out: Path | None, size: int, valid: float | None, seed: int) -> None:
    """Prints counts and checks of a folder of photographs, and draws a training batch."""
    console, out = console_of(), as_picture(place(out, photos_in(folder), "batch.png"))
    dls = _loaders(folder, size=size, valid=valid, test=0.0, seed=seed, bs=None, augment=True, balance=None, device="cpu")
    _say_counts(console, dls, folder)
    console.print()
    print(in_options(str(dls.check())))
    with made(out.parent):
        save(out, lambda: dls.show_batch(max_n=9))
    console.print(f"\nA training batch is drawn in {out}. Next:", highlight=False)
    console.print(f"  burnish train {for_shell(folder)}", highlight=False, soft_wrap=True)


def _say_counts(console: Console, dls: Any, folder: str, most: int = 20) -> None:
    """Photographs by class and split."""
    from burnish.train.record import class_counts

    counts = class_counts(dls.table)
    labels = sorted({label for by_class in counts.values() for label in by_class}, key=str)
    said = f"{counted(len(dls.table), 'photograph', 's')} in {counted(len(labels), 'class', 'es')}, from {folder}"
    console.print(said, highlight=False, markup=False)
    shown = table_of("class", *counts)
    for column in shown.columns[1:]:
        column.justify = "right"
    for label in labels[:most]:
        shown.add_row(plain(label), *(str(by_class.get(label, 0)) for by_class in counts.values()))
    if len(labels) > most:
        shown.add_row(f"and {len(labels) - most} more", *("" for _ in counts))
    shown.add_row("all", *(str(sum(by_class.values())) for by_class in counts.values()), style="bold")
    console.print(shown)
