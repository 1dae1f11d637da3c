"""The command line: the same verbs as the API. ``burnish train FOLDER``, ``predict``, ``show``, ``doctor``.

Everything heavy is imported inside the commands, so that ``burnish --help`` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from burnish.data.notes import worded
from burnish.errors import DataError, ModelFileError, NotTrainableError, OfflineError, SettingError
from burnish.wording import in_options

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

EXPLAINED = (DataError, SettingError, ModelFileError, NotTrainableError, OfflineError, OSError)
DEFAULT_ARCH = "tf_efficientnet_lite0"  # small and quick, good on photographs, and its weights come with burnish[offline]

app = typer.Typer(
    name="burnish", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="From a folder of photographs to a model that you can inspect, share and run.",
)  # fmt: skip


def main() -> None:
    """The console script. Errors that explain themselves are shown as one message (exit code 2); --debug adds the traceback."""
    debug = "--debug" in sys.argv
    sys.argv = [a for a in sys.argv if a != "--debug"]
    try:
        with worded(in_options):
            app()
    except EXPLAINED as error:
        if debug:
            raise
        print(f"burnish: {in_options(str(error))}\n(--debug shows where this happened)", file=sys.stderr)
        sys.exit(2)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors. May stand anywhere.")] = False,
) -> None:
    if version:
        from burnish import __version__

        print(f"burnish {__version__}")
        raise typer.Exit


# -- train ------------------------------------------------------------------------------------------------------------


@app.command()
def train(
    folder: Annotated[
        str, typer.Argument(help="A folder with a sub-folder of photographs a class; or 'sample', the photographs that come along.")
    ],
    arch: Annotated[str, typer.Option(help="The architecture: any name timm knows.")] = DEFAULT_ARCH,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training photographs in which the whole model learns.")] = 5,
    freeze_epochs: Annotated[int, typer.Option(min=0, help="Passes before those, in which only the head learns.")] = 1,
    size: Annotated[int, typer.Option(min=8, help="Side in pixels of what the model sees.")] = 224,
    valid: Annotated[
        float | None, typer.Option(min=0.01, max=0.9, help="Share that validates; default: the folder 'valid', or a fifth.")
    ] = None,
    test: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share kept aside for a last test.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Fixes the split, the order and every draw.")] = 42,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the model, the report and the pictures; default: burnish-out, never inside FOLDER.")
    ] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained/--no-pretrained", help="Begin with weights learned on ImageNet.")] = True,
    weights: Annotated[str | None, typer.Option(help="Where the weights are: a file, a folder, or 'offline'.")] = None,
    bs: Annotated[int | None, typer.Option(min=1, help="Batch size; default: 64, less for few photographs.")] = None,
    lr: Annotated[float, typer.Option(min=0.0, help="Base learning rate.")] = 2e-3,
    augment: Annotated[
        bool, typer.Option("--augment/--no-augment", help="Vary the training photographs: flip, rotate, zoom, light.")
    ] = True,
    balance: Annotated[str | None, typer.Option(help="For unbalanced classes: 'sample' or 'loss'.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; default: the accelerator if there is one.")] = None,
) -> None:
    """Fine-tune a model on a folder of photographs.

    Writes the model, a report and pictures to a folder.
    """
    console, out = _console(), _place(out, _photos(folder), "burnish-out")
    dls = _loaders(folder, size=size, valid=valid, test=test, seed=seed, bs=bs, augment=augment, balance=balance, device=device)
    _say_counts(console, dls, folder)
    from burnish.vision.learner import vision_learner

    with _made(out):
        learn = vision_learner(dls, arch, pretrained=pretrained, weights=weights, path=out, seed=seed)
        console.print(f"\nFine-tuning {arch} at {size} px, batches of {dls.bs}, on {dls.device}, seed {seed}.", highlight=False)
        learn.fine_tune(epochs, base_lr=lr, freeze_epochs=freeze_epochs)
        if dls.test is not None:
            _say_test(console, learn)
        _write_results(console, learn, out)


def _say_test(console: Console, learn: Any) -> None:
    """The results on what was kept aside, which nothing was chosen by. The record, the report and the model card keep them."""
    from burnish.evaluate.summary import assess, chosen_metrics, not_clearly_better

    shown, results = _table("on the test split", "value", "95 % interval", "baseline"), assess(learn, "test")
    for row in results.to_dict("records"):
        known = row["low"] == row["low"]
        shown.add_row(
            row["metric"], f"{row['value']:.3g}", f"{row['low']:.3g} to {row['high']:.3g}" if known else "", f"{row['baseline']:.3g}"
        )
    console.print()
    console.print(shown)
    doubtful = not_clearly_better(results, {"loss": "lower", **{m.name: m.better for m in chosen_metrics(learn)}})
    if doubtful:
        console.print(f"Not clearly better than the baseline: {', '.join(doubtful)}", highlight=False)


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
        _photos(folder), valid_pct=valid, test_pct=test, seed=seed, item_tfms=Resize(size), batch_tfms=aug_transforms() if augment else None,
        bs=bs, balance=balance, device=device,
    )  # fmt: skip


def _photos(folder: str) -> Path:
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


def _place(out: Path | None, photos: Path, name: str) -> Path:
    """Where results go: `out`, or `name` in the working directory; never among the photographs, where the next run would take
    them for photographs of a class. Whoever works inside the folder gets them beside it, in FOLDER-burnish.

    Raises:
        SettingError: `out` lies inside the folder of photographs.
    """
    folder = photos.resolve()
    beside = folder.parent / f"{folder.name}-burnish"
    if out is not None and out.resolve().is_relative_to(folder):
        raise SettingError(
            f"--out {str(out)!r} lies inside the folder of photographs, {str(folder)!r}: the next run would take what is written there for "
            f"photographs of a class. Give a folder outside of it, e.g. --out {for_shell(_from_here(beside))}."
        )
    if out is not None or not Path.cwd().resolve().is_relative_to(folder):
        return out or Path(name)
    if folder.parent == folder:
        raise SettingError(f"{str(folder)!r} has no folder beside it for the results: say where they go, --out FOLDER.")
    return _from_here(beside if name == "burnish-out" else beside / name)


def _as_picture(out: Path) -> Path:
    """The file that a picture goes to: in `out` where that is a folder, and with .png where the name isn't a picture's."""
    out = out / "batch.png" if out.is_dir() else out
    return out if out.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".pdf", ".svg") else out.with_name(f"{out.name}.png")


def _from_here(path: Path) -> Path:
    """A path as one would type it here."""
    try:
        return Path(os.path.relpath(path))
    except ValueError:  # on another drive
        return path


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """The folder for the results, made before the work begins; where that fails, what was made and is empty goes again."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(
            f"The results can't be written to {str(folder)!r} ({error.strerror}). Say where they may go: --out FOLDER."
        ) from None
    try:
        yield
    except BaseException:
        with suppress(OSError):  # not empty
            for place in new:
                place.rmdir()
        raise


