"""A prepared table as code for fastai looks at it: all of its rows, those of a split, or new ones, with their columns as a model gets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from burnish.compat.helpers import camel2snake
from burnish.compat.views import Vocab, numbered
from burnish.data.collections import L
from burnish.data.mapped import is_mapped
from burnish.errors import DataError, SettingError, nearest
from burnish.tabular import prepare
from burnish.tabular.features import NA, CategoryFeature, NumberFeature
from burnish.tabular.frames import as_frame, texts_as_categories
from burnish.tabular.procs import Categorify, Dates, FillMissing, Normalize
from burnish.train.results import show_frame


# -- the procs, with what they have learned ---------------------------------------------------------------------------------
class Categories:
    """What `Categorify` has learned: ``classes["race"]``, or ``categorify["race"]``."""

    def __init__(self, classes: Mapping[str, Vocab]) -> None:
        self.classes = dict(classes)

    def __getitem__(self, name: str) -> Vocab:
        return self.classes[name]

    def __repr__(self) -> str:
        return f"Categorify({', '.join(self.classes)})"


class Scales:
    """What `Normalize` has learned: ``means`` and ``stds`` by column; false where the table isn't brought to one scale."""

    def __init__(self, features: Mapping[str, NumberFeature], used: bool) -> None:
        self.means = {name: f.mean for name, f in features.items()}
        self.stds = {name: f.std for name, f in features.items()}
        self.used = used

    def __bool__(self) -> bool:
        return self.used


class Fills:
    """What `FillMissing` has learned: ``na_dict``, by column what stands for missing cells."""

    def __init__(self, features: Mapping[str, NumberFeature], proc: Any) -> None:
        self.na_dict = {name: f.fill for name, f in features.items() if f.na_seen and f.fill is not None}
        self.fill_strategy, self.add_col = getattr(proc, "fill_strategy", "median"), getattr(proc, "add_col", True)
        self.fill_vals = dict(getattr(proc, "fill_vals", {}))


class TableProcs(list[Any]):
    """The procs of a table, in a list, and by name with what they have learned: ``procs.categorify.classes``, ``procs.normalize.means``.

    Args:
        whole: the prepared table, or DataLoaders of it. own: burnish's own reading of the procs, where it is known.
    """

    def __init__(self, whole: Any, own: Any = None) -> None:
        self.whole, self._own = whole, own
        mine = list(whole.procs) if own is None else list(own.own)
        fill, dates = (FillMissing(), None) if own is None else (own.fill, own.dates)
        scaled = True if own is None else own.normalize
        super().__init__([*mine, *([fill] if fill else []), Categorify(), *([Normalize()] if scaled else []), *([dates] if dates else [])])

    @property
    def categorify(self) -> Categories:
        """The categories of each column."""
        return Categories(classes_of(self.whole))

    @property
    def normalize(self) -> Scales:
        """Means and spreads."""
        return Scales(_numbers(self.whole), True if self._own is None else self._own.normalize)

    @property
    def fill_missing(self) -> Fills:
        """What stands for missing cells."""
        return Fills(_numbers(self.whole), None if self._own is None else self._own.fill)

    def __getattr__(self, k: str) -> Any:
        if k.startswith("_") or k == "whole":
            raise AttributeError(k)
        if self._own is not None and k in ("own", "fill", "dates"):
            return getattr(self._own, k)
        named = {
            camel2snake(type(proc).__name__): proc for proc in self if not isinstance(proc, (Categorify, FillMissing, Normalize, Dates))
        }
        if k in named:
            return named[k]
        raise AttributeError(f"The procs of this table have no {k!r}.{nearest(k, [*named, 'categorify', 'normalize', 'fill_missing'])}")


class Classes(Vocab):
    """The categories of a column in the order of their codes, "#na#" first; also the last row of an embedding of burnish's own models, which is of
    what training hasn't seen, is "#na#"."""

    def __getitem__(self, key: Any) -> Any:
        last = isinstance(key, (int, np.integer)) or getattr(key, "ndim", None) == 0
        return NA if last and int(key) == len(self) else super().__getitem__(key)


def _numbers(whole: Any) -> dict[str, NumberFeature]:
    blocks = whole.blocks[: whole.n_inp] if hasattr(whole, "blocks") else ()  # none while a table is being prepared
    return dict(zip(blocks[1].names, blocks[1].features, strict=True)) if len(blocks) > 1 else {}


