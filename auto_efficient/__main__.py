"""``python -m auto_efficient`` is ``auto-efficient``."""

from auto_efficient.cli import main

main()
