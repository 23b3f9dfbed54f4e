"""Results of earlier runs, which later ones do not overwrite."""

from pathlib import Path


def keep_earlier(*files: Path) -> None:
    """Rename those of the files that exist, all with the same number: `steady.json` becomes `steady.1.json`, then `.2`.

    The highest number is the latest of the earlier runs. Raises OSError.
    """
    existing = [file for file in files if file.exists()]
    number = 1
    while any(_numbered(file, number).exists() for file in files):
        number += 1
    for file in existing:
        file.rename(_numbered(file, number))


def _numbered(file: Path, number: int) -> Path:
    return file.with_name(f"{file.stem}.{number}{file.suffix}")
