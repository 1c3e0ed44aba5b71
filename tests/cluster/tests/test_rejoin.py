# SPDX-License-Identifier: GPL-2.0
"""A member returns: by the log, by extents, while writes go on."""

import errno
import mmap
import os
import re
import subprocess
import time

from lib import damage, kernel
from lib.cluster import SHARED, Cluster
from lib.damage import dump
from lib.registry import test
from lib.shell import finish, never, run, spawn, wait_until
from lib.workload import Child, Writer, direct_read, direct_write, parse, pattern

FILL = ("fill-progress", "fill-done")
BY_LOG = ("catch-up-progress", "catch-up-done")


def fill_log(cluster, leader, mib, where="48M", order="randwrite"):
    """Write so much that a log of a few MiB is reclaimed."""
    run(["fio", "--name=fill", "--filename=" + leader.device, "--thread", "--direct=1",
         "--clocksource=clock_gettime", "--ioengine=io_uring", "--iodepth=8",
         "--rw=" + order, "--bs=64k", "--size=" + where, "--io_size=%dM" % mib,
         "--output-format=terse"], timeout=60)


def received(member):
    """Bytes that this member got from the others since it came up."""
    return sum(peer["network"]["received_bytes"] for peer in member.status().members
               if "network" in peer)


@test("rejoin")
def rejoin_by_log():
    """A member that was down for a while gets what it missed from the log."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        lost.down()
        writer = Writer(leader.device, limit=300)
        writer.child.wait()
        events = cluster.events(lost)
        lost.up()
        cluster.wait_caught_up()
        assert not events.told(*FILL), events.told(*FILL)
        writer.verify(lost.device)


@test("rejoin")
def rejoin_by_log_under_load():
    """The same while writes go on."""
    # A log that they do not fill while the member is away.
    with Cluster(3, disk_mib=300, log_size="128M") as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        writer = Writer(leader.device)
        writer.wait_for(20)
        lost.down()
        writer.wait_for(200)
        events = cluster.events(lost)
        lost.up()
        writer.wait_for(100)
        writer.stop()
        cluster.wait_caught_up()
        assert not events.told(*FILL), events.told(*FILL)
        writer.verify(lost.device)


@test("rejoin", timeout=90)
def rejoin_by_extents():
    """A member behind the log's tail gets the extents that changed, and only those."""
    changed = 4
    with Cluster(3, log_size="8M") as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        fill_log(cluster, leader, 48, order="write")
        cluster.wait_caught_up()
        lost.down()
        last = leader.status().last_index
        # Again and again in one place: much log, few extents.
        fill_log(cluster, leader, 40, where="%dM" % changed)
        assert leader.status().first_index > last + 1, "the log was not reclaimed"
        events = cluster.events(lost)
        lost.up()
        events.wait("fill-done", 60)
        cluster.wait_caught_up()
        got = received(lost) / (1 << 20)
        progress = events.told("fill-progress")
        assert progress[0]["text"] == "begins" and progress[0]["done"] == 0, progress
        assert progress[-1]["done"] == progress[-1]["total"] == 64, progress
        # 48 MiB hold something.
        assert changed <= got < 1.1 * changed, "%.2f MiB of %d MiB that changed" % (got, changed)


@test("rejoin", timeout=150)
def rejoin_by_extents_under_load():
    """The same while writes go on, at random all over the device."""
    with Cluster(3, log_size="8M") as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        lost.down()
        fill_log(cluster, leader, 30)
        writers = [Writer(leader.device, slots=3000, first_block=offset)
                   for offset in (0, 5000, 10000)]
        for writer in writers:
            writer.wait_for(100)
        events = cluster.events(lost)
        lost.up()
        events.wait("fill-done", 90)
        for writer in writers:
            writer.wait_for(100)
            writer.stop()
        cluster.wait_caught_up()
        for writer in writers:
            writer.verify(lost.device)


