// SPDX-License-Identifier: GPL-2.0
/*
 * The replicas are compared, piece by piece, while the device is in use; what differs is
 * told, and on request made equal with what a majority holds.
 *
 * The member that was asked to does it, whoever leads: to compare takes no leader, so a
 * change of leaders interrupts nothing. Its own copy counts no more than another one's. It
 * begins anew when this member comes up again.
 *
 *   step        waits for                                  then
 *   IDLE        a piece to look at, and time for it        ask all: COMPARING
 *   RESTING     time: something was written there, or      ask all: COMPARING
 *               somebody had no memory
 *   COMPARING   the sums of all that are asked             all equal: IDLE; written to
 *                                                          meanwhile: RESTING; to be
 *                                                          repaired: FETCHING
 *   FETCHING    the blocks, of one that has them right     ask the leader: REPAIRING
 *   REPAIRING   the leader's answer                        SETTLING, or RESTING
 *   SETTLING    the repair committed here                  FETCHING the next ones, or ask
 *                                                          all once more: COMPARING
 *
 * For each piece an index of the log is named, which is committed here; every member
 * answers with what it held as of that entry, see sums.c. A block that was written meanwhile
 * is asked about again, a number of times. Who writes a block all the time keeps it from
 * being compared, and is not held up: what is written has just been replaced on all disks.
 *
 * A place that this disk failed to read is a piece like others, of which only the blocks
 * that cannot be read are made equal. That needs nobody to ask for it: there is nothing in
 * them that could be lost. It is written by way of the log like any repair (repair.c): the
 * local disk alone could not be written between two applied entries without holding apply
 * up, and by a majority it is known what is right.
 */
#include "internal.h"

#define QBD_VERIFY_ANSWER_NS	(10 * NSEC_PER_SEC)
/* Who has not answered in time is not waited for again for so long. */
#define QBD_VERIFY_SILENCE_NS	(60 * NSEC_PER_SEC)
#define QBD_VERIFY_ATTEMPTS	24u
#define QBD_VERIFY_ROUNDS	3u
/* Without any other member: then it ends. */
#define QBD_VERIFY_ALONE_NS	(30 * NSEC_PER_SEC)
#define QBD_VERIFY_SPOT_NS	(10 * NSEC_PER_SEC)
#define QBD_VERIFY_SPOT_TRIES	6u
/* The first piece; then as the leader says. */
#define QBD_VERIFY_FIRST	16u
/* Steps of one pass. */
#define QBD_VERIFY_BUDGET	16u

static void bits_clear(u64 *bits)
{
	memset(bits, 0, QBD_VERIFY_WORDS * sizeof(*bits));
}

static void bit_clear(u64 *bits, u32 number)
{
	bits[number / 64] &= ~(1ull << (number % 64));
}

static u32 bits_count(const struct qbd_verify *verify, const u64 *bits)
{
	u32 set = 0;

	for (u32 i = 0; i < verify->count; i++)
		set += qbd_compare_bit(bits, i);
	return set;
}

/* ---- what is found ------------------------------------------------------ */

static struct qbd_verify_member *member_result(struct qbd_verify *verify, u32 id)
{
	struct qbd_verify_result *result = &verify->result;

	for (u32 i = 0; i < result->member_count; i++)
		if (result->members[i].id == id)
			return &result->members[i];
	/* Members came and went meanwhile: the newest are not counted. */
	if (result->member_count == QBD_MEMBERS_MAX)
		return NULL;
	result->members[result->member_count] = (struct qbd_verify_member){ .id = id };
	verify->silent_until[result->member_count] = 0;
	return &result->members[result->member_count++];
}

static void list_difference(struct qbd_verify_result *result, u64 block, u32 member,
			    u32 kind)
{
	struct qbd_verify_difference *difference;

	for (u32 i = 0; i < result->difference_count; i++) {
		difference = &result->differences[i];
		if (difference->member == member && difference->kind == kind &&
		    difference->first + difference->count == block) {
			difference->count++;
			return;
		}
	}
	if (result->difference_count == QBD_VERIFY_DIFFERENCES_MAX) {
		result->unlisted++;
		return;
	}
	difference = &result->differences[result->difference_count++];
	*difference = (struct qbd_verify_difference){
		.first = block, .count = 1, .member = member, .kind = kind,
	};
}

static void list_repaired(struct qbd_verify_result *result, u64 block)
{
	for (u32 i = 0; i < result->difference_count; i++) {
		struct qbd_verify_difference *difference = &result->differences[i];

		if (block >= difference->first &&
		    block < difference->first + difference->count)
			difference->repaired++;
	}
}

static void count_compared(struct qbd_verify *verify)
{
	verify->result.compared++;
	for (u32 i = 0; i < verify->copy_count; i++) {
		struct qbd_verify_member *member =
			member_result(verify, verify->copies[i].member);

		if (member && verify->copies[i].there)
			member->compared++;
	}
}

