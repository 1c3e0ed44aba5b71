# SPDX-License-Identifier: GPL-2.0
"""What is shown, one act after another; each has the stage, and leaves it as it says."""

import time

import hosts as qemu

from demonstration.screen import Failed
from demonstration.stage import DEVICE, DISK, MOUNT, TOKEN, name_of


def make(stage, hosts):
    """The first host makes the device, the others join it."""
    stage.screen.title("A device out of three hosts, by three commands")
    stage.build_records()
    first, *others = hosts
    stage.hosts.append(first)
    stage.command(first, "qbdadm create %s --disk %s --listen %s --name %s" % (
        DEVICE, DISK, first.address4, name_of(first)))
    stage.command(first, "qbdadm token show %s --out %s" % (DEVICE, TOKEN))
    stage.step("(%s is copied to the others)" % TOKEN)
    for host in others:
        stage.give_token(first, host)
        stage.join(host)
    stage.wait_voters(len(hosts))
    for host in hosts:
        host.push(stage.records, "/root/records")
    leader = stage.leader()
    stage.step("%d voters, %s leads" % (len(hosts), name_of(leader)))
    return leader


def cut_leader_elsewhere(stage, mount):
    """The leader loses power; the mount is on another host, where a writer goes on."""
    stage.screen.title("The leader loses its power, the mount is elsewhere")
    if stage.leader() is mount:
        stage.move_leader(mount, next(host for host in stage.hosts if host is not mount))
    victim = stage.leader()
    others = [host for host in stage.hosts if host is not victim]
    writer = stage.write(mount)
    stage.step("power of %s (leader) cut after record %d" % (name_of(victim),
                                                             writer.acknowledged))
    victim.power_cut()
    writer.wait_for(20)
    leader = stage.leader(others, not_this=victim)
    stage.step("%s leads; the writer on %s goes on, no error; writes stood still "
               "for %.0f ms" % (name_of(leader), name_of(mount), writer.gap / 1e3))
    stage.stood_still.append(("leader lost, mount elsewhere", writer.gap / 1e3))
    return victim, writer


def cut_leader_with_mount(stage, mount, writer):
    """The leader has the mount, and loses its power; another host mounts the device."""
    stage.screen.title("The leader loses its power, and the mount was on it")
    if stage.leader() is not mount:
        stage.move_leader(mount, mount)
    writer.wait_for(20)
    cut_at = time.monotonic()
    stage.step("power of %s (leader, mount) cut after record %d" % (
        name_of(mount), writer.acknowledged))
    mount.power_cut()
    writer.command.reader.join(30)
    others = [host for host in stage.hosts if host is not mount]
    leader = stage.leader(others, not_this=mount)
    stage.step("%s leads; %s# fsck.ext4 -f; mount" % (name_of(leader), name_of(leader)))
    stage.check_file_system(leader)
    leader.run("mount /dev/qbd0 %s" % MOUNT)
    gone = time.monotonic() - cut_at
    stage.step("fsck is clean, mounted on %s %.1f s after the cut" % (name_of(leader),
                                                                      gone))
    stage.stood_still.append(("leader and mount lost, from the cut to checked and "
                              "mounted elsewhere", gone * 1e3))
    stage.check_files(leader)
    return leader


def take_over(stage, old):
    """The holder lives and writes; an administrator has another host take over."""
    new = next(host for host in stage.hosts if host is not old)
    stage.screen.title("%s has the device mounted, and %s takes it over" % (
        name_of(old), name_of(new)))
    writer = stage.write(old)
    stage.refused(new, "qbdadm claim take %s" % DEVICE, name_of(old), "--force")
    stage.command(new, "qbdadm claim take %s --force" % DEVICE)
    writer.command.reader.join(60)
    if not writer.command.ended():
        raise Failed("the writer on %s goes on although the device was taken over" %
                     name_of(old))
    stage.step("%s: the writer got an error after record %d: the device there is fenced" % (
        name_of(old), writer.acknowledged))
    old.run("umount %s" % MOUNT, timeout=120)
    stage.check_file_system(new)
    stage.command(new, "mount /dev/qbd0 %s" % MOUNT)
    stage.check_files(new)
    # From here on it has the device for as long as it is mounted, as the others had.
    return new


def replace(stage, mount, host):
    """A host that was no member takes the place of one, while a writer goes on."""
    old = next(member for member in stage.hosts[1:] if member is not mount)
    stage.screen.title("%s takes the place of %s, under load" % (name_of(host),
                                                                 name_of(old)))
    writer = stage.write(mount)
    # What was in files of the hosts that lost their power went with it.
    stage.hosts[0].run("rm -f " + TOKEN)
    stage.command(stage.hosts[0], "qbdadm token show %s --out %s" % (DEVICE, TOKEN))
    stage.give_token(stage.hosts[0], host)
    stage.join(host, "--learner")
    stage.screen.block(stage.command(stage.hosts[0], "qbdadm member list %s" % DEVICE))
    stage.screen.block(stage.command(stage.hosts[0], "qbdadm member replace %s %s %s" % (
        DEVICE, name_of(old), name_of(host)), timeout=120))
    writer.wait_for(20)
    writer.command.kill()
    writer.command.reader.join(30)
    stage.step("%s went on, no error; writes stood still for at most %.0f ms" % (
        name_of(mount), writer.gap / 1e3))
    stage.stood_still.append(("%s replaced by %s" % (name_of(old), name_of(host)),
                              writer.gap / 1e3))
    qemu.wait_for(lambda: "removed" in stage.status(old)["problem"], 60,
                  "%s says that it was removed" % name_of(old))
    stage.step("%s says: %s" % (name_of(old), stage.status(old)["problem"]))
    old.run("qbdadm down %s" % DEVICE)
    stage.hosts.remove(old)
    stage.check_files(mount)