@test("rejoin", timeout=90)
def one_that_has_all_is_not_filled():
    """All got to a member, no answer back: it is not behind the log's tail, as it seems.

    It comes up and knows only what was committed when the last of it was sent. What the
    leader offers to fill it with it has, and nothing newer is written before it counts.
    """
    count = 96
    with Cluster(3, log_size="8M", create=("--claim", "shared")) as cluster:
        leader = cluster.leader()
        lost, other = cluster.others(leader)
        term = leader.status().term
        cluster.wait_caught_up()
        had = leader.status().commit_index
        # None of it is committed before all of it is sent.
        lost.disk.hang()
        other.disk.hang()
        writing = Child(lambda report: run(
            ["fio", "--name=all", "--filename=" + leader.device, "--thread", "--direct=1",
             "--clocksource=clock_gettime", "--ioengine=io_uring", "--iodepth=%d" % count,
             "--rw=write", "--bs=64k", "--size=%dk" % (64 * count),
             "--output-format=terse"], timeout=60))
        leader.wait("all is in its log", lambda s: s.requests_in_flight == count)
        last = leader.status().last_index
        lost.wait("it has got all", lambda s: s.last_index == last)
        other.wait("it has got all", lambda s: s.last_index == last)
        cluster.network.isolate(lost.number)
        lost.disk.resume()
        status = lost.wait("it has all on its disk", lambda s: s.durable_index == last)
        assert status.commit_index == had, status
        other.disk.resume()
        writing.wait()
        leader.wait("its log begins later", lambda s: s.first_index > had + 1)
        lost.power_cut()
        leader.wait("it is gone", lambda s: s.voters_up == 2)
        events = cluster.events(lost)
        cluster.network.heal()
        lost.up()
        leader.wait("it is there", lambda s: s.voters_up == 3)
        other.power_cut()
        Child(lambda report: direct_write(leader.device, 0, b"x" * 4096)).wait()
        assert leader.status().term == term, leader.status()
        assert not events.told(*FILL), events.told(*FILL)
        cluster.network.heal()
        other.up()
        cluster.wait_caught_up()


@test("rejoin", timeout=90)
def fill_sends_what_differs():
    """Checksums first: of a disk that lost its extent table only what changed is sent.

    Nothing says any more what is on it, so all that was ever written is asked for.
    """
    with Cluster(3, log_size="8M") as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        fill_log(cluster, leader, 40, where="40M", order="write")
        cluster.wait_caught_up()
        lost.down()
        wrong = damage.Damage(lost.disk)
        wrong.rubbish(damage.TABLE_BLOCK)
        wrong.rubbish(damage.JOURNAL_BLOCK, damage.JOURNAL_BLOCKS)
        fill_log(cluster, leader, 1, where="2M")
        events = cluster.events(lost)
        lost.up(*lost.options, "--checksums", "on")
        events.wait("fill-done", 60)
        cluster.wait_caught_up()
        got = received(lost) / (1 << 20)
        assert 2 <= got < 3.5, "%.1f MiB came, 2 of 40 differ, 1 came by the log" % got


@test("rejoin", timeout=90)
def fill_passes_over_zeroes():
    """What was never written is neither sent nor written; zeroes are sent as a word."""
    with Cluster(3, log_size="8M") as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        fill_log(cluster, leader, 20, where="8M", order="write")
        run(["blkdiscard", "--zeroout", "--offset", "2M", "--length", "4M", leader.device])
        cluster.wait_caught_up()
        lost.down()
        lost.disk.wipe()
        cluster.create(lost)
        events = cluster.events(lost)
        lost.up()
        events.wait("fill-done", 60)
        cluster.wait_caught_up()
        got = received(lost) / (1 << 20)
        written = lost.status().store["data_write_bytes"] / (1 << 20)
        assert 4 <= got < 4.5, "%.1f MiB came of 4 that are not zero" % got
        # The zeroes as well: the disk is not known to have none there. And once more if they
        # are in the log from the leader's checkpoint on.
        assert 8 <= written < 13, "%.1f MiB written of 8 in 64" % written


def wait_told(events, kind, **fields):
    """The last event of this kind."""
    events.wait(kind, 60, **fields)
    return events.told(kind)[-1]


def slow_to_fill(cluster, rate):
    """The leader, and one that is down and lacks 32 MiB, of which it will get so much a second."""
    leader = cluster.leader()
    lost = cluster.others(leader)[0]
    lost.down()
    fill_log(cluster, leader, 32, where="32M", order="write")
    leader.set("--max-rate", rate)
    return leader, lost


@test("rejoin", timeout=120)
def fill_at_a_limited_rate():
    """--max-rate holds, can be changed meanwhile, and the rest of the time is told."""
    with Cluster(3, log_size="8M") as cluster:
        leader, lost = slow_to_fill(cluster, "4M")
        assert leader.status().settings["max_rate"] == 4 << 20
        events, told = cluster.events(lost), cluster.events(leader)
        lost.up()
        # For so many seconds, or the rate is not known well.
        status = leader.wait("its speed is known", lambda s: s.member(lost.number).get(
            "fill_extents_done", 0) >= 10)
        member = status.member(lost.number)
        assert 2 << 20 < member["fill_rate"] < 6 << 20, member
        assert 0 < member["fill_extents_left"] <= 22, member
        own = lost.status()
        assert own.filling and 0 < own.fill_extents_left <= 22, own
        # At a third to three times of what it should take.
        for seconds in (member["fill_seconds_left"], own.fill_seconds_left):
            assert 2 <= seconds <= 16, (seconds, member, own)
        leader.set("--max-rate", "none")
        events.wait("fill-done", 30)
        done = wait_told(told, "fill-done", peer=lost.number)
        progress = [event for event in told.told("fill-progress")
                    if event["peer"] == lost.number]
        assert len(progress) > 5 and progress[0]["text"] == "begins", progress
        assert any(event["rate"] and event["seconds_left"] for event in progress), progress
        assert done["left"] == 0, done


