"""The commands on photographs: a folder with a sub-folder a class, one with masks, a table that names pictures, a COCO file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from burnish.cli import targets
from burnish.cli.places import as_picture, for_shell, made, place, put_earlier_aside
from burnish.cli.saying import check_follows, console_of, counted, end_of, plain, save, say_test, table_of
from burnish.cli.targets import Asked, Found
from burnish.data.screen import wrapped
from burnish.errors import DataError, SettingError, listed, short
from burnish.wording import in_options

if TYPE_CHECKING:
    from rich.console import Console

_MOST_COLUMNS = 6  # of predictions on screen
DEFAULT_ARCH = "tf_efficientnet_lite0"  # small and quick, good on photographs, and its weights come with burnish[offline]


def train(
    folder: str, *, asked: Asked, arch: str | None, epochs: int | None, freeze_epochs: int, size: int, valid: float | None, test: float, seed: int,
    out: Path | None, pretrained: bool, weights: str | None, bs: int | None, lr: float | None, augment: bool, balance: str | None,
    device: str | None,
) -> None:  # fmt: skip
    """Fine-tunes a model on photographs; writes the model, a report and pictures."""
    arch = arch or DEFAULT_ARCH
    found = targets.find(folder, asked)
    root = photos_in(folder) if found is None else found.root
    console, out = console_of(), place(out, root, "burnish-out") if found is None or Path(folder).is_dir() else out or Path("burnish-out")
    dls = _loaders(folder, found, size=size, valid=valid, test=test, seed=seed, bs=bs, augment=augment, balance=balance, device=device)
    _say(console, found, dls, folder)
    with made(out):
        learn = targets.learner(found, dls, arch, pretrained=pretrained, weights=weights, path=out, seed=seed)
        console.print(f"\nFine-tuning {arch} at {size} px, batches of {dls.bs}, on {dls.device}, seed {seed}.", highlight=False)
        learn.fine_tune(5 if epochs is None else epochs, base_lr=2e-3 if lr is None else lr, freeze_epochs=freeze_epochs)
        if found is not None and found.task == "labels":
            from burnish.evaluate.thresholds import tune_thresholds

            tune_thresholds(learn)
        if dls.test is not None:
            say_test(console, learn)
        numbers = asked.target if found is not None and found.task == "number" else None  # which the data itself doesn't name
        _write_results(console, learn, out, f"{arch}: {', '.join(map(str.strip, numbers.split(',')))}" if numbers else None)


def _loaders(
    folder: str, found: Found | None, *, size: int, valid: float | None, test: float, seed: int, bs: int | None, augment: bool, balance: str | None,
    device: str | None,
) -> Any:  # fmt: skip
    from burnish.vision.augment import aug_transforms
    from burnish.vision.dataloaders import ImageDataLoaders
    from burnish.vision.transforms import Resize

    method = "squish" if found is not None and found.task in targets.WHOLE else "crop"
    options = {
        "test_pct": test, "seed": seed, "item_tfms": Resize(size, method), "batch_tfms": aug_transforms() if augment else None, "device": device,
        "balance": balance,
    }  # fmt: skip
    if found is None:
        root = photos_in(folder)
        return ImageDataLoaders.from_folder(root, valid_pct=valid, bs=bs or _batch_size(_count(root)), **options)
    return found.loaders(valid_pct=0.2 if valid is None else valid, bs=bs or _batch_size(found.n), **options)


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


def _count(folder: Path) -> int:
    from burnish.data.files import get_image_files

    return len(get_image_files(folder))


def _batch_size(n: int) -> int:
    """64, and less for few photographs, so that an epoch has some ten steps; not below 16, which batch statistics need."""
    return next((size for size in (64, 32) if n >= 10 * size), 16)


def _write_results(console: Console, learn: Any, out: Path, title: str | None = None) -> None:
    from burnish.deploy.report import write_report
    from burnish.evaluate.interpret import ClassificationInterpretation, Interpretation

    single = learn.dls.target_blocks[0].kind == "category"
    interp: Any = (ClassificationInterpretation if single else Interpretation).from_learner(learn)
    put_earlier_aside(out)
    model = learn.export("model.burnish")
    drawn = {
        "batch.png": lambda: learn.dls.show_batch(max_n=9),
        "loss.png": lambda: learn.recorder.plot_loss(),
        "confusion.png": (lambda: interp.plot_confusion_matrix()) if hasattr(interp, "plot_confusion_matrix") else None,
        "results.png": None if single else lambda: learn.show_results(),
        "top_losses.png": lambda: interp.plot_top_losses(min(9, len(interp))),
    }
    for name, draw in drawn.items():
        if draw is not None:
            save(out / name, draw)
    write_report(learn, "report.html", interp=interp, title=title, model_file=model)
    made = table_of("Written", "", "")
    for name, what in WRITTEN.items():
        if drawn.get(name, name) is not None:
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
    "results.png": "photographs, what is true of them and what it says",
    "top_losses.png": "the photographs it got most wrong",
}


def predict(model: Any, files: list[str], as_json: bool, as_csv: bool, masks: Path | None = None, drawings: Path | None = None) -> None:
    """Says what photographs show. Exit code 1 when some can't be read. `model` is a Predictor. `masks`, `drawings`: see ``Predictor.table``."""
    if masks is not None and all(block.kind != "mask" for block in model.learn.dls.target_blocks):
        raise SettingError("--masks is of a model that predicts masks, and this one doesn't. Leave it out.")
    if drawings is not None:
        import matplotlib

        matplotlib.use("Agg")
    table = model.table(_expanded(files), all_probabilities=as_json or as_csv, masks=masks, drawings=drawings)
    if as_json:
        print(json.dumps([_record(row) for row in table.to_dict("records")], indent=1, ensure_ascii=False))
    elif as_csv:
        _plain_cells(table).to_csv(sys.stdout, index=False)
    else:
        _say_predictions(table)
    if any(table["error"] != ""):
        raise typer.Exit(1)


