# SPDX-License-Identifier: GPL-2.0
"""Disks that hold something else than what was written to them."""

import re

from lib import damage
from lib.cluster import Cluster, refused
from lib.damage import Damage, Log
from lib.registry import test
from lib.shell import never
from lib.workload import BLOCK, Writer, direct_read, direct_write, pattern


def lose_power(cluster, *members):
    """These lose power, in the middle of writing; their logs as the disks have them.

    From the first moment on their disks take nothing: they must not come to rest, for
    then they would write that all is applied.
    """
    for member in members:
        member.disk.hang()
    for member in members:
        member.power_cut()
    cluster.network.heal()
    return [Log(member.disk) for member in members]


def damage_record(member, log, index):
    """A record that this member acknowledged, and has not applied, rots.

    Were it applied, its effect would be in the data area and nothing lost; were it
    the end of what the disk knows to be durable, it would be a torn tail.
    """
    assert log.state["applied_index"] < index <= log.proven_durable(), \
        "record %d: %s" % (index, log.state)
    wrong = Damage(member.disk)
    wrong.flip(log.block(index, log.records[index]["data_blocks"]))
    broken = Log(member.disk)
    assert broken.verdict == "damaged" and broken.last_index == index - 1, \
        "%s up to %d" % (broken.verdict, broken.last_index)
    assert broken.damaged_through >= index
    return wrong


def is_damaged(status):
    return status.damaged and any("lost acknowledged records" in problem["text"]
                                  for problem in status.problems)


def nobody_leads(*members):
    """They talk with each other, and none becomes leader or tries to."""
    for member in members:
        for other in members:
            if other is not member:
                member.wait("it is connected to %r" % other,
                            lambda s: s.member(other.number).connected)
    never("there is a leader", lambda: [member for member in members
                                        if member.status().leader], 3)


@test("damage", timeout=60)
def damaged_record_is_sent_again():
    """A member whose log lost an acknowledged record elects nobody without it.

    alpha and gamma acknowledged what gamma has lost; beta was away. With the vote of
    gamma, beta would lead, and it would be lost for good (accident 41).
    """
    with Cluster(3) as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        writer = Writer(alpha.device)
        writer.wait_for(20)
        beta.down()
        writer.wait_for(300)
        log, = lose_power(cluster, gamma)
        # A checkpoint may have come meanwhile: what it applied is not lost.
        damage_record(gamma, log, max(Log(beta.disk).last_index,
                                      log.state["applied_index"]) + 1)
        cluster.network.isolate(1)
        beta.up()
        gamma.up()
        assert is_damaged(gamma.status()), gamma.status()
        nobody_leads(beta, gamma)
        assert gamma.status().damaged and gamma.status().role == "follower"
        cluster.network.heal()
        assert cluster.wait_leader() is alpha
        writer.stop()
        gamma.wait("what it lost was sent again, or is being filled in",
                   lambda s: not s.damaged)
        cluster.wait_caught_up()
        # By the log, or by extents if the writer has left it behind meanwhile.
        assert (cluster.log.find("what was lost has been sent again") or
                cluster.log.find("filled: the data is complete"))
        for member in cluster.members:
            writer.verify(member.device)
        # It votes again: with beta gone, alpha needs it.
        beta.down()
        alpha.down()
        alpha.up()
        cluster.wait_leader()


@test("damage", timeout=90)
def a_damaged_learner_is_promoted_when_it_is_whole():
    """It lacks a few records, and has no vote: promoted now, it would be waited for in vain."""
    with Cluster(4) as cluster:
        alpha, beta, _, delta = cluster.members
        cluster.lead(1)
        cluster.change(alpha, "demote", 4)
        # What it lacks is less than what a learner may lack.
        for number in range(10):
            direct_write(beta.device, number * BLOCK, pattern(number, 1))
        log, = lose_power(cluster, delta)
        damage_record(delta, log, log.proven_durable() - 3)
        cluster.network.isolate(4)
        delta.up()
        assert is_damaged(delta.status()), delta.status()
        # It hears from its leader, and cannot write what it gets.
        delta.disk.hang()
        cluster.network.heal()
        alpha.wait("it is followed", lambda status: status.member(4).progress_state == "replicate"
                   and 0 < status.member(4).behind_entries < 64)
        cluster.change(alpha, "promote", 4, "--no-wait")
        never("it votes", lambda: alpha.status().member(4).voter, 2)
        assert delta.status().damaged
        delta.disk.resume()
        alpha.wait("it votes", lambda status: status.member(4).voter)
        assert not delta.status().damaged
        for number in range(10):
            assert direct_read(delta.device, number * BLOCK, BLOCK) == pattern(number, 1)


