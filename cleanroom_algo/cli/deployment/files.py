"""Files that commands of `deploy` write, and that users may have changed since."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from cleanroom_algo.cli.output import writing
from cleanroom_algo.errors import InputFileError

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace existing files whose content differs.")


def write_files(folder: Path, files: Mapping[str, str], *, overwrite: bool) -> None:
    """Write all files into a folder, or none.

    Raises:
        InputFileError: CR-CLI-003, a file exists with another content, and must not be replaced.
        OutputUnwritableError: CR-CLI-008.
    """
    changed = [
        name
        for name, text in files.items()
        if (folder / name).exists() and (folder / name).read_bytes() != text.encode("utf-8")
    ]
    if changed and not overwrite:
        raise InputFileError(
            f"{folder} contains other files with these names: {', '.join(changed)}",
            expected="a new folder, or unchanged files",
            fix="--overwrite replaces them, --output names another folder",
        )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
