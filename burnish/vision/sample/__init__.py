"""Photographs that come with burnish: six kinds of fruit in shops, for the demo, the documentation and the tests."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent


def sample_photos() -> Path:
    """A folder with a sub-folder a class: 138 photographs (JPEG, 144 pixels on the short side), 23 of each of 6 kinds of fruit.

    The kinds: conference_pear, golden_delicious, granny_smith, orange, royal_gala, satsuma; some are easily confused (orange and
    satsuma, the two green apples). The majority-class baseline is 1/6. Source and licence: the file LICENSE beside them.

    >>> len(list(sample_photos().glob("*/*.jpg")))
    138
    """
    return _HERE / "photos"


def unseen_photos() -> list[Path]:
    """12 photographs that are not in `sample_photos()`, two of each kind, sorted; the file's name begins with the kind.

    >>> unseen_photos()[0].name
    'conference_pear_1.jpg'
    """
    return sorted((_HERE / "unseen").glob("*.jpg"))