static void count_different(struct qbd_verify *verify, u32 number,
			    const struct qbd_compare_result *compared)
{
	struct qbd_verify_result *result = &verify->result;
	u64 block = verify->block + number;

	result->different++;
	if (compared->verdict == QBD_COMPARE_UNDECIDED) {
		result->undecided++;
		list_difference(result, block, 0, QBD_VERIFY_UNDECIDED);
		return;
	}
	for (u32 i = 0; i < verify->copy_count; i++) {
		u32 id = verify->copies[i].member;
		struct qbd_verify_member *member = member_result(verify, id);

		if (!(compared->bad & 1u << i))
			continue;
		if (member)
			member->different++;
		list_difference(result, block, id, compared->unreadable & 1u << i ?
				QBD_VERIFY_UNREADABLE : QBD_VERIFY_DIFFERENT);
	}
}

/* Once for each piece and member. */
static void tell_different(struct qbd_replica *replica, const u32 *bad, u32 undecided)
{
	const struct qbd_verify *verify = &replica->verify;
	u64 last = verify->block + verify->count - 1;

	for (u32 i = 0; i < verify->copy_count; i++) {
		if (!bad[i])
			continue;
		qbd_warn(replica, "%u of the blocks %llu to %llu of member %u are not what the majority holds",
			 bad[i], verify->block, last, verify->copies[i].member);
		qbd_replica_event(replica, QBD_EVENT_VERIFY_DIFFERENCE,
				  verify->copies[i].member, "%u of the blocks %llu to %llu",
				  bad[i], verify->block, last);
	}
	if (!undecided)
		return;
	qbd_warn(replica, "%u of the blocks %llu to %llu differ, and no majority agrees about them",
		 undecided, verify->block, last);
	qbd_replica_event(replica, QBD_EVENT_VERIFY_DIFFERENCE, 0,
			  "%u of the blocks %llu to %llu, no majority agrees", undecided,
			  verify->block, last);
}

static void finish(struct qbd_replica *replica, enum qbd_verification_state state)
{
	struct qbd_verify_result *result = &replica->verify.result;

	result->state = state;
	qbd_notice(replica, "verification %s: %llu blocks compared, %llu differed, %llu of them repaired",
		   state == QBD_VERIFY_DONE ? "done" : "ended before its time",
		   result->compared, result->different, result->repaired);
	qbd_replica_event(replica, QBD_EVENT_VERIFY_DONE, 0,
			  "%llu blocks compared, %llu differed, %llu repaired",
			  result->compared, result->different, result->repaired);
}

/* ---- pieces ------------------------------------------------------------- */

/* It is over, well or not. */
static void let_go(struct qbd_verify *verify)
{
	qbd_buffer_free(verify->fetched);
	verify->fetched = NULL;
	verify->waiting = 0;
	verify->request++;
	verify->step = QBD_VERIFY_IDLE;
}

static u64 reads_of(const struct qbd_replica *replica)
{
	return replica->reads_done + replica->forwarded_count;
}

/*
 * A leader that answered has paced it (sums.c). While there is none what this member sees of
 * requests has to do.
 */
static void rest_after(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;
	bool busy = !verify->next_count &&
		    (qbd_store_commit_index(replica->store) != verify->commit_seen ||
		     reads_of(replica) != verify->reads_seen);

	verify->not_before = replica->now +
		qbd_compare_pause(qbd_sums_bytes(replica, verify->block, verify->count),
				  verify->result.rate, verify->took, busy);
	verify->piece_max = verify->next_count ?: QBD_VERIFY_BLOCKS_MAX;
}

static void spot_done(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;
	struct qbd_verify_spot *spot = &verify->spots[0];
	u32 found = bits_count(verify, verify->found);
	u32 left = 0;

	for (u32 i = 0; i < verify->count; i++)
		left += qbd_compare_bit(verify->found, i) && qbd_compare_bit(verify->open, i);
	if (found > left) {
		replica->mended_blocks += found - left;
		qbd_notice(replica, "%u of the blocks %llu to %llu, which this disk failed to read, were written anew with what others hold",
			   found - left, verify->block, verify->block + verify->count - 1);
		qbd_replica_event(replica, QBD_EVENT_BLOCKS_MENDED, 0,
				  "%u of the blocks %llu to %llu", found - left,
				  verify->block, verify->block + verify->count - 1);
	}
	spot->not_before = replica->now + QBD_VERIFY_SPOT_NS;
	if (bits_count(verify, verify->open) && ++spot->tries < QBD_VERIFY_SPOT_TRIES) {
		struct qbd_verify_spot again = *spot;

		/* The others first. */
		memmove(spot, spot + 1, (verify->spot_count - 1) * sizeof(*spot));
		verify->spots[verify->spot_count - 1] = again;
		return;
	}
	verify->spot_count--;
	memmove(spot, spot + 1, verify->spot_count * sizeof(*spot));
}

