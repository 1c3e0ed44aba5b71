#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs a command in User-mode Linux; scripts/uml/run.sh --help says how.
exec python3 "$(dirname "$0")/run.py" "$@"
