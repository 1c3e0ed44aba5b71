// SPDX-License-Identifier: GPL-2.0
/*
 * Parts of qbdadm by themselves, for what no argument and no disk leads to.
 *
 * usage: parts requests              requests about names longer than a message
 *        parts link NAME             the link of a device of this name
 *        parts plan DISK SIZE LOG EXTENT   where things lie, all in bytes; or why not
 *        parts groups                what is asked for of a module that knows of groups, and not
 *        parts plans                 the same for many disks, judged as the module does
 *        parts join CONTACT NAME TOKEN-FILE LISTEN HOST WAIT
 *                                    be added to the members of a device, but for the
 *                                    disk; WAIT in ms; prints the id and the list's index
 *        parts connect ...           likewise, as a client
 *        parts scan SYSFS DEV [NAME]  members on files in DEV that SYSFS speaks of, or the
 *                                    one that is NAME's
 *        parts config DIRECTORY NAME  what NAME.conf says, over --heartbeat 7
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/genetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/client.h"
#include "lib/disk.h"
#include "lib/join.h"
#include "lib/plan.h"
#include "lib/scan.h"
#include "lib/status.h"
#include "qbdadm/links.h"
#include "qbdadm/up.h"
#include "store/layout.h"

/*
 * Nothing is sent: there is no socket. The shortest of these names fits exactly, and
 * what follows it does not.
 */
static int requests(void)
{
	static const size_t lengths[] = {
		QBD_CLIENT_BUFFER_SIZE - 25, QBD_CLIENT_BUFFER_SIZE - 24, QBD_CLIENT_BUFFER_SIZE,
		100000,
	};
	struct qbd_settings_wish wish = { .given = ~0u };
	struct qbd_client client = { 0 };
	struct qbd_up_reply reply;
	struct qbd_status status;
	struct qbd_error error;

	client.buffer = malloc(QBD_CLIENT_BUFFER_SIZE);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		char *name = calloc(1, lengths[i] + 1);
		struct qbd_up_wish up = { .disk = name, .memory_bytes = 1, .settings = wish };
		int results[5] = { -E2BIG };

		memset(name, 'n', lengths[i]);
		if (i)
			results[0] = qbd_client_status(&client, name, &status, &error);
		results[1] = qbd_client_down(&client, name, true, &error);
		results[2] = qbd_client_leader_move(&client, name, 1, &error);
		results[3] = qbd_client_set(&client, name, &wish, &error);
		results[4] = qbd_client_up(&client, &up, &reply, &error);
		for (unsigned int j = 0; j < 5; j++)
			if (results[j] != -E2BIG)
				printf("request %u about %zu bytes: %d\n", j, lengths[i],
				       results[j]);
		free(name);
	}
	free(client.buffer);
	return 0;
}

/* A status with one member, as a module tells it; the group that is asked for, of two. */
static unsigned int group_asked_for(bool told)
{
	char buffer[1024] = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct qbd_membership_layout list;
	struct qbd_status status;
	struct nlattr *nest;

	mnl_nlmsg_put_extra_header(message, sizeof(struct genlmsghdr));
	mnl_attr_put_strz(message, QBD_A_DEVICE_NAME, "vol");
	nest = mnl_attr_nest_start(message, QBD_A_DEVICE_MEMBERS);
	mnl_attr_put_u32(message, QBD_A_MEMBER_ID, 1);
	if (told)
		mnl_attr_put_u8(message, QBD_A_MEMBER_GROUP, 0);
	mnl_attr_nest_end(message, nest);
	if (qbd_status_parse(message, &status) || status.member_count != 1)
		return ~0u;
	qbd_status_list(&status, &list);
	list.members[0].group = 2;
	qbd_status_fit_list(&status, &list);
	return list.members[0].group;
}

static int groups(void)
{
	printf("%u, or %u\n", group_asked_for(true), group_asked_for(false));
	return 0;
}