@test("damage", timeout=90)
def damaged_records_at_two_of_three():
    """Two of three lost acknowledged records: nobody leads, and nothing more is lost.

    Not even the third one may, which has everything: it cannot know that. When what
    they lost is there again, from wherever, all go on.
    """
    with Cluster(3) as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        writer = Writer(alpha.device)
        writer.wait_for(300)
        _, *logs = lose_power(cluster, alpha, beta, gamma)
        writer.kill()
        wrong = []
        kept = {}
        for member, log in zip((beta, gamma), logs):
            index = (log.state["applied_index"] + log.proven_durable()) // 2 + 1
            wrong.append(damage_record(member, log, index))
            kept[member] = {block: damage.read_block(member.disk, block)
                            for block in log.blocks(index)}
        for members in ((beta, gamma), (beta, gamma, alpha)):
            for member in members:
                if not member.is_up:
                    member.up()
            assert is_damaged(beta.status()) and is_damaged(gamma.status())
            nobody_leads(*members)
            for member, blocks in kept.items():
                member.down()
                changed = [block for block, data in blocks.items()
                           if damage.read_block(member.disk, block) != data]
                assert not changed, "%r wrote over its log: %s" % (member, changed)
        for blocks in wrong:
            blocks.undo()
        cluster.up()
        cluster.wait_leader()
        assert not beta.status().damaged and not gamma.status().damaged
        cluster.wait_caught_up()
        for member in cluster.members:
            writer.verify(member.device)


@test("damage", timeout=60)
def damaged_records_that_somebody_needs():
    """All who have the records that a member missed have them damaged: extents do.

    They applied them long ago, and what the records did is in their data areas. (They
    handed leadership to each other, or read the record again without an end.)
    """
    with Cluster(3) as cluster:
        alpha, beta, gamma = cluster.members
        cluster.lead(1)
        writer = Writer(alpha.device)
        writer.wait_for(20)
        gamma.down()
        writer.wait_for(100)
        writer.stop()
        cluster.wait_caught_up()
        # Records that were applied before a member came up are not in its memory.
        for member in (alpha, beta):
            member.down()
        missed = Log(gamma.disk).last_index + 2
        logs = {member: Log(member.disk) for member in (alpha, beta)}
        for member in (alpha, beta):
            member.up()
        cluster.wait_leader([alpha, beta])
        for member, log in logs.items():
            assert missed <= log.state["applied_index"]
            Damage(member.disk).flip(log.block(missed, log.records[missed]["data_blocks"]))
        gamma.up()
        cluster.wait_caught_up()
        assert len(cluster.log.find("log record %d on this disk cannot be read" % missed)) == 1
        assert cluster.log.find("filled: the data is complete")
        for member in cluster.members:
            writer.verify(member.device)


def refused_with(member, words):
    """up is refused with just this line; in words, * is for numbers."""
    line = refused(member.up(check=False))
    pattern = re.escape("qbdadm: vol: %s: %s" % (member.disk.path, words))
    assert re.fullmatch(pattern.replace(r"\*", "[0-9a-f]+"), line), line


def write_some(cluster):
    """A device with something on it, caught up; all members are down."""
    writer = Writer(cluster.leader().device, limit=100)
    writer.child.wait()
    cluster.wait_caught_up()
    cluster.down_all()
    return writer


