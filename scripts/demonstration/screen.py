# SPDX-License-Identifier: GPL-2.0
"""What somebody who watches the demonstration sees."""

import sys
import time


class Failed(Exception):
    """Something did not hold; the text says what."""


class Screen:
    """What is going on, with the time that it took, and the same in a log."""

    def __init__(self, path, quiet):
        self.start = time.monotonic()
        self.log_file = open(path, "w")
        self.quiet = quiet
        self.bold, self.dim, self.plain = ("\033[1m", "\033[2m", "\033[0m") \
            if sys.stdout.isatty() else ("", "", "")

    def put(self, line):
        self.log_file.write(line + "\n")
        self.log_file.flush()
        if not self.quiet:
            print(line, flush=True)

    def step(self, text):
        self.put("%s[%5.1f s]%s %s" % (self.dim, time.monotonic() - self.start,
                                       self.plain, text))

    def title(self, text):
        self.put("")
        self.put("%s%s%s" % (self.bold, text, self.plain))

    def block(self, text):
        for line in text.rstrip().splitlines():
            self.put("          | " + line)