static int plan_one(char **argv)
{
	struct qbd_plan_wish wish = {
		.device_bytes = strtoull(argv[1], NULL, 10),
		.log_bytes = strtoull(argv[2], NULL, 10),
		.extent_bytes = strtoull(argv[3], NULL, 10),
	};
	struct qbd_error error;
	struct qbd_plan plan;

	if (!qbd_plan_compute("x", strtoull(argv[0], NULL, 10) >> QBD_BLOCK_SHIFT, &wish, &plan,
			      &error))
		return 0;
	fprintf(stderr, "%s\n", error.text);
	return 1;
}

/* Does the module take a disk that was made so? */
static bool is_good(const struct qbd_plan *plan)
{
	static struct qbd_superblock superblock;
	static const uint8_t uuid[QBD_UUID_SIZE];
	struct qbd_geometry geometry;
	const char *why;

	memset(&superblock, 0, sizeof(superblock));
	superblock.member_id = cpu_to_le32(1);
	superblock.name[0] = 'x';
	superblock.extent_shift = cpu_to_le32(plan->extent_shift);
	superblock.backing_blocks = cpu_to_le64(plan->backing_blocks);
	superblock.device_blocks = cpu_to_le64(plan->device_blocks);
	superblock.extent_table_blocks = cpu_to_le64(plan->extent_table_blocks);
	superblock.log_block = cpu_to_le64(plan->log_block);
	superblock.log_blocks = cpu_to_le64(plan->log_blocks);
	superblock.data_block = cpu_to_le64(plan->data_block);
	qbd_block_seal(&superblock, QBD_SUPERBLOCK_MAGIC, uuid, 0);
	return qbd_superblock_check(&superblock, 0, &geometry, &why) == QBD_BLOCK_GOOD;
}

/* By default and at its largest; and one MiB more is really too much. */
static bool plan_fits(uint64_t backing, uint64_t extent_bytes)
{
	struct qbd_plan_wish wish = { .extent_bytes = extent_bytes };
	struct qbd_plan plan, other;
	struct qbd_error error;
	uint64_t device;

	if (qbd_plan_compute("x", backing, &wish, &plan, &error) || !is_good(&plan)) {
		printf("a disk of %" PRIu64 " blocks, extents of %" PRIu64 ": no good\n", backing,
		       extent_bytes);
		return false;
	}
	device = plan.device_blocks;
	wish.device_bytes = device << QBD_BLOCK_SHIFT;
	if (qbd_plan_compute("x", backing, &wish, &other, &error) ||
	    memcmp(&plan, &other, sizeof(plan))) {
		printf("a disk of %" PRIu64 " blocks: another plan when asked for\n", backing);
		return false;
	}
	wish.device_bytes += (uint64_t)QBD_ALIGNMENT_BLOCKS << QBD_BLOCK_SHIFT;
	if (!qbd_plan_compute("x", backing, &wish, &other, &error)) {
		printf("a disk of %" PRIu64 " blocks: there was room for more\n", backing);
		return false;
	}
	return true;
}

static int plans(void)
{
	static const uint64_t extents[] = { 0, 64 << 10, 256 << 10, 64 << 20 };
	unsigned int bad = 0;

	/* This one did cross a MiB. */
	bad += !plan_fits(16646913, 0);
	for (unsigned int i = 0; i < sizeof(extents) / sizeof(extents[0]); i++) {
		/* Of small extents there may not be as many. */
		uint64_t end = extents[i] && extents[i] < 512 << 10 ?
			       extents[i] << 19 >> QBD_BLOCK_SHIFT : 1ULL << 31;

		/* Each size for a while, then steps that meet every place in a MiB. */
		for (uint64_t backing = 8192; backing < 40000 && bad < 10; backing++)
			bad += !plan_fits(backing, extents[i]);
		for (uint64_t backing = 40000; backing < end && bad < 10;
		     backing += backing / 20011 * 2 + 255)
			bad += !plan_fits(backing, extents[i]);
	}
	return 0;
}

