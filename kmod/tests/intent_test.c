// SPDX-License-Identifier: GPL-2.0
/*
 * Which member list follows which: kmod/replica/intent.c.
 *
 * Lists are written as words, one a member: its id, then v (voter), o (old voter), l
 * (learner), w (witness), c (client), and what is meant: j (joining), d (demoting), x
 * (leaving), f (by force); A or B for the groups 1 and 2.
 */
#include <kunit/test.h>

#include "../format/change.h"
#include "../replica/intent.h"

static void intent_test_list(struct kunit *test, const char *text,
			     struct qbd_membership_layout *list)
{
	static const char letters[] = "volwjdxcf";
	u32 count = 0, highest = 0;

	memset(list, 0, sizeof(*list));
	while (*text) {
		struct qbd_member_layout *member = &list->members[count++];
		u16 flags = 0;

		/* A digit, or what follows the last one, for ten and eleven. */
		KUNIT_ASSERT_TRUE(test, *text >= '1' && *text <= ';');
		highest = *text++ - '0';
		member->id = cpu_to_le32(highest);
		member->priority = 100;
		snprintf(member->name, sizeof(member->name), "host%u", highest);
		member->address.port = cpu_to_le16(highest);
		for (; *text && *text != ' ' && !(*text >= 'A' && *text <= 'B'); text++)
			flags |= 1 << (strchr(letters, *text) - letters);
		member->flags = cpu_to_le16(flags);
		if (*text && *text != ' ')
			member->group = *text++ - 'A' + 1;
		while (*text == ' ')
			text++;
	}
	list->count = cpu_to_le32(count);
	list->next_member_id = cpu_to_le32(highest + 1);
}

/* Bit n of the result: members[n] has an id that is a digit of @text. */
static u32 intent_test_bits(const struct qbd_membership_layout *list, const char *text)
{
	u32 bits = 0;

	for (u32 i = 0; i < le32_to_cpu(list->count); i++)
		if (strchr(text, '0' + (int)le32_to_cpu(list->members[i].id)))
			bits |= 1u << i;
	return bits;
}

struct intent_step_case {
	const char *now;
	u32 self;
	const char *there, *ready, *knows;
	enum qbd_intent_step step;
	const char *next;	/* or the member's digit */
};