static void piece_done(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;
	struct qbd_verify_result *result = &verify->result;
	u64 total = result->end_block - result->first_block;

	let_go(verify);
	if (verify->spot) {
		spot_done(replica);
		return;
	}
	/* Those that were found different and could not be repaired were counted. */
	for (u32 i = 0; i < verify->count; i++)
		result->skipped += qbd_compare_bit(verify->open, i) &&
				   !qbd_compare_bit(verify->found, i);
	result->next_block = verify->block + verify->count;
	if (result->next_block == result->end_block) {
		finish(replica, QBD_VERIFY_DONE);
		return;
	}
	rest_after(replica);
	if (result->next_block - verify->told_block < total / 64 + 1)
		return;
	verify->told_block = result->next_block;
	qbd_replica_event(replica, QBD_EVENT_VERIFY_PROGRESS, 0, "%llu of %llu blocks",
			  result->next_block - result->first_block, total);
}

/* Nothing came of it: once more, in a while, or not at all. */
static void again(struct qbd_replica *replica, u64 rest)
{
	struct qbd_verify *verify = &replica->verify;

	let_go(verify);
	if (++verify->attempts == QBD_VERIFY_ATTEMPTS) {
		piece_done(replica);
		return;
	}
	verify->not_before = replica->now + rest;
	verify->step = QBD_VERIFY_RESTING;
}

/* What was written is over soon, or goes on for long. */
static u64 short_rest(const struct qbd_verify *verify)
{
	return (2 * NSEC_PER_MSEC) << min(verify->attempts, 6u);
}

/* ---- asking ------------------------------------------------------------- */

static void note_missed(struct qbd_verify *verify, u32 place, u32 why)
{
	verify->missed[place] = why;
	verify->waiting &= ~(1u << place);
}

static void ask_one(struct qbd_replica *replica, u32 place, const struct qbd_frame_verify *frame)
{
	struct qbd_verify *verify = &replica->verify;
	u32 id = verify->copies[place].member;
	struct qbd_verify_member *result = member_result(verify, id);
	struct qbd_net_frame out = {
		.type = QBD_FRAME_VERIFY,
		.fixed = frame,
		.fixed_bytes = sizeof(*frame),
	};

	if (result && replica->now < verify->silent_until[result - verify->result.members]) {
		note_missed(verify, place, QBD_MISSED_SILENT);
	} else if (id == replica->member_id) {
		qbd_sums_asked(replica, 0, frame);
	} else if (!qbd_net_peer_up(replica->network, id)) {
		note_missed(verify, place, QBD_MISSED_AWAY);
	} else if (qbd_net_send(replica->network, id, &out)) {
		note_missed(verify, place, QBD_MISSED_SILENT);
		verify->busy = true;
	} else {
		qbd_net_push(replica->network, id);
	}
}

/* From the first block that there is no verdict about to the last one. */
static void choose_range(struct qbd_verify *verify)
{
	u32 first = 0, end = verify->count;

	while (first < end && !qbd_compare_bit(verify->open, first))
		first++;
	while (end > first && !qbd_compare_bit(verify->open, end - 1))
		end--;
	verify->asked_first = first;
	verify->asked_count = end - first;
}

static void ask_all(struct qbd_replica *replica)
{
	const struct qbd_membership_layout *layout = qbd_replica_layout(replica);
	struct qbd_verify *verify = &replica->verify;
	struct qbd_frame_verify frame;

	choose_range(verify);
	verify->index = qbd_store_commit_index(replica->store);
	frame = (struct qbd_frame_verify){
		.request = cpu_to_le64(++verify->request),
		.index = cpu_to_le64(verify->index),
		.block = cpu_to_le64(verify->block + verify->asked_first),
		.count = cpu_to_le32(verify->asked_count),
		.flags = cpu_to_le32(verify->settled ? QBD_VERIFY_APPLIED : 0),
	};
	verify->copy_count = 0;
	for (u32 i = 0; i < le32_to_cpu(layout->count); i++) {
		struct qbd_compare_copy *copy = &verify->copies[verify->copy_count];

		/* No copy: nobody asks it, and it counts for no majority of them. */
		if (!qbd_flags_keep_data(le16_to_cpu(layout->members[i].flags)))
			continue;
		copy->member = le32_to_cpu(layout->members[i].id);
		copy->voter = qbd_flags_vote(le16_to_cpu(layout->members[i].flags));
		copy->there = false;
		verify->missed[verify->copy_count++] = QBD_MISSED_NOTHING;
	}
	bits_clear(verify->mend);
	bits_clear(verify->written);
	verify->busy = false;
	verify->step = QBD_VERIFY_COMPARING;
	verify->asked_at = replica->now;
	verify->answer_by = replica->now + QBD_VERIFY_ANSWER_NS;
	verify->waiting = (1u << verify->copy_count) - 1;
	for (u32 i = 0; i < verify->copy_count; i++)
		ask_one(replica, i, &frame);
}