def for_shell(path: str | Path) -> str:
    """A path as a command line takes it: quoted where it has spaces or the like."""
    import shlex
    import subprocess

    return subprocess.list2cmdline([str(path)]) if os.name == "nt" else shlex.quote(str(path))


def _batch_size(folder: str) -> int:
    """64, and less for few photographs, so that an epoch has some ten steps; not below 16, which batch statistics need."""
    from burnish.data.files import get_image_files

    n = len(get_image_files(_photos(folder)))
    return next((size for size in (64, 32) if n >= 10 * size), 16)


def _write_results(console: Console, learn: Any, out: Path) -> None:
    from burnish.deploy.report import write_report
    from burnish.evaluate.interpret import ClassificationInterpretation

    interp: Any = ClassificationInterpretation.from_learner(learn)
    model = learn.export("model.burnish")
    _save(out / "batch.png", lambda: learn.dls.show_batch(max_n=9))
    _save(out / "loss.png", lambda: learn.recorder.plot_loss())
    _save(out / "confusion.png", lambda: interp.plot_confusion_matrix())
    _save(out / "top_losses.png", lambda: interp.plot_top_losses(9))
    write_report(learn, "report.html", interp=interp, model_file=model)
    made = _table("Written", "", "")
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


def _save(path: Path, draw: Any) -> None:
    """Draws without a display and writes the figure to `path`."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    draw()
    plt.gcf().savefig(path, dpi=110, bbox_inches="tight")
    plt.close("all")


# -- predict ----------------------------------------------------------------------------------------------------------


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A model that 'burnish train' or learn.export() wrote.")],
    files: Annotated[list[str], typer.Argument(help="Photographs, or folders of them.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with the probabilities of all labels.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with the probabilities of all labels.")] = False,
    device: Annotated[str, typer.Option(help="Where it runs.")] = "cpu",
) -> None:
    """Say what photographs show. Exit code 1 when some can't be read."""
    from burnish.deploy.predictor import Predictor

    if as_json and as_csv:
        raise SettingError("--json and --csv were both given; choose one.")
    table = Predictor(model, device=device).table(_expanded(files), all_probabilities=as_json or as_csv)
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
    console, shown = _console(sys.stdout), _table("file", "label", "probability")
    shown.columns[2].justify = "right"
    shown.columns[2].no_wrap = shown.columns[1].no_wrap = True
    for row in table.to_dict("records"):
        if row["error"]:
            shown.add_row(_plain(_end_of(row["file"])), "can't be read", "")
        else:
            sure = "" if row["probability"] != row["probability"] else f"{row['probability']:.1%}"
            shown.add_row(_plain(_end_of(row["file"])), _plain(row["label"]), sure)
    console.print(shown)
    for error in table.loc[table["error"] != "", "error"]:
        print(f"burnish: {in_options(error)}", file=sys.stderr)