static const struct intent_step_case intent_step_cases[] = {
	/* nothing is meant */
	{ "1v 2v 3v", 1, "123", "123", "", QBD_INTENT_NOTHING, "" },
	{ "1v 2v 3v 4l", 1, "1234", "1234", "", QBD_INTENT_NOTHING, "" },
	/* a learner joins: when it has caught up, not before */
	{ "1v 2v 3v 4lj", 1, "1234", "123", "", QBD_INTENT_NOTHING, "" },
	{ "1v 2v 3v 4lj", 1, "1234", "1234", "", QBD_INTENT_PROPOSE, "1vo 2vo 3vo 4v" },
	{ "1v 2lj", 1, "12", "12", "", QBD_INTENT_PROPOSE, "1vo 2v" },
	/* all that are ready come together, and wait for nobody else */
	{ "1v 2lj 3lj", 1, "123", "123", "", QBD_INTENT_PROPOSE, "1vo 2v 3v" },
	{ "1v 2lj 3lj", 1, "123", "12", "", QBD_INTENT_PROPOSE, "1vo 2v 3lj" },
	{ "1v 2lj 3lj", 1, "12", "12", "", QBD_INTENT_PROPOSE, "1vo 2v 3lj" },
	{ "1vo 2v 3lj", 1, "12", "12", "", QBD_INTENT_PROPOSE, "1v 2v 3lj" },
	{ "1v 2v 3lj", 1, "12", "12", "", QBD_INTENT_NOTHING, "" },
	{ "1v 2v 3lj", 1, "123", "123", "", QBD_INTENT_PROPOSE, "1vo 2vo 3v" },
	/* who goes by itself does not wait for who comes by itself */
	{ "1v 2v 3vxA 4lj", 1, "12", "12", "", QBD_INTENT_PROPOSE, "1vo 2vo 3olx 4lj" },
	{ "1v 2v 3vdA 4lj", 1, "123", "123", "", QBD_INTENT_PROPOSE, "1vo 2vo 3ol 4lj" },
	{ "1v 2v 3vxA 4ljB", 1, "12", "12", "", QBD_INTENT_PROPOSE, "1vo 2vo 3olx 4ljB" },
	{ "1v 2v 3vxA 4lj", 1, "124", "124", "", QBD_INTENT_PROPOSE, "1vo 2vo 3olx 4v" },
	/* who is replaced waits for just that one, and votes until then */
	{ "1v 2v 3vxA 4ljA", 1, "123", "123", "", QBD_INTENT_NOTHING, "" },
	{ "1v 2v 3vxA 4ljA", 1, "1234", "1234", "", QBD_INTENT_PROPOSE, "1vo 2vo 3olx 4v" },
	{ "1v 2v 3vxA 4ljA 5lj", 1, "1235", "1235", "", QBD_INTENT_PROPOSE,
	  "1vo 2vo 3vxoA 4ljA 5v" },
	{ "1vo 2vo 3vxoA 4ljA 5v", 1, "1235", "1235", "", QBD_INTENT_PROPOSE,
	  "1v 2v 3vxA 4ljA 5v" },
	{ "1v 2v 3vxA 4ljA 5vdB 6ljB", 1, "1256", "1256", "", QBD_INTENT_PROPOSE,
	  "1vo 2vo 3vxoA 4ljA 5ol 6v" },
	{ "1v 2v 3vxA 4ljA 5vdB 6ljB", 1, "12", "12", "", QBD_INTENT_NOTHING, "" },
	/* a leader that is replaced waits, too, and has others go and come */
	{ "1vxA 2v 3vxB 4ljA", 1, "123", "123", "", QBD_INTENT_PROPOSE, "1vxoA 2vo 3olx 4ljA" },
	{ "1vxA 2v 3v 4ljA", 1, "1234", "1234", "", QBD_INTENT_HAND_OVER, "2" },
	{ "1vxB 2v 3v 4ljA", 1, "123", "123", "", QBD_INTENT_HAND_OVER, "2" },
	{ "1vxB 2vxA 4ljA", 1, "12", "12", "", QBD_INTENT_HAND_OVER, "2" },
	/* who goes by itself, too, if nobody could take over */
	{ "1vxA 2v 3vw 4lj 5lj", 1, "1345", "1345", "", QBD_INTENT_PROPOSE,
	  "1vxoA 2vo 3vow 4v 5v" },
	{ "1vxA 2v 3vw 4lj", 1, "134", "134", "", QBD_INTENT_PROPOSE, "1vxoA 2vo 3vow 4v" },
	{ "1vxA 2v 3vw", 1, "13", "13", "", QBD_INTENT_NOTHING, "" },
	{ "1vxA 2v 3vw 4v 5lj", 1, "1345", "1345", "", QBD_INTENT_HAND_OVER, "4" },
	/* rather to one that is not to go itself */
	{ "1vxB 2vxA 3v 4ljA", 1, "123", "123", "", QBD_INTENT_HAND_OVER, "3" },
	/* whoever else is left, somebody with data has to be */
	{ "1vxA 2lj", 1, "1", "1", "", QBD_INTENT_NOTHING, "" },
	{ "1v 2vxA 3vw 4lj 5lwj", 1, "1235", "1235", "", QBD_INTENT_PROPOSE,
	  "1vo 2olx 3vow 4lj 5lwj" },
	{ "1v 2vxA 3vw 4lj 5lwj", 1, "12345", "12345", "", QBD_INTENT_PROPOSE,
	  "1vo 2olx 3vow 4v 5vw" },
	{ "1v 2lj 3lwj 4lwj", 1, "134", "134", "", QBD_INTENT_NOTHING, "" },
	/* a witness does not make an even number as long as somebody with data is late */
	{ "1v 2lj 3lwj", 1, "13", "13", "", QBD_INTENT_NOTHING, "" },
	{ "1v 2lj 3lwj", 1, "123", "123", "", QBD_INTENT_PROPOSE, "1vo 2v 3vw" },
	{ "1v 2l 3lwj", 1, "13", "13", "", QBD_INTENT_PROPOSE, "1vo 2l 3vw" },
	{ "1v 2v 3lj 4lwj", 1, "124", "124", "", QBD_INTENT_PROPOSE, "1vo 2vo 3lj 4vw" },
	{ "1v 2v 3v 4lj 5lwj", 1, "1235", "1235", "", QBD_INTENT_NOTHING, "" },
	{ "1v 2v 3v 4lj 5lj 6lwj", 1, "12346", "12346", "", QBD_INTENT_PROPOSE,
	  "1vo 2vo 3vo 4v 5lj 6vw" },
	/* not all of them wait if it is enough that one does */
	{ "1v 2v 3lj 4lwj 5lwj", 1, "1245", "1245", "", QBD_INTENT_PROPOSE,
	  "1vo 2vo 3lj 4vw 5lwj" },
	{ "1v 2v 3lj 4lj 5lwj 6lwj 7lwj", 1, "12567", "12567", "", QBD_INTENT_PROPOSE,
	  "1vo 2vo 3lj 4lj 5vw 6lwj 7lwj" },
	{ "1v 2v 3v 4vxA 5ljA 6lwj 7lwj 8lwj 9lj", 1, "1235678", "1235678", "",
	  QBD_INTENT_PROPOSE, "1vo 2vo 3vo 4olx 5v 6vw 7vw 8vw 9lj" },
	/* one that takes another one's place changes no number */
	{ "1v 2vwxA 3lwjA 4lj", 1, "13", "13", "", QBD_INTENT_PROPOSE, "1vo 2owlx 3vw 4lj" },
	{ "1v 2lj 3vwxA 4lwj 5lwjA", 1, "1345", "1345", "", QBD_INTENT_PROPOSE,
	  "1vo 2lj 3owlx 4lwj 5vw" },
	/* nine vote at most: as many as are there */
	{ "1v 2v 3v 4v 5v 6v 7v 8vx 9vx :lj ;lj", 1, "123456789:", "123456789:", "",
	  QBD_INTENT_NOTHING, "" },
	/* the way out of a joint list, whoever is there */
	{ "1vo 2vo 3vo 4v", 2, "2", "2", "", QBD_INTENT_PROPOSE, "1v 2v 3v 4v" },
	{ "1vo 2vo 3olx", 1, "1", "1", "", QBD_INTENT_PROPOSE, "1v 2v 3lx" },
	/* replaced in one step, when the new one is ready */
	{ "1v 2v 3vx 4lj", 1, "1234", "123", "", QBD_INTENT_NOTHING, "" },
	{ "1v 2v 3vx 4lj", 1, "1234", "1234", "", QBD_INTENT_PROPOSE, "1vo 2vo 3olx 4v" },
	/* a dead one is replaced as well */
	{ "1v 2v 3vx 4lj", 1, "124", "124", "", QBD_INTENT_PROPOSE, "1vo 2vo 3olx 4v" },
	/* who goes is not there any longer than it takes to tell it, whoever else is waited for */
	{ "1v 2v 3v 4lj 5lx", 1, "1235", "123", "5", QBD_INTENT_PROPOSE, "1v 2v 3v 4lj" },
	{ "1v 2v 3v 4lj 5lx", 1, "1235", "123", "", QBD_INTENT_NOTHING, "" },
	{ "1v 2v 3v 4lj 5lx", 1, "123", "123", "", QBD_INTENT_PROPOSE, "1v 2v 3v 4lj" },
	{ "1v 2v 3v 4lj 5lx", 1, "12345", "12345", "5", QBD_INTENT_PROPOSE,
	  "1vo 2vo 3vo 4v 5lx" },
	/* demoted; two at once */
	{ "1v 2vd 3v", 1, "123", "123", "", QBD_INTENT_PROPOSE, "1vo 2ol 3vo" },
	{ "1v 2vd 3vd", 1, "123", "123", "", QBD_INTENT_PROPOSE, "1vo 2ol 3ol" },
	/* no majority of the incoming set is there: not now */
	{ "1v 2vd 3v", 1, "12", "12", "", QBD_INTENT_NOTHING, "" },
	{ "1v 2v 3v 4v 5vx", 1, "15", "15", "", QBD_INTENT_NOTHING, "" },
	/* a leader that goes hands over first, to one that stays */
	{ "1vx 2v 3v", 1, "123", "123", "", QBD_INTENT_HAND_OVER, "2" },
	{ "1vd 2vx 3v", 1, "123", "123", "", QBD_INTENT_HAND_OVER, "3" },
	{ "1vx 2v 3v", 2, "123", "123", "", QBD_INTENT_PROPOSE, "1olx 2vo 3vo" },
	/* all voters go: nobody can take over before the list is joint */
	{ "1vx 2lj", 1, "12", "1", "", QBD_INTENT_NOTHING, "" },
	{ "1vx 2lj", 1, "12", "12", "", QBD_INTENT_PROPOSE, "1olx 2v" },
	{ "1vd 2vx 3lj 4lj", 1, "134", "134", "", QBD_INTENT_PROPOSE, "1ol 2olx 3v 4v" },
	{ "1olx 2v", 1, "12", "12", "", QBD_INTENT_PROPOSE, "1lx 2v" },
	/* one stays, and is not there: it may come back */
	{ "1vx 2v 3lj 4lj", 1, "134", "134", "", QBD_INTENT_NOTHING, "" },
	/* a learner that goes hears of it, if it is there */
	{ "1v 2v 3lx", 1, "123", "123", "", QBD_INTENT_NOTHING, "" },
	{ "1v 2v 3lx", 1, "123", "123", "3", QBD_INTENT_PROPOSE, "1v 2v" },
	{ "1v 2v 3lx", 1, "12", "12", "", QBD_INTENT_PROPOSE, "1v 2v" },
	{ "1lx 2v 3lx", 2, "123", "123", "3", QBD_INTENT_PROPOSE, "1lx 2v" },
	/* a witness stays one; leadership is handed to others than witnesses */
	{ "1v 2v 3lwj", 1, "123", "123", "", QBD_INTENT_PROPOSE, "1vo 2vo 3vw" },
	{ "1v 2v 3vwx 4lwj", 1, "1234", "1234", "", QBD_INTENT_PROPOSE, "1vo 2vo 3owlx 4vw" },
	{ "1vx 2v 3vw 4lj", 1, "1234", "1234", "", QBD_INTENT_HAND_OVER, "2" },
	{ "1vx 2v 3vw 4lj", 1, "134", "134", "", QBD_INTENT_NOTHING, "" },
	{ "1vx 2vw 3lj", 1, "123", "123", "", QBD_INTENT_PROPOSE, "1olx 2vow 3v" },
	/* a client stays one, and is waited for by nobody; what it cannot be it does not become */
	{ "1v 2v 3lj 4lc", 1, "123", "123", "", QBD_INTENT_PROPOSE, "1vo 2vo 3v 4lc" },
	{ "1v 2v 3lcx", 1, "123", "123", "", QBD_INTENT_NOTHING, "" },
	{ "1v 2v 3lcx", 1, "123", "123", "3", QBD_INTENT_PROPOSE, "1v 2v" },
	{ "1v 2v 3lcx", 1, "12", "12", "", QBD_INTENT_PROPOSE, "1v 2v" },
	{ "1vx 2v 3lj 4lcx", 1, "123", "123", "", QBD_INTENT_HAND_OVER, "2" },
	{ "1v 2vx 3lj 4lcx", 1, "123", "123", "", QBD_INTENT_PROPOSE, "1vo 2olx 3v 4lcx" },
	/* votes first, then who only leaves */
	{ "1v 2lx 3lj", 1, "13", "13", "", QBD_INTENT_PROPOSE, "1vo 2lx 3v" },
};