static int place_of(const struct qbd_replica *replica, u32 peer)
{
	const struct qbd_verify *verify = &replica->verify;
	u32 id = peer ? peer : replica->member_id;

	for (u32 i = 0; i < verify->copy_count; i++)
		if (verify->copies[i].member == id)
			return i;
	return -1;
}

static void take_sums(struct qbd_verify *verify, u32 place,
		      const struct qbd_verify_sums *sums)
{
	struct qbd_compare_copy *copy = &verify->copies[place];

	copy->there = true;
	for (u32 i = 0; i < QBD_VERIFY_WORDS; i++) {
		copy->touched[i] = le64_to_cpu(sums->touched[i]);
		copy->unreadable[i] = le64_to_cpu(sums->unreadable[i]);
	}
	for (u32 i = 0; i < verify->asked_count; i++)
		copy->sums[i] = le32_to_cpu(sums->sums[i]);
}

static void take_answer(struct qbd_verify *verify, u32 place,
			const struct qbd_frame_verified *verified, struct qbd_buffer *data)
{
	verify->waiting &= ~(1u << place);
	if (verified->next_count)
		verify->next_count = le32_to_cpu(verified->next_count);
	switch (le32_to_cpu(verified->status)) {
	case QBD_VERIFY_OK:
		if (data && le32_to_cpu(verified->count) == verify->asked_count) {
			take_sums(verify, place, page_address(data->pages[0]));
			break;
		}
		fallthrough;
	case QBD_VERIFY_BUSY:
		verify->busy = true;
		note_missed(verify, place, QBD_MISSED_SILENT);
		break;
	case QBD_VERIFY_FILLING:
		note_missed(verify, place, QBD_MISSED_FILLING);
		break;
	default:
		note_missed(verify, place, QBD_MISSED_FAILED);
	}
}

/**
 * qbd_verify_answered() - a member says what it holds
 * @replica: replica
 * @peer: who; 0: this one
 * @verified: the answer
 * @data: its blocks, ours to free
 *
 * Nothing follows from it at once: qbd_verify_proceed() looks at it later in this pass.
 */
void qbd_verify_answered(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_verified *verified,
			 struct qbd_buffer *data)
{
	struct qbd_verify *verify = &replica->verify;
	int place = place_of(replica, peer);

	if (place >= 0 && le64_to_cpu(verified->request) == verify->request) {
		if (verify->step == QBD_VERIFY_COMPARING && verify->waiting & 1u << place) {
			take_answer(verify, place, verified, data);
		} else if (verify->step == QBD_VERIFY_FETCHING &&
			   (u32)place == verify->source && !verify->fetch_over) {
			verify->fetch_over = true;
			verify->fetched = data;
			data = NULL;
		}
	}
	qbd_buffer_free(data);
}

/* ---- judging ------------------------------------------------------------ */

/* Of a place that this disk failed to read, only what it fails to read is looked at. */
static bool concerns(const struct qbd_replica *replica, u32 number)
{
	const struct qbd_verify *verify = &replica->verify;

	return !verify->spot || qbd_compare_bit(verify->found, number) ||
	       qbd_compare_bit(verify->copies[place_of(replica, 0)].unreadable,
			       number - verify->asked_first);
}

static bool own_is_there(const struct qbd_replica *replica)
{
	int own = place_of(replica, 0);

	return own >= 0 && replica->verify.copies[own].there;
}

/* A block that differs. Return: it is to be repaired. */
static bool judge_different(struct qbd_replica *replica, u32 number,
			    const struct qbd_compare_result *compared, u32 *bad,
			    u32 *undecided)
{
	struct qbd_verify *verify = &replica->verify;

	if (!qbd_compare_bit(verify->found, number)) {
		qbd_compare_set(verify->found, number);
		if (verify->spot) {
			replica->unreadable_blocks += !verify->spots[0].tries;
		} else {
			count_compared(verify);
			count_different(verify, number, compared);
		}
		*undecided += compared->verdict == QBD_COMPARE_UNDECIDED;
		for (u32 i = 0; i < verify->copy_count; i++)
			bad[i] += compared->verdict == QBD_COMPARE_MAJORITY &&
				  compared->bad >> i & 1;
	}
	return compared->verdict == QBD_COMPARE_MAJORITY &&
	       (verify->spot || verify->result.repair);
}

static void judge_equal(struct qbd_verify *verify, u32 number)
{
	if (verify->spot)
		return;
	if (!qbd_compare_bit(verify->found, number)) {
		count_compared(verify);
		return;
	}
	verify->result.repaired++;
	list_repaired(&verify->result, verify->block + number);
}