def classes_of(whole: Any) -> dict[str, Vocab]:
    """Column to its categories, in the order of their codes: "#na#" first."""
    return {name: Classes(items, use_list=True) for name, items in whole.blocks[0].classes.items()}


# -- columns ----------------------------------------------------------------------------------------------------------------
def framed(whole: Any, frame: Any, tensors: Any) -> pd.DataFrame:
    """A table with its features and targets as a model gets them, in the columns that they are made of; features that have none of their own
    (whether a number was missing) come last. Of a table that stays in files, features and targets alone."""
    made: dict[str, np.ndarray] = {}
    for tensor, block in zip(tensors, whole.blocks[: whole.n_inp], strict=False):
        values = prepare._wide(tensor).numpy()
        made |= {name: values[:, i] for i, name in enumerate(block.names)}
    for tensor, target in zip(tensors[whole.n_inp :], whole.targets, strict=False):
        values = tensor.reshape(len(tensor), -1)
        made |= {name: values[:, i].numpy() for i, name in enumerate(target.columns) if i < values.shape[1]}
    order = made if is_mapped(frame) else dict.fromkeys([*frame.columns, *made])
    return pd.DataFrame({name: made[name] if name in made else frame[name].array for name in order}, index=frame.index)


def decoded(whole: Any, items: pd.DataFrame) -> pd.DataFrame:
    """Such a table in words: categories by their names, numbers on their own scale."""
    out = items.copy()
    for block in whole.blocks[: whole.n_inp]:
        for name, feature in zip(block.names, block.features, strict=True):
            if name in out:
                out[name] = _said(feature, out[name].to_numpy())
    for target in whole.targets:
        vocab = getattr(target.block, "vocab", None)
        if vocab is not None and len(target.columns) == 1 and target.columns[0] in out:
            codes = out[target.columns[0]]
            if pd.api.types.is_numeric_dtype(codes):
                out[target.columns[0]] = [vocab[int(code)] for code in codes]
    return out


def _said(feature: Any, made: np.ndarray) -> Any:
    if isinstance(feature, CategoryFeature):
        said = np.array([*feature.classes, NA], dtype=object)  # the last, what training hasn't seen
        return said[np.clip(made.astype(np.int64), 0, len(said) - 1)]
    values = made.astype(np.float64) * feature.std + feature.mean
    places = 10.0 ** (5 - np.floor(np.log10(np.maximum(np.abs(values), feature.std))))  # six figures, which float32 holds
    return np.round(values * places) / places


class TableView:
    """What all of these have: the table itself, the rows of a split, new rows."""

    whole: Any
    items: Any
    xs: Any
    ys: Any

    @property
    def cat_names(self) -> L[str]:
        """The features that are categories."""
        return L(self.whole.blocks[0].names, use_list=True)

    @property
    def cont_names(self) -> L[str]:
        """The features that are numbers."""
        return L(self.whole.blocks[1].names if self.whole.n_inp > 1 else [], use_list=True)

    @property
    def y_names(self) -> L[str]:
        """The columns of the target(s)."""
        return L([name for target in self.whole.targets for name in target.columns], use_list=True)

    @property
    def x_names(self) -> L[str]:
        """The names of the features."""
        return self.cat_names + self.cont_names

    @property
    def all_col_names(self) -> L[str]:
        """The names of features and targets."""
        return self.x_names + self.y_names

    @property
    def cats(self) -> pd.DataFrame:
        """The codes of the categories."""
        return self.xs[list(self.cat_names)]

    @property
    def conts(self) -> pd.DataFrame:
        """The numbers, filled and scaled."""
        return self.xs[list(self.cont_names)]

    @property
    def targ(self) -> pd.DataFrame:
        """The encoded targets."""
        return self.ys

    @property
    def y(self) -> pd.Series:
        """The first of them."""
        return self.ys.iloc[:, 0]

    @property
    def all_cols(self) -> pd.DataFrame:
        """Features and targets."""
        return self.items[[name for name in self.all_col_names if name in self.items]]

    @property
    def iloc(self) -> Any:
        """Rows by position, as a model gets them."""
        return self.items.iloc

    @property
    def loc(self) -> Any:
        """Rows by their index."""
        return self.items.loc

    @property
    def classes(self) -> dict[str, Vocab]:
        """Column to its categories, in the order of their codes: "#na#" first."""
        return classes_of(self.whole)

    @property
    def vocab(self) -> Any:
        """The labels of the target."""
        found = [target.block.vocab for target in self.whole.targets if getattr(target.block, "vocab", None) is not None]
        if not found:
            raise AttributeError("The target is no category, so it has no vocab.")
        return numbered(found[0])

    @property
    def c(self) -> int:
        """How many outputs a model needs."""
        return sum(target.block.n_out for target in self.whole.targets)

    def decode(self) -> Rows:
        """The same rows in words: categories by their names, numbers on their own scale, missing ones as they were filled."""
        return Worded(self.whole, decoded(self.whole, self.items))

    def decode_row(self, row: Any) -> pd.Series:
        """A row of ``items`` in words."""
        return decoded(self.whole, pd.DataFrame([row])).iloc[0]

    def new(self, df: Any) -> Rows:
        """Other rows, to be made ready as these were: ``rows = to.new(df); rows.process(); rows.xs``."""
        return Rows(self.whole, as_frame(df, True, say_names=False))

    def show(self, max_n: int = 10) -> None:
        """Shows the first rows in words."""
        items = self.items.head(max_n)
        names = [name for name in self.all_col_names if name in items]
        shown: Any = decoded(self.whole, items)[names]
        show_frame(shown)