static void steps(struct kunit *test)
{
	static struct qbd_membership_layout now, next, wanted;

	for (u32 i = 0; i < ARRAY_SIZE(intent_step_cases); i++) {
		const struct intent_step_case *one = &intent_step_cases[i];
		struct qbd_intent_facts facts = { .self = one->self };
		enum qbd_intent_step step;
		u32 member;

		intent_test_list(test, one->now, &now);
		facts.there = intent_test_bits(&now, one->there);
		facts.has = facts.there;
		facts.fit = facts.there;
		facts.connected = facts.there;
		facts.ready = intent_test_bits(&now, one->ready);
		facts.knows = intent_test_bits(&now, one->knows);
		step = qbd_intent_next(&now, &facts, &next, &member);
		KUNIT_EXPECT_EQ_MSG(test, step, one->step, "%s", one->now);
		if (step == QBD_INTENT_HAND_OVER)
			KUNIT_EXPECT_EQ_MSG(test, member, one->next[0] - '0', "%s", one->now);
		if (step != QBD_INTENT_PROPOSE)
			continue;
		intent_test_list(test, one->next, &wanted);
		/* An id that was given stays given. */
		wanted.next_member_id = now.next_member_id;
		KUNIT_EXPECT_MEMEQ_MSG(test, &next, &wanted, sizeof(next), "%s", one->now);
		KUNIT_EXPECT_TRUE_MSG(test, qbd_intent_pending(&now), "%s", one->now);
	}
}

/* All are heard. The joint list waits until those whom it needs have the one before it. */
static void joint_when_a_majority_has_the_list(struct kunit *test)
{
	static const struct {
		const char *now;
		u32 self;
		const char *has;
		enum qbd_intent_step step;
	} cases[] = {
		{ "1v 2vx 3v", 1, "12", QBD_INTENT_NOTHING },
		{ "1v 2vx 3v", 1, "13", QBD_INTENT_PROPOSE },
		/* its own disk is one among the others */
		{ "1v 2vx 3v", 1, "23", QBD_INTENT_NOTHING },
		/* who has it and goes decides nothing, who lacks it and stays need not */
		{ "1v 2v 3v 4vx 5vx", 1, "145", QBD_INTENT_NOTHING },
		{ "1v 2v 3v 4vx 5vx", 1, "13", QBD_INTENT_PROPOSE },
		/* nearly all of the log is not all */
		{ "1vx 2lj", 1, "1", QBD_INTENT_NOTHING },
		{ "1vx 2lj", 1, "2", QBD_INTENT_PROPOSE },
		{ "1v 2lj 3lj", 1, "1", QBD_INTENT_NOTHING },
		{ "1v 2lj 3lj", 1, "12", QBD_INTENT_PROPOSE },
		/* leadership is not handed over for what has to wait then */
		{ "1vx 2v 3v", 1, "12", QBD_INTENT_NOTHING },
		{ "1vx 2v 3v", 1, "23", QBD_INTENT_HAND_OVER },
		/* what changes no vote, and the way out of a joint list, wait for nobody */
		{ "1v 2v 3lx", 1, "", QBD_INTENT_PROPOSE },
		{ "1vo 2olx 3vo", 1, "", QBD_INTENT_PROPOSE },
	};
	static struct qbd_membership_layout now, next;

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct qbd_intent_facts facts = {
			.self = cases[i].self, .there = ~0u, .fit = ~0u, .ready = ~0u, .knows = ~0u,
		};
		u32 member;

		intent_test_list(test, cases[i].now, &now);
		facts.has = intent_test_bits(&now, cases[i].has);
		KUNIT_EXPECT_EQ_MSG(test, qbd_intent_next(&now, &facts, &next, &member),
				    cases[i].step, "%s: %s", cases[i].now, cases[i].has);
	}
}

/*
 * The leader is to leave, and hears all. Leadership goes to one that reaches those whom the joint
 * list waits for: else that one gives it back.
 */
static void handed_to_who_can_begin(struct kunit *test)
{
	static const struct {
		const char *now;
		const char *misses[4];	/* whom 2 does not reach, whom 3 does not, ... */
		u32 member;		/* 0: nothing is done */
		const char *next;	/* or the leader begins with that */
	} cases[] = {
		/* 2 does not reach who joins, 3 does */
		{ "1vx 2v 3v 4lj", { "4", "" }, 3 },
		{ "1vx 2v 3v 4lj", { "", "4" }, 2 },
		{ "1vx 2v 3v 4lj", { "4", "4" }, 0 },
		{ "1vxA 2v 3v 4ljA", { "4", "4" }, 0 },
		/* this one can begin without: rather one with whom more come */
		{ "1vxA 2v 3v 4lj", { "4", "4" }, 2 },
		{ "1vxA 2v 3v 4lj", { "4", "" }, 3 },
		/* neither reaches a majority of those that stay */
		{ "1vx 2v 3v", { "3", "2" }, 0 },
		{ "1vx 2v 3v 4v 5v", { "34", "2", "2", "" }, 3 },
		/* a majority will do; who goes, a learner and a client are not needed */
		{ "1vx 2v 3v 4v", { "4", "", "" }, 2 },
		{ "1vx 2v 3v 4l 5lc", { "145", "", "", "" }, 2 },
		{ "1vx 2v", { "1" }, 2 },
		/* all who could take over miss who is to come for it: others do not wait */
		{ "1vxA 2v 3vxB 4ljA", { "4", "" }, 0, "1vxoA 2vo 3olx 4ljA" },
		{ "1vxA 2v 3vxB 4ljA 5lj", { "45", "" }, 0, "1vxoA 2vo 3olx 4ljA 5v" },
		{ "1vxA 2vxA 3v 4vxB 5ljA", { "5", "5" }, 0, "1vxoA 2vxoA 3vo 4olx 5ljA" },
		{ "1vx 2v 3vxB 4ljA", { "4", "" }, 2 },
	};
	static struct qbd_membership_layout now, next, wanted;

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct qbd_intent_facts facts = {
			.self = 1, .there = ~0u, .has = ~0u, .fit = ~0u, .ready = ~0u,
		};
		enum qbd_intent_step step;
		u32 member;

		intent_test_list(test, cases[i].now, &now);
		for (u32 k = 0; k < ARRAY_SIZE(cases[i].misses) && cases[i].misses[k]; k++)
			facts.misses[k + 1] = intent_test_bits(&now, cases[i].misses[k]);
		step = qbd_intent_next(&now, &facts, &next, &member);
		KUNIT_EXPECT_EQ_MSG(test, step == QBD_INTENT_HAND_OVER, cases[i].member > 0,
				    "%s, number %u", cases[i].now, i);
		KUNIT_EXPECT_EQ_MSG(test, step == QBD_INTENT_PROPOSE, !!cases[i].next,
				    "%s, number %u", cases[i].now, i);
		KUNIT_EXPECT_EQ_MSG(test, member, cases[i].member, "%s, number %u", cases[i].now,
				    i);
		if (!cases[i].next)
			continue;
		intent_test_list(test, cases[i].next, &wanted);
		KUNIT_EXPECT_MEMEQ_MSG(test, &next, &wanted, sizeof(next), "%s, number %u",
				       cases[i].now, i);
	}
}