@test("damage")
def damaged_superblocks():
    """One copy of the superblock is written again from the other; both are needed."""
    with Cluster(3) as cluster:
        member = cluster.member(2)
        writer = write_some(cluster)
        places = [copy["block"] for copy in damage.dump(member.disk)["superblocks"]]
        wrong = Damage(member.disk)
        for place in places:
            wrong.flip(place)
        refused_with(member, "no superblock copy is good (block 0: damaged: checksum is "
                     "*, should be *); look with 'qbdadm dump', or give this replica up "
                     "and make it anew under another id")
        wrong.undo()
        for place, name in zip(places, ("first", "second")):
            wrong.rubbish(place)
            before = cluster.log.find("superblock")
            member.up()
            said = cluster.log.find("superblock")[len(before):]
            assert len(said) == 1 and \
                "wrote the %s superblock copy again, it was damaged" % name in said[0], said
            member.down()
            assert [copy["verdict"] for copy in
                    damage.dump(member.disk)["superblocks"]] == ["good", "good"]
        cluster.up()
        cluster.wait_leader()
        writer.verify(member.device)


@test("damage")
def truncated_disk():
    """A disk that is smaller than it was is refused, and works when it is whole."""
    with Cluster(3) as cluster:
        member = cluster.member(2)
        writer = write_some(cluster)
        member.disk.truncate(8)
        refused_with(member, "no superblock copy is good (block 0: invalid: was made for a "
                     "disk of 40960 blocks, this one has 38912); look with 'qbdadm dump', "
                     "or give this replica up and make it anew under another id")
        member.disk.heal()
        cluster.up()
        cluster.wait_leader()
        writer.verify(member.device)


@test("damage")
def blocks_of_a_newer_version():
    """A superblock or state block of a version to come is refused, not repaired."""
    with Cluster(3) as cluster:
        member = cluster.member(2)
        writer = write_some(cluster)
        places = [copy["block"] for copy in damage.dump(member.disk)["superblocks"]]
        for place in places:
            wrong = Damage(member.disk)
            wrong.newer(place)
            refused_with(member, "the superblock is newer than this program: format "
                         "version 2, this program knows version 1; use a newer qbdadm "
                         "and module")
            wrong.undo()
        for place in damage.STATE_BLOCKS:
            wrong = Damage(member.disk)
            wrong.newer(place)
            refused_with(member, "the state block is newer than this program; use a newer "
                         "qbdadm and module")
            wrong.undo()
        cluster.up()
        cluster.wait_leader()
        writer.verify(member.device)


@test("damage")
def damaged_state_blocks():
    """One state block may be lost; with both the vote is lost, and that is refused."""
    with Cluster(3) as cluster:
        member = cluster.member(2)
        writer = write_some(cluster)
        wrong = Damage(member.disk)
        for place in damage.STATE_BLOCKS:
            wrong.flip(place)
        refused_with(member, "both state blocks are bad (damaged: checksum is *, should be "
                     "*; damaged: checksum is *, should be *): its vote is lost, give this "
                     "replica up and make it anew under another id")
        wrong.undo()
        term = Log(member.disk).state["term"]
        for place in damage.STATE_BLOCKS:
            wrong.rubbish(place)
            member.up()
            assert member.status().term >= term
            assert not member.status().damaged
            member.down()
            assert [slot["verdict"] for slot in
                    damage.dump(member.disk)["states"]] == ["good", "good"]
        cluster.up()
        cluster.wait_leader()
        writer.verify(member.device)


@test("damage", timeout=60)
def damaged_extent_table():
    """A block of the extent table: from the journal, or the member is filled again."""
    with Cluster(3) as cluster:
        member = cluster.member(2)
        writer = write_some(cluster)
        wrong = Damage(member.disk)
        wrong.rubbish(damage.TABLE_BLOCK)
        assert damage.dump(member.disk)["extents"]["table_blocks_from_journal"] == 1
        cluster.up()
        cluster.wait_leader()
        assert not member.status().filling
        assert not cluster.log.find("extent table are damaged")
        cluster.wait_caught_up()
        cluster.down_all()
        wrong.rubbish(damage.TABLE_BLOCK)
        wrong.rubbish(damage.JOURNAL_BLOCK, damage.JOURNAL_BLOCKS)
        assert damage.dump(member.disk)["extents"]["table_blocks_bad"] == 1
        others = cluster.others(member)
        for other in others:
            other.up()
        cluster.wait_leader(others)
        events = cluster.events(member)
        member.up()
        events.wait("fill-done")
        assert cluster.log.find("1 blocks of the extent table are damaged; "
                                "the data will be copied from another member")
        cluster.wait_caught_up()
        writer.verify(member.device)
