"""The peer's code as it stands, run on burnish: what people's own code costs through burnish.compat."""

from __future__ import annotations

import burnish.compat

burnish.compat.install()

from sides import ours  # noqa: E402
from sides.peer import *  # noqa: E402, F403

versions = ours.versions