/* Verdicts about all blocks that were asked about. Return: some have to be asked again. */
static bool judge_blocks(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;
	u32 bad[QBD_MEMBERS_MAX] = { };
	u32 undecided = 0;
	bool touched = false;

	for (u32 i = 0; i < verify->asked_count; i++) {
		u32 number = verify->asked_first + i;
		struct qbd_compare_result compared;

		if (!qbd_compare_bit(verify->open, number))
			continue;
		qbd_compare_block(verify->copies, verify->copy_count, i, &compared);
		if (!concerns(replica, number)) {
			bit_clear(verify->open, number);
		} else if (compared.verdict == QBD_COMPARE_TOUCHED) {
			touched = true;
		} else if (compared.verdict == QBD_COMPARE_EQUAL) {
			judge_equal(verify, number);
			bit_clear(verify->open, number);
		} else if (judge_different(replica, number, &compared, bad, &undecided)) {
			qbd_compare_set(verify->mend, number);
		} else if (!verify->spot) {
			bit_clear(verify->open, number);
		}
		/* Else it stays open: others may be back when it is tried again. */
	}
	if (!verify->spot)
		tell_different(replica, bad, undecided);
	return touched;
}

static void note_members(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;

	for (u32 i = 0; i < verify->copy_count; i++) {
		struct qbd_verify_member *member =
			member_result(verify, verify->copies[i].member);

		if (member && !verify->spot && verify->missed[i])
			member->missed = verify->missed[i];
	}
}

static void give_up_waiting(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;

	for (u32 i = 0; i < verify->copy_count; i++) {
		struct qbd_verify_member *member =
			member_result(verify, verify->copies[i].member);

		if (!(verify->waiting & 1u << i))
			continue;
		note_missed(verify, i, QBD_MISSED_SILENT);
		if (member)
			verify->silent_until[member - verify->result.members] =
				replica->now + QBD_VERIFY_SILENCE_NS;
	}
}

/* Fewer than two answered. */
static void judge_alone(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;

	if (!verify->alone_since)
		verify->alone_since = replica->now;
	let_go(verify);
	/* It is not over for a silence that is longer: they may answer by now. */
	memset(verify->silent_until, 0, sizeof(verify->silent_until));
	if (verify->spot) {
		verify->alone_since = 0;
		piece_done(replica);
	} else if (replica->now - verify->alone_since >= QBD_VERIFY_ALONE_NS) {
		verify->result.missed = verify->result.end_block - verify->block;
		finish(replica, QBD_VERIFY_ALONE);
	} else {
		verify->not_before = replica->now + NSEC_PER_SEC / 2;
		verify->step = QBD_VERIFY_RESTING;
	}
}

static bool next_run(struct qbd_replica *replica);

static void judge(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;
	bool touched;

	/* That somebody is silent, or this host stood still, loads nobody: no rest is due to it. */
	verify->took = min_t(u64, verify->took + replica->now - verify->asked_at,
			     QBD_VERIFY_ANSWER_NS);
	/* No memory at the moment; but nobody waits for ever for one that never has any. */
	if (verify->busy && verify->attempts < QBD_VERIFY_ATTEMPTS / 2) {
		again(replica, short_rest(verify));
		return;
	}
	if (qbd_compare_there(verify->copies, verify->copy_count) < 2) {
		note_members(replica);
		judge_alone(replica);
		return;
	}
	verify->alone_since = 0;
	note_members(replica);
	if (verify->spot && !own_is_there(replica)) {
		piece_done(replica);
		return;
	}
	touched = judge_blocks(replica);
	if (bits_count(verify, verify->mend) && verify->rounds < QBD_VERIFY_ROUNDS &&
	    next_run(replica))
		return;
	if (touched)
		again(replica, short_rest(verify));
	else
		piece_done(replica);
}

/* ---- repairing ---------------------------------------------------------- */

/* Blocks in a row that one copy has right; this member's own one if it has. */
static bool choose_run(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;
	int own = place_of(replica, 0);
	u32 number = 0, mask = 0;

	verify->run_count = 0;
	for (; number < verify->count; number++) {
		struct qbd_compare_result compared;
		u32 good;

		if (!qbd_compare_bit(verify->mend, number) ||
		    qbd_compare_bit(verify->written, number)) {
			if (verify->run_count)
				break;
			continue;
		}
		qbd_compare_block(verify->copies, verify->copy_count,
				  number - verify->asked_first, &compared);
		good = verify->run_count ? mask & compared.good : compared.good;
		if (!good || verify->run_count == QBD_VERIFY_DATA_MAX)
			break;
		mask = good;
		if (!verify->run_count++)
			verify->run_first = number;
	}
	if (!verify->run_count)
		return false;
	verify->source = own >= 0 && mask & 1u << own ? own : __builtin_ctz(mask);
	return true;
}

