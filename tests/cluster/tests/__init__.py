# SPDX-License-Identifier: GPL-2.0
"""The tests, one file per group or two."""

import importlib
import os


def load():
    """Every test, by group, in the order of the files."""
    from lib.registry import TESTS

    here = os.path.dirname(os.path.abspath(__file__))
    for name in sorted(os.listdir(here)):
        if name.endswith(".py") and name != "__init__.py":
            importlib.import_module("tests." + name[:-3])
    names = [test.name for test in TESTS]
    assert len(names) == len(set(names)), "two tests share a name"
    return TESTS
