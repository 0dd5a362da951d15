"""``python -m sauti_sync``: the command line."""

from sauti_sync.cli import main

main()
