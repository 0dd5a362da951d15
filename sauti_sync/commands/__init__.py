"""What the command line does for the worker; sauti_sync/cli.py registers it."""
