"""Labelling functions."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from burnish.data.collections import L
from burnish.data.label import AttrGetter, ColReader, ItemGetter, RegexLabeller, is_missing, parent_label, using_attr
from burnish.errors import DataError, SettingError

Row = namedtuple("Row", "name label tags")
CELLS = {"name": "a.jpg", "label": "cat", "tags": "big; red;"}
ROWS = {"series": pd.Series(CELLS), "mapping": CELLS, "namedtuple": Row(**CELLS)}


def test_parent_label() -> None:
    assert parent_label(Path("x/cat/1.jpg")) == parent_label("x/cat/1.jpg") == "cat"


@pytest.mark.parametrize(("item", "message"), [("1.jpg", "names no folder"), (5, r"needs a file's path, but got 5 \(a int\)")])
def test_parent_label_refuses(item: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parent_label(item)


def test_regex_labeller() -> None:
    assert RegexLabeller(r"^(.*)_\d+.jpg$")("great_pyrenees_173.jpg") == "great_pyrenees"
    assert RegexLabeller(r"/(\w+)/\d")(Path("x/cat/1.jpg")) == "cat"
    assert RegexLabeller(r"x/(\w+)", match=True)(Path("x/cat/1.jpg")) == "cat"
    assert repr(RegexLabeller(r"(a)", match=True)) == "RegexLabeller(pat='(a)', match=True)"


def test_regex_labeller_without_match_names_pattern_and_item() -> None:
    with pytest.raises(DataError, match=r"pattern '\^\(\\\\d\+\)' doesn't match 'x/cat/1.jpg' anywhere.*Change the pattern"):
        RegexLabeller(r"^(\d+)")(Path("x/cat/1.jpg"))
    with pytest.raises(DataError, match="at its start"):
        RegexLabeller("(cat)", match=True)("x/cat")
    with pytest.raises(DataError, match="with its first group"):
        RegexLabeller("(a)|b")("b")


@pytest.mark.parametrize(("pattern", "message"), [("cat", "has no group: put parentheses"), ("(cat", "is not a regular expression")])
def test_regex_labeller_refuses_patterns_when_made(pattern: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        RegexLabeller(pattern)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_col_reader_of_every_kind_of_row(row: object) -> None:
    assert ColReader("label")(row) == ColReader(1)(row) == "cat"
    assert ColReader("name", pref=Path("data"))(row) == "data/a.jpg" and ColReader("label", pref="x_", suff=".png")(row) == "x_cat.png"
    assert ColReader("tags", label_delim=";")(row) == ["big", "red"]
    several = ColReader(["name", -2])(row)
    assert isinstance(several, L) and several == ["a.jpg", "cat"]
    with pytest.raises(DataError, match=r"no column 'lable' in .*name: 'a.jpg'.* Columns: name, label, tags. Did you mean: label\?"):
        ColReader("lable")(row)
    with pytest.raises(DataError, match="no column 3"):
        ColReader(3)(row)


@pytest.mark.parametrize("cell", [None, np.nan, pd.NA, pd.NaT, "", " "])
def test_an_empty_cell_is_no_labels(cell: object) -> None:
    assert ColReader("tags", label_delim=" ")({"tags": cell}) == []


def test_an_empty_cell_gets_no_prefix() -> None:
    with pytest.raises(DataError, match=r"The cell of column 'f' is empty in the row \{f: nan, y: 3\}"):
        ColReader("f", pref=Path("data"))({"f": np.nan, "y": 3})
    assert np.isnan(ColReader("f")({"f": np.nan}))  # without prefix it is left to the block, which names all rows


def test_an_empty_delimiter_is_refused() -> None:
    with pytest.raises(SettingError, match="label_delim='' can't separate labels"):
        ColReader("x", label_delim="")


def test_col_reader_keeps_other_cells_as_they_are() -> None:
    assert ColReader("x")({"x": [1, 2]}) == [1, 2] and ColReader("x")(pd.Series({"x": 3})) == 3


def test_item_getter() -> None:
    assert ItemGetter(1)((1, 2)) == 2 and ItemGetter("a")({"a": 3}) == 3 and ItemGetter(0)(pd.Series({"b": 4})) == 4
    with pytest.raises(DataError, match=r"ItemGetter\(2\) can't take element 2 of \(1, 2\) \(a tuple\)"):
        ItemGetter(2)((1, 2))


def test_attr_getter() -> None:
    assert AttrGetter("stem")(Path("a/b.c")) == "b" and AttrGetter("nope", 7)(Path("a")) == 7 and AttrGetter("nope")(3) is None


def test_using_attr() -> None:
    label = using_attr(RegexLabeller(r"^(.*)_\d"), "name")
    assert label(Path("x/pug_1.jpg")) == label("x/pug_1.jpg") == "pug"
    with pytest.raises(DataError, match=r"using_attr looks at .name, which 5 \(a int\) doesn't have"):
        label(5)


@pytest.mark.parametrize("value", [None, np.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT")])
def test_missing(value: object) -> None:
    assert is_missing(value) and not any(map(is_missing, ["", 0, False, [], np.array([np.nan]), "nan"]))
