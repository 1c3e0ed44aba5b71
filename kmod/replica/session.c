// SPDX-License-Identifier: GPL-2.0
/*
 * Each write is in the log once.
 *
 * A host that has had no answer sends its write again, to whoever leads then. The leader
 * looks for it in its log: no log has two operations of the same origin, session and
 * sequence. What was committed is in the log of every later leader, so the repeat of a
 * write that was committed is found; one that was lost is not, and is appended.
 *
 *	1 had written to 2, which led, and had no answer when 2 was cut off. 3 led, and had
 *	the write in its log. It was sent again, and appended again; before that, 4 wrote to
 *	the same block, and had its answer. Then 1's old data was there.
 *
 * This is bounded: with each write its host says which is the oldest that it still waits
 * for. Of those before nobody sends a copy any more; one that is late is dropped.
 *
 * Log indexes are kept, not bits: what is cut off a log is not in it any more, and what
 * may still be cut off must not get into what is kept of the log's begin.
 */
#include "session.h"

static const struct qbd_session *find_slot(const struct qbd_sessions *sessions, u32 origin)
{
	unsigned int i;

	for (i = 0; i < QBD_MEMBERS_MAX; i++)
		if (sessions->slots[i].origin == origin && origin)
			return &sessions->slots[i];
	return NULL;
}

enum qbd_session_verdict qbd_session_find(const struct qbd_sessions *sessions,
					  const struct qbd_write_id *id, u64 *index)
{
	const struct qbd_session *slot = find_slot(sessions, id->origin);

	if (!slot || slot->session != id->session || id->sequence >= slot->next)
		return QBD_WRITE_NEW;
	if (id->sequence < slot->below)
		return QBD_WRITE_LATE;
	*index = slot->indexes[id->sequence % QBD_SESSION_WINDOW];
	return *index ? QBD_WRITE_LOGGED : QBD_WRITE_NEW;
}

/*
 * A free slot, or that of an origin that is gone. There is one: a list has no more members
 * than there are slots, and a member that a list adds writes only when that is committed.
 * Where it is not known yet what is committed (when the log is read after a start), it is
 * that of an origin that the newest list does not have. NULL: it is the new one that is
 * on its way out; nobody will ask for it again.
 */
static struct qbd_session *new_slot(struct qbd_sessions *sessions,
				    enum qbd_standing (*standing)(const void *context,
								  u32 origin),
				    const void *context)
{
	enum qbd_standing lowest = QBD_STANDING_MEMBER, its;
	struct qbd_session *slot = NULL;
	unsigned int i;

	for (i = 0; i < QBD_MEMBERS_MAX; i++) {
		if (!sessions->slots[i].origin)
			return &sessions->slots[i];
		its = standing(context, sessions->slots[i].origin);
		if (its < lowest) {
			lowest = its;
			slot = &sessions->slots[i];
		}
	}
	return slot;
}

static void begin_session(struct qbd_session *slot, u32 origin, u64 session)
{
	memset(slot, 0, sizeof(*slot));
	slot->origin = origin;
	slot->session = session;
}

/* All writes before @below were answered. */
static void advance(struct qbd_session *slot, u64 below)
{
	u64 end = below < slot->next ? below : slot->next;
	u64 sequence;

	if (below <= slot->below)
		return;
	for (sequence = slot->below; sequence < end; sequence++)
		slot->indexes[sequence % QBD_SESSION_WINDOW] = 0;
	slot->below = below;
	if (slot->next < below)
		slot->next = below;
}

void qbd_session_note(struct qbd_sessions *sessions, const struct qbd_write_id *id, u64 index,
		      enum qbd_standing (*standing)(const void *context, u32 origin),
		      const void *context)
{
	struct qbd_session *slot = (struct qbd_session *)find_slot(sessions, id->origin);

	if (!slot) {
		slot = id->origin ? new_slot(sessions, standing, context) : NULL;
		if (!slot)
			return;
		begin_session(slot, id->origin, id->session);
	} else if (slot->session != id->session) {
		begin_session(slot, id->origin, id->session);
	}
	advance(slot, id->sequence - id->outstanding);
	if (id->sequence < slot->below)
		return;
	slot->indexes[id->sequence % QBD_SESSION_WINDOW] = index;
	if (slot->next <= id->sequence)
		slot->next = id->sequence + 1;
	if (slot->newest < index)
		slot->newest = index;
}

