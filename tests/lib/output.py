#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Is what qbdadm prints with --json as Documentation/qbdadm.schema.json says?

usage: qbdadm COMMAND... --json | tests/lib/output.py COMMAND

COMMAND is the first word, as in "member" or "status". Several objects, as of events, may
follow one another. The exit status is 1, with a line for each fault, if one is not as the
schema says.
"""

import json
import os
import sys

import jsonschema

SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "Documentation",
                      "qbdadm.schema.json")

with open(SCHEMA) as _file:
    schema = json.load(_file)
_validators = {}


def commands():
    """First words of the commands whose output is defined."""
    return [one["$ref"].rpartition("/")[2] for one in schema["anyOf"]]


def definition(name):
    """What has to hold for the output of a command, or for a part of it."""
    if name not in _validators:
        if name not in schema["$defs"]:
            raise ValueError("%s: is not in the schema" % name)
        _validators[name] = jsonschema.Draft202012Validator(
            {"$ref": "#/$defs/" + name, "$defs": schema["$defs"]})
    return _validators[name]


def objects(text):
    """All that is in the text, in its order."""
    decoder = json.JSONDecoder()
    text = text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        yield value
        text = text[end:].lstrip()


def _inmost(error):
    """Where one of several has to hold, the one that is nearest says most."""
    while error.context:
        error = jsonschema.exceptions.best_match([error])
        if error.context:
            error = max(error.context, key=lambda one: len(one.absolute_path))
    return error


def faults(name, value):
    """One line for each."""
    found = []
    for error in definition(name).iter_errors(value):
        error = _inmost(error)
        found.append("%s: %s: %.300s" % (
            name, "/".join(map(str, error.absolute_path)) or "all of it", error.message))
    return found


def check_schema():
    """Is it a schema itself, and does every reference in it lead somewhere?"""
    jsonschema.Draft202012Validator.check_schema(schema)

    def follow(value):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            if key == "$ref":
                target = schema
                for step in part[2:].split("/"):
                    target = target[step]
            elif isinstance(part, (dict, list)):
                follow(part)
    follow(schema)


def check(arguments, text):
    """Raises ValueError if these arguments of qbdadm should not print that."""
    arguments = list(map(str, arguments))
    if not {"--json", "-j"} & set(arguments):
        return
    for value in objects(text):
        found = faults(arguments[0], value)
        if found:
            raise ValueError("qbdadm %s: is not as Documentation/qbdadm.schema.json says: %s" %
                             (" ".join(arguments), "; ".join(found[:5])))


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in commands():
        sys.exit(__doc__ + "\nCOMMAND is one of: " + " ".join(commands()))
    found = []
    try:
        for value in objects(sys.stdin.read()):
            found += faults(sys.argv[1], value)
    except ValueError as error:
        found.append("no JSON: %s" % error)
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
