"""The commands on tables and ratings: a CSV file (or Parquet, or tab-separated)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from burnish.cli.places import for_shell, made, put_earlier_aside
from burnish.cli.saying import check_follows, console_of, plain, save, say_test, table_of
from burnish.data.notes import captured_notes, note
from burnish.data.screen import wrapped
from burnish.errors import DataError, SettingError, listed, nearest, short
from burnish.wording import in_options

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from burnish.data.findings import Report

TASKS = ("auto", "class", "number")
MOST_SHOWN = 20  # rows of predictions on screen
MOST_COLUMNS = 30  # whose importance the report has
FEW_RATINGS = 50_000  # below which batches are small
RATINGS_EPOCHS = 10  # with batches of that size and the learner's own weight decay good for few ratings and for many


def is_table(given: str) -> bool:
    """Whether a command was given a table's file, or what looks like one that isn't there."""
    from burnish.tabular.files import SUFFIXES

    return Path(given).suffix.lower() in SUFFIXES and not Path(given).is_dir()


class Written(NamedTuple):
    """How a CSV file is written, where that isn't what pandas expects."""

    sep: str | None = None
    encoding: str | None = None
    decimal: str | None = None


def read(file: str, written: Written | None = None) -> pd.DataFrame:
    """A table's file."""
    from burnish.tabular.files import CSV, read_file

    options = {name: value for name, value in (written or Written())._asdict().items() if value is not None}
    if options and Path(file).suffix.lower() not in CSV:
        raise SettingError(
            f"{listed(f'--{name}' for name in options)}: {file!r} is no CSV file, so there is nothing to say of how it is written."
        )
    if options.get("sep") in ("\\t", "tab"):
        options["sep"] = "\t"
    return read_file(file, **options)


def train(
    file: str, *, target: str | None, task: str, categories: str | None, numbers: str | None, user: str | None, item: str | None, rating: str | None, group: str | None, time: str | None, valid_col: str | None,
    factors: int | None, titles: str | None, written: Written, arch: str | None, epochs: int | None, valid: float | None, test: float, seed: int, out: Path | None, bs: int | None, lr: float | None,
    balance: str | None, device: str | None,
) -> None:  # fmt: skip
    """Trains a model on a table, to predict one of its columns; or on ratings, to recommend. Writes the model, a report and pictures."""
    console, out = console_of(), out or Path("burnish-out")
    frame = read(file, written)
    check_column(frame, "valid-col", valid_col)
    splitter = _splitter(group, time, valid_col, valid, test, seed)
    console.print(f"{len(frame):,} rows and {len(frame.columns)} columns, from {file}", highlight=False, markup=False)
    if (user or item or rating) is not None:
        if target is not None:
            raise SettingError("--target is of a table, and --user, --item, --rating are of ratings; give one or the other.")
        pairs = {
            "user_name": user,
            "item_name": item,
            "rating_name": rating,
            "titles": None if titles is None else _titles(titles, file, written),
        }
        learn, what = _ratings_learner(frame, pairs, splitter, seed, bs, factors, device), "ratings"
    else:
        if given := [name for name, value in (("--factors", factors), ("--titles", titles)) if value is not None]:
            raise SettingError(f"{listed(given)}: of ratings; say which columns they are in, with --user, --item and --rating.")
        columns = {"cat_names": _names(categories), "cont_names": _names(numbers)}
        learn, what = _table_learner(frame, target, task, columns, splitter, seed, bs, balance, device, arch), target
    with made(out):
        learn.path = out
        console.print(
            f"\nTraining {learn.arch} to predict {what}, batches of {learn.dls.bs}, on {learn.dls.device}, seed {seed}.", highlight=False
        )
        learn.fit_one_cycle(_epochs(learn) if epochs is None else epochs, lr)
        others = learn.quick_baselines()
        if others is not None:
            _say_models(console, learn, others)
        if learn.dls.test is not None:
            say_test(console, learn)
        _write(console, learn, out, others)


