# SPDX-License-Identifier: GPL-2.0
"""Clusters of several members in one User-mode Linux kernel.

shell.py     commands, in a network namespace or not; waiting with deadlines
network.py   one namespace per member, a bridge between them, cuts and delays
damage.py    blocks of a member's disk that hold something else
disks.py     memory disks under device-mapper: errors, delays, hanging, rollback
cluster.py   members and devices, status, events
workload.py  writers and readers that know what has been acknowledged
kernel.py    the kernel's log; processes that cannot be killed
registry.py  what tests there are
"""
