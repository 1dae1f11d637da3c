"""What the library says, in the words of the command line: options instead of the arguments of Python's functions."""

from __future__ import annotations

import re
import shlex

TAB = r"\t"
OPTIONS = {"cat": "categories", "cont": "numbers", "y": "target"}


def _options(arguments: str) -> str:
    """Arguments of ``from_csv`` as options: ``, sep=';', decimal=','`` is ``--sep ';' --decimal ,``."""
    given = re.findall(r"(\w+)='([^']+)'", arguments)
    return " ".join(f"--{name} {shlex.quote('tab' if value == TAB else value)}" for name, value in given)


WORDS = (
    (r"\b(valid|test)_pct=(?=\S)", r"--\1 "),
    (r"\b(valid|test)_pct=?", r"--\1"),
    (r"\bpretrained=False", "--no-pretrained"),
    (r"\bweights=(?=\S)", "--weights "),
    (r"\bbalance=[\"'](\w+)[\"']", r"--balance \1"),
    (r"print\(dls\.table\)|dls\.check\(\)", "burnish show"),
    (r"cat_names=\[\.\.\.\], cont_names=\[\.\.\.\]", "--categories NAMES --numbers NAMES"),
    (r"\b(user|item|rating)_name=", r"--\1"),
    (r"user_name, item_name, rating_name names", "--user, --item, --rating: the command names"),
    (r"\b(encoding|decimal|sep)=(?=['\"].*?: (?:Python knows|expected))", r"--\1 "),
    (r"from_csv\([^()]*?((?:, (?:sep|encoding|decimal)='[^']+')+)\)", lambda m: _options(m[1])),
    (r"\(encoding='([\w-]+)'\)", r"(--encoding \1)"),
    (r"\b(cat|cont|y)_names names", lambda m: f"--{OPTIONS[m[1]]} names"),
    (r"^titles\b=?", "--titles"),
    (
        r"(To hold them|To say what the scale is|pandas reads it|To keep the last(?: of each pair)?|leave (?:the|these) rows out.*?): (?=y_range|from_df|df[.\[])",
        r"\1, in Python: ",
    ),
    (r"unasked: learn\.baselines\(\)", "here: in Python learn.baselines()"),
    (r"\b(?:valid_)?col=(?='[^']*'(?: and test_pct|: the table has no such| names a column))", "--valid-col "),
    (r" Where other values mean valid, ColSplitter\(column, on=\[\.\.\.\]\) says which\.", ""),
    (r"masks= and drawings= are", "--masks and --draw are"),
    (r"suffix='(\w+)'", r"--suffix \1"),
    (r"y_block=RegressionBlock\(\)", "--task number"),
    (r"y_block=CategoryBlock\(\)", "--task class"),
    (r"splitter=(Group|Time)Splitter\('([^']+)'\)", lambda m: f"--{m[1].lower()} {m[2]}"),
    (r"; on_error='raise' stops instead|; see \.issues", ""),
    (r", and the pref=, suff= or folder it is made from", ""),
    (r"and one picture was expected\. Use get_image_files\(folder\) for the pictures in it", "and there are no pictures in it"),
)
"""What to look for (regular expressions), and what the command line says instead."""


def in_options(message: str) -> str:
    """A message of the library as the command line says it.

    >>> in_options("a fifth of the pictures, drawn at random, validates (valid_pct= changes that).")
    'a fifth of the pictures, drawn at random, validates (--valid changes that).'
    """
    for python, here in WORDS:
        message = re.sub(python, here, message)
    return message
