# SPDX-License-Identifier: GPL-2.0
"""The programs of tests/lib that run on hosts, as static binaries."""

import os
import subprocess

from device import REPO

LIBRARIES = {"history": ["-pthread"], "transactions": ["-lsqlite3", "-lm", "-pthread"],
             "pressure": []}


def build(names):
    """{name: file}, for the option files of a cluster."""
    directory = os.path.join(REPO, "build", "hosts")
    os.makedirs(directory, exist_ok=True)
    built = {}
    for name in names:
        built[name] = os.path.join(directory, name)
        # Of a library's use of dlopen the linker says that it needs the library there.
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-o",
                        built[name], os.path.join(REPO, "tests", "lib", name + ".c"),
                        *LIBRARIES[name]], check=True, stderr=subprocess.PIPE)
    return built
