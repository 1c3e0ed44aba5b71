# SPDX-License-Identifier: GPL-2.0
"""Requests to the module that are nearly right, made from its own netlink policy.

What there is (kmod/ctl/netlink_gen.c, which is generated, and the enums of
include/uapi/linux/qbd.h) is read when the tests run, so that a new attribute is
mutated as soon as it exists.
"""

import base64
import os
import re
import struct

NESTED = 0x8000
MESSAGE_MAX = 60000             # netlink's own limit is above it


def enums(text):
    """Names of all enumerators and their numbers."""
    numbers = {}
    for body in re.findall(r"enum\s*\w*\s*\{(.*?)\}", text, re.S):
        value = -1
        for name, given in re.findall(r"(\w+)\s*(?:=\s*([^,\n]+))?\s*,?\s*\n", body):
            value = value + 1 if not given else int(eval(given, {}, numbers))
            numbers[name] = value
    return numbers


class Policy:
    """What the module accepts: @commands maps numbers to {attribute: (kind, limit)}."""

    def __init__(self, repo):
        with open(os.path.join(repo, "include/uapi/linux/qbd.h")) as file:
            header = file.read()
        with open(os.path.join(repo, "kmod/ctl/netlink_gen.c")) as file:
            source = file.read()
        numbers = enums(header)
        numbers.update((name, int(value)) for name, value in
                       re.findall(r"#define (\w+)\s+(\d+)$", header, re.M))
        tables = {}
        for table, body in re.findall(r"struct nla_policy (\w+)\[[^]]*\] = \{(.*?)\n\};",
                                      source, re.S):
            tables[table] = {
                numbers[name]: self.attribute(rule, numbers)
                for name, rule in re.findall(r"\[(\w+)\] = (.*?),\n", body + "\n")}
        self.nests = tables
        self.commands = {}
        for operation in re.findall(r"\t\{\n\t\t\.cmd.*?\n\t\},", source, re.S):
            (command,) = re.findall(r"\.cmd\s*= (\w+),", operation)
            (table,) = re.findall(r"\.policy\s*= (\w+),", operation)
            self.commands[numbers[command]] = tables[table]
        self.privileged = {numbers[command] for command in re.findall(
            r"\.cmd\s*= (\w+),(?:(?!\.cmd).)*?GENL_ADMIN_PERM", source, re.S)}

    @staticmethod
    def attribute(rule, numbers):
        nest = re.match(r"NLA_POLICY_NESTED\((\w+)\)", rule)
        if nest:
            return "nest", nest.group(1)
        edge = re.match(r"NLA_POLICY_(?:MAX|MIN|MASK)\(NLA_(\w+), (\w+)\)", rule)
        if edge:
            return edge.group(1).lower(), int(edge.group(2), 0)
        (kind,) = re.findall(r"\.type = NLA_(\w+)", rule)
        limit = re.findall(r"\.len = (\w+)", rule)
        return kind.lower(), numbers[limit[0]] if limit else None


def pack_request(command, body, flags):
    return struct.pack("<BH", command, flags) + body


def kept_requests(path):
    """(number of the line, (command, body, flags)) of each request in a corpus."""
    with open(path) as file:
        for number, line in enumerate(file, 1):
            data = base64.b64decode(line.split("#")[0].strip(), validate=True)
            if data:
                command, flags = struct.unpack_from("<BH", data)
                yield number, (command, data[3:], flags)


WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


class Mutator:
    """Requests from a policy and a random.Random, always the same ones."""

    def __init__(self, policy, rng, texts):
        self.policy = policy
        self.rng = rng
        self.texts = texts

    def chance(self, probability):
        return self.rng.random() < probability

    @staticmethod
    def pack(kind, data, length=None):
        return struct.pack("<HH", (4 + len(data) if length is None else length) & 0xffff,
                           kind) + data + bytes(-len(data) % 4)

    def value(self, kind, limit):
        """As it should be, or on the edge of that."""
        if kind in WIDTHS:
            bits = 8 * WIDTHS[kind]
            number = self.rng.choice(
                [0, 1, 2, 50, 150, 1000, 60000, 8 << 20, 64 << 20, 0x7fffffff, 0xffffffff,
                 self.rng.getrandbits(bits)] +
                ([limit - 1, limit, limit + 1] if limit is not None else []))
            return (number % (1 << bits)).to_bytes(WIDTHS[kind], "little")
        if kind == "binary":
            return self.rng.randbytes(self.rng.choice([0, 3, 4, 5, 15, 16, 17]))
        if kind == "nul_string":
            if self.chance(0.2):
                length = limit + self.rng.randrange(-1, 3)
                return b"x" * length + b"\0"
            return self.rng.choice(self.texts) + b"\0"
        if kind == "nest":
            return self.attributes(self.policy.nests[limit])
        return b""              # a flag

    def spoil(self, data):
        how = self.rng.randrange(6)
        if how == 0:
            return data[:-1]
        if how == 1:
            return data + self.rng.randbytes(self.rng.randrange(1, 9))
        if how == 2:
            return b""
        if how == 3:
            return self.rng.randbytes(self.rng.randrange(80))
        if how == 4:
            return data.rstrip(b"\0")
        return b"\xff" * self.rng.choice([1, 2, 4, 8, 4096])

    def one(self, number, rule):
        kind, limit = rule
        data = self.value(kind, limit)
        flags = NESTED if kind == "nest" else 0
        length = None
        if self.chance(0.15):
            data = self.spoil(data)
        if self.chance(0.03):
            flags ^= self.rng.choice([NESTED, 0x4000, 0xc000])
        if self.chance(0.03):
            length = self.rng.choice([0, 1, 3, 4, 5, len(data), len(data) + 5, 0xffff])
        if self.chance(0.03):       # a nest in a nest in a nest
            for _ in range(self.rng.choice([1, 2, 40])):
                data = self.pack(number | NESTED, data[:4000])
        return self.pack(number | flags, data, length)

    def attributes(self, table):
        numbers = [number for number in table if self.chance(0.7)]
        if self.chance(0.1):
            numbers += self.rng.choices(list(table), k=3)       # some of them twice
        if self.chance(0.1):
            self.rng.shuffle(numbers)
        body = b"".join(self.one(number, table[number]) for number in numbers)
        if self.chance(0.1):        # unknown, of another operation, reserved, 0
            number = self.rng.choice([0, 7, 8, 9, 40, 500, 0x3fff])
            body += self.pack(number, self.rng.randbytes(self.rng.randrange(12)))
        if self.chance(0.01):       # very many
            body += self.pack(self.rng.choice(list(table)), b"") * 10000
        if self.chance(0.02):
            body += self.rng.randbytes(self.rng.randrange(1, 9))
        return body[:MESSAGE_MAX]

    def request(self):
        """(command, body, flags): flags are those of the netlink header."""
        command = self.rng.choice(list(self.policy.commands))
        body = self.attributes(self.policy.commands[command])
        if self.chance(0.05):
            command = self.rng.choice([0, 6, 7, 99, 255])
        flags = 5                   # request, acknowledged
        if self.chance(0.1):
            flags |= self.rng.choice([0x100, 0x200, 0x300, 0x400, 8, 0xf00])
        return command, body, flags
