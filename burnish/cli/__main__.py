"""``python -m burnish.cli``: the command line."""

from burnish.cli import main

main()