/* Whatever is meant, it comes to an end if all are there, by lists that may follow. */
static void every_change_ends(struct kunit *test)
{
	static const char * const kinds[] = { "v", "vd", "vx", "l", "lj", "lx" };
	static struct qbd_membership_layout now, next;
	char text[32];

	for (u32 number = 0; number < 6 * 6 * 6 * 6; number++) {
		u32 member, count = 0, rest = number, leader = 1;

		snprintf(text, sizeof(text), "1v 2%s 3%s 4%s 5%s", kinds[rest % 6],
			 kinds[rest / 6 % 6], kinds[rest / 36 % 6], kinds[rest / 216]);
		intent_test_list(test, text, &now);
		while (qbd_intent_pending(&now)) {
			struct qbd_intent_facts facts = { leader, 0, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u };
			u32 joint = 0, joint_next = 0;

			KUNIT_ASSERT_EQ_MSG(test, qbd_intent_next(&now, &facts, &next,
								  &member),
					    QBD_INTENT_PROPOSE, "%s", text);
			for (u32 i = 0; i < le32_to_cpu(now.count); i++)
				joint |= le16_to_cpu(now.members[i].flags) & 2;
			for (u32 i = 0; i < le32_to_cpu(next.count); i++)
				joint_next |= le16_to_cpu(next.members[i].flags) & 2;
			KUNIT_ASSERT_FALSE_MSG(test, joint && joint_next, "%s", text);
			now = next;
			KUNIT_ASSERT_LT_MSG(test, ++count, 8, "%s", text);
		}
		for (u32 i = 0; i < le32_to_cpu(now.count); i++)
			KUNIT_EXPECT_EQ_MSG(test, le16_to_cpu(now.members[i].flags) &
					    ~(QBD_MEMBER_VOTER | QBD_MEMBER_LEARNER), 0, "%s",
					    text);
	}
}

/* Are the witnesses of this set no majority? */
static bool intent_test_has_data(const struct qbd_membership_layout *list, u16 set)
{
	u32 voters = 0, witnesses = 0;

	for (u32 i = 0; i < le32_to_cpu(list->count); i++) {
		u16 flags = le16_to_cpu(list->members[i].flags);

		voters += !!(flags & set);
		witnesses += flags & set && flags & QBD_MEMBER_WITNESS;
	}
	return !voters || witnesses < voters / 2 + 1;
}

/*
 * Whoever is ready, and whoever else is not: who is replaced votes until the other one does, nobody
 * else waits for those that are away, and both sets of each joint list are good.
 */
static void changes_wait_for_their_own(struct kunit *test)
{
	static const char * const kinds[] = { "vxA", "vd", "vxB", "lj", "ljA", "lwjA", "vw", "l" };
	static struct qbd_membership_layout now, next;
	char text[40];

	for (u32 number = 0; number < 8 * 8 * 8 * 8 * 16; number++) {
		struct qbd_intent_facts facts = { 1, 0, ~0u, ~0u, ~0u, 0, ~0u, ~0u };
		u32 rest = number / 16, ready = number % 16, member, late[3] = { };
		enum qbd_intent_step step;

		snprintf(text, sizeof(text), "1v 2%s 3%s 4%s 5%s", kinds[rest % 8],
			 kinds[rest / 8 % 8], kinds[rest / 64 % 8], kinds[rest / 512]);
		intent_test_list(test, text, &now);
		if (!intent_test_has_data(&now, QBD_MEMBER_VOTER))
			continue;
		facts.ready = ready << 1 | 1;
		for (u32 i = 0; i < 5; i++)
			if (le16_to_cpu(now.members[i].flags) & QBD_MEMBER_JOINING &&
			    !(facts.ready >> i & 1))
				late[now.members[i].group]++;
		step = qbd_intent_next(&now, &facts, &next, &member);
		KUNIT_ASSERT_NE_MSG(test, step, QBD_INTENT_HAND_OVER, "%s %x", text, ready);
		for (u32 i = 0; i < 5 && step == QBD_INTENT_PROPOSE; i++) {
			u16 was = le16_to_cpu(now.members[i].flags);
			u16 is = le16_to_cpu(next.members[i].flags);
			bool goes = was & (QBD_MEMBER_DEMOTING | QBD_MEMBER_LEAVING);

			KUNIT_ASSERT_EQ_MSG(test, !!(was & QBD_MEMBER_VOTER),
					    !!(is & QBD_MEMBER_VOTER_OLD), "%s %x", text, ready);
			if (goes)
				KUNIT_ASSERT_GE_MSG(test, !!(is & QBD_MEMBER_VOTER),
						    !!late[now.members[i].group], "%s %x", text,
						    ready);
			if (is & QBD_MEMBER_VOTER && !(was & QBD_MEMBER_VOTER))
				KUNIT_ASSERT_TRUE_MSG(test, facts.ready >> i & 1, "%s %x", text,
						      ready);
			/* What has not come true is meant, and with whom. */
			if (goes && is & QBD_MEMBER_VOTER)
				KUNIT_ASSERT_EQ_MSG(test, is & QBD_MEMBER_INTENTS,
						    was & QBD_MEMBER_INTENTS, "%s %x", text, ready);
			if (was & QBD_MEMBER_JOINING && !(is & QBD_MEMBER_VOTER))
				KUNIT_ASSERT_TRUE_MSG(test, is == was && next.members[i].group ==
						      now.members[i].group, "%s %x", text, ready);
		}
		if (step == QBD_INTENT_PROPOSE)
			KUNIT_ASSERT_TRUE_MSG(test, intent_test_has_data(&next, QBD_MEMBER_VOTER),
					      "%s %x", text, ready);
	}
}

/* On the way to whatever is allowed: in each majority there is a member with data. */
static void data_in_every_majority(struct kunit *test)
{
	static const char * const kinds[] = {
		"v", "vd", "vx", "l", "lj", "vw", "vwd", "vwx", "lw", "lwj",
	};
	static struct qbd_membership_layout now, wanted, next;
	u32 allowed = 0;
	char text[32];

	for (u32 number = 0; number < 10 * 10 * 10 * 10; number++) {
		struct qbd_intent_facts facts = { 1, 0, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u };
		u32 member;

		snprintf(text, sizeof(text), "1v 2%s 3%s 4%s 5%s", kinds[number % 10],
			 kinds[number / 10 % 10], kinds[number / 100 % 10],
			 kinds[number / 1000]);
		intent_test_list(test, text, &wanted);
		now = wanted;
		for (u32 i = 0; i < le32_to_cpu(now.count); i++)
			now.members[i].flags &= cpu_to_le16(~QBD_MEMBER_INTENTS);
		if (!intent_test_has_data(&now, QBD_MEMBER_VOTER) ||
		    qbd_intent_check(&now, &wanted, &facts, &member) != QBD_CHANGE_DONE)
			continue;
		allowed++;
		now = wanted;
		while (qbd_intent_pending(&now)) {
			KUNIT_ASSERT_EQ_MSG(test, qbd_intent_next(&now, &facts, &next,
								  &member),
					    QBD_INTENT_PROPOSE, "%s", text);
			KUNIT_ASSERT_TRUE_MSG(test,
					      intent_test_has_data(&next, QBD_MEMBER_VOTER) &&
					      intent_test_has_data(&next, QBD_MEMBER_VOTER_OLD),
					      "%s", text);
			now = next;
		}
	}
	KUNIT_EXPECT_GT(test, allowed, 1000);
}

/* A client votes in no list, on the way to whatever is allowed or was written by mistake. */
static void clients_never_vote(struct kunit *test)
{
	static const char * const kinds[] = {
		"v", "vd", "vx", "l", "lj", "lx", "lc", "lcx", "lcj", "lcd",
	};
	static struct qbd_membership_layout now, next;
	char text[32];

	for (u32 number = 0; number < 10 * 10 * 10; number++) {
		struct qbd_intent_facts facts = { 1, 0, ~0u, ~0u, ~0u, ~0u, ~0u, ~0u };
		u32 member, count = 0;

		snprintf(text, sizeof(text), "1v 2lc 3%s 4%s 5%s", kinds[number % 10],
			 kinds[number / 10 % 10], kinds[number / 100]);
		intent_test_list(test, text, &now);
		while (qbd_intent_next(&now, &facts, &next, &member) == QBD_INTENT_PROPOSE) {
			for (u32 i = 0; i < le32_to_cpu(next.count); i++) {
				u16 flags = le16_to_cpu(next.members[i].flags);

				KUNIT_ASSERT_TRUE_MSG(test, qbd_flags_good(flags), "%s", text);
			}
			KUNIT_ASSERT_EQ_MSG(test, le32_to_cpu(next.members[1].id), 2, "%s", text);
			now = next;
			KUNIT_ASSERT_LT_MSG(test, ++count, 8, "%s", text);
		}
	}
}