def _end_of(file: str, most: int = 44) -> str:
    """The end of a long path, cut between folders where it can be: the name tells more than the folders."""
    if len(file) <= most:
        return file
    tail = file[-(most - 2) :]
    cut = tail.find("/")
    return f"…{tail[cut:]}" if cut >= 0 else f"…{tail}"


# -- show, doctor -----------------------------------------------------------------------------------------------------


@app.command()
def show(
    folder: Annotated[str, typer.Argument(help="A folder with a sub-folder of photographs a class, or 'sample'.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the picture of a training batch goes; default: batch.png, never inside FOLDER.")
    ] = None,
    size: Annotated[int, typer.Option(min=8, help="Side in pixels of what a model would see.")] = 224,
    valid: Annotated[
        float | None, typer.Option(min=0.01, max=0.9, help="Share that validates; default: the folder 'valid', or a fifth.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes the split.")] = 42,
) -> None:
    """Look at a folder of photographs before training.

    Prints counts and checks, and draws a training batch.
    """
    console, out = _console(), _as_picture(_place(out, _photos(folder), "batch.png"))
    dls = _loaders(folder, size=size, valid=valid, test=0.0, seed=seed, bs=None, augment=True, balance=None, device="cpu")
    _say_counts(console, dls, folder)
    console.print()
    print(in_options(str(dls.check())))
    with _made(out.parent):
        _save(out, lambda: dls.show_batch(max_n=9))
    console.print(f"\nA training batch is drawn in {out}. Next:", highlight=False)
    console.print(f"  burnish train {for_shell(folder)}", highlight=False, soft_wrap=True)


@app.command()
def doctor() -> None:
    """Look at this installation and whether it works.

    Lists versions and the device, and runs a small network on it.
    """
    from burnish.doctor import diagnose

    findings = diagnose()
    shown = _table("", "found", "")
    for finding in findings:
        shown.add_row(finding.name, _plain(finding.found), "ok" if finding.ok else "PROBLEM")
    console = _console(sys.stdout)
    console.print(shown)
    problems = [f for f in findings if not f.ok]
    for finding in problems:
        console.print(f"{finding.name}: {finding.todo}", highlight=False, markup=False)
    if problems:
        raise typer.Exit(1)
    console.print("All is well.", highlight=False)


# -- saying it --------------------------------------------------------------------------------------------------------


def _say_counts(console: Console, dls: Any, folder: str, most: int = 20) -> None:
    """Photographs by class and split."""
    from burnish.train.record import class_counts

    counts = class_counts(dls.table)
    labels = sorted({label for by_class in counts.values() for label in by_class}, key=str)
    said = f"{_counted(len(dls.table), 'photograph', 's')} in {_counted(len(labels), 'class', 'es')}, from {folder}"
    console.print(said, highlight=False, markup=False)
    shown = _table("class", *counts)
    for column in shown.columns[1:]:
        column.justify = "right"
    for label in labels[:most]:
        shown.add_row(_plain(label), *(str(by_class.get(label, 0)) for by_class in counts.values()))
    if len(labels) > most:
        shown.add_row(f"and {len(labels) - most} more", *("" for _ in counts))
    shown.add_row("all", *(str(sum(by_class.values())) for by_class in counts.values()), style="bold")
    console.print(shown)


def _counted(n: int, what: str, ending: str) -> str:
    return f"{n} {what}{'' if n == 1 else ending}"


def _console(file: Any = None) -> Console:
    from rich.console import Console

    return Console(file=file or sys.stdout, soft_wrap=False)


def _table(*header: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in header:
        table.add_column(name, overflow="fold")
    return table


def _plain(value: Any) -> str:
    """A file's name or a label with its brackets as they are: rich would take them for markup."""
    from rich.markup import escape

    return escape(str(value))


if __name__ == "__main__":
    main()
