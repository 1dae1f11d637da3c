"""The table of issues, as it is printed. Imported where one is made, for it needs pandas."""

from __future__ import annotations

import pandas as pd

from burnish.data.check import short
from burnish.vision.issues import KINDS

COLUMNS = ("row", "file", "label", "split", "issue", "score", "suggested", "probability", "like", "about")
MOST_ROWS = 12  # of a kind that are printed


class Issues(pd.DataFrame):
    """Issues of pictures, a row each; a DataFrame in every respect, printed with all its columns that matter and the first 12 of each kind."""

    @property
    def _constructor(self) -> type[Issues]:
        return Issues

    def __repr__(self) -> str:
        if not set(COLUMNS) <= set(self.columns):
            return super().__repr__()
        if not len(self):
            return "No issues found."
        counts = self["issue"].value_counts()
        head = [f"{counts[kind]:>6}  {said}" for kind, said in KINDS.items() if kind in counts]
        first = self.groupby("issue", sort=False).head(MOST_ROWS)
        shown = pd.DataFrame(first[["issue", "score", "file", "label", "split", "suggested"]])
        shown["file"] = [short(f) for f in shown["file"]]
        shown["like or why"] = [short(like) if like else about for like, about in zip(first["like"], first["about"], strict=True)]
        shown["suggested"] = ["" if s is None or s != s else s for s in shown["suggested"]]
        rest = f"\nand {len(self) - len(first)} more" if len(self) > len(first) else ""
        return "\n".join(head) + "\n\n" + shown.to_string(index=False, float_format="{:.2f}".format, max_colwidth=44) + rest