def set_threshold(model: Any, threshold: float) -> None:
    """From which score, or probability, boxes and labels are told."""
    blocks = [block for block in model.learn.dls.target_blocks if block.kind in ("multicategory", "boxes")]
    if not blocks:
        raise SettingError("--threshold is of a model of boxes, or of several labels a photograph, and this one is neither. Leave it out.")
    for block in blocks:
        if block.kind == "boxes":
            block.threshold = threshold
        else:
            block.thresholds = [threshold] * block.n_out


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
    kept = {k: v for k, v in clean.items() if not k.startswith("p(") and (k != "probability" or probs)}
    return {
        **kept,
        "error": in_options(str(kept["error"])) or None,
        **({"probabilities": None if kept["error"] else probs} if probs else {}),
    }


def _plain_cells(table: Any) -> Any:
    """The table for a CSV file: several labels as one text, boxes as a row each (one without any for a picture without boxes)."""
    if "boxes" in table:
        few = [c for c in table if c not in ("label", "boxes", "error")]
        rows = [
            {**{c: row[c] for c in few}, **(box or dict.fromkeys(("label", "score", "x1", "y1", "x2", "y2"))), "error": row["error"]}
            for row in table.to_dict("records")
            for box in (row["boxes"] if isinstance(row["boxes"], list) and row["boxes"] else [None])
        ]
        return type(table)(rows)
    return table.map(lambda cell: "; ".join(map(str, cell)) if isinstance(cell, (list, tuple)) else cell)


