// SPDX-License-Identifier: GPL-2.0
/*
 * Error texts for extack.
 *
 * The kernel reads the text after the handler has returned, when it builds the
 * answer, and tells nobody when it is done. So a text must be neither on
 * the handler's stack nor freed by it, and the kernel's own buffer for formatted
 * texts, where there is one, is too short for a remedy. The texts here are static
 * and each is left alone for a while after use: the answer is built by
 * the same task right after the handler. Should it ever be later than that, it
 * carries the text of another error, but still a text.
 *
 * There are few, and who may not change anything must not use them up: what anybody
 * can ask for answers with constant texts.
 */
#include <linux/jiffies.h>
#include <linux/lockdep.h>
#include <linux/netlink.h>
#include <linux/printk.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "../replica/replica.h"
#include "ctl.h"

#define QBD_MESSAGE_COUNT	32
#define QBD_MESSAGE_REST	(10 * HZ)

struct qbd_ctl_message {
	char text[QBD_ERROR_TEXT_SIZE];
	unsigned long used_at;
	bool used;
};

/* Protects all of @messages. */
static DEFINE_SPINLOCK(messages_lock);
static struct qbd_ctl_message messages[QBD_MESSAGE_COUNT];

/* One that was never used, or has rested; else NULL. */
static struct qbd_ctl_message *find_free(void)
{
	unsigned int i;

	lockdep_assert_held(&messages_lock);
	for (i = 0; i < QBD_MESSAGE_COUNT; i++)
		if (!messages[i].used ||
		    time_after(jiffies, messages[i].used_at + QBD_MESSAGE_REST))
			return &messages[i];
	return NULL;
}

/* Paths are quoted in it as they were sent: what is said back, or logged, is text. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

void qbd_ctl_set_message(struct netlink_ext_ack *extack, const char *text)
{
	char printable[QBD_ERROR_TEXT_SIZE];
	struct qbd_ctl_message *message;

	if (!extack || !text[0])
		return;
	strscpy(printable, text, sizeof(printable));
	make_printable(printable);
	spin_lock(&messages_lock);
	message = find_free();
	if (message) {
		strscpy(message->text, printable, sizeof(message->text));
		message->used_at = jiffies;
		message->used = true;
		extack->_msg = message->text;
	}
	spin_unlock(&messages_lock);
	if (message)
		return;
	NL_SET_ERR_MSG(extack, "too many errors at once: the reason is in the kernel log");
	pr_warn_ratelimited("request failed: %s\n", printable);
}