/* Get what is right of the next blocks. Return: false if there are none. */
static bool next_run(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;
	struct qbd_frame_verify frame;
	struct qbd_net_frame out = {
		.type = QBD_FRAME_VERIFY,
		.fixed = &frame,
		.fixed_bytes = sizeof(frame),
	};
	u32 source;

	if (!choose_run(replica))
		return false;
	frame = (struct qbd_frame_verify){
		.request = cpu_to_le64(++verify->request),
		.index = cpu_to_le64(verify->index),
		.block = cpu_to_le64(verify->block + verify->run_first),
		.count = cpu_to_le32(verify->run_count),
		.flags = cpu_to_le32(QBD_VERIFY_DATA),
	};
	verify->step = QBD_VERIFY_FETCHING;
	verify->fetch_over = false;
	verify->answer_by = replica->now + QBD_VERIFY_ANSWER_NS;
	source = verify->copies[verify->source].member;
	if (source == replica->member_id)
		qbd_sums_asked(replica, 0, &frame);
	else if (qbd_net_send(replica->network, source, &out))
		verify->fetch_over = true;
	else
		qbd_net_push(replica->network, source);
	return true;
}

/* Is it what the majority holds, still? */
static bool fetched_good(const struct qbd_verify *verify)
{
	const struct qbd_compare_copy *copy = &verify->copies[verify->source];
	const struct qbd_verify_sums *sums;

	if (!verify->fetched || verify->fetched->blocks != 1 + verify->run_count)
		return false;
	sums = page_address(verify->fetched->pages[0]);
	for (u32 i = 0; i < verify->run_count; i++) {
		u32 sum = copy->sums[verify->run_first + i - verify->asked_first];
		u64 bit = 1ull << (i % 64);

		if (le64_to_cpu(sums->touched[i / 64]) & bit ||
		    le64_to_cpu(sums->unreadable[i / 64]) & bit ||
		    qbd_crc32c(~0u, page_address(verify->fetched->pages[1 + i]),
			       QBD_BLOCK_SIZE) != sum)
			return false;
	}
	return true;
}

/* The contents alone; what was fetched is freed. NULL: there is no memory now. */
static struct qbd_buffer *take_contents(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;
	struct qbd_buffer *contents = qbd_buffer_alloc(replica->pool, QBD_POOL_READ,
						       verify->run_count);

	for (u32 i = 0; contents && i < verify->run_count; i++) {
		struct page *page = contents->pages[i];

		contents->pages[i] = verify->fetched->pages[1 + i];
		verify->fetched->pages[1 + i] = page;
	}
	qbd_buffer_free(verify->fetched);
	verify->fetched = NULL;
	return contents;
}

static void repair_answered(struct qbd_replica *replica, enum qbd_repair_status status,
			    u64 index)
{
	struct qbd_verify *verify = &replica->verify;

	if (status == QBD_REPAIR_TOUCHED) {
		again(replica, short_rest(verify));
		return;
	}
	if (status != QBD_REPAIR_APPENDED) {
		again(replica, NSEC_PER_SEC / 10);
		return;
	}
	for (u32 i = 0; i < verify->run_count; i++)
		qbd_compare_set(verify->written, verify->run_first + i);
	verify->settle_index = index;
	verify->step = QBD_VERIFY_SETTLING;
	verify->answer_by = replica->now + QBD_VERIFY_ANSWER_NS;
}

static int ask_leader(struct qbd_replica *replica, struct qbd_buffer *contents)
{
	struct qbd_verify *verify = &replica->verify;
	struct qbd_frame_repair repair = {
		.request = cpu_to_le64(++verify->request),
		.leader_term = cpu_to_le64(replica->told_term),
		.index = cpu_to_le64(verify->index),
		.block = cpu_to_le64(verify->block + verify->run_first),
		.count = cpu_to_le32(verify->run_count),
	};
	struct qbd_net_frame frame = {
		.type = QBD_FRAME_REPAIR,
		.fixed = &repair,
		.fixed_bytes = sizeof(repair),
		.buffer = contents,
		.data_blocks = contents->blocks,
	};

	verify->repair_leader = replica->told_leader;
	verify->repair_term = replica->told_term;
	verify->step = QBD_VERIFY_REPAIRING;
	verify->answer_by = replica->now + QBD_VERIFY_ANSWER_NS;
	return qbd_net_send(replica->network, replica->told_leader, &frame);
}