def behind_by_log(cluster, mib):
    """The leader, one that is down and lacks so many MiB, all in the log, and a third one."""
    leader = cluster.leader()
    lost, other = cluster.others(leader)
    lost.down()
    last = leader.status().last_index
    fill_log(cluster, leader, mib)
    assert leader.status().first_index <= last + 1, "the log was passed by"
    return leader, lost, other


def has_all(leader, lost):
    return lost.status().durable_index == leader.status().last_index


def rate_in_force(cluster, rate):
    """Those that are up know of it."""
    for member in cluster.members:
        if member.is_up:
            member.wait("it knows of the rate", lambda s: s.settings["max_rate"] == rate, 10)


# Little memory: records have to be read from the log. Much: none has.
@test("rejoin", timeout=150)
def log_at_a_limited_rate():
    """--max-rate, set at a member that does not lead, holds for who catches up by the log."""
    for memory in ("16M", "256M"):
        with Cluster(3, disk_mib=300, log_size="128M", up=("--memory", memory)) as cluster:
            leader, lost, other = behind_by_log(cluster, 40)
            other.set("--max-rate", "4M")
            rate_in_force(cluster, 4 << 20)
            text = leader.qbdadm("status", cluster.name).output
            assert "catch up at 4.0 MiB a second at most" in text, text
            events, began = cluster.events(lost), time.monotonic()
            told = cluster.events(leader)
            lost.up()
            its_rate_is_told(cluster, leader, lost)
            wait_until("it has all of it", lambda: has_all(leader, lost), 60)
            took = time.monotonic() - began
            # It comes up within a second, and says itself what holds.
            assert 9 <= took <= 14, "%.1f s for 40 MiB" % took
            assert lost.status().settings["max_rate"] == 4 << 20
            assert not events.told(*FILL, *BY_LOG), events.seen
            its_progress_was_told(told, lost)
            assert "catch_up_rate" not in leader.status().member(lost.number)
            # Who is in step does not catch up, however much is written.
            told.forget()
            fill_log(cluster, leader, 32)
            cluster.wait_caught_up()
            assert not told.told(*BY_LOG), told.seen


def its_rate_is_told(cluster, leader, lost):
    """The leader knows how fast a member catches up that gets 4 MiB a second of 40, in some more of
    log."""
    def known(status):
        return status.member(lost.number).get("catch_up_bytes_done", 0) >= 12 << 20
    member = leader.wait("its speed is known", known).member(lost.number)
    assert 3 << 20 < member["catch_up_rate"] < 5 << 20, member
    left = member["catch_up_bytes_left"]
    assert 20 << 20 < left < 32 << 20 and left == member["behind_bytes"], member
    assert member["catch_up_bytes_total"] == member["catch_up_bytes_done"] + left, member
    # At a third to three times of what it should take.
    assert 2 <= member["catch_up_seconds_left"] <= 20, member
    text = leader.qbdadm("status", cluster.name).output
    assert re.search(r"catching up: \d+ %, [\d.]+ MiB left, \d\.\d MiB/s, \d+ s ", text), text


def its_progress_was_told(told, lost):
    """Of who got 40 MiB within ten seconds: when it began, about once a second, and the end."""
    told.wait("catch-up-done", 10, peer=lost.number)
    *progress, done = told.told(*BY_LOG)
    assert [event["event"] for event in (*progress, done)] == \
        [BY_LOG[0]] * len(progress) + [BY_LOG[1]], (progress, done)
    assert {event["peer"] for event in (*progress, done)} == {lost.number}, progress
    assert [event["text"] for event in progress] == \
        ["begins"] + ["goes on"] * (len(progress) - 1), progress
    assert 7 <= len(progress) <= 14, progress
    left = [event["left"] for event in progress]
    assert left[0] > 38 << 20 and left == sorted(left, reverse=True), left
    assert progress[0]["seconds_left"] is None and not progress[0]["rate"], progress[0]
    for event in progress[3:]:
        assert 3 << 20 < event["rate"] < 5 << 20, event
        assert abs(event["left"] / event["rate"] - event["seconds_left"]) <= 1, event
    assert not done["left"] and done["done"] == done["total"] > 38 << 20, done


