// SPDX-License-Identifier: GPL-2.0
/*
 * The handshake: both sides learn version, device and member of the other and
 * that it knows the secret, before either believes anything else it says.
 *
 * What the proofs cover is both hellos, nonces included, behind a label that is
 * another one for each direction: a proof is good for one connection and one
 * side of it, and a side that echoes what it hears proves nothing.
 *
 * Until then a stranger costs one struct qbd_connection, which is bounded in
 * number and time, and gets answers but no memory.
 */
#include <crypto/algapi.h>
#include <crypto/hash.h>
#include <linux/random.h>

#include "internal.h"

static const char label_listener[] = "qbd listener";
static const char label_dialler[] = "qbd dialler";

int qbd_handshake_create(struct qbd_net *net)
{
	int error;

	net->hmac = crypto_alloc_shash("hmac(sha256)", 0, 0);
	if (IS_ERR(net->hmac)) {
		error = PTR_ERR(net->hmac);
		net->hmac = NULL;
		return error;
	}
	return crypto_shash_setkey(net->hmac, net->identity.secret, QBD_SECRET_SIZE);
}

void qbd_handshake_destroy(struct qbd_net *net)
{
	if (net->hmac)
		crypto_free_shash(net->hmac);
	net->hmac = NULL;
}

/* @label: without its NUL. */
static int compute_proof(struct qbd_connection *connection, const char *label, u8 *proof)
{
	const struct qbd_frame_hello *dialler = connection->dialled ?
		&connection->own_hello : &connection->peer_hello;
	const struct qbd_frame_hello *listener = connection->dialled ?
		&connection->peer_hello : &connection->own_hello;
	SHASH_DESC_ON_STACK(desc, connection->net->hmac);
	int error;

	desc->tfm = connection->net->hmac;
	error = crypto_shash_init(desc);
	if (!error)
		error = crypto_shash_update(desc, label, strlen(label));
	if (!error)
		error = crypto_shash_update(desc, (const u8 *)dialler, sizeof(*dialler));
	if (!error)
		error = crypto_shash_finup(desc, (const u8 *)listener,
					   sizeof(*listener), proof);
	shash_desc_zero(desc);
	return error;
}

static bool proof_is_right(struct qbd_connection *connection, const char *label,
			   const u8 *proof)
{
	u8 expected[QBD_PROOF_SIZE];

	return !compute_proof(connection, label, expected) &&
	       !crypto_memneq(expected, proof, sizeof(expected));
}

static void make_hello(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;
	struct qbd_frame_hello *hello = &connection->own_hello;

	qbd_net_introduce(&net->identity, hello);
	hello->kind = cpu_to_le32(connection->kind);
	hello->to = cpu_to_le32(connection->peer);
	hello->session = cpu_to_le64(connection->session);
	hello->flags = cpu_to_le32((READ_ONCE(net->blank) ? QBD_HELLO_BLANK : 0) |
				   (READ_ONCE(net->is_new) ? QBD_HELLO_NEW : 0));
	hello->term = cpu_to_le64(READ_ONCE(net->term));
	hello->listed = cpu_to_le64(READ_ONCE(net->listed));
	if (connection->kind != QBD_CONNECTION_ADMIN)
		qbd_peer_known(net, connection->peer, hello);
	get_random_bytes(hello->nonce, sizeof(hello->nonce));
}

/* Say why and hang up when it was heard, or when the handshake's time is over. */
static void refuse(struct qbd_connection *connection, enum qbd_refusal reason)
{
	struct qbd_frame_refused frame = { .reason = cpu_to_le32(reason) };
	bool refused;

	qbd_peer_refused(connection, reason, true);
	spin_lock(&connection->lock);
	refused = connection->state != QBD_CLOSED;
	if (refused) {
		connection->state = QBD_REFUSING;
		snprintf(connection->reason, sizeof(connection->reason),
			 "refused: %s", qbd_refusal_text(reason));
	}
	spin_unlock(&connection->lock);
	if (refused)
		qbd_send_small(connection, QBD_FRAME_REFUSED, &frame, sizeof(frame));
}

