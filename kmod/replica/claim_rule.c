// SPDX-License-Identifier: GPL-2.0
/* See claim_rule.h for the table. */
#include "claim_rule.h"

static enum qbd_claim_verdict decide_take(const struct qbd_claim *claim,
					  const struct qbd_claim_facts *facts,
					  const struct qbd_claim_wish *wish, __u64 *wait_ms)
{
	if (wish->goes_on && facts->may_be_written &&
	    ((wish->reader && claim->mode == QBD_CLAIM_EXCLUSIVE) ||
	     qbd_claim_shuts_out(claim, wish->epoch, wish->asker)))
		return facts->written ? QBD_VERDICT_SHUT_OUT : QBD_VERDICT_LATER;
	if (claim->mode == QBD_CLAIM_SHARED)
		return facts->surely ? QBD_VERDICT_HAVE : QBD_VERDICT_CONFIRM;
	if (!claim->holder)
		return QBD_VERDICT_GRANT;
	if (claim->holder == wish->asker)
		return claim->session != wish->session ? QBD_VERDICT_GRANT :
		       facts->surely ? QBD_VERDICT_HAVE : QBD_VERDICT_CONFIRM;
	/* Asked once more after it was granted and lost again: not from the next one, too. */
	if (wish->force)
		return claim->epoch == wish->epoch ? QBD_VERDICT_GRANT :
						     QBD_VERDICT_OUTDATED;
	if (!facts->member || facts->restarted || facts->unheard_ms >= facts->lease_ms)
		return QBD_VERDICT_GRANT;
	*wait_ms = facts->lease_ms - facts->unheard_ms;
	return facts->silent ? QBD_VERDICT_WAIT : QBD_VERDICT_BUSY;
}

enum qbd_claim_verdict qbd_claim_decide(const struct qbd_claim *claim,
					const struct qbd_claim_facts *facts,
					const struct qbd_claim_wish *wish,
					struct qbd_claim *next, __u64 *wait_ms)
{
	enum qbd_claim_verdict verdict;

	*wait_ms = 0;
	*next = (struct qbd_claim){ .mode = claim->mode };
	if (!facts->committed)
		return QBD_VERDICT_LATER;
	switch (wish->action) {
	case QBD_CLAIM_TAKE:
		verdict = decide_take(claim, facts, wish, wait_ms);
		next->holder = wish->asker;
		next->session = wish->session;
		return verdict;
	case QBD_CLAIM_RELEASE:
		/* Not his (any more): what he asks for is so. Sent twice, it harms nobody. */
		return claim->holder == wish->asker && claim->session == wish->session &&
		       claim->epoch == wish->epoch ? QBD_VERDICT_GRANT : QBD_VERDICT_HAVE;
	default:
		next->mode = wish->mode;
		return claim->mode == wish->mode ? QBD_VERDICT_HAVE : QBD_VERDICT_GRANT;
	}
}