@test("rejoin", timeout=90)
def max_rate_outlives_the_leader():
    """What was set where leadership was holds where it is, and is lifted from anywhere."""
    with Cluster(3, disk_mib=300, log_size="128M") as cluster:
        leader, lost, other = behind_by_log(cluster, 40)
        leader.set("--max-rate", "1M")
        rate_in_force(cluster, 1 << 20)
        other.qbdadm("leader", "move", cluster.name, "--to", other.number)
        cluster.wait_leader([leader, other], not_member=leader)
        lost.up()
        began = lost.wait("it catches up", lambda s: s.leader == other.number).durable_index
        assert began < other.status().last_index / 2, "it had most of it at once"
        begun = time.monotonic()
        never("it was sent more", lambda: lost.status().durable_index - began >
              # Records of up to 256 KiB.
              (time.monotonic() - begun + 2) * 40, 5)
        lost.set("--max-rate", "none")
        rate_in_force(cluster, 0)
        begun = time.monotonic()
        wait_until("it has all of it", lambda: has_all(other, lost), 30)
        took = time.monotonic() - begun
        assert took < 5, "%.1f s without a limit" % took
        # Who comes back learns what is in force.
        leader.down()
        other.set("--max-rate", "2M")
        leader.up()
        rate_in_force(cluster, 2 << 20)


@test("rejoin", timeout=120)
def the_limit_is_for_who_catches_up_first():
    """Four hosts verify, and what they read would take all that --max-rate leaves; who catches
    up gets it before."""
    with Cluster(5, log_size="32M") as cluster:
        leader = cluster.leader()
        fill_log(cluster, leader, 16, where="16M", order="write")
        lost = cluster.others(leader)[0]
        lost.down()
        fill_log(cluster, leader, 1)
        leader.set("--max-rate", "128K")
        rate_in_force(cluster, 128 << 10)
        here = cluster.others(lost)
        argv = ["qbdadm", "verify", cluster.name, "--max-rate", "1G"]
        processes = [spawn(argv, member.netns, text=True, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE) for member in here]

        def verifying():
            return [member for member in here
                    if member.status()["verify"]["state"] == "running"]
        wait_until("all verify", lambda: len(verifying()) == len(here))
        lost.up()
        wait_until("it has all of it", lambda: has_all(leader, lost), 30)
        assert len(verifying()) == len(here), "it had to wait"
        for member, process in zip(here, processes):
            member.qbdadm("verify", cluster.name, "--stop")
            finish(process, argv, 20)


@test("rejoin", timeout=90)
def requests_do_not_wait_for_the_limit():
    """No majority without a member that catches up: it is sent all, whatever --max-rate says."""
    with Cluster(3, disk_mib=300, log_size="128M") as cluster:
        leader, lost, other = behind_by_log(cluster, 40)
        leader.set("--max-rate", "1M")
        lost.up()
        leader.wait("it catches up", lambda s: s.member(lost.number).get("behind_bytes", 0) >
                    30 << 20 and s.member(lost.number)["connected"])
        other.down()
        begun = time.monotonic()
        direct_write(leader.device, 0, b"x" * 4096)
        took = time.monotonic() - begun
        assert took < 10, "a write waited for %.1f s" % took


def half_filled(member):
    """Some of it is there, and some is not."""
    member.wait("it is being filled", lambda s: s.filling and
                0 < s.fill_extents_done < s.fill_extents_total / 2)


def cannot_be_filled(cluster):
    """alpha leads and hears gamma only, which lacks an extent that alpha's disk cannot read."""
    alpha, gamma = cluster.lead(1), cluster.member(3)
    gamma.down()
    fill_log(cluster, alpha, 40, where="4M")
    cluster.wait_caught_up()
    alpha.disk.fail_reads([damage.data_block(alpha.disk) + 100])
    cluster.network.isolate(2)
    gamma.up()
    alpha.wait("it cannot read", lambda s: s.leader == 1 and "failed a read" in s.problem)
    return alpha, gamma


@test("rejoin", timeout=60)
def filled_when_it_can_be_read():
    """Nobody else could lead meanwhile: it is soon tried again."""
    with Cluster(3, log_size="8M") as cluster:
        alpha, gamma = cannot_be_filled(cluster)
        never("it is filled", lambda: not gamma.status().filling, 2)
        alpha.disk.heal()
        gamma.wait("it is filled", lambda s: not s.filling, timeout=5)
        direct_write(gamma.device, 0, pattern(1, 1))


@test("rejoin", timeout=60)
def read_by_who_is_away():
    """What the leader's disk cannot read, and gamma does not have yet: it waits, as a write does."""
    with Cluster(3, log_size="8M") as cluster:
        alpha, gamma = cannot_be_filled(cluster)
        beta = cluster.member(2)
        readers = [Child(lambda report, at=at: report(direct_read(
            at.device, 100 * 4096, 4096).hex())) for at in (alpha, gamma)]
        never("it is read", lambda: any(reader.ended() for reader in readers), 2)
        cluster.network.heal()
        read = [reader.wait() for reader in readers]
        cluster.wait_caught_up()
        assert read == [[direct_read(beta.device, 100 * 4096, 4096).hex()]] * 2
        alpha.disk.heal()