/* The dialler's first word, once TCP stands. */
void qbd_handshake_begin(struct qbd_connection *connection)
{
	if (!qbd_connection_advance(connection, QBD_CONNECTING, QBD_AWAIT_CHALLENGE))
		return;
	make_hello(connection);
	qbd_send_small(connection, QBD_FRAME_HELLO, &connection->own_hello,
		       sizeof(connection->own_hello));
}

/* Programs may; of members those with a higher id, and others that are not there. */
static bool may_dial(struct qbd_connection *connection)
{
	return connection->kind == QBD_CONNECTION_ADMIN ||
	       qbd_peer_may_dial(connection->net, connection->peer);
}

static void hello_received(struct qbd_connection *connection,
			   const struct qbd_frame_hello *hello)
{
	struct qbd_frame_challenge challenge;
	enum qbd_refusal refusal;
	u32 kind = le32_to_cpu(hello->kind);

	if (!kind || kind > QBD_CONNECTION_ADMIN || !hello->session) {
		qbd_connection_malformed(connection, "hello of an unknown kind");
		return;
	}
	connection->peer_hello = *hello;
	connection->kind = kind;
	connection->peer = le32_to_cpu(hello->from);
	connection->session = le64_to_cpu(hello->session);
	make_hello(connection);
	refusal = qbd_frame_hello_check(hello, &connection->own_hello, 0);
	/*
	 * Who was removed, or is up twice, believes that of a member only: both prove who they
	 * are first.
	 */
	if (!refusal && !may_dial(connection) && !qbd_peer_is_newcomer(connection) &&
	    !qbd_peer_was_removed(connection) && !qbd_peer_is_up(connection))
		refusal = QBD_REFUSED_MEMBER;
	if (refusal) {
		refuse(connection, refusal);
		return;
	}
	challenge.hello = connection->own_hello;
	if (compute_proof(connection, label_listener, challenge.proof)) {
		qbd_connection_close(connection, "cannot compute a proof");
		return;
	}
	if (qbd_connection_advance(connection, QBD_AWAIT_HELLO, QBD_AWAIT_PROOF))
		qbd_send_small(connection, QBD_FRAME_CHALLENGE, &challenge,
			       sizeof(challenge));
}

static void challenge_received(struct qbd_connection *connection,
			       const struct qbd_frame_challenge *challenge)
{
	const struct qbd_frame_hello *own = &connection->own_hello;
	struct qbd_frame_proof proof;
	enum qbd_refusal refusal;

	connection->peer_hello = challenge->hello;
	refusal = qbd_frame_hello_check(&challenge->hello, own, connection->peer);
	if (!refusal && (challenge->hello.kind != own->kind ||
			 challenge->hello.session != own->session))
		refusal = QBD_REFUSED_PROTOCOL;
	if (!refusal && !proof_is_right(connection, label_listener, challenge->proof))
		refusal = QBD_REFUSED_SECRET;
	if (!refusal && !qbd_peer_is_disk(connection))
		refusal = QBD_REFUSED_DISK;
	if (refusal) {
		refuse(connection, refusal);
		return;
	}
	if (compute_proof(connection, label_dialler, proof.proof)) {
		qbd_connection_close(connection, "cannot compute a proof");
		return;
	}
	if (qbd_connection_advance(connection, QBD_AWAIT_CHALLENGE, QBD_AWAIT_WELCOME))
		qbd_send_small(connection, QBD_FRAME_PROOF, &proof, sizeof(proof));
}

static enum qbd_refusal twice(struct qbd_connection *connection)
{
	switch (qbd_peer_is_twice(connection)) {
	case QBD_TWICE_PERHAPS:
		return QBD_REFUSED_PERHAPS;
	case QBD_TWICE_SURE:
		return QBD_REFUSED_TWICE;
	default:
		return 0;
	}
}

