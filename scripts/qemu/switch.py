#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The private network of a cluster of test hosts: an Ethernet switch between
unix datagram sockets, so that no rights and no interface of this machine are
needed.

usage: switch.py DIRECTORY PORTS

Port K of the switch is the socket DIRECTORY/switch-K; it sends to
DIRECTORY/nic-K.  The interface behind port K has the MAC address that ends in
K.  A datagram to DIRECTORY/switch-control replaces the list of blocked ways:
JSON [[FROM, TO], ...]; it is echoed when it is in force.  With a third number,
[FROM, TO, BYTES], only frames that are longer do not pass, and nobody is told so.
"""

import collections
import errno
import json
import os
import select
import socket
import sys

# Frames waiting for a host that is slow or paused; more are dropped, as a
# switch does.
QUEUE_MAX = 2000
FRAME_MAX = 65536


def bound(path):
    if os.path.exists(path):
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(path)
    return sock


class Port:
    def __init__(self, directory, number, poller):
        self.number = number
        self.poller = poller
        self.receiver = bound(os.path.join(directory, "switch-%d" % number))
        self.peer = os.path.join(directory, "nic-%d" % number)
        # A connected socket: it can be polled for room at the other end.
        self.sender = None
        self.queue = collections.deque()

    def connect(self):
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.setblocking(False)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        try:
            sender.connect(self.peer)
        except OSError:
            sender.close()
            return False
        self.sender = sender
        return True

    def hang_up(self):
        if self.queue:
            self.poller.unregister(self.sender)
            self.queue.clear()
        self.sender.close()
        self.sender = None

    def send(self, frame):
        """Send at once if possible; "full", "gone" or "sent"."""
        if not self.sender and not self.connect():
            return "gone"
        try:
            self.sender.send(frame)
            return "sent"
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ENOBUFS):
                return "full"
            return "gone"

    def forward(self, frame):
        if self.queue:
            if len(self.queue) < QUEUE_MAX:
                self.queue.append(frame)
            return
        result = self.send(frame)
        if result == "gone" and self.sender:
            # The host was restarted: once more, to its new socket.
            self.hang_up()
            result = self.send(frame)
        if result == "full":
            self.queue.append(frame)
            self.poller.register(self.sender, select.EPOLLOUT)

    def drain(self):
        while self.queue:
            result = self.send(self.queue[0])
            if result == "full":
                return
            if result == "gone":
                self.hang_up()
                return
            self.queue.popleft()
            if not self.queue:
                self.poller.unregister(self.sender)


def switch(directory, count):
    poller = select.epoll()
    ports = {number: Port(directory, number, poller) for number in range(1, count + 1)}
    control = bound(os.path.join(directory, "switch-control"))
    poller.register(control, select.EPOLLIN)
    by_fd = {}
    for port in ports.values():
        by_fd[port.receiver.fileno()] = port
        poller.register(port.receiver, select.EPOLLIN)
    passes = {}                 # way -> length of the longest frame that passes

    def receive(port):
        # A budget, so that one busy host does not starve the others.
        for _ in range(64):
            try:
                frame = port.receiver.recv(FRAME_MAX)
            except BlockingIOError:
                return
            if len(frame) < 14:
                continue
            target = ports.get(frame[5]) if not frame[0] & 1 else None
            for other in ([target] if target else ports.values()):
                if other is not port and len(frame) <= passes.get(
                        (port.number, other.number), FRAME_MAX):
                    other.forward(frame)

    while True:
        for fd, events in poller.poll():
            if fd == control.fileno():
                order, sender = control.recvfrom(FRAME_MAX)
                passes = {}
                for source, target, *limit in json.loads(order):
                    way = (source, target)
                    passes[way] = min([passes.get(way, FRAME_MAX), *(limit or [0])])
                if sender:
                    control.sendto(order, sender)
            elif fd in by_fd:
                receive(by_fd[fd])
            else:
                for port in ports.values():
                    if port.sender and port.sender.fileno() == fd:
                        port.drain()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        switch(sys.argv[1], int(sys.argv[2]))
    except KeyboardInterrupt:
        pass
