"""Library links of the embedded PostgreSQL, which npm packages cannot carry."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path


def hydrate_symlinks(package: Path) -> None:
    """Make the links, as the package's own install script would.

    Args:
        package: Folder of an embedded-postgres package; its ``native/pg-symlinks.json`` lists pairs of paths
            ``{"source", "target"}`` relative to it. No list: nothing to do.
    """
    try:
        links = json.loads((package / "native" / "pg-symlinks.json").read_text())
    except FileNotFoundError:
        return
    for link in links:
        source, target = package / link["source"], package / link["target"]
        with contextlib.suppress(FileExistsError):
            target.symlink_to(os.path.relpath(source, target.parent))