static void repair(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;
	enum qbd_repair_status status;
	struct qbd_buffer *contents;
	u64 index;

	if (!fetched_good(verify)) {
		again(replica, short_rest(verify));
		return;
	}
	contents = take_contents(replica);
	if (!contents) {
		again(replica, short_rest(verify));
	} else if (replica->told_role == QBD_ROLE_LEADER) {
		status = qbd_repair_propose(replica, replica->member_id, verify->index,
					    verify->block + verify->run_first, contents,
					    &index);
		qbd_buffer_free(contents);
		repair_answered(replica, status, index);
	} else if (!qbd_replica_serving(replica) || ask_leader(replica, contents)) {
		qbd_buffer_free(contents);
		/* That nobody leads is not held against the piece. */
		if (!qbd_replica_serving(replica) && verify->attempts)
			verify->attempts--;
		again(replica, NSEC_PER_SEC / 10);
	} else {
		qbd_net_push(replica->network, replica->told_leader);
	}
}

/* The leader's answer to ask_leader(). */
void qbd_verify_repaired(struct qbd_replica *replica, u32 peer,
			 const struct qbd_frame_repaired *repaired)
{
	struct qbd_verify *verify = &replica->verify;

	if (verify->step == QBD_VERIFY_REPAIRING && peer == verify->repair_leader &&
	    le64_to_cpu(repaired->request) == verify->request)
		repair_answered(replica, le32_to_cpu(repaired->status),
				le64_to_cpu(repaired->index));
}

/* The repair is committed, or something else in its place: it will be seen. */
static void settled(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;

	if (next_run(replica))
		return;
	verify->rounds++;
	verify->settled = true;
	ask_all(replica);
}

/* ---- one step after the other ------------------------------------------- */

static bool piece_begin(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;
	struct qbd_verify_result *result = &verify->result;
	u64 end = result->end_block;
	u32 most = QBD_VERIFY_BLOCKS_MAX;

	if (verify->spot_count && replica->now >= verify->spots[0].not_before) {
		verify->spot = true;
		verify->block = verify->spots[0].block;
		end = qbd_store_identity(replica->store)->device_blocks;
	} else if (result->state == QBD_VERIFY_RUNNING && replica->now >= verify->not_before) {
		verify->spot = false;
		verify->block = result->next_block;
		most = verify->piece_max;
	} else {
		if (verify->spot_count)
			qbd_replica_later(replica, verify->spots[0].not_before);
		if (result->state == QBD_VERIFY_RUNNING)
			qbd_replica_later(replica, verify->not_before);
		return false;
	}
	/* No piece reaches over an extent. */
	verify->count = min3(QBD_VERIFY_BLOCKS_MAX - verify->block % QBD_VERIFY_BLOCKS_MAX,
			     end - verify->block, (u64)most);
	verify->next_count = 0;
	bits_clear(verify->open);
	bits_clear(verify->found);
	for (u32 i = 0; i < verify->count; i++)
		qbd_compare_set(verify->open, i);
	verify->attempts = 0;
	verify->rounds = 0;
	verify->settled = false;
	verify->took = 0;
	verify->commit_seen = qbd_store_commit_index(replica->store);
	verify->reads_seen = reads_of(replica);
	ask_all(replica);
	return true;
}

/* Is it time yet? Else there is a pass when it is. */
static bool due(struct qbd_replica *replica, u64 when)
{
	if (replica->now >= when)
		return true;
	qbd_replica_later(replica, when);
	return false;
}

/* Return: false if it has to wait. */
static bool advance(struct qbd_replica *replica)
{
	struct qbd_verify *verify = &replica->verify;

	switch (verify->step) {
	case QBD_VERIFY_IDLE:
		return piece_begin(replica);
	case QBD_VERIFY_RESTING:
		if (!due(replica, verify->not_before))
			return false;
		ask_all(replica);
		return true;
	case QBD_VERIFY_COMPARING:
		if (verify->waiting && !due(replica, verify->answer_by))
			return false;
		give_up_waiting(replica);
		judge(replica);
		return true;
	case QBD_VERIFY_FETCHING:
		if (!verify->fetch_over && !due(replica, verify->answer_by))
			return false;
		repair(replica);
		return true;
	case QBD_VERIFY_REPAIRING:
		if (verify->repair_term == replica->told_term &&
		    !due(replica, verify->answer_by))
			return false;
		again(replica, NSEC_PER_SEC / 10);
		return true;
	case QBD_VERIFY_SETTLING:
		if (qbd_store_commit_index(replica->store) >= verify->settle_index)
			settled(replica);
		else if (due(replica, verify->answer_by))
			again(replica, short_rest(verify));
		else
			return false;
		return true;
	}
	return false;
}

/**
 * qbd_verify_proceed() - go on with the table above; each pass
 * @replica: replica
 */
void qbd_verify_proceed(struct qbd_replica *replica)
{
	u32 budget = QBD_VERIFY_BUDGET;

	if (replica->phase != QBD_PHASE_RUNNING)
		return;
	while (advance(replica)) {
		qbd_replica_settle(replica);
		if (!--budget) {
			qbd_replica_kick(replica);
			return;
		}
	}
}