def check_column(frame: pd.DataFrame, option: str, name: str | None) -> None:
    """Raises SettingError where an option names a column that the table doesn't have."""
    if name is not None and name not in frame.columns:
        raise SettingError(
            f"--{option} {name!r}: the table has no such column. It has: {listed(frame.columns, 20)}.{nearest(name, map(str, frame.columns))}"
        )


def _splitter(group: str | None, time: str | None, valid_col: str | None, valid: float | None, test: float, seed: int) -> Any:
    from burnish.data.split import ColSplitter, GroupSplitter, RandomSplitter, TimeSplitter

    share = 0.2 if valid is None else valid
    if group is not None and time is not None:
        raise SettingError("--group and --time were both given: the rows are split by one of them.")
    if group is not None:
        return GroupSplitter(group, share, test, seed)
    if time is not None:
        return TimeSplitter(time, share, test)
    if valid_col is not None:
        return ColSplitter(valid_col)
    return None if valid is None and not test else RandomSplitter(share, seed, test)


def _table_learner(
    frame: pd.DataFrame, target: str | None, task: str, columns: dict[str, Any], splitter: Any, seed: int, bs: int | None, balance: str | None, device: str | None,
    arch: str | None,
) -> Any:  # fmt: skip
    from burnish.data.category import CategoryBlock
    from burnish.data.number import RegressionBlock
    from burnish.tabular.dataloaders import TabularDataLoaders
    from burnish.tabular.learner import tabular_learner

    if target is None:
        raise SettingError(
            f"Say which column is to be predicted: --target NAME. The table has: {listed(frame.columns, 30)}. For ratings: --user, --item and --rating."
        )
    if task not in TASKS:
        raise SettingError(f"--task {task!r}: expected one of {', '.join(map(repr, TASKS))}.")
    block = {"auto": None, "class": CategoryBlock(), "number": RegressionBlock()}[task]
    dls = TabularDataLoaders.from_df(
        frame,
        **columns,
        y_names=target,
        y_block=block,
        splitter=splitter,
        seed=seed,
        bs=bs or _batch_size(len(frame)),
        balance=balance,
        device=device,
    )
    return tabular_learner(dls, seed=seed, arch=arch)


def _ratings_learner(
    frame: pd.DataFrame, pairs: dict[str, Any], splitter: Any, seed: int, bs: int | None, factors: int | None, device: str | None
) -> Any:
    from burnish.collab.dataloaders import CollabDataLoaders
    from burnish.collab.learner import collab_learner

    size = bs or (64 if len(frame) < FEW_RATINGS else 256)
    dls = CollabDataLoaders.from_df(frame, **pairs, splitter=splitter, seed=seed, bs=size, device=device)
    return collab_learner(dls, seed=seed) if factors is None else collab_learner(dls, n_factors=factors, seed=seed)


def _titles(titles: str, file: str, written: Written) -> pd.DataFrame:
    """The table of titles; a file of the same kind as the ratings' is written in the same way."""
    return read(titles, written if Path(titles).suffix.lower() == Path(file).suffix.lower() else None)


def _names(given: str | None) -> list[str] | None:
    """The names in a list with commas between them."""
    return None if given is None else [name.strip() for name in given.split(",") if name.strip()]


def _batch_size(n: int) -> int:
    """Some fifty steps an epoch for small tables, and fewer, larger ones for large tables."""
    return next((size for size in (1024, 512, 256, 128, 64) if n >= 100 * size), 32)


