"""What a person has decided about pictures, kept in a small file from the first choice on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.errors import DataError

KEEP, DELETE, RELABEL = "keep", "delete", "relabel"
Choice = dict[str, Any]  # {"do": KEEP, DELETE or RELABEL, "to": the new label}


class Choices:
    """Decisions by file (its absolute path), written to a JSON file at every change, so that they outlive the session.

    Args:
        file: where they are kept; read if it is there, made with the first choice.
    """

    def __init__(self, file: Path) -> None:
        self.file, self._before = file, list[tuple[str, Choice | None]]()
        self._made: dict[str, Choice] = {}
        if file.is_file():
            try:
                self._made = dict(json.loads(file.read_text(encoding="utf-8"))["choices"])
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{file} holds the choices of an earlier session and can't be read ({type(error).__name__}: {error}). Mend it, or move it away to begin anew."
                ) from None

    def __len__(self) -> int:
        return len(self._made)

    def __iter__(self) -> Iterator[tuple[str, Choice]]:
        return iter(list(self._made.items()))

    def of(self, file: str) -> Choice | None:
        """What was chosen for a file; None before."""
        return self._made.get(file)

    def choose(self, file: str, do: str | None, to: Any = None) -> None:
        """Notes a choice; `do` None takes it back."""
        self._before.append((file, self._made.get(file)))
        self._set(file, None if do is None else {"do": do, **({"to": to} if do == RELABEL else {})})
        self._write()

    def undo(self) -> str | None:
        """Takes the last choice of this session back; returns its file, or None where there is none."""
        if not self._before:
            return None
        file, choice = self._before.pop()
        self._set(file, choice)
        self._write()
        return file

    def forget(self, files: list[str]) -> None:
        """Drops what has been done."""
        for file in files:
            self._made.pop(file, None)
        self._before = [(f, c) for f, c in self._before if f not in set(files)]
        self._write()

    def _set(self, file: str, choice: Choice | None) -> None:
        self._made.pop(file, None)
        if choice is not None:
            self._made[file] = choice

    def _write(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_name(f"{self.file.name}.part")
        part.write_text(json.dumps({"choices": self._made}, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(part, self.file)  # whole or not at all