void qbd_session_truncate(struct qbd_sessions *sessions, u64 first_removed)
{
	unsigned int i;

	for (i = 0; i < QBD_MEMBERS_MAX; i++) {
		struct qbd_session *slot = &sessions->slots[i];
		u64 sequence;

		if (!slot->origin || slot->newest < first_removed)
			continue;
		for (sequence = slot->below; sequence < slot->next; sequence++)
			if (slot->indexes[sequence % QBD_SESSION_WINDOW] >= first_removed)
				slot->indexes[sequence % QBD_SESSION_WINDOW] = 0;
		slot->newest = first_removed - 1;
	}
}

void qbd_session_store(const struct qbd_sessions *sessions, u64 index,
		       struct qbd_applied_layout *applied)
{
	unsigned int i;

	for (i = 0; i < QBD_MEMBERS_MAX; i++) {
		const struct qbd_session *slot = &sessions->slots[i];
		struct qbd_session_layout *layout = &applied->sessions[i];
		u64 sequence;

		memset(layout, 0, sizeof(*layout));
		if (!slot->origin)
			continue;
		layout->origin = cpu_to_le32(slot->origin);
		layout->session = cpu_to_le64(slot->session);
		layout->below = cpu_to_le64(slot->below);
		for (sequence = slot->below; sequence < slot->next; sequence++) {
			u32 place = sequence % QBD_SESSION_WINDOW;

			if (slot->indexes[place] && slot->indexes[place] <= index)
				layout->logged[place / 8] |= 1u << place % 8;
		}
	}
}

void qbd_session_load(struct qbd_sessions *sessions, u64 index,
		      const struct qbd_applied_layout *applied)
{
	unsigned int i;

	memset(sessions, 0, sizeof(*sessions));
	for (i = 0; i < QBD_MEMBERS_MAX; i++) {
		const struct qbd_session_layout *layout = &applied->sessions[i];
		struct qbd_session *slot = &sessions->slots[i];
		u64 sequence;

		if (!layout->origin)
			continue;
		begin_session(slot, le32_to_cpu(layout->origin), le64_to_cpu(layout->session));
		slot->below = le64_to_cpu(layout->below);
		slot->next = slot->below;
		for (sequence = slot->below; sequence < slot->below + QBD_SESSION_WINDOW;
		     sequence++) {
			u32 place = sequence % QBD_SESSION_WINDOW;

			if (!(layout->logged[place / 8] >> place % 8 & 1))
				continue;
			/* Which entry it was is not known, and does not matter: it stays. */
			slot->indexes[place] = index;
			slot->next = sequence + 1;
			slot->newest = index;
		}
	}
}

void qbd_window_init(struct qbd_write_window *window)
{
	memset(window, 0, sizeof(*window));
	window->oldest = 1;
	window->next = 1;
}

u64 qbd_window_take(struct qbd_write_window *window)
{
	if (window->next >= window->oldest + QBD_SESSION_WINDOW)
		return 0;
	return window->next++;
}

static u64 *window_word(struct qbd_write_window *window, u64 sequence)
{
	return &window->answered[sequence / 64 % QBD_WINDOW_WORDS];
}

void qbd_window_answered(struct qbd_write_window *window, u64 sequence)
{
	if (sequence < window->oldest || sequence >= window->next)
		return;
	*window_word(window, sequence) |= 1ULL << sequence % 64;
	while (window->oldest < window->next &&
	       *window_word(window, window->oldest) >> window->oldest % 64 & 1) {
		*window_word(window, window->oldest) &= ~(1ULL << window->oldest % 64);
		window->oldest++;
	}
}

u16 qbd_window_outstanding(const struct qbd_write_window *window, u64 sequence)
{
	return sequence - window->oldest;
}
