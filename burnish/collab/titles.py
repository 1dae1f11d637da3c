"""Titles of items: from a dict, a Series or a table, matched to the ids that the model knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from burnish.collab.ids import IdFeature
from burnish.data.label import is_missing
from burnish.data.lazy import pd
from burnish.data.notes import note
from burnish.errors import DataError, listed
from burnish.tabular.frames import as_frame


def titles_of(given: Any, items: IdFeature) -> dict[Any, str]:
    """Item (as the model knows it) to title. What has none, or several, is told.

    Raises:
        DataError: nothing of it is an item that the model knows, or it is no such thing.
    """
    if given is None:
        return {}
    pairs = list(_pairs(given, items.source))
    found: dict[Any, list[str]] = {}
    for item, title in pairs:
        code = items.code(item)
        if code is not None and not is_missing(title):
            found.setdefault(items.said(code), []).append(str(title))
    if not found and len(items.classes) > 1:
        raise DataError(
            f"titles names none of the {len(items.classes) - 1} items of {items.source!r} ({listed(map(repr, items.classes[1:]), 3)}); its items are "
            f"{listed((repr(item) for item, _ in pairs), 3) or 'none'}. Expected item to title: a dict, a Series with the items as its index, or a "
            f"table with the items in its column {items.source!r} (else its first one)."
        )
    if several := {item: titles for item, titles in found.items() if len(set(titles)) > 1}:
        item, titles = next(iter(several.items()))
        note(f"{len(several)} items have several titles ({item!r}: {listed(map(repr, dict.fromkeys(titles)), 3)} ...); the first is taken.")
    if missing := [item for item in items.classes[1:] if item not in found]:
        note(f"{len(missing)} of the {len(items.classes) - 1} items have no title: {listed(missing)}.")
    return {item: titles[0] for item, titles in found.items()}


def _pairs(given: Any, source: str) -> Iterable[tuple[Any, Any]]:
    """Items and titles as they were given, some perhaps several times."""
    if isinstance(given, Mapping):
        return given.items()
    if isinstance(given, pd.Series):
        return zip(given.index.tolist(), given.tolist(), strict=True)
    try:
        table = as_frame(given, in_memory=True)
    except DataError as error:
        raise DataError(f"titles= {error} Expected item to title: a dict, a Series, or a table with the items and their titles.") from error
    if len(table.columns) < 2:
        raise DataError(
            f"titles is a table with the columns {listed(table.columns)}; expected the items, in {source!r} or its first column, and their titles."
        )
    item = source if source in table.columns else table.columns[0]
    others = [name for name in table.columns if name != item]
    title = next((name for name in others if str(name).lower() == "title"), others[0])
    return zip(table[item].tolist(), table[title].tolist(), strict=True)
