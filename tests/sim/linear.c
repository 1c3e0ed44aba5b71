// SPDX-License-Identifier: GPL-2.0
/*
 * Are reads and writes of a block that overlap linearizable?
 *
 * Each write has a value of its own. With those that read it, it is a group, and all of a
 * group lie side by side in any order that could explain what was seen: between the first
 * of them that ended and the last that began its value surely was there. Two groups can be
 * put one after the other unless each has one that ended before one of the other began;
 * and if any two can, all can (Gibbons and Korach, Testing shared memories, 1997).
 *
 * A write that failed, or whose host lost its power, may not have come to pass, or later:
 * but not after that host's next one completed.
 */
#include "sim.h"

#define NEVER (~0ull)

struct group {
	u64 value;
	u64 first_end;		/* NEVER: none has */
	u64 last_begin;
	u64 deadline;		/* of a write that was given up: it ended then, if ever */
	bool given_up;
	u32 host;
};

static struct groups {
	struct group *list;
	u32 count, room;
} blocks[SIM_USED_BLOCKS];

/* Counts what happens: no two things do at once. */
static u64 moment;
/* Of each host: there are writes that were given up and have no deadline. */
static bool open_ended[SIM_HOSTS_MAX + 1];

static void group_add(u32 number, u64 value, u32 host, u64 end)
{
	struct groups *groups = &blocks[number];

	if (groups->count == groups->room) {
		groups->room = groups->room ? 2 * groups->room : 16;
		groups->list = realloc(groups->list, groups->room * sizeof(*groups->list));
		if (!groups->list)
			abort();
	}
	groups->list[groups->count++] = (struct group){
		.value = value, .host = host, .last_begin = moment, .first_end = end,
		.deadline = NEVER,
	};
}

void sim_linear_begin(void)
{
	moment = 1;
	memset(open_ended, 0, sizeof(open_ended));
	for (u32 number = 0; number < SIM_USED_BLOCKS; number++) {
		blocks[number].count = 0;
		/* It was made, all zeroes. */
		group_add(number, 0, 0, moment);
	}
}

u64 sim_linear_now(void)
{
	return ++moment;
}

/* Nobody is up, and nothing is known of that block but that it holds @value. */
void sim_linear_forget(u32 number, u64 value)
{
	blocks[number].count = 0;
	memset(open_ended, 0, sizeof(open_ended));
	group_add(number, value, 0, sim_linear_now());
}

static struct group *group_of(u32 number, u64 value)
{
	struct groups *groups = &blocks[number];

	for (u32 i = groups->count; i-- > 0;)
		if (groups->list[i].value == value)
			return &groups->list[i];
	return NULL;
}

void sim_linear_write_begins(u32 number, u64 value, u32 host)
{
	sim_linear_now();
	group_add(number, value, host, NEVER);
}

void sim_linear_write_ends(u32 number, u64 value)
{
	struct group *group = group_of(number, value);

	group->first_end = min(group->first_end, sim_linear_now());
}

void sim_linear_write_given_up(u32 number, u64 value)
{
	struct group *group = group_of(number, value);

	group->given_up = true;
	open_ended[group->host] = true;
}

/* A write of @host that began at @begun has completed: those given up before are over. */
void sim_linear_host_wrote(u32 host, u64 begun)
{
	if (!open_ended[host])
		return;
	open_ended[host] = false;
	for (u32 number = 0; number < SIM_USED_BLOCKS; number++) {
		for (u32 i = 1; i < blocks[number].count; i++) {
			struct group *group = &blocks[number].list[i];

			if (group->host != host || !group->given_up ||
			    group->deadline != NEVER)
				continue;
			if (group->last_begin < begun)
				group->deadline = moment;
			else
				open_ended[host] = true;
		}
	}
}

/* With one more that read @group. */
static bool fits(u32 number, const struct group *group, u64 begun, u64 ended)
{
	const struct groups *groups = &blocks[number];
	u64 first_end = min3(group->first_end, ended, group->deadline);
	u64 last_begin = max(group->last_begin, begun);

	for (u32 i = 0; i < groups->count; i++) {
		const struct group *other = &groups->list[i];

		if (other != group && other->first_end < last_begin &&
		    first_end < other->last_begin)
			return false;
	}
	return true;
}

void sim_linear_read(u32 number, u64 value, u64 begun, u32 host)
{
	struct group *group = group_of(number, value);
	u64 ended = sim_linear_now();

	if (!group || !fits(number, group, begun, ended)) {
		sim_fail("host %u read %#llx from block %llu, %s", host, value,
			 sim_place(number), group ? "an old value, or one that came back" :
			 "which nobody ever wrote there");
		return;
	}
	group->first_end = min3(group->first_end, ended, group->deadline);
	group->last_begin = max(group->last_begin, begun);
}

bool sim_linear_may_hold(u32 number, u64 value)
{
	const struct group *group = group_of(number, value);

	return group && fits(number, group, moment, moment);
}