@test("rejoin", timeout=60)
def read_by_nobody():
    """What the leader's disk cannot read, and the only other one that has it is gone: it fails, for
    all else goes on."""
    with Cluster(3, witnesses=(3,), create=SHARED) as cluster:
        alpha = cluster.lead(1)
        direct_write(alpha.device, 100 * 4096, pattern(7, 7))
        cluster.wait_caught_up()
        cluster.member(2).power_cut()
        cluster.network.heal()
        alpha.disk.fail_reads([damage.data_block(alpha.disk) + 100])
        try:
            direct_read(alpha.device, 100 * 4096, 4096)
        except OSError as error:
            assert error.errno == errno.EIO, error
        else:
            raise AssertionError("it was read")
        direct_write(alpha.device, 0, pattern(1, 1))
        cluster.member(2).up()
        assert parse(direct_read(alpha.device, 100 * 4096, 4096)) == (7, 7)
        alpha.disk.heal()


@test("rejoin", timeout=60)
def filled_by_one_that_can_read():
    """The leader stands aside for who is cut off from it, and gamma reaches."""
    with Cluster(3, log_size="8M") as cluster:
        alpha, gamma = cannot_be_filled(cluster)
        beta = cluster.member(2)
        never("its disk is taken for a good one", lambda: not alpha.status().problem, 4)
        cluster.network.mend(2, 3)
        beta.wait("it leads", lambda s: s.role == "leader", timeout=20)
        gamma.wait("it is filled", lambda s: not s.filling)
        direct_write(gamma.device, 0, pattern(1, 1))
        cluster.network.heal()
        cluster.wait_caught_up()
        alpha.disk.heal()


@test("rejoin", timeout=90)
def fill_interrupted_by_leader_change():
    """The leader goes while a member is being filled: the next one goes on."""
    with Cluster(3, log_size="8M") as cluster:
        leader = cluster.leader()
        lost, other = cluster.others(leader)
        lost.down()
        fill_log(cluster, leader, 40)
        cluster.network.shape(lost.number, "rate", "100mbit")
        events = cluster.events(lost)
        lost.up()
        half_filled(lost)
        leader.qbdadm("leader", "move", cluster.name, "--to", other.number)
        before = lost.wait("it is still being filled, under the other one",
                           lambda s: s.leader == other.number).fill_extents_done
        assert before, "it was filled already, or anew"
        cluster.network.shape(lost.number)
        events.wait("fill-done", 60)
        told = [event["done"] for event in events.told("fill-progress")]
        assert told == sorted(told) and told[-1] > before, "%s, %d" % (told, before)
        cluster.wait_caught_up(60)


@test("rejoin", timeout=90)
def filled_and_behind_under_another_leader():
    """Who is being filled lacks some of the log as well, and there is another leader: that one
    tells of it once, and not whenever it looks at it."""
    with Cluster(3, log_size="8M") as cluster:
        leader, lost = slow_to_fill(cluster, "1M")
        other = next(member for member in cluster.others(leader) if member is not lost)
        lost.up()
        half_filled(lost)
        # What it got of extents is written for longer than it takes to have the log, and before
        # that it asks for no more.
        layout = dump(lost.disk)["superblocks"][0]
        data = layout["data_block"]
        lost.disk.slow_between(data, data + layout["device_blocks"], 8000)
        time.sleep(1)
        cluster.network.isolate(lost.number)
        fill_log(cluster, leader, 4, where="2M")
        leader.qbdadm("leader", "move", cluster.name, "--to", other.number)
        cluster.wait_leader([leader, other], not_member=leader)
        other.wait("it is gone", lambda s: not s.member(lost.number).connected)
        told = cluster.events(other)
        cluster.network.heal()
        lost.wait("it is still being filled, under the other one",
                  lambda s: s.leader == other.number and s.filling)
        told.wait("peer-up", 10, peer=lost.number)

        def begun():
            return [event for event in told.told(BY_LOG[0]) if event["text"] == "begins"]
        # It may be that it does not say yet that it is filled.
        never("it is told whenever it is looked at", lambda: len(begun()) > 1, 2)
        lost.disk.heal()
        other.set("--max-rate", "none")


@test("rejoin", timeout=120)
def passed_by_while_it_is_filled():
    """Who is being filled is passed by by the log, twice: it goes on at once where it was."""
    with Cluster(3, log_size="8M") as cluster:
        # More than half a minute for all of it.
        leader, lost = slow_to_fill(cluster, "1M")
        events = cluster.events(lost)
        lost.up()
        seen = 0
        for times in (1, 2):
            seen = lost.wait("it has some more of it", lambda s: s.filling and
                             s.fill_extents_done >= seen + 3).fill_extents_done
            cluster.network.isolate(lost.number)
            # Two extents, over and over.
            fill_log(cluster, leader, 16, where="2M")
            cluster.network.heal()

            def resumed():
                return [event for event in events.told("fill-progress")
                        if event["text"] == "is resumed"]
            # The leader says once a second that its log does not reach it.
            wait_until("it goes on", lambda: len(resumed()) >= times, 8)
            assert resumed()[-1]["done"] >= seen, "%d, %s" % (seen, resumed())
        assert seen < 16, "it was filled nearly, %d extents" % seen
        leader.set("--max-rate", "none")
        events.wait("fill-done", 30)
        cluster.wait_caught_up(30)
        # 32 MiB that it lacked, twice 2 that changed, and each time one that it was amidst.
        got = received(lost) >> 20
        assert got <= 32 + 2 * (2 + 1) + 1, "%d MiB came" % got


