// SPDX-License-Identifier: GPL-2.0
/*
 * What may befall a world beside the faults of faults.c. Each kind draws from random numbers of
 * its own whether it is in a world, and can be left out of it (--without) for the rest to be as
 * it is, as far as that goes: what does not happen changes all that comes later.
 */
#include "sim.h"

#define BIT_OF(kind)	(1u << (kind))

static const char *const names[SIM_KINDS] = {
	[SIM_ROLLBACKS] = "rollbacks", [SIM_COPIES] = "copies", [SIM_RECORDS] = "records",
	[SIM_ANEW] = "anew", [SIM_SIZES] = "sizes", [SIM_SETTINGS] = "settings",
	[SIM_VERIFY] = "verify", [SIM_MOVES] = "moves", [SIM_CLAIMS] = "claims",
	[SIM_PREEMPTION] = "preemption", [SIM_BARE] = "bare", [SIM_FEW] = "few",
	[SIM_RECOVER] = "recover", [SIM_UNFORCED] = "unforced",
	[SIM_SLOW] = "slow", [SIM_SLUGGISH] = "sluggish",
};

/**
 * sim_has() - is that kind in this world?
 * @kind: kind
 * @drawn: it would be, by the seed
 */
bool sim_has(enum sim_kind kind, bool drawn)
{
	if (!drawn)
		return false;
	world.kinds |= BIT_OF(kind);
	return !(world.without & BIT_OF(kind));
}

/* It would be, by the seed, if it was not left out. */
bool sim_drawn(enum sim_kind kind)
{
	return world.kinds & BIT_OF(kind);
}

/* Their names, as --without has them. */
const char *sim_kinds_text(u32 kinds)
{
	static char text[256];
	size_t length = 0;

	if (!kinds)
		return "none";
	for (u32 kind = 0; kind < SIM_KINDS; kind++)
		if (kinds & BIT_OF(kind))
			length += snprintf(text + length, sizeof(text) - length, "%s%s",
					   length ? "," : "", names[kind]);
	return text;
}

/* How a run is told to be without what this one was without. */
const char *sim_kinds_order(void)
{
	static char text[300];

	snprintf(text, sizeof(text), " WITHOUT=%s", sim_kinds_text(world.without));
	return world.without ? text : "";
}

/* @text: such names; false: one of them is none. */
bool sim_kinds_parse(const char *text, u32 *kinds)
{
	*kinds = 0;
	if (!strcmp(text, "none"))
		return true;
	for (;;) {
		size_t length = strcspn(text, ",");
		u32 kind = 0;

		while (kind < SIM_KINDS && (strlen(names[kind]) != length ||
					    memcmp(names[kind], text, length)))
			kind++;
		if (kind == SIM_KINDS)
			return false;
		*kinds |= BIT_OF(kind);
		if (!text[length])
			return true;
		text += length + 1;
	}
}