def _say_predictions(table: Any) -> None:
    """Prints the predictions, of their numbers as many columns as there is room for."""
    console = console_of(sys.stdout)
    more = [c for c in table if c not in _NOT_COLUMNS and c != "boxes" and not c.endswith(": boxes")]
    shown, left_out = _as_table(table, more[:_MOST_COLUMNS]), len(more[_MOST_COLUMNS:])
    unbounded = console.options.update(width=10_000)
    while len(more) > left_out and console.measure(shown, options=unbounded).maximum > console.width:
        left_out += 1
        shown = _as_table(table, more[: len(more) - left_out])
    console.print(shown)
    if left_out:
        console.print(f"({left_out} more column{'s' * (left_out > 1)}: --csv and --json have them)", highlight=False)
    for name, said in (("mask", "The masks are"), ("drawing", "Drawn")):
        if name in table:
            console.print(f"{said} in {Path(str(table[name].dropna().iloc[0])).parent}.", highlight=False, markup=False)
    for error in table.loc[table["error"] != "", "error"]:
        print(wrapped(f"burnish: {in_options(error)}", sys.stderr), file=sys.stderr)


_NOT_COLUMNS = ("file", "label", "probability", "mask", "drawing", "error")


def _as_table(table: Any, more: list[str]) -> Any:
    """Predictions as a table of the console: files, labels, how sure they are, and the columns `more`."""
    labelled, sure = "label" in table, "probability" in table and table["probability"].notna().any()
    shown = table_of("file", *(["label"] if labelled else []), *(["probability"] if sure else []), *map(str, more))
    shown.columns[0].min_width = min(24, max((len(end_of(file)) for file in table["file"]), default=1))
    for column in shown.columns[1 + labelled :]:
        column.no_wrap, column.justify = True, "right"
    for row in table.to_dict("records"):
        cells = [plain(_said(row["label"]))] if labelled else []
        cells += ["" if row["probability"] != row["probability"] else f"{row['probability']:.1%}"] if sure else []
        cells += [plain(_said(row[c])) for c in more]
        if row["error"]:
            cells = ["can't be read", *("" for _ in cells[1:])]
        shown.add_row(plain(end_of(row["file"])), *cells)
    return shown


def _said(label: Any) -> str:
    if isinstance(label, (list, tuple)):
        return ", ".join(map(str, label)) or "(none)"
    return short(label) if isinstance(label, float) else str(label)


def show(folder: str, *, asked: Asked, out: Path | None, size: int, valid: float | None, seed: int) -> None:
    """Prints counts and checks of photographs, and draws a training batch."""
    found = targets.find(folder, asked)
    in_folder = found is None or Path(folder).is_dir()
    console, out = console_of(), as_picture(place(out, photos_in(folder), "batch.png") if in_folder else out or Path("batch.png"))
    with check_follows():
        dls = _loaders(folder, found, size=size, valid=valid, test=0.0, seed=seed, bs=None, augment=True, balance=None, device="cpu")
    _say(console, found, dls, folder)
    console.print()
    print(wrapped(in_options(str(dls.check())), sys.stdout))
    with made(out.parent):
        save(out, lambda: dls.show_batch(max_n=9))
    console.print(f"\nA training batch is drawn in {out}. Next:", highlight=False)
    given = {
        "pictures": asked.pictures,
        "target": asked.target,
        "delim": asked.delim,
        "codes": asked.codes,
        "suffix": asked.suffix,
        "valid-col": asked.valid_col,
        **asked.written._asdict(),
    }
    options = "".join(f" --{name} {for_shell(value)}" for name, value in given.items() if value is not None)
    options += f" --task {asked.task}" if asked.task != "auto" else ""
    console.print(f"  burnish train {for_shell(folder)}{options}", highlight=False, soft_wrap=True)


def _say(console: Console, found: Found | None, dls: Any, folder: str) -> None:
    """What was read: classes and their pictures, or what else there is."""
    if found is None or found.task == "class":
        _say_counts(console, dls, folder)
        return
    console.print(found.said, highlight=False, markup=False)
    vocab = getattr(dls.target_blocks[0], "vocab", None)
    if vocab:
        console.print(f"classes: {listed(map(str, vocab), 20)}", highlight=False, markup=False)
    counts = dls.table["split"].value_counts()
    console.print(", ".join(f"{counts[s]} {s}" for s in ("train", "valid", "test") if s in counts), highlight=False)


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