@test("rejoin", timeout=90)
def fill_interrupted_by_restart():
    """A member goes down while it is being filled: it goes on after."""
    with Cluster(3, log_size="8M") as cluster:
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        lost.down()
        fill_log(cluster, leader, 40)
        cluster.network.shape(lost.number, "rate", "100mbit")
        lost.up()
        half_filled(lost)
        lost.down()
        state = next(slot for slot in dump(lost.disk)["states"] if slot["current"])
        assert state["filling"], "it was filled already"
        assert state["fill_cursor"] > 0, "it forgot how far it was"
        events = cluster.events(lost)
        lost.up()
        assert lost.status().fill_extents_done >= state["fill_cursor"]
        before = received(lost) >> 20
        cluster.network.shape(lost.number)
        events.wait("fill-done", 60)
        told = [event["done"] for event in events.told("fill-progress")]
        # The first round may end within the extent that it begins with.
        assert told and min(told) >= state["fill_cursor"], "%s, %s" % (told, state)
        # Only the extent that it was at is sent once more; all of 48 MiB was written.
        rest = 48 - state["fill_cursor"] + 1
        got = (received(lost) >> 20) - before
        assert got <= rest + 1, "%d MiB came, %d were left" % (got, rest)
        cluster.wait_caught_up(60)


@test("rejoin", timeout=60)
def member_with_emptied_disk():
    """A member whose disk was made anew is filled and counts again."""
    with Cluster(3) as cluster:
        leader = cluster.leader()
        writer = Writer(leader.device, limit=300)
        writer.child.wait()
        lost = cluster.others(leader)[0]
        lost.down()
        lost.disk.wipe()
        cluster.create(lost)
        lost.up()
        cluster.wait_caught_up()
        writer.verify(lost.device)


@test("rejoin", timeout=60)
def emptied_member_elects_nobody_who_lost():
    """A member with an emptied disk helps no one to lead who lacks what it had.

    Its vote was part of what made the writes durable: gamma and alpha acknowledged
    them, beta was away. With gamma's disk made anew and alpha cut off, beta must
    not be elected by gamma (accident 34).
    """
    with Cluster(3) as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        beta.down()
        writer = Writer(alpha.device, limit=300)
        writer.child.wait()
        gamma.down()
        gamma.disk.wipe()
        cluster.create(gamma)
        cluster.network.isolate(1)
        beta.up()
        gamma.up()
        # Else nobody could be elected anyhow.
        beta.wait("it hears the new disk", lambda s: s.member(3).connected)
        gamma.wait("it hears beta", lambda s: s.member(2).connected)
        # gamma may still believe for a moment that alpha leads.
        never("a leader was elected that lacks acknowledged writes",
              lambda: {beta.status().leader, gamma.status().leader} & {2, 3}, 3)
        cluster.network.heal()
        cluster.wait_leader()
        cluster.wait_caught_up()
        for member in cluster.members:
            writer.verify(member.device)


@test("rejoin", timeout=90)
def a_new_disk_and_a_leader_of_old():
    """A new disk does not help a leader that does not know of its successor.

    alpha leads and hears nothing for long, as if its host was paused. beta leads next and
    commits with gamma, whose disk is then made anew, while beta is away. Had gamma
    counted for alpha, what alpha wrote would have taken the place of what was committed.
    """
    with Cluster(3, create=SHARED) as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        for member in cluster.members:
            member.set("--election-timeout", "1500")
        # Who opens it for write there later waits for a majority, and alpha would write nothing.
        late = Writer(alpha.device, first_block=256)
        late.wait_for(20)
        cluster.network.isolate(1)
        alpha.set("--election-timeout", "60000")
        for member in (beta, gamma):
            member.set("--election-timeout", "200")
        if cluster.wait_leader([beta, gamma]) is gamma:
            gamma.qbdadm("leader", "move", cluster.name, "--to", 2)
            cluster.wait_leader([beta, gamma], not_member=gamma)
        writer = Writer(beta.device, limit=300)
        writer.child.wait()
        status = alpha.status()
        committed = status.commit_index
        assert status.last_index > committed, "alpha has nothing to commit"
        gamma.down()
        gamma.disk.wipe()
        cluster.create(gamma)
        cluster.network.isolate(2)
        cluster.network.mend(1, 3)
        gamma.up()
        alpha.wait("it hears the new disk", lambda s: s.member(3).connected)
        assert alpha.status().role == "leader"
        never("the new disk counted for the leader of old",
              lambda: alpha.status().commit_index > committed, 3)
        # With its long timeout it would not vote for another leader for as long.
        alpha.power_cut()
        late.kill()
        cluster.network.heal()
        alpha.up()
        cluster.wait_leader()
        cluster.wait_caught_up()
        for member in cluster.members:
            writer.verify(member.device)


