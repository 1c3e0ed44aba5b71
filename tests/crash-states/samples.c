// SPDX-License-Identifier: GPL-2.0
/*
 * Moments at which all members lose their power, for the module itself to bring up: an
 * image of each disk, and what the device may hold when they are up again.
 *
 * That is what one of their logs says, whose owner can be elected: one that has all that
 * was committed. Which one is for them to decide.
 */
#include <sys/stat.h>

#include "crash.h"

static void write_expectation(const char *path, const struct member *member,
			      const struct outcome *outcome)
{
	u64 blocks = member->geometry.device_blocks;
	u64 *hashes = calloc(blocks, sizeof(*hashes));
	FILE *file = fopen(path, "w");
	u64 size = history_blocks(outcome->agreed);

	if (!hashes || !file)
		stop("cannot create %s: %s", path, strerror(errno));
	for (u64 block = 0; block < blocks; block++)
		hashes[block] = history_hash(block, outcome->agreed);
	for (u64 index = outcome->agreed + 1; index <= outcome->last; index++) {
		const struct entry *entry = history_entry(index, outcome->chains[index]);

		if (!entry)
			stop("nobody wrote entry %llu, which member %u has", index,
			     member->number);
		history_replay(entry, hashes);
		size = max(size, le64_to_cpu(entry->header->shared.device_blocks));
	}
	if (size > blocks)
		stop("member %u: the device grows to %llu blocks, and never had so many",
		     member->number, size);
	if (fwrite(hashes, sizeof(*hashes), size, file) != size || fclose(file))
		stop("cannot write %s: %s", path, strerror(errno));
	free(hashes);
}

static void write_member(const struct member *member, u64 line, u64 lot, u64 committed,
			 const char *to, FILE *states)
{
	u32 point = point_at(member, line), variants;
	struct choice choice = first_choice(member, point);
	struct promise promise;
	struct outcome outcome;
	char path[1024];

	/*
	 * Not just before that point: until then this member may be given what follows from
	 * what another one makes durable after this line.
	 */
	choice.at = line;
	variants = states_count(&choice);
	states_advance(member, choice.at);
	/* By lot, mostly: the others differ in little. Nothing rots here. */
	do {
		lot = mix(lot, 1);
		choice.variant = lot & 1 ? lot % 10 : (lot >> 8) % variants;
		disk_reset();
		states_build(&choice);
	} while (choice.spoiled);
	history_promise(member, choice.at, &promise);
	snprintf(path, sizeof(path), "%s/member-%u.img", to, member->number);
	disk_write_image(path);
	recover(member, &promise, &outcome);
	if (outcome.error[0])
		stop("state %u:%u:%u: %s", member->number, point, choice.variant,
		     outcome.error);
	snprintf(path, sizeof(path), "%s/expected-%u", to, member->number);
	/* Filled, new, or without what was committed, it is not elected. */
	if (!outcome.filling && !outcome.is_new && outcome.agreed >= committed)
		write_expectation(path, member, &outcome);
	fprintf(states, "%u:%u:%u last %llu agreed %llu term %llu%s\n", member->number,
		point, choice.variant, outcome.last, outcome.agreed, outcome.term,
		outcome.filling ? " filling" : "");
	disk_reset();
}

static bool somebody_is_emptied(u64 line)
{
	for (u32 number = 1; number <= recording.members; number++)
		if (line >= recording.member[number].made &&
		    !member_is_there(&recording.member[number], line))
			return true;
	return false;
}

/* Not while what one of them holds is rotten: replicas are not equal then. */
static u64 sample_line(u64 *lot)
{
	u64 line;

	do {
		*lot = mix(*lot, 2);
		line = recording.made + *lot % (recording.lines - recording.made);
	} while (spoiled_at(line) || somebody_is_emptied(line));
	return line;
}

