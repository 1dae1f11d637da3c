"""The peer's code as it stands, run on burnish: what people's own code costs through burnish.compat."""

from __future__ import annotations

import burnish.compat

burnish.compat.install()

from sides.ours import versions  # noqa: E402, F401
from sides.peer import *  # noqa: E402, F403
from sides.peer import STAR  # noqa: E402, F401