def disks(status):
    """Which disk is which member, by this member's list."""
    return [member["incarnation"] for member in status.members]


@test("rejoin", timeout=60)
def another_disk_is_not_the_member():
    """A disk that was replaced is refused when it comes back, and does not count."""
    with Cluster(3) as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        alpha.wait("all disks are known", lambda status: None not in disks(status))
        before = disks(alpha.status())
        former = gamma.disk.image(cluster.token + ".former")
        gamma.down()
        gamma.disk.wipe()
        cluster.create(gamma)
        gamma.up()
        gamma.wait("it is part of the device", lambda status: not status.problem)
        after = disks(beta.status())
        assert after[:2] == before[:2] and after[2] not in (None, before[2]), after
        gamma.down()
        new = gamma.disk.image(cluster.token + ".new")
        gamma.disk.copy_from(former)
        # With it there would be a majority.
        beta.down()
        gamma.up()
        gamma.wait("it is told why", lambda status: "another disk is this member" in
                   status.problem)
        assert "another disk" in alpha.status().member(3).network["last_error"]
        alpha.wait("it does not count", lambda status: not status.has_quorum)
        assert not gamma.status().leader
        gamma.down()
        gamma.disk.copy_from(new)
        gamma.up()
        beta.up()
        cluster.wait_leader()
        assert disks(alpha.status()) == after


@test("rejoin", timeout=60)
def a_copy_of_a_disk_is_refused():
    """While a member is up here, a copy of its disk does not come up; it goes on as it was."""
    with Cluster(3) as cluster:
        alpha, beta, gamma = cluster.members
        leader = cluster.lead(1)
        writer = Writer(leader.device, slots=64)
        writer.wait_for(50)
        beta.down()
        own = beta.disk.image(cluster.token + ".own")
        beta.disk.copy_from(gamma.disk)
        result = beta.up(check=False)
        assert result.status == 1, result
        assert "member 3 of this device is up already" in result.errors, result.errors
        assert "copy of its disk" in result.errors, result.errors
        assert not beta.disk.is_open()
        writer.wait_for(50)
        assert gamma.status().leader == 1 and not gamma.status().problem
        beta.disk.copy_from(own)
        beta.up()
        writer.stop()
        cluster.wait_caught_up()
        writer.verify(beta.device)


@test("rejoin", timeout=90)
def a_disk_that_was_rolled_back():
    """An older image of a disk is told from it by who knows more, and does not vote.

    alpha and gamma acknowledged writes that beta does not have. gamma comes back with an
    image from before, alpha goes: beta and gamma must not go on without those writes.
    """
    with Cluster(3) as cluster:
        alpha, beta, gamma = cluster.members
        leader = cluster.lead(1)
        leader.wait("all disks are known", lambda status: None not in disks(status))
        gamma.down()
        image = gamma.disk.image(cluster.token + ".image")
        gamma.up()
        cluster.wait_caught_up()
        beta.down()
        writer = Writer(alpha.device, limit=200, slots=64)
        writer.child.wait()
        had = gamma.status().durable_index
        gamma.down()
        gamma.disk.copy_from(image)
        # It is told in the handshake, and is sent nothing before alpha goes.
        cluster.network.shape(3, "rate", "100kbit")
        gamma.up()
        status = gamma.wait("it is told", lambda status: status.damaged)
        assert "rolled back" in status.problem and "member 1" in status.problem, status.problem
        cluster.network.isolate(1)
        assert gamma.status().durable_index < had, "it has everything again"
        # Nobody is there that could tell it once more.
        gamma.down()
        gamma.up()
        status = gamma.status()
        assert status.damaged and str(had) in status.problem, status.problem
        cluster.network.shape(3)
        beta.up()
        # Else nobody could be elected anyhow.
        beta.wait("it hears the older disk", lambda s: s.member(3).connected)
        # gamma may still believe for a moment that alpha leads.
        never("a leader was elected that lacks acknowledged writes",
              lambda: {beta.status().leader, gamma.status().leader} & {2, 3}, 3)
        cluster.network.heal()
        cluster.wait_leader()
        cluster.wait_caught_up()
        gamma.wait("it has everything again", lambda status: not status.damaged)
        for member in cluster.members:
            writer.verify(member.device)