/* Nobody there will answer any more. */
void qbd_verify_peer_gone(struct qbd_replica *replica, u32 peer)
{
	struct qbd_verify *verify = &replica->verify;
	int place = place_of(replica, peer);

	if (place < 0)
		return;
	if (verify->step == QBD_VERIFY_COMPARING && verify->waiting & 1u << place)
		note_missed(verify, place, QBD_MISSED_AWAY);
	else if (verify->step == QBD_VERIFY_FETCHING && verify->source == (u32)place)
		verify->fetch_over = true;
	else if (verify->step == QBD_VERIFY_REPAIRING && verify->repair_leader == peer)
		again(replica, NSEC_PER_SEC / 10);
	qbd_replica_kick(replica);
}

/**
 * qbd_verify_mend() - this disk failed to read some blocks
 * @replica: replica
 * @block: first one
 * @count: how many may be concerned
 *
 * What others hold is written anew, soon, if a majority agrees about it.
 */
void qbd_verify_mend(struct qbd_replica *replica, u64 block, u32 count)
{
	u64 first = block - block % QBD_VERIFY_BLOCKS_MAX;
	struct qbd_verify *verify = &replica->verify;
	u64 end = block + count;

	for (; first < end; first += QBD_VERIFY_BLOCKS_MAX) {
		u32 i;

		for (i = 0; i < verify->spot_count; i++)
			if (verify->spots[i].block == first)
				break;
		if (i < verify->spot_count || i == QBD_VERIFY_SPOTS)
			continue;
		verify->spots[verify->spot_count++] = (struct qbd_verify_spot){
			.block = first, .not_before = replica->now,
		};
	}
	qbd_replica_kick(replica);
}

/* The replica ends. */
void qbd_verify_drop(struct qbd_replica *replica)
{
	let_go(&replica->verify);
	replica->verify.spot_count = 0;
}

/* ---- commands ----------------------------------------------------------- */

/**
 * qbd_verify_start_command() - compare all replicas, from here
 * @replica: replica
 * @command: argument is a struct qbd_verify_wish; is done when it has begun
 */
void qbd_verify_start_command(struct qbd_replica *replica, struct qbd_command *command)
{
	u64 blocks = qbd_store_identity(replica->store)->device_blocks;
	const struct qbd_membership_layout *layout = qbd_replica_layout(replica);
	const struct qbd_verify_wish *wish = command->argument;
	struct qbd_verify_result *result = &replica->verify.result;
	u32 copies = 0;

	for (u32 i = 0; i < le32_to_cpu(layout->count); i++)
		copies += qbd_flags_keep_data(le16_to_cpu(layout->members[i].flags));
	if (result->state == QBD_VERIFY_RUNNING) {
		qbd_command_done(command, -EBUSY,
				 "it is being verified from here already; see the status, or stop it first");
		return;
	}
	if (copies < 2) {
		qbd_command_done(command, -EINVAL,
				 "there is one replica of this device: it has nothing to be compared with");
		return;
	}
	if (wish->rate < QBD_VERIFY_RATE_MIN || wish->first_block >= blocks ||
	    wish->blocks > blocks - wish->first_block) {
		qbd_command_done(command, -EINVAL, "%s",
				 wish->rate < QBD_VERIFY_RATE_MIN ?
				 "the rate is too low: give 64K in a second or more" :
				 "that is not within the device");
		return;
	}
	*result = (struct qbd_verify_result){
		.state = QBD_VERIFY_RUNNING,
		.repair = wish->repair,
		.rate = wish->rate,
		.first_block = wish->first_block,
		.next_block = wish->first_block,
		.end_block = wish->blocks ? wish->first_block + wish->blocks : blocks,
	};
	memset(replica->verify.silent_until, 0, sizeof(replica->verify.silent_until));
	replica->verify.told_block = wish->first_block;
	replica->verify.not_before = replica->now;
	replica->verify.alone_since = 0;
	replica->verify.piece_max = QBD_VERIFY_FIRST;
	qbd_notice(replica, "verification begins%s", wish->repair ? ", with repair" : "");
	qbd_command_done(command, 0, "%s", "");
}

/**
 * qbd_verify_stop_command() - end it before its time
 * @replica: replica
 * @command: without argument
 */
void qbd_verify_stop_command(struct qbd_replica *replica, struct qbd_command *command)
{
	struct qbd_verify *verify = &replica->verify;

	if (verify->result.state != QBD_VERIFY_RUNNING) {
		qbd_command_done(command, -ESRCH, "nothing is being verified from here");
		return;
	}
	if (!verify->spot)
		let_go(verify);
	finish(replica, QBD_VERIFY_STOPPED);
	qbd_command_done(command, 0, "%s", "");
}