def _epochs(learn: Any) -> int:
    """More passes over few rows: some 3,000 steps, between 5 and 40 passes. Of ratings ten: more would learn them by heart."""
    if learn.dls.kind == "collab":
        return RATINGS_EPOCHS
    return max(5, min(40, 3000 // max(1, len(learn.dls.train))))


# -- saying it --------------------------------------------------------------------------------------------------------
def _say_models(console: Console, learn: Any, others: pd.DataFrame) -> None:
    """The other models beside the network, and in words if one of them is clearly better."""
    from burnish.evaluate.summary import chosen_metrics
    from burnish.tabular.baselines import clearly_better

    names = [c for c in others.columns if c not in ("model", "seconds") and not c.endswith(("_low", "_high"))]
    shown = table_of("on the validation rows", *names, "seconds")
    for column in shown.columns[1:]:
        column.justify = "right"
    for row in others.to_dict("records"):
        seconds = "" if row["seconds"] != row["seconds"] else f"{row['seconds']:.1f}"
        shown.add_row(plain(row["model"]), *(short(row[name]) for name in names), seconds)
    console.print()
    console.print(shown)
    metric, own = chosen_metrics(learn)[0], others.iloc[0]
    values = dict(zip(others["model"].iloc[1:], others[metric.name].iloc[1:], strict=True))
    best = clearly_better(list(values.items()), own[f"{metric.name}_low"], own[f"{metric.name}_high"], metric.better)
    if best is not None:
        said = f"{metric.name} {short(values[best])}; the network {short(own[metric.name])}, 95 % interval {short(own[f'{metric.name}_low'])} to {short(own[f'{metric.name}_high'])}"
        console.print(f"Better than the network here: {best} ({said}).", highlight=False, markup=False, soft_wrap=True)


def _write(console: Console, learn: Any, out: Path, others: pd.DataFrame | None) -> None:
    from burnish.deploy.report import write_report

    put_earlier_aside(out)
    model, tables, pictures = learn.export("model.burnish"), {}, {}
    written = {
        "report.html": "everything below on one page: open it in a browser",
        "model.burnish": "the model: predicts anywhere, without the table",
    }
    save(out / "loss.png", lambda: learn.recorder.plot_loss())
    written["loss.png"] = "the losses while training"
    if others is not None:
        tables["Other models on the same rows"] = others
    if hasattr(learn, "feature_importance"):
        tables["What the predictions rest on"] = learn.feature_importance().head(MOST_COLUMNS)
        save(out / "importance.png", lambda: learn.plot_importance())
        written["importance.png"] = "the columns that the predictions rest on"
    else:
        save(out / "items.png", lambda: learn.plot_items())
        written["items.png"] = "a map of the items: what is near is liked alike"
        pictures["A map of the items: what is near is liked alike"] = out / "items.png"
    with captured_notes():
        write_report(learn, "report.html", model_file=model, tables=tables, pictures=pictures)
    made_table = table_of("Written", "", "")
    for name, what in written.items():
        made_table.add_row(str(out / name), what)
    console.print()
    console.print(made_table)
    console.print("\nNext, on rows of yours:", highlight=False)
    console.print(f"  burnish predict {for_shell(out / 'model.burnish')} ROWS.csv", highlight=False, soft_wrap=True)


# -- predict, show ------------------------------------------------------------------------------------------------------
def predict(learn: Any, files: list[str], written: Written, as_json: bool, as_csv: bool) -> None:
    """Predicts the rows of tables: each with the columns called TARGET_pred and, for classes, TARGET_prob. JSON and CSV are of the rows of
    all tables, one after the other."""
    for file in files:
        if not is_table(file):
            raise DataError(f"{file!r}: this model predicts the rows of a table, and a file such as rows.csv was expected.")
    if not (as_json or as_csv):
        for file in files:
            frame = read(file, written)
            _say_predictions(predicted(learn, frame), list(frame.columns))
        return
    tables = [predicted(learn, read(file, written), all_probabilities=True) for file in files]
    if as_json:
        rows = [row for table in tables for row in json.loads(table.to_json(orient="records") or "[]")]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    columns = list(tables[0].columns)
    for file, table in zip(files, tables, strict=True):
        if differing := sorted(map(str, set(table.columns) ^ set(columns))):
            raise DataError(
                f"--csv of several tables needs the same columns in all; {file!r} and {files[0]!r} differ in {listed(map(repr, differing))}. "
                "Predict them one by one, or as --json."
            )
    for i, table in enumerate(tables):
        table[columns].to_csv(sys.stdout, index=False, header=i == 0)


def predicted(learn: Any, frame: pd.DataFrame, all_probabilities: bool = False) -> pd.DataFrame:
    """The rows with their predictions beside them."""
    preds = learn.get_preds(dl=learn.dls.test_dl(frame)).preds
    several = isinstance(preds, tuple)
    table = frame.copy()
    for block, names, given in zip(learn.dls.target_blocks, learn.dls.target_names, preds if several else (preds,), strict=True):
        decided = block.decide(given)
        said = [block.decode(d) for d in decided]
        for j, name in enumerate(names):
            _add(table, f"{name}_pred", said if len(names) == 1 else [values[j] for values in said])
        if block.kind == "category":
            _add(table, f"{names[0]}_prob", given.gather(1, decided[:, None])[:, 0].numpy())
            if all_probabilities:
                for i, label in enumerate(block.vocab):
                    _add(table, f"p({label})", given[:, i].numpy())
    return table


def _add(table: pd.DataFrame, name: str, values: Any) -> None:
    """Adds a column; where there is one of that name already its own is NAME_2 (or _3 ...), which is said."""
    n, free = 1, name
    while free in table.columns:
        n += 1
        free = f"{name}_{n}"
    if n > 1:
        note(f"The table has a column {name!r} already, which stays as it is: what is predicted is in {free!r}.")
    table[free] = values


def _say_predictions(table: pd.DataFrame, given: list[str]) -> None:
    console = console_of(sys.stdout)
    new = [c for c in table.columns if c not in given]
    first = given[: max(1, 6 - len(new))]
    shown = table_of("row", *map(str, first), *map(str, new))
    for i, row in enumerate(table.head(MOST_SHOWN).to_dict("records")):
        cells = [short(row[c]) if isinstance(row[c], float) else plain(row[c]) for c in (*first, *new)]
        shown.add_row(str(i), *cells)
    console.print(shown)
    if len(table) > MOST_SHOWN:
        note(f"{len(table) - MOST_SHOWN} more rows; --csv prints all.")


def show(
    file: str, *, target: str | None, pairs: dict[str, str | None], valid_col: str | None, written: Written, seed: int
) -> None:  # fmt: skip
    """Prints what the columns of a table hold and, with a target or the columns of ratings, the checks."""
    import pandas as pd

    console, frame = console_of(), read(file, written)
    if target is not None and any(pairs.values()):
        raise SettingError("--target is of a table, and --user, --item, --rating are of ratings; give one or the other.")
    console.print(f"{len(frame):,} rows and {len(frame.columns)} columns, from {file}", highlight=False, markup=False)
    shown = table_of("column", "kind", "different", "missing", "for example")
    for column in shown.columns[2:4]:
        column.justify = "right"
    for name in frame.columns:
        cells: Any = frame[name].dropna()
        examples = ", ".join(map(str, pd.unique(cells)[:3]))
        shown.add_row(plain(name), str(frame[name].dtype), f"{cells.nunique():,}", f"{frame[name].isna().mean():.0%}", plain(examples[:40]))
    console.print(shown)
    check_column(frame, "valid-col", valid_col)
    said = {"target": target, **pairs, "valid-col": valid_col, **written._asdict()}
    options = "".join(f" --{name} {for_shell(value)}" for name, value in said.items() if value is not None)
    if target is None and not any(pairs.values()):
        console.print("\nWith --target NAME the data is checked for what would spoil a model. Next:", highlight=False)
        options = f" --target NAME{options}"
    else:
        console.print()
        with check_follows():
            found = _checked(frame, target, pairs, valid_col, seed)
        print(wrapped(in_options(str(found)), sys.stdout))
        console.print("\nNext:", highlight=False)
    console.print(f"  burnish train {for_shell(file)}{options}", highlight=False, soft_wrap=True)


def _checked(frame: pd.DataFrame, target: str | None, pairs: dict[str, str | None], valid_col: str | None, seed: int) -> Report:
    from burnish.data.split import ColSplitter

    splitter = None if valid_col is None else ColSplitter(valid_col)
    if target is not None:
        from burnish.tabular.dataloaders import TabularDataLoaders

        return TabularDataLoaders.from_df(frame, y_names=target, splitter=splitter, seed=seed, device="cpu").check()
    from burnish.collab.dataloaders import CollabDataLoaders

    names: Any = {f"{name}_name": column for name, column in pairs.items()}
    return CollabDataLoaders.from_df(frame, **names, splitter=splitter, seed=seed, device="cpu").check()
