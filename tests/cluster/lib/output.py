# SPDX-License-Identifier: GPL-2.0
"""What qbdadm prints for programs."""

import importlib.util
import json
import os

_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib", "output.py")
_spec = importlib.util.spec_from_file_location("schema_of_output", _PATH)
_schema = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_schema)


def printed(result):
    """The one object that a command has printed; it is as the schema says."""
    _schema.check(result.argv[1:], result.output)
    return json.loads(result.output)