static int join_one(char **argv, u16 flags)
{
	struct qbd_join join = { .name = argv[1], .wait_ms = strtoul(argv[5], NULL, 10) };
	struct qbd_token token;
	struct qbd_error error;
	bool added = false;

	join.token = &token;
	join.self.flags = cpu_to_le16(QBD_MEMBER_LEARNER | flags);
	snprintf(join.self.name, sizeof(join.self.name), "%s", argv[4]);
	if (qbd_token_read(argv[2], &token, &error) ||
	    qbd_parse_address(argv[0], &join.contact, &error) ||
	    qbd_parse_address(argv[3], &join.self.address, &error) ||
	    qbd_join_look(&join, &error) || qbd_join_ask(&join, &added, &error)) {
		fprintf(stderr, "%s\n", error.text);
		if (added)
			printf("perhaps %u\n", le32_to_cpu(join.self.id));
		return 1;
	}
	if (join.replaced)
		printf("for %u: ", join.replaced);
	printf("%u %" PRIu64 "\n", le32_to_cpu(join.self.id),
	       (uint64_t)le64_to_cpu(join.description.membership.index));
	return 0;
}

static int scan(const char *sysfs, const char *dev, const char *name)
{
	const struct qbd_disk_scan_place place = {
		.sysfs = sysfs,
		.dev = dev,
		.open_flags = QBD_DISK_ALLOW_FILE,
	};
	const struct qbd_found *chosen;
	struct qbd_disk_scan found;
	struct qbd_error error;
	int result;

	if (qbd_disk_scan(&place, &found, &error)) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	for (size_t i = 0; !name && i < found.count; i++)
		printf("%s %u of '%s' %s\n", strrchr(found.disks[i].path, '/') + 1,
		       found.disks[i].member_id, found.disks[i].name, found.disks[i].problem);
	if (name) {
		result = qbd_disk_scan_choose(&found, name, NULL, &chosen, &error);
		puts(result ? error.text : strrchr(chosen->path, '/') + 1);
	}
	qbd_disk_scan_free(&found);
	return 0;
}

static int config(const char *directory, const char *name)
{
	struct qbd_up_wish wish = {
		.settings = {
			.given = QBD_GIVEN_HEARTBEAT,
			.settings.heartbeat_ms = 7,
		},
	};
	const struct qbd_settings *settings = &wish.settings.settings;
	struct qbdadm_config config;
	struct qbd_error error;

	if (qbdadm_read_config(directory, name, &config, &error)) {
		puts(error.text);
		return 1;
	}
	qbdadm_apply_config(&config, &wish);
	printf("disk %s memory %u given %#x: %u %u %u %u %u %u %u %" PRIu64 "\n",
	       config.disk ? config.disk : "-", wish.memory_bytes, wish.settings.given,
	       settings->election_timeout_ms, settings->heartbeat_ms, settings->no_quorum,
	       settings->no_quorum_grace_ms, settings->read_mode, settings->window_bytes,
	       settings->checksums, settings->max_rate);
	qbdadm_free_config(&config);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 8 && !strcmp(argv[1], "join"))
		return join_one(argv + 2, QBD_MEMBER_JOINING);
	if (argc == 8 && !strcmp(argv[1], "connect"))
		return join_one(argv + 2, QBD_MEMBER_CLIENT);
	if (argc == 2 && !strcmp(argv[1], "requests"))
		return requests();
	if (argc == 2 && !strcmp(argv[1], "groups"))
		return groups();
	if (argc == 3 && !strcmp(argv[1], "link")) {
		qbdadm_make_link(argv[2], 77);
		qbdadm_remove_link(argv[2], 77);
		return 0;
	}
	if (argc == 6 && !strcmp(argv[1], "plan"))
		return plan_one(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "plans"))
		return plans();
	if ((argc == 4 || argc == 5) && !strcmp(argv[1], "scan"))
		return scan(argv[2], argv[3], argv[4]);
	if (argc == 4 && !strcmp(argv[1], "config"))
		return config(argv[2], argv[3]);
	return 2;
}