/* What each kind of member is for, and which flags no member has. */
static void what_flags_say(struct kunit *test)
{
	static const struct {
		const char *member;
		bool good, data, device, votes;
	} cases[] = {
		{ "1v", true, true, true, true },
		{ "1l", true, true, true, false },
		{ "1lj", true, true, true, false },
		{ "1ol", true, true, true, true },
		{ "1vw", true, false, false, true },
		{ "1lw", true, false, false, false },
		{ "1lc", true, false, true, false },
		{ "1lcx", true, false, true, false },
		{ "1vc", false, false, true, true },
		{ "1olc", false, false, true, true },
		{ "1lwc", false, false, false, false },
		{ "1c", false, false, true, false },
	};
	static struct qbd_membership_layout list;

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		u16 flags;

		intent_test_list(test, cases[i].member, &list);
		flags = le16_to_cpu(list.members[0].flags);
		KUNIT_EXPECT_EQ_MSG(test, qbd_flags_good(flags), cases[i].good, "%s",
				    cases[i].member);
		KUNIT_EXPECT_EQ_MSG(test, qbd_flags_keep_data(flags), cases[i].data, "%s",
				    cases[i].member);
		KUNIT_EXPECT_EQ_MSG(test, qbd_flags_have_device(flags), cases[i].device, "%s",
				    cases[i].member);
		KUNIT_EXPECT_EQ_MSG(test, qbd_flags_vote(flags), cases[i].votes, "%s",
				    cases[i].member);
	}
	KUNIT_EXPECT_FALSE(test, qbd_flags_good(0x100 | QBD_MEMBER_VOTER));
}

struct intent_check_case {
	const char *now, *wanted, *there;
	enum qbd_change_result result;
	u32 member;
};

static const struct intent_check_case intent_check_cases[] = {
	{ "1v 2v 3v", "1v 2v 3vx", "123", QBD_CHANGE_DONE, 0 },
	{ "1v 2v 3v", "1v 2v 3v 4lj", "123", QBD_CHANGE_DONE, 0 },
	{ "1v 2v 3v", "1v 2v 3v 4l", "1", QBD_CHANGE_DONE, 0 },
	{ "1v", "1v 2lj 3lj", "1", QBD_CHANGE_DONE, 0 },
	{ "1v 2v 3vx", "1v 2v 3v", "123", QBD_CHANGE_DONE, 0 },
	{ "1v 2v 3v", "1v 2v 3v", "123", QBD_CHANGE_NOTHING, 0 },
	/* votes are not given or taken by hand */
	{ "1v 2v 3v", "1v 2v 3l", "123", QBD_CHANGE_FLAGS, 3 },
	{ "1v 2l", "1v 2v", "12", QBD_CHANGE_FLAGS, 2 },
	{ "1v 2v", "1v 2vo", "12", QBD_CHANGE_FLAGS, 2 },
	{ "1v", "1v 2v", "12", QBD_CHANGE_FLAGS, 2 },
	{ "1v", "1v 2lx", "12", QBD_CHANGE_FLAGS, 2 },
	/* no two intents, and none without sense */
	{ "1v 2v", "1v 2vdx", "12", QBD_CHANGE_FLAGS, 2 },
	{ "1v 2v", "1v 2vj", "12", QBD_CHANGE_FLAGS, 2 },
	{ "1v 2l", "1v 2ld", "12", QBD_CHANGE_FLAGS, 2 },
	/* who was told that it goes, goes */
	{ "1v 2lx", "1v 2l", "12", QBD_CHANGE_LEAVES, 2 },
	{ "1v 2lx", "1v 2lj", "12", QBD_CHANGE_LEAVES, 2 },
	{ "1v 2lcx", "1v 2lc", "12", QBD_CHANGE_LEAVES, 2 },
	{ "1v 2lx", "1v 2v", "12", QBD_CHANGE_LEAVES, 2 },
	{ "1v 2v 3v", "1v 2v", "123", QBD_CHANGE_MISSING, 3 },
	/* ids are never used again: 3 was there once */
	{ "1v 2v 4v", "1v 2v 3lj 4v", "124", QBD_CHANGE_IDS, 3 },
	/* one change after the other */
	{ "1vo 2vo 3ol", "1vo 2vo 3olx", "123", QBD_CHANGE_PENDING, 0 },
	/* somebody has to be left, and there */
	{ "1v 2v", "1vx 2vd", "12", QBD_CHANGE_VOTERS, 0 },
	{ "1v 2v 3v 4v 5v 6v 7v 8v", "1v 2v 3v 4v 5v 6v 7v 8v 9lj", "12345678",
	  QBD_CHANGE_DONE, 0 },
	{ "1v 2v 3v 4v 5v 6v 7v 8v 9v", "1v 2v 3v 4v 5v 6v 7v 8v 9v :lj", "123456789",
	  QBD_CHANGE_VOTERS, 0 },
	{ "1v 2v 3v 4v 5v 6v 7v 8v 9v", "1v 2v 3v 4v 5v 6v 7v 8v 9v :l", "123456789",
	  QBD_CHANGE_DONE, 0 },
	{ "1v 2v 3v", "1v 2vx 3v", "12", QBD_CHANGE_QUORUM, 3 },
	{ "1v 2v 3v", "1v 2v 3vx", "12", QBD_CHANGE_DONE, 0 },
	{ "1v 2v 3v 4v 5v", "1vx 2v 3v 4v 5v", "123", QBD_CHANGE_QUORUM, 4 },
	{ "1v 2v 3v 4v 5v", "1v 2v 3v 4vx 5vx", "123", QBD_CHANGE_DONE, 0 },
	/* witnesses: never a majority */
	{ "1v 2v", "1v 2v 3lwj", "12", QBD_CHANGE_DONE, 0 },
	{ "1v", "1v 2lwj", "1", QBD_CHANGE_DONE, 0 },
	{ "1v 2v", "1v 2v 3lw 4lw", "12", QBD_CHANGE_DONE, 0 },
	{ "1v 2v", "1v 2v 3lwj 4lwj", "12", QBD_CHANGE_DONE, 0 },
	{ "1v", "1v 2lwj 3lwj", "1", QBD_CHANGE_WITNESSES, 0 },
	{ "1v 2v 3vw", "1v 2v 3vw 4lwj 5lwj", "123", QBD_CHANGE_WITNESSES, 0 },
	{ "1v 2v 3vw", "1v 2vx 3vw", "123", QBD_CHANGE_DONE, 0 },
	{ "1v 2v 3vw", "1vx 2vx 3vw", "123", QBD_CHANGE_WITNESSES, 0 },
	{ "1v 2vw", "1vd 2vw", "12", QBD_CHANGE_WITNESSES, 0 },
	{ "1v 2vw", "1vx 2vw 3lj", "12", QBD_CHANGE_DONE, 0 },
	/* a client comes without a wish, goes, and that is all */
	{ "1v", "1v 2lc", "1", QBD_CHANGE_DONE, 0 },
	{ "1v 2lc", "1v 2lcx", "1", QBD_CHANGE_DONE, 0 },
	{ "1v", "1v 2lcj", "1", QBD_CHANGE_FLAGS, 2 },
	{ "1v", "1v 2lcw", "1", QBD_CHANGE_FLAGS, 2 },
	{ "1v", "1v 2vc", "1", QBD_CHANGE_FLAGS, 2 },
	{ "1v 2lc", "1v 2lcj", "12", QBD_CHANGE_CLIENT, 2 },
	{ "1v 2lc", "1v 2lcd", "12", QBD_CHANGE_CLIENT, 2 },
	{ "1v 2lc", "1vx 2lcj", "12", QBD_CHANGE_CLIENT, 2 },
	{ "1v 2lc", "1vx 2lc", "12", QBD_CHANGE_VOTERS, 0 },
	{ "1v 2l", "1v 2lc", "12", QBD_CHANGE_FLAGS, 2 },
	{ "1v 2lc", "1v 2l", "12", QBD_CHANGE_FLAGS, 2 },
	{ "1v 2lc", "1v 2lj", "12", QBD_CHANGE_FLAGS, 2 },
	/* it counts for no majority, there or not */
	{ "1v 2v 3v 4lc", "1v 2vx 3v 4lc", "124", QBD_CHANGE_QUORUM, 3 },
	{ "1v 2v 3v 4lc", "1v 2v 3vx 4lc", "12", QBD_CHANGE_DONE, 0 },
	/* and never anything else */
	{ "1v 2v 3vw", "1v 2v 3v", "123", QBD_CHANGE_FLAGS, 3 },
	{ "1v 2v 3v", "1v 2v 3vw", "123", QBD_CHANGE_FLAGS, 3 },
	{ "1v 2v 3lw", "1v 2v 3lj", "123", QBD_CHANGE_FLAGS, 3 },
};