/* It knows the secret; is it the one disk, and the one run, that this member is now? */
static bool is_the_member(struct qbd_connection *connection)
{
	enum qbd_refusal refusal;

	if (!qbd_peer_is_disk(connection)) {
		refuse(connection, QBD_REFUSED_DISK);
		return false;
	}
	refusal = twice(connection);
	if (refusal)
		refuse(connection, refusal);
	return !refusal;
}

/* It is none that may dial, and proved who it is. */
static enum qbd_refusal why_no_dialler(struct qbd_connection *connection)
{
	if (qbd_peer_was_removed(connection))
		return QBD_REFUSED_REMOVED;
	if (qbd_peer_is_up(connection) && !qbd_peer_is_disk(connection))
		return QBD_REFUSED_DISK;
	/* It is dialled from here, but knocks: is the one that is connected another one? */
	return twice(connection) ?: QBD_REFUSED_MEMBER;
}

static void proof_received(struct qbd_connection *connection,
			   const struct qbd_frame_proof *proof)
{
	if (!proof_is_right(connection, label_dialler, proof->proof)) {
		refuse(connection, QBD_REFUSED_SECRET);
		return;
	}
	/* The members may have changed since HELLO. */
	if (!may_dial(connection)) {
		if (qbd_peer_is_newcomer(connection))
			qbd_peer_note_newcomer(connection);
		else
			refuse(connection, why_no_dialler(connection));
		return;
	}
	if (connection->kind != QBD_CONNECTION_ADMIN && !is_the_member(connection))
		return;
	if (connection->kind != QBD_CONNECTION_ADMIN && qbd_peer_is_stalled(connection)) {
		qbd_connection_close(connection, "its data did not get through");
		return;
	}
	if (connection->kind == QBD_CONNECTION_ADMIN && !qbd_admin_adopt(connection)) {
		refuse(connection, QBD_REFUSED_BUSY);
		return;
	}
	if (!qbd_connection_room(connection)) {
		qbd_connection_close_error(connection, -ENOMEM);
		return;
	}
	/* WELCOME is queued before anybody else can queue anything. */
	if (!qbd_send_small(connection, QBD_FRAME_WELCOME, NULL, 0) ||
	    !qbd_connection_open(connection))
		return;
	if (connection->kind != QBD_CONNECTION_ADMIN && !qbd_peer_adopt(connection))
		qbd_connection_close(connection, "no longer a member");
}

static void welcome_received(struct qbd_connection *connection)
{
	struct qbd_net *net = connection->net;

	if (!qbd_connection_room(connection))
		qbd_connection_close_error(connection, -ENOMEM);
	else if (qbd_connection_open(connection))
		net->ops->kick(net->context);
}

static void refused_received(struct qbd_connection *connection,
			     const struct qbd_frame_refused *refused, bool proved)
{
	u32 reason = le32_to_cpu(refused->reason);

	/* Anybody could say so. */
	if (qbd_refusal_is_proved(reason) && !proved)
		reason = QBD_REFUSED_MEMBER;
	qbd_peer_refused(connection, reason, false);
	qbd_connection_close(connection, "refused: %s", qbd_refusal_text(reason));
}

/* A frame whose header and length are good. */
void qbd_handshake_frame(struct qbd_connection *connection, u16 type, const void *fixed)
{
	enum qbd_connection_state state = qbd_connection_state(connection);

	if (state == QBD_CLOSED || state == QBD_REFUSING)
		return;
	if (type == QBD_FRAME_REFUSED && state != QBD_AWAIT_HELLO)
		refused_received(connection, fixed, state == QBD_AWAIT_WELCOME);
	else if (type == QBD_FRAME_HELLO && state == QBD_AWAIT_HELLO)
		hello_received(connection, fixed);
	else if (type == QBD_FRAME_CHALLENGE && state == QBD_AWAIT_CHALLENGE)
		challenge_received(connection, fixed);
	else if (type == QBD_FRAME_PROOF && state == QBD_AWAIT_PROOF)
		proof_received(connection, fixed);
	else if (type == QBD_FRAME_WELCOME && state == QBD_AWAIT_WELCOME)
		welcome_received(connection);
	else
		qbd_connection_malformed(connection, "handshake out of order");
}