class Rows(TableView):
    """Rows of a prepared table: of a split, or new ones, which ``process()`` makes ready.

    Args:
        whole: the prepared table, or DataLoaders of it. frame: the rows as they were given.
        tensors: the same, encoded, one a block; None where they aren't yet.
        places: their positions in the whole table; None of new rows.
    """

    def __init__(self, whole: Any, frame: pd.DataFrame, tensors: Any = None, places: np.ndarray | None = None) -> None:
        self.whole, self.frame, self.places = whole, frame, places
        self.tensors: tuple[torch.Tensor, ...] | None = tensors
        self._made: pd.DataFrame | None = None

    @property
    def rows(self) -> np.ndarray | None:
        """Their positions in the whole table; None of new rows."""
        return self.places

    @property
    def items(self) -> pd.DataFrame:
        """The rows: as a model gets them once they are ready; what is changed in them, a loader of them gives."""
        if self.tensors is None:
            return self.frame
        if self._made is None:
            self._made = framed(self.whole, self.frame, self.tensors)
        return self._made

    def process(self) -> None:
        """Makes new rows ready: codes, numbers filled and scaled; the target too, where all of it is there and known."""
        if self.tensors is not None:
            return
        self.frame = frame = applied(self.whole, self.frame)
        blocks = self.whole.blocks[: self.whole.n_inp]
        cells = texts_as_categories(frame, [name for name in self.y_names if name in frame])
        self.tensors = (*prepare.encode_rows(blocks, cells), *(targets_in(self.whole, frame) or ()))

    @property
    def xs(self) -> pd.DataFrame:
        """The features, as other models take them."""
        self.process()
        chosen: Any = self.items[list(self.x_names)]
        return chosen

    @property
    def ys(self) -> pd.DataFrame:
        """The encoded targets."""
        self.process()
        chosen: Any = self.items[[name for name in self.y_names if name in self.items]]
        return chosen

    @property
    def procs(self) -> TableProcs:
        """The procs, with what they have learned."""
        return procs_of(self.whole)

    def changed(self) -> tuple[torch.Tensor, ...]:
        """The tensors, with what was changed in ``items``."""
        assert self.tensors is not None
        if self._made is None:
            return self.tensors
        names = [block.names for block in self.whole.blocks[: self.whole.n_inp]] + [target.columns for target in self.whole.targets]
        out = []
        for tensor, columns in zip(self.tensors, names, strict=False):
            values = tensor.reshape(len(tensor), -1)
            parts = [self._made[name].to_numpy(dtype=values.numpy().dtype) for name in columns if name in self._made]
            given = torch.from_numpy(np.stack(parts, 1)) if len(parts) == values.shape[1] and parts else values
            out.append(given.reshape(tensor.shape))
        return tuple(out)

    def __len__(self) -> int:
        return len(self.frame)

    def __getattr__(self, k: str) -> Any:
        if k.startswith("_") or k in ("whole", "frame", "tensors", "places"):
            raise AttributeError(k)
        try:
            return getattr(self.procs, k)
        except AttributeError:
            raise AttributeError(f"Rows of a table have no attribute {k!r}, nor have its procs.") from None