static void checks(struct kunit *test)
{
	static struct qbd_membership_layout now, wanted;

	for (u32 i = 0; i < ARRAY_SIZE(intent_check_cases); i++) {
		const struct intent_check_case *one = &intent_check_cases[i];
		struct qbd_intent_facts facts = { .self = 1 };
		u32 member;

		intent_test_list(test, one->now, &now);
		intent_test_list(test, one->wanted, &wanted);
		if (one->result == QBD_CHANGE_MISSING)
			wanted.next_member_id = now.next_member_id;
		facts.there = intent_test_bits(&now, one->there);
		KUNIT_EXPECT_EQ_MSG(test, qbd_intent_check(&now, &wanted, &facts, &member),
				    one->result, "%s -> %s", one->now, one->wanted);
		KUNIT_EXPECT_EQ_MSG(test, member, one->member, "%s -> %s", one->now,
				    one->wanted);
		if (one->result == QBD_CHANGE_DONE) {
			wanted.index = cpu_to_le64(1);
			KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
					QBD_CHANGE_OUTDATED);
		}
	}
}

/* Without a majority: who is missed, how many of them would do, and that in words. */
static void who_is_missed(struct kunit *test)
{
	static const struct {
		const char *now, *wanted, *there, *absent;
		u32 needed;
		const char *words;
	} cases[] = {
		{ "1v 2v 3v", "1v 2vx 3v", "12", "3", 1, "member 3 is down" },
		{ "1v 2v 3v 4v 5v", "1v 2vx 3vd 4v 5v", "123", "45", 1,
		  "members 4, 5 are down, failed or being filled, and 1 of them" },
		{ "1v 2v 3v 4v 5v 6v 7v", "1v 2vx 3vx 4vx 5v 6v 7v", "1234", "567", 2,
		  "members 5, 6, 7 are down, failed or being filled, and 2 of them" },
		/* who joins is waited for, who never votes is not missed */
		{ "1v 2v 3v 4l", "1v 2vx 3v 4l 5lj", "12", "", 0, "" },
		{ "1v 2v 3v 4l", "1v 2vx 3v 4l", "12", "3", 1, "member 3 is down" },
	};
	static struct qbd_membership_layout now, wanted;
	char text[256];

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct qbd_intent_facts facts = { .self = 1 };
		u32 member;
		u64 value;

		intent_test_list(test, cases[i].now, &now);
		intent_test_list(test, cases[i].wanted, &wanted);
		facts.there = intent_test_bits(&now, cases[i].there);
		value = qbd_intent_absent(&now, &wanted, &facts);
		KUNIT_EXPECT_EQ_MSG(test, value >> 32, cases[i].needed, "%s", cases[i].wanted);
		KUNIT_EXPECT_EQ_MSG(test, qbd_intent_check(&now, &wanted, &facts, &member),
				    value ? QBD_CHANGE_QUORUM : QBD_CHANGE_DONE, "%s",
				    cases[i].wanted);
		if (!value)
			continue;
		KUNIT_EXPECT_EQ_MSG(test, (u32)value,
				    intent_test_bits(&wanted, cases[i].absent), "%s",
				    cases[i].wanted);
		qbd_change_describe_absent(&wanted, member, value, text, sizeof(text));
		KUNIT_EXPECT_NOT_NULL_MSG(test, strstr(text, cases[i].words), "%s", text);
	}
	/* From a leader that does not say it, or says what cannot be. */
	qbd_change_describe_absent(&wanted, 3, 0, text, sizeof(text));
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "member 3 is down"));
	qbd_change_describe_absent(&wanted, 3, U64_MAX, text, sizeof(text));
	KUNIT_EXPECT_NOT_NULL(test, strstr(text, "members 1, 2, 3, 4 are down"));
}

/* Names and addresses are nobody else's; an id is not taken back. */
static void checks_of_places(struct kunit *test)
{
	static struct qbd_membership_layout now, wanted;
	struct qbd_intent_facts facts = { .self = 1, .there = ~0u };
	u32 member;

	intent_test_list(test, "1v 2v", &now);
	intent_test_list(test, "1v 2v 3l", &wanted);
	wanted.members[2].address = wanted.members[0].address;
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_TWICE);
	KUNIT_EXPECT_EQ(test, member, 3);
	intent_test_list(test, "1v 2v 3l", &wanted);
	strscpy(wanted.members[2].name, "host2", sizeof(wanted.members[2].name));
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_TWICE);
	intent_test_list(test, "1v 2v", &wanted);
	wanted.members[1].address.port = cpu_to_le16(7);
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_ADDRESS);
	KUNIT_EXPECT_EQ(test, member, 2);
	facts.asker = 1;
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_ADDRESS);
	/* Asked for where it is to listen. */
	facts.asker = 2;
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_DONE);
	wanted.members[1].address.family = cpu_to_le16(6);
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_ADDRESS);
	intent_test_list(test, "1v 2v", &wanted);
	wanted.next_member_id = cpu_to_le32(2);
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_IDS);
	intent_test_list(test, "1v 2v", &wanted);
	wanted.members[1].priority = 7;
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_DONE);
}

/* Its disk was chosen for the size before; whoever goes need not wait. */
static void nobody_comes_while_it_grows(struct kunit *test)
{
	static struct qbd_membership_layout now, wanted;
	struct qbd_intent_facts facts = { .self = 1, .there = ~0u, .growing = true };
	u32 member;

	intent_test_list(test, "1v 2v", &now);
	intent_test_list(test, "1v 2v 3l", &wanted);
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_GROWING);
	KUNIT_EXPECT_EQ(test, member, 0);
	facts.growing = false;
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_DONE);
	facts.growing = true;
	intent_test_list(test, "1v 2v", &wanted);
	wanted.members[1].flags |= cpu_to_le16(QBD_MEMBER_LEAVING);
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_DONE);
}

