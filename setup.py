"""Generates the data of schemas while kplane is built; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "deploy" / "build"))

import normalise_schema  # noqa: E402
import protobuf_table  # noqa: E402

DATA = ROOT / "kplane" / "api" / "data"


class BuildWithSchema(build_py):
    """Editable installs and wheels both pass through `build_py`: the data files are written beside the code,
    from where the former reads it and the latter copies it as package data."""

    def run(self) -> None:
        normalise_schema.write(DATA / "schema.json")
        protobuf_table.write(DATA / "protobuf.json")
        # What belongs to the package is listed on first use, which may have been before the files existed.
        self.__dict__.pop("data_files", None)
        super().run()


setup(cmdclass={"build_py": BuildWithSchema})