int write_samples(u32 count, const char *to)
{
	for (u32 i = 0; i < count; i++) {
		u64 lot = mix(recording.seed, 0x5a5a + i), line = sample_line(&lot);
		char path[600], why[80];
		u64 committed = history_committed(line, why, sizeof(why));
		FILE *states;

		snprintf(path, sizeof(path), "%s/%u", to, i + 1);
		if (mkdir(path, 0777) && errno != EEXIST)
			stop("cannot create %s: %s", path, strerror(errno));
		snprintf(path, sizeof(path), "%s/%u/states", to, i + 1);
		states = fopen(path, "w");
		if (!states)
			stop("cannot create %s: %s", path, strerror(errno));
		fprintf(states, "line %llu committed %llu\n", line, committed);
		snprintf(path, sizeof(path), "%s/%u", to, i + 1);
		for (u32 number = 1; number <= recording.members; number++)
			if (line >= recording.member[number].made)
				write_member(&recording.member[number], line, mix(lot, number),
					     committed, path, states);
		fclose(states);
	}
	return 0;
}

/* States for the tool to look at, and what recovery makes of them. */
int write_dumps(u32 count, const char *to)
{
	char path[1024];
	FILE *found;

	snprintf(path, sizeof(path), "%s/found", to);
	found = fopen(path, "w");
	if (!found)
		stop("cannot create %s: %s", path, strerror(errno));
	for (u32 i = 0; i < count; i++) {
		u64 lot = mix(recording.seed, 0xa5a5 + i), line = sample_line(&lot);
		const struct member *member =
			&recording.member[1 + lot % recording.members];
		u32 point = point_at(member, max(line, member->made));
		struct choice choice = first_choice(member, point);
		struct promise promise;
		struct outcome outcome;

		/* As in write_member(). */
		choice.at = max(line, member->made);
		choice.variant = mix(lot, 1) % states_count(&choice);
		states_advance(member, choice.at);
		states_build(&choice);
		snprintf(path, sizeof(path), "%s/%u.img", to, i + 1);
		disk_write_image(path);
		history_promise(member, choice.at, &promise);
		recover(member, &promise, &outcome);
		fprintf(found, "%u:%u:%u %llu %llu %llu %u %d %d%s%s\n", member->number,
			point, choice.variant, outcome.last, outcome.commit, outcome.term,
			outcome.vote, outcome.filling, choice.spoiled,
			outcome.error[0] ? " " : "", outcome.error);
		disk_reset();
	}
	fclose(found);
	return 0;
}

/* Does the device hold what the log of @number says? */
static bool as_expected(const char *to, u32 number, const u64 *found, u64 blocks)
{
	u64 most = recording.member[1].geometry.device_blocks;
	u64 *hashes = calloc(most, sizeof(*hashes));
	char path[600];
	bool same = false;
	u64 size;
	FILE *file;

	if (!hashes)
		abort();
	snprintf(path, sizeof(path), "%s/expected-%u", to, number);
	file = fopen(path, "r");
	if (file) {
		size = fread(hashes, sizeof(*hashes), most, file);
		same = size == blocks && !memcmp(hashes, found, blocks * sizeof(*hashes));
		fclose(file);
	}
	free(hashes);
	return same;
}

int compare_sample(const char *to)
{
	u64 most = recording.member[1].geometry.device_blocks, blocks = 0;
	u64 *found = calloc(most, sizeof(*found));
	u8 block[QBD_BLOCK_SIZE];
	char path[600];
	FILE *file;

	snprintf(path, sizeof(path), "%s/content", to);
	file = fopen(path, "r");
	if (!found || !file)
		stop("cannot open %s: %s", path, strerror(errno));
	while (blocks < most && fread(block, sizeof(block), 1, file) == 1)
		found[blocks++] = block_hash(block);
	fclose(file);
	for (u32 number = 1; number <= recording.members; number++) {
		if (!as_expected(to, number, found, blocks))
			continue;
		printf("# the log of member %u went on\n", number);
		return 0;
	}
	printf("# FAILED: the device holds what no log says of a member that has all that was committed\n");
	return 1;
}