/* Who uses the device is not removed from elsewhere, unless by force; whatever else may be. */
static void who_uses_it_does_not_leave(struct kunit *test)
{
	static const struct {
		const char *now, *wanted, *uses, *unsaid;
		u32 asker;
		enum qbd_change_result result;
		u32 member;
	} cases[] = {
		{ "1v 2v 3v", "1v 2v 3vx", "3", "", 0, QBD_CHANGE_USED, 3 },
		{ "1v 2v 3v", "1vx 2v 3v", "1", "", 2, QBD_CHANGE_USED, 1 },
		{ "1v 2v 3v 4l", "1v 2v 3v 4lx", "4", "", 1, QBD_CHANGE_USED, 4 },
		{ "1v 2v 3lc", "1v 2v 3lcx", "3", "", 1, QBD_CHANGE_USED, 3 },
		{ "1v 2v 3v 4lj", "1v 2v 3vx 4lj", "3", "", 1, QBD_CHANGE_USED, 3 },
		{ "1v 2v 3v 4v 5v", "1v 2v 3v 4vx 5vx", "5", "", 1, QBD_CHANGE_USED, 5 },
		/* others do */
		{ "1v 2v 3v", "1v 2v 3vx", "12", "12", 1, QBD_CHANGE_DONE, 0 },
		/* asked for there: it was looked at there */
		{ "1v 2v 3v", "1v 2v 3vx", "3", "", 3, QBD_CHANGE_DONE, 0 },
		{ "1v 2v 3v 4v 5v", "1v 2v 3v 4vx 5vx", "45", "", 5, QBD_CHANGE_USED, 4 },
		/* it stays, as what it may be */
		{ "1v 2v 3v", "1v 2v 3vd", "3", "", 1, QBD_CHANGE_DONE, 0 },
		{ "1v 2v 3l", "1v 2v 3lj", "3", "", 1, QBD_CHANGE_DONE, 0 },
		/* that it goes was said before */
		{ "1v 2v 3vx", "1v 2v 3vx 4lj", "3", "3", 1, QBD_CHANGE_DONE, 0 },
		{ "1v 2v 3vx", "1v 2v 3v", "3", "3", 1, QBD_CHANGE_DONE, 0 },
		/* when another one votes: now it is another one, and now at once */
		{ "1v 2v 3vxA 4ljA", "1v 2v 3vxB 4ljA 5ljB", "3", "", 1, QBD_CHANGE_DONE, 0 },
		{ "1v 2v 3vxA 4ljA", "1v 2v 3vxB 4ljA", "3", "", 1, QBD_CHANGE_USED, 3 },
		{ "1v 2v 3vxA 4ljA", "1v 2v 3vxA 4l", "3", "", 1, QBD_CHANGE_USED, 3 },
		{ "1v 2v 3vxA 4ljA", "1v 2v 3vxB 4ljA", "3", "", 3, QBD_CHANGE_DONE, 0 },
		{ "1v 2v 3vxfA 4ljA", "1v 2v 3vxfB 4ljA", "3", "", 1, QBD_CHANGE_DONE, 0 },
		/* nobody knows yet */
		{ "1v 2v 3v", "1v 2v 3vx", "", "3", 1, QBD_CHANGE_UNSAID, 3 },
		{ "1v 2v 3v", "1v 2vx 3v", "", "3", 1, QBD_CHANGE_DONE, 0 },
	};
	static struct qbd_membership_layout now, wanted;

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct qbd_intent_facts facts = {
			.self = 1, .asker = cases[i].asker, .there = ~0u,
		};
		u32 member;

		intent_test_list(test, cases[i].now, &now);
		intent_test_list(test, cases[i].wanted, &wanted);
		facts.uses = intent_test_bits(&now, cases[i].uses);
		facts.unsaid = intent_test_bits(&now, cases[i].unsaid);
		KUNIT_EXPECT_EQ_MSG(test, qbd_intent_check(&now, &wanted, &facts, &member),
				    cases[i].result, "%s -> %s", cases[i].now, cases[i].wanted);
		KUNIT_EXPECT_EQ_MSG(test, member, cases[i].member, "%s -> %s", cases[i].now,
				    cases[i].wanted);
		facts.force = true;
		KUNIT_EXPECT_EQ_MSG(test, qbd_intent_check(&now, &wanted, &facts, &member),
				    QBD_CHANGE_DONE, "%s -> %s", cases[i].now, cases[i].wanted);
	}
}

/* It came to be used since it was to leave: it votes until nobody does. */
static void who_is_used_votes_on(struct kunit *test)
{
	static const struct {
		const char *now, *uses, *unsaid;
		u32 self;
		enum qbd_intent_step step;
		const char *next;
	} cases[] = {
		{ "1v 2v 3vx", "3", "", 1, QBD_INTENT_NOTHING, "" },
		{ "1v 2v 3vx", "", "3", 1, QBD_INTENT_NOTHING, "" },
		{ "1v 2v 3vx", "12", "12", 1, QBD_INTENT_PROPOSE, "1vo 2vo 3olx" },
		{ "1v 2v 3vxf", "3", "3", 1, QBD_INTENT_PROPOSE, "1vo 2vo 3olx" },
		/* who comes in its place comes, and then it waits for its users alone */
		{ "1v 2v 3vxA 4ljA", "3", "", 1, QBD_INTENT_PROPOSE, "1vo 2vo 3voxA 4v" },
		{ "1v 2v 3vxA 4v", "3", "", 1, QBD_INTENT_NOTHING, "" },
		{ "1v 2v 3vxA 4v", "", "", 1, QBD_INTENT_PROPOSE, "1vo 2vo 3olx 4vo" },
		/* that it is by force is not forgotten */
		{ "1v 2v 3vxfB 4vxA", "4", "", 1, QBD_INTENT_PROPOSE, "1vo 2vo 3olx 4voxA" },
		/* others do not wait; who stays loses nothing by it */
		{ "1v 2v 3vxA 4vxB", "3", "", 1, QBD_INTENT_PROPOSE, "1vo 2vo 3voxA 4olx" },
		{ "1v 2v 3vd", "3", "", 1, QBD_INTENT_PROPOSE, "1vo 2vo 3ol" },
		/* a leader that is used leads on */
		{ "1vx 2v 3v", "1", "", 1, QBD_INTENT_NOTHING, "" },
		{ "1vx 2v 3v", "", "", 1, QBD_INTENT_HAND_OVER, "2" },
		/* nine vote already */
		{ "1v 2v 3v 4v 5v 6v 7v 8v 9vxA :ljA", "9", "", 1, QBD_INTENT_NOTHING, "" },
		{ "1v 2v 3vxA 4vxB 5v 6v 7v 8v 9v :ljA ;ljB", "3", "", 1, QBD_INTENT_PROPOSE,
		  "1vo 2vo 3voxA 4olx 5vo 6vo 7vo 8vo 9vo :ljA ;v" },
		{ "1v 2v 3v 4v 5v 6v 7v 8v 9vxA :ljA", "", "", 1, QBD_INTENT_PROPOSE,
		  "1vo 2vo 3vo 4vo 5vo 6vo 7vo 8vo 9olx :v" },
	};
	static struct qbd_membership_layout now, next, wanted;

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		struct qbd_intent_facts facts = {
			.self = cases[i].self, .there = ~0u, .has = ~0u, .fit = ~0u, .ready = ~0u,
		};
		u32 member;

		intent_test_list(test, cases[i].now, &now);
		facts.uses = intent_test_bits(&now, cases[i].uses);
		facts.unsaid = intent_test_bits(&now, cases[i].unsaid);
		KUNIT_EXPECT_EQ_MSG(test, qbd_intent_next(&now, &facts, &next, &member),
				    cases[i].step, "%s", cases[i].now);
		if (cases[i].step != QBD_INTENT_PROPOSE)
			continue;
		intent_test_list(test, cases[i].next, &wanted);
		KUNIT_EXPECT_MEMEQ_MSG(test, &next, &wanted, sizeof(next), "%s", cases[i].now);
	}
}