class Worded(Rows):
    """Rows in words."""

    def process(self) -> None:
        """Nothing: they are what they are."""

    def decode(self) -> Rows:
        return self

    def show(self, max_n: int = 10) -> None:
        show_frame(self.all_cols.head(max_n))


def procs_of(whole: Any) -> TableProcs:
    """The procs of a prepared table, or of DataLoaders."""
    return whole.procs if isinstance(whole.procs, TableProcs) else TableProcs(whole)


def applied(whole: Any, frame: pd.DataFrame) -> pd.DataFrame:
    """New rows after the user's own procs."""
    mine = whole.procs.own if isinstance(whole.procs, TableProcs) and whole.procs._own is not None else whole.procs
    for proc in mine:
        frame = proc.applied(frame)
    return frame


def targets_in(whole: Any, frame: pd.DataFrame) -> list[torch.Tensor] | None:
    """The targets of new rows, encoded; None where a column, a cell or a label isn't there."""
    found = []
    for target in whole.targets:
        if any(name not in frame.columns for name in target.columns):
            return None
        cells = target.cells(frame)
        try:
            target.block.check(cells, [f"row {i}" for i in range(len(cells))], "given")
            found.append(target.block.encode_all(cells))
        except (DataError, SettingError, ValueError):
            return None
    return found


def rows_of(whole: Any, split: str) -> Rows:
    """The rows of a split."""
    places = prepare.Side(whole, split).rows
    at = torch.from_numpy(places)
    return Rows(whole, whole.frame.iloc[places], tuple(t[at] for t in whole.tensors), places)


# -- added to the prepared table itself ---------------------------------------------------------------------------------------
def _own_or(name: str) -> Any:
    """The property of `TableView` for a table that is whole itself."""
    of_view: Any = vars(TableView)[name]
    get: Any = of_view.fget if isinstance(of_view, property) else of_view
    if isinstance(of_view, property):
        return property(lambda self: get(_of_itself(self)), doc=of_view.__doc__)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return get(_of_itself(self), *args, **kwargs)

    method.__name__, method.__doc__ = name, get.__doc__
    return method


class _Whole(TableView):
    def __init__(self, to: Any) -> None:
        self.whole = to

    @property
    def items(self) -> pd.DataFrame:  # type: ignore[override]
        return framed(self.whole, self.whole.frame, self.whole.tensors)

    @property
    def xs(self) -> pd.DataFrame:  # type: ignore[override]
        return self.whole.xs

    @property
    def ys(self) -> pd.DataFrame:  # type: ignore[override]
        return self.whole.ys


def _of_itself(to: Any) -> _Whole:
    return _Whole(to)


cat_names, cont_names, y_names, x_names, all_col_names = (
    _own_or(n) for n in ("cat_names", "cont_names", "y_names", "x_names", "all_col_names")
)
cats, conts, targ, y, all_cols, iloc, loc = (_own_or(n) for n in ("cats", "conts", "targ", "y", "all_cols", "iloc", "loc"))
classes, c, vocab, decode, decode_row, new, show = (_own_or(n) for n in ("classes", "c", "vocab", "decode", "decode_row", "new", "show"))
items = property(lambda self: _of_itself(self).items, doc="All rows as a model gets them, in the columns of the table.")
train = property(lambda self: rows_of(self, "train"), doc="The training rows.")
valid = property(lambda self: rows_of(self, "valid"), doc="The validation rows.")
test = property(lambda self: rows_of(self, "test"), doc="The test rows.")


def process(self: Any) -> None:
    """Nothing: the rows are ready."""
    _ = self


def _set_procs(self: Any, own: Any) -> None:
    vars(self)["procs"] = own


procs = property(lambda self: TableProcs(self, vars(self)["procs"]), _set_procs, doc="The procs, with what they have learned.")


def of_procs(self: Any, k: str) -> Any:
    """What a prepared table hasn't itself is asked of its procs: ``to.categorify``."""
    if k.startswith("_") or "procs" not in vars(self):
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {k!r}")
    return getattr(self.procs, k)
