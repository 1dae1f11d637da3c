"""The command line: the same verbs as the API. ``burnish train FOLDER``, ``burnish train DATA.csv``, ``predict``, ``show``,
``clean``, ``doctor``.

Everything heavy is imported inside the commands, so that ``burnish --help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from burnish.cli import images, tables
from burnish.cli.saying import console_of, plain, table_of
from burnish.cli.targets import Asked
from burnish.data.notes import worded
from burnish.data.screen import wrapped
from burnish.errors import DataError, ModelFileError, NotTrainableError, OfflineError, SettingError, listed
from burnish.wording import in_options

EXPLAINED = (DataError, SettingError, ModelFileError, NotTrainableError, OfflineError, OSError)
OF_PHOTOS, OF_TABLES = "of photographs", "of a table"
OF_PICTURES = "of photographs (--pictures COLUMN says which column of a table names them)"
NOT_OF_RATINGS = ("arch", "balance", "task", "categories", "numbers")

app = typer.Typer(
    name="burnish", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="From a folder of photographs, or a table, to a model that you can inspect, share and run.",
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
        print(wrapped(f"burnish: {in_options(str(error))}\n(--debug shows where this happened)", sys.stderr), file=sys.stderr)
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


# -- the options of 'train', as the help lists them --------------------------------------------------------------------------
Data = Annotated[
    str,
    typer.Argument(
        metavar="FOLDER|FILE.csv|FILE.json",
        help="A folder with a sub-folder of photographs a class, or with 'images' and 'masks'; a table; a COCO file of boxes; or 'sample', the photographs that come along.",
    ),
]
Arch = Annotated[
    str | None,
    typer.Option(help="(photographs, table) The architecture; for photographs any name timm knows, for a table 'realmlp' or 'mlp'."),
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the training data in which the whole model learns.")]
FreezeEpochs = Annotated[int, typer.Option(min=0, help="(photographs) Passes before those, in which only the head learns.")]
Size = Annotated[int, typer.Option(min=8, help="(photographs) Side in pixels of what the model sees.")]
Pictures = Annotated[
    str | None,
    typer.Option(help="(table) The column that names pictures, relative to the table: they are what the model sees. (COCO) Their folder."),
]
Target = Annotated[str | None, typer.Option(help="(table) The column to predict; with --pictures also several, with commas between them.")]
Task = Annotated[
    str,
    typer.Option(
        help="(table) 'class' or 'number', where what is found isn't what is meant; with --pictures also 'labels', 'points', 'masks', 'boxes'."
    ),
]
Delim = Annotated[str | None, typer.Option(help="(--pictures) What stands between several labels in a cell: ' ' or ';'.")]
Codes = Annotated[
    str | None, typer.Option(help="(masks) The names of the classes 0, 1, 2 ..., with commas between them; default: the file codes.txt.")
]
Suffix = Annotated[str | None, typer.Option(help="(masks) What a mask's name has beyond its picture's: '_mask'.")]
ValidCol = Annotated[
    str | None, typer.Option(help="(table) The column that says which rows validate: True or False, or 'train', 'valid' and 'test'.")
]
Categories = Annotated[str | None, typer.Option(help="(table) The columns that are categories, with commas between them.")]
Numbers = Annotated[str | None, typer.Option(help="(table) The columns that are numbers, with commas between them.")]
User = Annotated[str | None, typer.Option(help="(ratings) The column of users.")]
Item = Annotated[str | None, typer.Option(help="(ratings) The column of items.")]
Rating = Annotated[str | None, typer.Option(help="(ratings) The column of ratings.")]
Factors = Annotated[int | None, typer.Option(min=1, help="(ratings) Numbers that describe a user and an item; default: 50.")]
Titles = Annotated[str | None, typer.Option(help="(ratings) A table's file with the items and their titles, shown beside the ids.")]
Sep = Annotated[str | None, typer.Option(help="(table) What is between the cells of a CSV file, where it is no comma: ';', or 'tab'.")]
Encoding = Annotated[str | None, typer.Option(help="(table) The encoding of a CSV file, where it isn't UTF-8: 'cp1252', say.")]
Decimal = Annotated[str | None, typer.Option(help="(table) The decimal sign of a CSV file, where it is no point: ','.")]
Group = Annotated[str | None, typer.Option(help="(table) Keep rows of one value of this column on one side of the split.")]
Time = Annotated[str | None, typer.Option(help="(table) Validate on the latest rows by this column.")]
Valid = Annotated[float | None, typer.Option(min=0.01, max=0.9, help="Share that validates; default: the folder 'valid', or a fifth.")]
Test = Annotated[float, typer.Option(min=0.0, max=0.9, help="Share kept aside for a last test.")]
Seed = Annotated[int, typer.Option(help="Fixes the split, the order and every draw.")]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder for the model, the report and the pictures; default: burnish-out, never inside FOLDER. What an earlier training left there moves to earlier-1 in it."
    ),
]
Pretrained = Annotated[bool, typer.Option("--pretrained/--no-pretrained", help="(photographs) Begin with weights learned on ImageNet.")]
Weights = Annotated[str | None, typer.Option(help="(photographs) Where the weights are: a file, a folder, or 'offline'.")]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Batch size; default: by how much data there is.")]
Rate = Annotated[
    float | None,
    typer.Option(min=0.0, help="Learning rate; default: 0.002 for photographs, 0.02 for a table (0.001 of 'mlp'), 0.005 for ratings."),
]
Augment = Annotated[bool, typer.Option("--augment/--no-augment", help="(photographs) Vary them in training: flip, rotate, zoom, light.")]
Balance = Annotated[str | None, typer.Option(help="(photographs, table) For unbalanced classes: 'sample' or 'loss'.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; default: the accelerator if there is one.")]


@app.command()
def train(
    context: typer.Context, data: Data, arch: Arch = None, epochs: Epochs = None, freeze_epochs: FreezeEpochs = 1, size: Size = 224,
    pictures: Pictures = None, target: Target = None, task: Task = "auto", delim: Delim = None, codes: Codes = None, suffix: Suffix = None, categories: Categories = None, numbers: Numbers = None,
    user: User = None, item: Item = None, rating: Rating = None, factors: Factors = None, titles: Titles = None, sep: Sep = None, encoding: Encoding = None,
    decimal: Decimal = None, group: Group = None, time: Time = None, valid_col: ValidCol = None, valid: Valid = None, test: Test = 0.0, seed: Seed = 42, out: Out = None,
    pretrained: Pretrained = True, weights: Weights = None, bs: BatchSize = None, lr: Rate = None, augment: Augment = True,
    balance: Balance = None, device: Device = None,
) -> None:  # fmt: skip
    """Train a model on photographs, a table or ratings.

    A table needs --target (and --pictures where it names pictures), ratings need --user, --item and --rating. Writes the model, a report and pictures to a folder.
    """
    shared: dict[str, Any] = {
        "arch": arch, "epochs": epochs, "valid": valid, "test": test, "seed": seed, "out": out, "bs": bs, "lr": lr, "balance": balance, "device": device,
    }  # fmt: skip
    of_photos = {"freeze_epochs": freeze_epochs, "size": size, "pretrained": pretrained, "weights": weights, "augment": augment}
    if valid_col is not None and (given := _given(context, ("valid", "test", "group", "time"))):
        raise SettingError(
            f"--valid-col and {listed(given)} were both given, and the column says which rows validate, and test. Leave out one of them."
        )
    of_table = {
        "target": target, "task": task, "categories": categories, "numbers": numbers, "user": user, "item": item, "rating": rating,
        "factors": factors, "titles": titles, "group": group, "time": time, "valid_col": valid_col,
    }  # fmt: skip
    if tables.is_table(data) and pictures is None:
        _refuse_others(context, (*of_photos, "delim", "codes", "suffix"), OF_PICTURES, data)
        of_ratings = _given(context, ("user", "item", "rating"))
        if of_ratings and (unknown := _given(context, NOT_OF_RATINGS)):
            raise SettingError(
                f"{listed(unknown)}: a model of ratings has no such options, and {listed(of_ratings)} asks for one. Leave them out."
            )
        tables.train(data, **of_table, written=tables.Written(sep, encoding, decimal), **shared)
    else:
        own = ("target", "task", "valid_col", *(tables.Written._fields if tables.is_table(data) else ()))
        _refuse_others(context, [name for name in (*of_table, *tables.Written._fields) if name not in own], OF_TABLES, data)
        asked = Asked(pictures, target, task, delim, codes, suffix, valid_col, tables.Written(sep, encoding, decimal))
        images.train(data, asked=asked, **of_photos, **shared)


def _refuse_others(context: typer.Context, names: Any, whose: str, data: str) -> None:
    """Raises SettingError for options that were given and belong to another kind of data."""
    given = _given(context, names)
    if given:
        what = "a table" if tables.is_table(data) else "a folder of photographs" if not data.lower().endswith(".json") else "a COCO file"
        raise SettingError(f"{listed(given)}: these are options {whose}, and {data!r} is {what}. Leave them out.")


def _given(context: typer.Context, names: Any) -> list[str]:
    """Those options that were given on the command line, as they are written there."""
    return [f"--{name.replace('_', '-')}" for name in names if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"]


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A model that 'burnish train' or learn.export() wrote.")],
    files: Annotated[list[str], typer.Argument(help="Photographs, or folders of them; or tables, for a model of a table.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with the probabilities of all labels.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with the probabilities of all labels.")] = False,
    sep: Sep = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
    masks: Annotated[
        Path | None, typer.Option(help="(a model of masks) A folder that gets the predicted masks, as PNGs of class numbers.")
    ] = None,
    draw: Annotated[
        Path | None, typer.Option(help="(photographs) A folder that gets each photograph with what is said of it drawn over it, as a PNG.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, help="(a model of boxes, or of several labels) Tell those above this score; default: the model's own."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where it runs.")] = "cpu",
) -> None:
    """Say what photographs show, or predict rows of a table.

    Exit code 1 when some can't be read.
    """
    from burnish.deploy.predictor import Predictor

    if as_json and as_csv:
        raise SettingError("--json and --csv were both given; choose one.")
    predictor = Predictor(model, device=device)
    from burnish.data.show import rows_only

    inputs = predictor.learn.dls.input_blocks
    if len(inputs) > 1 and not rows_only(inputs):
        raise SettingError(
            f"This model takes {len(inputs)} inputs a sample ({', '.join(type(b).__name__ for b in inputs)}), which a command line of files can't tell apart. "
            "In Python: Predictor(model).predict((first, second))."
        )
    if rows_only(inputs):
        if given := [f"--{name}" for name, value in (("masks", masks), ("draw", draw), ("threshold", threshold)) if value is not None]:
            raise SettingError(f"{listed(given)}: of photographs, and this model is of a table. Leave it out.")
        tables.predict(predictor.learn, files, tables.Written(sep, encoding, decimal), as_json, as_csv)
    else:
        if any(value is not None for value in (sep, encoding, decimal)):
            raise SettingError("--sep, --encoding and --decimal are of tables, and this model is of photographs. Leave them out.")
        if threshold is not None:
            images.set_threshold(predictor, threshold)
        images.predict(predictor, files, as_json, as_csv, masks, draw)


@app.command()
def show(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER|FILE.csv|FILE.json",
            help="A folder with a sub-folder of photographs a class, or with 'images' and 'masks'; 'sample'; a table; a COCO file.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="(photographs) Where the picture of a training batch goes; default: batch.png, never inside FOLDER."),
    ] = None,
    size: Annotated[int, typer.Option(min=8, help="(photographs) Side in pixels of what a model would see.")] = 224,
    valid: Annotated[
        float | None, typer.Option(min=0.01, max=0.9, help="(photographs) Share that validates; default: the folder 'valid', or a fifth.")
    ] = None,
    pictures: Pictures = None,
    target: Target = None,
    task: Task = "auto",
    delim: Delim = None,
    codes: Codes = None,
    suffix: Suffix = None,
    valid_col: ValidCol = None,
    user: User = None,
    item: Item = None,
    rating: Rating = None,
    sep: Sep = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
    seed: Annotated[int, typer.Option(help="Fixes the split.")] = 42,
) -> None:
    """Look at photographs, or a table, before training.

    Prints counts and checks; of photographs it draws a training batch.
    """
    if tables.is_table(data) and pictures is None:
        _refuse_others(context, ("out", "size", "valid", "task", "delim", "codes", "suffix"), OF_PICTURES, data)
        pairs = {"user": user, "item": item, "rating": rating}
        tables.show(data, target=target, pairs=pairs, valid_col=valid_col, written=tables.Written(sep, encoding, decimal), seed=seed)
    else:
        _refuse_others(context, ("user", "item", "rating", *(() if tables.is_table(data) else tables.Written._fields)), OF_TABLES, data)
        asked = Asked(pictures, target, task, delim, codes, suffix, valid_col, tables.Written(sep, encoding, decimal))
        if valid_col is not None and valid is not None:
            raise SettingError("--valid-col and --valid were both given, and the column says which rows validate. Leave out one of them.")
        images.show(data, asked=asked, out=out, size=size, valid=valid, seed=seed)


@app.command()
def clean(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model of these classes, that 'burnish train' or learn.export() wrote.")],
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="The folder with a sub-folder of photographs a class.")],
    sort: Annotated[
        str, typer.Option(help="'suspicion' looks for wrong labels, copies and odd files first; 'loss' goes by the model alone.")
    ] = "suspicion",
    undo: Annotated[bool, typer.Option("--undo", help="Take back what was applied last, and stop.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the page is served; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    out: Annotated[
        Path | None, typer.Option(help="Folder for choices, changes and the trash; default: burnish-out, never inside FOLDER.")
    ] = None,
    valid: Valid = None,
    seed: Seed = 42,
    weights: Annotated[
        str | None, typer.Option(help="Pretrained weights by which pictures are compared: a file, a folder, or 'offline'.")
    ] = None,
    device: Device = None,
) -> None:
    """Look through photographs, and correct or remove what is wrong.

    Opens a page on this computer alone. Nothing changes before you apply; --undo takes it back.
    """
    from burnish.cli import cleaning

    cleaning.clean(
        model, folder, sort=sort, undo=undo, port=port, browser=browser, out=out, valid=valid, seed=seed, weights=weights, device=device
    )


@app.command()
def doctor() -> None:
    """Look at this installation and whether it works.

    Lists versions and the device, and runs a small network on it.
    """
    from burnish.doctor import diagnose

    findings = diagnose()
    shown = table_of("", "found", "")
    for finding in findings:
        shown.add_row(finding.name, plain(finding.found), "ok" if finding.ok else "PROBLEM")
    console = console_of(sys.stdout)
    console.print(shown)
    problems = [f for f in findings if not f.ok]
    for finding in problems:
        console.print(f"{finding.name}: {finding.todo}", highlight=False, markup=False)
    if problems:
        raise typer.Exit(1)
    console.print("All is well.", highlight=False)