@test("rejoin", timeout=60)
def all_restart_with_small_log():
    """All go down after the log was reclaimed, and come back."""
    with Cluster(3, log_size="8M") as cluster:
        fill_log(cluster, cluster.leader(), 40)
        writer = Writer(cluster.leader().device, limit=100)
        writer.child.wait()
        cluster.down_all()
        cluster.up()
        cluster.wait_leader()
        writer.verify()


def log_stands_full(member):
    """The log has no room for what waits, and that stays so for a while."""
    first = member.status()
    share = first.store["log_used_bytes"] / first.store["log_bytes"]
    # The largest record and what leaders need for themselves are kept free.
    if not first.requests_waiting or share < 0.7:
        return False
    second = member.status()
    return second.requests_waiting and second.last_index == first.last_index


@test("rejoin", timeout=90)
def log_full_slows_and_recovers():
    """Disks that apply slowly fill a small log: writers slow down, nothing is lost."""
    with Cluster(3, log_size="8M", up=("--memory", "64M")) as cluster:
        leader = cluster.leader()
        layout = dump(leader.disk)["superblocks"][0]
        data = layout["data_block"]
        for member in cluster.members:
            # The log is as quick as ever.
            member.disk.slow_between(data, data + layout["device_blocks"], 500)
        writer = Writer(leader.device, first_block=13000)
        child = Child(lambda report: fill_log(cluster, leader, 24))
        wait_until("the log is full and writers wait", lambda: log_stands_full(leader), 60)
        for member in cluster.members:
            member.disk.heal()
        child.wait(60)
        writer.wait_for(50)
        writer.stop()
        writer.verify()


@test("rejoin", timeout=90)
def memory_is_bounded():
    """A follower that is cut off and much to write: memory stays within bounds.

    Of each member: log pages as set; for its connections, its tables, pages to read into,
    and what is under way, as much again is more than enough.
    """
    pages = 8 << 20
    bound = 3 * pages * 2
    with Cluster(3, up=("--memory", str(pages)), start=False, log_size="8M", disk_mib=96,
                 disk_solid=True) as cluster:
        before = kernel.memory_in_use()
        cluster.up()
        leader = cluster.leader()
        lost = cluster.others(leader)[0]
        cluster.network.isolate(lost.number)
        # Several times what the bound is.
        child = Child(lambda report: fill_log(cluster, leader, 160))
        most = []

        def written():
            most.append(kernel.memory_in_use() - before)
            return child.ended()
        wait_until("all is written", written, 60)
        child.wait()
        kernel.say("memory: %d KiB at most, bound %d KiB" % (max(most) >> 10, bound >> 10))
        assert max(most) < bound, "%d MiB of %d MiB" % (max(most) >> 20, bound >> 20)
        for member in cluster.members:
            status = member.status()
            assert status.memory_bytes == pages, status.memory_bytes
        cluster.network.heal()
        cluster.wait_caught_up(60)
        for member in cluster.members:
            member.wait("pages are free again", lambda s: s.memory_free_bytes >
                        s.memory_bytes // 4)


def writes_in(seconds, *members):
    """How many blocks are written on each of these hosts, one at a time there."""
    def work(report, path, block):
        fd = os.open(path, os.O_WRONLY | os.O_DIRECT)
        buffer = mmap.mmap(-1, 4096)
        end = time.monotonic() + seconds
        count = 0
        while time.monotonic() < end:
            os.pwritev(fd, [buffer], block * 4096)
            count += 1
        report("%d" % count)
    children = [Child(lambda report, path=member.device, block=block: work(report, path, block))
                for block, member in enumerate(members)]
    for child in children:
        child.wait()
    return [int(child.lines[-1]) for child in children]


@test("rejoin", timeout=150)
def answered_while_it_catches_up():
    """A host that comes back uses the device at once, and is sent what it had missed besides, in
    large records: that does not slow it down much more than a host that lacks nothing."""
    with Cluster(3, disk_mib=300, log_size="128M", create=("--claim", "shared"),
                 up=("--memory", "64M")) as cluster:
        leader = cluster.leader()
        lost, other = cluster.others(leader)
        lost.down()
        last = leader.status().last_index
        run(["fio", "--name=fill", "--filename=" + leader.device, "--thread", "--direct=1",
             "--clocksource=clock_gettime", "--ioengine=io_uring", "--iodepth=2",
             "--rw=write", "--bs=1M", "--offset=1M", "--size=80M", "--io_size=80M",
             "--output-format=terse"], timeout=60)
        assert leader.status().first_index <= last + 1, "the log was passed by"
        writer = Writer(other.device, first_block=100, pause=0.002)
        writer.wait_for(20)
        lost.up()
        mine, others = writes_in(1, lost, other)
        writer.stop()
        assert mine > others / 4, (mine, others)