/* Who goes by force is kept by the leader: whom somebody says it of who may, and who was before. */
static void force_is_of_those_it_was_said_of(struct kunit *test)
{
	static const struct {
		const char *now, *wanted;
		bool force;
		const char *kept;
	} cases[] = {
		{ "1v 2v 3v", "1v 2v 3vxA", false, "1v 2v 3vxA" },
		{ "1v 2v 3v", "1v 2v 3vxfA", false, "1v 2v 3vxA" },
		{ "1v 2v 3v", "1v 2v 3vxA", true, "1v 2v 3vxfA" },
		{ "1v 2v 3v 4vxA", "1v 2v 3vxB 4vxA", true, "1v 2v 3vxfB 4vxA" },
		/* said once more, of one that waits */
		{ "1v 2v 3vxA", "1v 2v 3vxB", true, "1v 2v 3vxfB" },
		{ "1v 2v 3vxfA", "1v 2v 3vxB", false, "1v 2v 3vxfB" },
		/* it stays now; a learner has nothing to wait for */
		{ "1v 2v 3vxfA", "1v 2v 3v", true, "1v 2v 3v" },
		{ "1v 2v 3vxfA", "1v 2v 3vdA", true, "1v 2v 3vdA" },
		{ "1v 2v 3l 4lc", "1v 2v 3lx 4lcx", true, "1v 2v 3lx 4lcx" },
	};
	static struct qbd_membership_layout now, wanted, kept;

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		intent_test_list(test, cases[i].now, &now);
		intent_test_list(test, cases[i].wanted, &wanted);
		intent_test_list(test, cases[i].kept, &kept);
		qbd_intent_keep(&now, &wanted, cases[i].force);
		KUNIT_EXPECT_MEMEQ_MSG(test, &wanted, &kept, sizeof(kept), "%s -> %s",
				       cases[i].now, cases[i].wanted);
	}
}

/* Which disk is which member: the leader writes down what is there, once. */
static void disks_are_listed(struct kunit *test)
{
	static struct qbd_membership_layout now, next;
	struct qbd_intent_facts facts = {
		.self = 1, .there = ~0u, .has = ~0u, .fit = ~0u, .ready = ~0u,
	};
	u32 member;

	intent_test_list(test, "1v 2v 3lj", &now);
	KUNIT_EXPECT_EQ(test, qbd_intent_next(&now, &facts, &next, &member),
			QBD_INTENT_PROPOSE);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(next.members[2].flags), QBD_MEMBER_VOTER);
	/* Before anything else, all that are known, and nothing but that. */
	memset(facts.disks[0], 'a', QBD_UUID_SIZE);
	memset(facts.disks[2], 'c', QBD_UUID_SIZE);
	KUNIT_EXPECT_EQ(test, qbd_intent_next(&now, &facts, &next, &member),
			QBD_INTENT_PROPOSE);
	KUNIT_EXPECT_EQ(test, next.members[0].incarnation[7], 'a');
	KUNIT_EXPECT_EQ(test, next.members[1].incarnation[7], 0);
	KUNIT_EXPECT_EQ(test, next.members[2].incarnation[7], 'c');
	KUNIT_EXPECT_EQ(test, next.members[2].flags, now.members[2].flags);
	/* Then the change goes on. */
	now = next;
	KUNIT_EXPECT_EQ(test, qbd_intent_next(&now, &facts, &next, &member),
			QBD_INTENT_PROPOSE);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(next.members[2].flags), QBD_MEMBER_VOTER);
	KUNIT_EXPECT_EQ(test, next.members[2].incarnation[7], 'c');
	/* Another disk takes the place of one that is known only if it was made anew. */
	intent_test_list(test, "1v 2v 3l", &now);
	memset(now.members[0].incarnation, 'a', QBD_UUID_SIZE);
	memset(now.members[2].incarnation, 'b', QBD_UUID_SIZE);
	KUNIT_EXPECT_EQ(test, qbd_intent_next(&now, &facts, &next, &member),
			QBD_INTENT_NOTHING);
	facts.renewed = 1u << 2;
	KUNIT_EXPECT_EQ(test, qbd_intent_next(&now, &facts, &next, &member),
			QBD_INTENT_PROPOSE);
	KUNIT_EXPECT_EQ(test, next.members[2].incarnation[7], 'c');
	/* Who is not there changes nothing. */
	memset(facts.disks, 0, sizeof(facts.disks));
	KUNIT_EXPECT_EQ(test, qbd_intent_next(&now, &facts, &next, &member),
			QBD_INTENT_NOTHING);
	/* A joint list is left first. */
	intent_test_list(test, "1vo 2v", &now);
	memset(facts.disks[0], 'a', QBD_UUID_SIZE);
	KUNIT_EXPECT_EQ(test, qbd_intent_next(&now, &facts, &next, &member),
			QBD_INTENT_PROPOSE);
	KUNIT_EXPECT_EQ(test, le16_to_cpu(next.members[0].flags), QBD_MEMBER_VOTER);
	KUNIT_EXPECT_EQ(test, next.members[0].incarnation[7], 0);
}

/* Who asks for a list cannot say which disk is which member, but of a new one. */
static void disks_are_not_asked_for(struct kunit *test)
{
	static struct qbd_membership_layout now, wanted;
	struct qbd_intent_facts facts = { .self = 1, .there = ~0u };
	u32 member;

	intent_test_list(test, "1v 2v", &now);
	intent_test_list(test, "1v 2v 3l", &wanted);
	memset(now.members[1].incarnation, 'b', QBD_UUID_SIZE);
	memset(wanted.members[0].incarnation, 'x', QBD_UUID_SIZE);
	memset(wanted.members[2].incarnation, 'c', QBD_UUID_SIZE);
	qbd_intent_keep(&now, &wanted, false);
	KUNIT_EXPECT_EQ(test, wanted.members[0].incarnation[0], 0);
	KUNIT_EXPECT_EQ(test, wanted.members[1].incarnation[0], 'b');
	KUNIT_EXPECT_EQ(test, wanted.members[2].incarnation[0], 'c');
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_DONE);
	/* One disk is one member. */
	memset(wanted.members[2].incarnation, 'b', QBD_UUID_SIZE);
	KUNIT_EXPECT_EQ(test, qbd_intent_check(&now, &wanted, &facts, &member),
			QBD_CHANGE_TWICE);
	KUNIT_EXPECT_EQ(test, member, 3);
}

static void who_is_out(struct kunit *test)
{
	struct qbd_membership_layout list;

	intent_test_list(test, "1v 2l 3lx 4vx 5olx", &list);
	KUNIT_EXPECT_FALSE(test, qbd_intent_is_out(&list, 1));
	KUNIT_EXPECT_FALSE(test, qbd_intent_is_out(&list, 2));
	KUNIT_EXPECT_TRUE(test, qbd_intent_is_out(&list, 3));
	KUNIT_EXPECT_FALSE(test, qbd_intent_is_out(&list, 4));
	/* The joint list may be taken back still, with its leader. */
	KUNIT_EXPECT_FALSE(test, qbd_intent_is_out(&list, 5));
	KUNIT_EXPECT_TRUE(test, qbd_intent_is_out(&list, 6));
}

static struct kunit_case intent_cases[] = {
	KUNIT_CASE(steps),
	KUNIT_CASE(joint_when_a_majority_has_the_list),
	KUNIT_CASE(handed_to_who_can_begin),
	KUNIT_CASE(every_change_ends),
	KUNIT_CASE(changes_wait_for_their_own),
	KUNIT_CASE(data_in_every_majority),
	KUNIT_CASE(clients_never_vote),
	KUNIT_CASE(what_flags_say),
	KUNIT_CASE(checks),
	KUNIT_CASE(who_is_missed),
	KUNIT_CASE(checks_of_places),
	KUNIT_CASE(nobody_comes_while_it_grows),
	KUNIT_CASE(who_uses_it_does_not_leave),
	KUNIT_CASE(who_is_used_votes_on),
	KUNIT_CASE(force_is_of_those_it_was_said_of),
	KUNIT_CASE(disks_are_listed),
	KUNIT_CASE(disks_are_not_asked_for),
	KUNIT_CASE(who_is_out),
	{}
};

static struct kunit_suite intent_suite = {
	.name = "intent",
	.test_cases = intent_cases,
};

kunit_test_suite(intent_suite);
