"""What the checks of the data found: single findings, and the report that shows them."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from burnish.data.lazy import pd
from burnish.errors import listed

TELLS_ALL = "(dls.check() tells all)"
SEVERITIES = ("high", "medium", "low")

KINDS = {
    "unreadable": "{n} file(s) that can't be read",
    "leak": "{n} picture(s) on more than one side of the split",
    "shared_pictures": "pictures in samples of more than one side of the split",
    "row_leak": "rows that are on more than one side of the split",
    "answer": "{n} column(s) that give the answer away",
    "id_leak": "{n} column(s) of which values are on more than one side of the split",
    "time_leak": "rows in the order of time, split at random",
    "conflicting_rows": "equal rows with different targets",
    "conflicting_labels": "{n} picture(s) with conflicting labels",
    "one_class": "one class only",
    "missing_class": "classes missing from a side",
    "several_labels": "labels that look like several in one text",
    "similar_labels": "{n} label(s) written in more than one way",
    "similar_categories": "{n} group(s) of categories written in more than one way",
    "numbers_as_text": "{n} column(s) of texts that look like numbers",
    "dates_as_text": "{n} column(s) of texts that look like dates",
    "tiny_class": "classes with one sample",
    "imbalance": "very uneven classes",
    "tiny_split": "{n} very small side(s) of the split",
    "near_duplicate": "{n} group(s) of nearly identical pictures",
    "duplicate": "{n} group(s) of identical files",
    "pair_leak": "pairs of a user and an item on more than one side of the split",
    "repeated_pairs": "pairs of a user and an item that are there more than once",
    "repeated_rows": "rows that are there more than once",
    "mostly_missing": "{n} column(s) that are mostly missing",
    "narrow_range": "16-bit pictures of which few shades remain",
    "blank": "blank pictures",
    "odd_size": "pictures of odd size",
    "misnamed": "files that are of another type than their name says",
}
"""Kinds of findings, and how a count of them is said."""


@dataclass
class Issue:
    """One finding: what is wrong where, how much it matters, and what to do. `rows` are positions in the table."""

    kind: str
    severity: str
    message: str
    advice: str
    rows: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


class Report:
    """The findings of the data's checks, the gravest first. It is true when there are any.

    Attributes:
        issues: DataFrame with the columns kind, severity, rows, files, message, advice.
        scope: what was looked at, in words.
    """

    columns = ("kind", "severity", "rows", "files", "message", "advice")

    def __init__(self, issues: Iterable[Issue], scope: str) -> None:
        order = {kind: i for i, kind in enumerate(KINDS)}
        self._issues = sorted(issues, key=lambda i: (SEVERITIES.index(i.severity), order[i.kind]))
        self.scope = scope
        self.issues = pd.DataFrame([asdict(i) for i in self._issues], columns=list(self.columns))

    @property
    def found(self) -> list[Issue]:
        """The findings."""
        return list(self._issues)

    def __len__(self) -> int:
        return len(self._issues)

    def __bool__(self) -> bool:
        return bool(self._issues)

    def brief(self) -> str:
        """The findings in one sentence, without those of low severity where there are graver ones."""
        counts = Counter((i.severity, i.kind) for i in self._issues)
        graver = [k for k in counts if k[0] != "low"] or list(counts)
        said = list(dict.fromkeys(KINDS[kind].format(n=counts[severity, kind]) for severity, kind in graver))
        return f"The data has {', '.join(said)}." if said else f"Nothing found ({self.scope})."

    def announcement(self) -> str:
        """The same, and where the rest is told."""
        return f"{self.brief()} {TELLS_ALL}"

    def __repr__(self) -> str:
        if not self:
            return f"Data check: nothing found ({self.scope})."
        counts = Counter(i.severity for i in self._issues)
        lines = [f"Data check: {len(self)} finding(s): {', '.join(f'{counts[s]} {s}' for s in SEVERITIES if counts[s])} ({self.scope})."]
        for (severity, kind), group in self._grouped().items():
            lines.append(f"{severity.upper():<6} {KINDS[kind].format(n=len(group))}")
            lines += [f"         {i.message}" for i in group[:3]]
            lines += [f"         and {len(group) - 3} more; see .issues"] if len(group) > 3 else []
            lines += [f"       > {advice}" for advice in dict.fromkeys(i.advice for i in group[:3])]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """A table, one row a finding (the first 50)."""
        head = "".join(f"<th style='text-align:left'>{h}</th>" for h in ("severity", "finding", "what to do", "files"))
        rows = "".join(
            "<tr>" + "".join(f"<td style='text-align:left;vertical-align:top'>{html.escape(c)}</td>" for c in cells) + "</tr>"
            for cells in ((i.severity, i.message, i.advice, listed(i.files, 4)) for i in self._issues[:50])
        )
        more = f"<p>and {len(self) - 50} more; see .issues</p>" if len(self) > 50 else ""
        title = html.escape(f"Data check: {len(self)} finding(s) ({self.scope})" if self else repr(self))
        return f"<p><b>{title}</b></p>" + (f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}" if self else "")

    def _grouped(self) -> dict[tuple[str, str], list[Issue]]:
        groups: dict[tuple[str, str], list[Issue]] = {}
        for issue in self._issues:
            groups.setdefault((issue.severity, issue.kind), []).append(issue)
        return groups
