"""The names of fastai, and what burnish has in the place of each: same, better, other or missing.

    python benchmarks/compat_names.py                     # prints the counts and the table, and writes docs/from-fastai-names.md
    python benchmarks/compat_names.py --look-in TEXT      # first of all those that TEXT speaks of and that are missing
    python benchmarks/compat_names.py --no-write

fastai is installed in an environment of its own (as for the other benchmarks). What is better or done in another way is told in
``compat_names.toml``, each with the test that holds it; the rest is looked up: what is there, and whether it takes the same arguments.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from run import peer_python  # beside this file

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "from-fastai-names.md"
BEGIN, END = "<!-- names: begin (written by benchmarks/compat_names.py) -->", "<!-- names: end -->"
STATES = ("same", "better", "other", "missing")
OWN = ("fastai", "fastcore and its kind", "torchvision", "Python, PyTorch and others")
TAGS = "fastcore.xml"  # the tags of HTML, as functions


class Name(NamedTuple):
    """A name of the peer's, and what is known of it."""

    name: str
    origin: str  # one of OWN
    module: str
    state: str
    note: str
    defaults: str  # other defaults than the peer's
    methods: list[str]  # members that the peer's class has and ours has not
    calls: list[str]  # members that take other arguments


def collected() -> tuple[dict[str, Any], dict[str, Any]]:
    """(the peer's names, ours of the same name), each collected in its library's own interpreter."""
    script = str(HERE / "compat_collect.py")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"MPLBACKEND": "Agg"}
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "peer.json"
        found.write_text(_printed([peer_python(), script, "peer"], environment), encoding="utf-8")
        ours = _printed([sys.executable, script, "ours", str(found)], environment | {"PYTHONPATH": str(HERE.parent)})
        return json.loads(found.read_text(encoding="utf-8")), json.loads(ours)


