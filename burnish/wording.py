"""What the library says, in the words of the command line: options instead of the arguments of Python's functions."""

from __future__ import annotations

import re

WORDS = (
    (r"\b(valid|test)_pct=(?=\S)", r"--\1 "),
    (r"\b(valid|test)_pct=?", r"--\1"),
    (r"\bpretrained=False", "--no-pretrained"),
    (r"\bweights=(?=\S)", "--weights "),
    (r"\bbalance=[\"'](\w+)[\"']", r"--balance \1"),
    (r"print\(dls\.table\)|dls\.check\(\)", "burnish show"),
    (r"cat_names=\[\.\.\.\], cont_names=\[\.\.\.\]", "--categories NAMES --numbers NAMES"),
    (r"user_name=, item_name=, rating_name=", "--user, --item, --rating"),
    (r"unasked: learn\.baselines\(\)", "here: in Python learn.baselines()"),
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