def _printed(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def compared(peer: dict[str, Any], ours: dict[str, Any], said: dict[str, dict[str, list[str]]]) -> list[Name]:
    """All names with their states. `said`: what the file of notes says."""
    made = []
    for name, theirs in peer.items():
        mine = ours.get(name)
        lacks, defaults = ("", "") if mine is None else arguments(theirs["signature"], mine["signature"])
        state, note = _state(name, mine, lacks, said)
        methods, calls = members(theirs, mine)
        made.append(Name(name, _origin(theirs["origin"]), theirs["origin"], state, note, defaults, methods, calls))
    return made


def _origin(module: str) -> str:
    top = module.split(".")[0]
    return OWN[0] if top == "fastai" else OWN[1] if top.startswith("fast") else OWN[2] if top == "torchvision" else OWN[3]


def _state(name: str, mine: dict[str, Any] | None, lacks: str, said: dict[str, dict[str, list[str]]]) -> tuple[str, str]:
    if mine is None:
        return "missing", ""
    if mine["absent"]:
        return "other", f"not there: {mine['absent']}"
    for state in ("better", "other"):
        if name in said.get(state, {}):
            return state, said[state][name][0] + (f" ({lacks})" if lacks else "")
    return ("other", lacks) if lacks else ("same", "")


def arguments(theirs: list[list[Any]] | None, mine: list[list[Any]] | None) -> tuple[str, str]:
    """(which of the peer's arguments aren't taken alike, which have other defaults)."""
    if theirs is None or mine is None:
        return "", ""
    known = {n: default for n, _, default in mine}
    kinds = {k for _, k, _ in mine}
    wanted = [(n, k, d) for n, k, d in theirs if not k.startswith("VAR") and n not in ("self", "cls")]
    if any(k == "POSITIONAL_ONLY" for _, k, _ in wanted):
        return "", ""
    lacking = [n for n, _, _ in wanted if n not in known] if "VAR_KEYWORD" not in kinds else []
    by_place = [n for n, k, _ in mine if k in ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD") and n not in ("self", "cls")]
    places = [n for n, k, _ in wanted if k == "POSITIONAL_OR_KEYWORD" and n in known]
    moved = [n for i, n in enumerate(places) if "VAR_POSITIONAL" not in kinds and not lacking and by_place[i : i + 1] != [n]]
    needed = [
        n
        for n, k, d in mine
        if d is None and not k.startswith("VAR") and n not in ("self", "cls") and n not in {w for w, _, x in wanted if x is None}
    ]
    shown = lacking if len(lacking) <= 8 else [*lacking[:6], f"... ({len(lacking) - 6} more)"]
    parts = [f"doesn't take {_code(shown)}"] if lacking else []
    parts += [f"by name only: {_code(moved)}" if not set(moved) & set(by_place) else f"another place: {_code(moved[:1])}"] if moved else []
    parts += [f"needs {_code(needed)}"] if needed and "VAR_POSITIONAL" not in {k for _, k, _ in theirs} else []
    other = [f"`{n}={known[n]}` (fastai: {d})" for n, _, d in wanted if d is not None and known.get(n) not in (None, d)]
    return "; ".join(parts), ", ".join(other)


def members(theirs: dict[str, Any], mine: dict[str, Any] | None) -> tuple[list[str], list[str]]:
    """(what the peer's class has and ours hasn't, what takes other arguments)."""
    if mine is None or mine["absent"] or "members" not in mine:
        return [], []
    absent = [n for n in theirs.get("members") or {} if n not in mine["members"]]
    calls = [(n, arguments(s, mine["members"].get(n))[0]) for n, s in (theirs.get("members") or {}).items() if n in mine["members"]]
    return absent, [f"`{n}`: {lacks}" for n, lacks in calls if lacks]


def _code(names: Any) -> str:
    return ", ".join(f"`{n}`" for n in names)


# -- what is printed and written ----------------------------------------------------------------------------------------
def counts(names: list[Name]) -> str:
    """How many names are in which state, by where they are from; the tags of HTML apart."""
    lines = ["| from | " + " | ".join(STATES) + " |", "| --- |" + " ---: |" * len(STATES)]
    for origin in OWN:
        n = Counter(x.state for x in names if x.origin == origin and x.module != TAGS)
        lines.append(f"| {origin} | " + " | ".join(str(n[s]) for s in STATES) + " |")
    return "\n".join(lines)


def page(names: list[Name]) -> str:
    """The part of the page that is written here."""
    parts = [counts(names), ""]
    for origin in OWN:
        of = [x for x in names if x.origin == origin and x.module != TAGS]
        for state in STATES:
            some = [x for x in of if x.state == state]
            if some and any(x.note for x in some):
                rows = (f"| `{x.name}` | {x.note.replace('|', chr(92) + '|')} |" for x in some)
                parts += [f"### {origin}: {state}", "", "| name | |", "| --- | --- |", *rows, ""]
            elif some:
                parts += [f"### {origin}: {state}", "", _wrapped(_code(x.name for x in some)), ""]
    parts += ["Left out: the tags of HTML as functions, which fastcore brings along (`A`, `Div`, `H1` ...).", "", "## Other defaults", ""]
    parts += [f"- `{x.name}`: {x.defaults}" for x in names if x.defaults]
    parts += ["", "## Members of classes that burnish's haven't", ""]
    parts += [_wrapped(f"- `{x.name}`: {_code(x.methods)}") for x in names if x.methods]
    parts += ["", "## Methods that take other arguments", ""]
    parts += [f"- `{x.name}`: {'; '.join(x.calls)}" for x in names if x.calls]
    return "\n".join(parts)


def _wrapped(text: str, width: int = 150) -> str:
    import textwrap

    return textwrap.fill(
        text, width, break_long_words=False, break_on_hyphens=False, subsequent_indent="  " if text.startswith("-") else ""
    )


def write(names: list[Name]) -> None:
    """Puts it between the marks of the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{page(names)}\n\n{END}{after}", encoding="utf-8")


def spoken_of(names: list[Name], text: str) -> list[str]:
    """Those of the names in a text that are missing, the most frequent first."""
    words = Counter(re.findall(r"[A-Za-z_]\w*", text))
    telling = (x for x in names if x.state == "missing" and x.module != TAGS and (x.origin == OWN[0] or re.search(r"[A-Z_]", x.name)))
    found = [(words[x.name], x.name) for x in telling if words[x.name]]
    return [f"{name} ({n})" for n, name in sorted(found, reverse=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--look-in", type=Path, metavar="TEXT", help="a file: names in it that are missing are printed first")
    parser.add_argument("--no-write", action="store_true", help=f"leave {PAGE.name} as it is")
    options = parser.parse_args()
    said = tomllib.loads((HERE / "compat_names.toml").read_text(encoding="utf-8"))
    names = compared(*collected(), said)
    if options.look_in:
        print(f"Missing, and in {options.look_in}: {', '.join(spoken_of(names, options.look_in.read_text(encoding='utf-8'))) or 'none'}\n")
    print(page(names))
    unused = sorted(n for notes in said.values() for n in notes if n not in {x.name for x in names if x.state in ("better", "other")})
    if unused:
        print(f"Notes on names that aren't there: {', '.join(unused)}", file=sys.stderr)
    if not options.no_write:
        write(names)


if __name__ == "__main__":
    main()
