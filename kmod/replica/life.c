// SPDX-License-Identifier: GPL-2.0
/*
 * Coming up and going down, and the registry of all replicas.
 *
 *   phase      the work does            requests
 *   STARTING   nothing                  there is no block device yet
 *   RUNNING    everything               served
 *   FAILING    everything               fail at once (going down)
 *   STOPPING   the store only           fail at once; the network is closed
 *   STOPPED    nothing                  there is no block device any more
 */
#include <linux/lockdep.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "intent.h"
#include "internal.h"

/*
 * Protects the next three, and published, going_down, open_ended and abandoned of every
 * replica.
 */
static DEFINE_MUTEX(registry_mutex);
static LIST_HEAD(registry);
/* Those whose disks are being opened: they are known by their disks only. */
static LIST_HEAD(openings);
/* Changes with every replica that is published, or is not any more. Never 0. */
static unsigned int registry_generation = 1;
static DECLARE_WAIT_QUEUE_HEAD(registry_wait);
static struct workqueue_struct *open_queue;
static struct workqueue_struct *release_queue;

/* ---- settings ----------------------------------------------------------- */

void qbd_settings_default(struct qbd_settings *settings)
{
	memset(settings, 0, sizeof(*settings));
	settings->election_timeout_ms = 150;
	settings->heartbeat_ms = 50;
	settings->no_quorum = QBD_NO_QUORUM_SUSPEND;
	settings->no_quorum_grace_ms = 10000;
	settings->read_mode = QBD_CORE_READ_LEASE;
	settings->window_bytes = 8u << 20;
	settings->claim_lease_ms = 5000;
	settings->leader_follows = 1;
	settings->max_rate = 0;
	settings->checksums = 0;
}

static void core_options(struct qbd_core_options *options,
			 const struct qbd_settings *settings)
{
	qbd_core_options_default(options);
	options->election_timeout = (u64)settings->election_timeout_ms * NSEC_PER_MSEC;
	options->heartbeat = (u64)settings->heartbeat_ms * NSEC_PER_MSEC;
	options->disk_stall = 2 * options->election_timeout;
	options->resend = max(options->resend, 4 * options->election_timeout);
	options->window = settings->window_bytes;
}

int qbd_settings_check(const struct qbd_settings *settings, char *error_text,
		       size_t error_text_size)
{
	struct qbd_core_options options;
	const char *why = NULL;

	core_options(&options, settings);
	if (settings->election_timeout_ms < 10 || settings->election_timeout_ms > 60000)
		why = "election timeout must be 10 to 60000 ms";
	else if (!settings->heartbeat_ms ||
		 settings->heartbeat_ms > settings->election_timeout_ms / 3)
		why = "heartbeat must be at least 1 ms and at most a third of the election timeout";
	else if (settings->no_quorum > QBD_NO_QUORUM_ERROR)
		why = "no-quorum policy must be suspend or error";
	else if (settings->no_quorum_grace_ms > 3600000)
		why = "no-quorum grace must be at most an hour";
	else if (settings->read_mode > QBD_CORE_READ_QUORUM)
		why = "read mode must be lease or quorum";
	else if (settings->claim_lease_ms < 100 || settings->claim_lease_ms > 3600000)
		why = "claim lease must be 100 ms to an hour";
	else if (settings->leader_follows > 1)
		why = "leader-follows must be yes or no";
	else if (settings->window_bytes < (2u << 20) || settings->window_bytes > (1u << 30))
		why = "window must be 2 MiB to 1 GiB";
	else if (settings->checksums > 1)
		why = "checksums must be off or on";
	else if (settings->max_rate && settings->max_rate < QBD_RATE_MAX_MIN)
		why = "maximal rate of catching up must be at least 64 KiB a second, or 0 for none";
	else
		why = qbd_core_options_check(&options);
	if (!why)
		return 0;
	strscpy(error_text, why, error_text_size);
	return -EINVAL;
}

/* ---- the registry ------------------------------------------------------- */

struct qbd_replica *qbd_replica_find(struct net *net, const char *name)
{
	struct qbd_replica *replica, *found = NULL;

	mutex_lock(&registry_mutex);
	list_for_each_entry(replica, &registry, registry) {
		if (replica->net == net && replica->published &&
		    !strcmp(replica->name, name)) {
			found = replica;
			refcount_inc(&found->references);
			break;
		}
	}
	mutex_unlock(&registry_mutex);
	return found;
}

struct qbd_replica *qbd_replica_next(struct net *net, int after, unsigned int *generation)
{
	struct qbd_replica *replica, *found = NULL;

	mutex_lock(&registry_mutex);
	list_for_each_entry(replica, &registry, registry)
		if (replica->net == net && replica->published &&
		    replica->number > after &&
		    (!found || replica->number < found->number))
			found = replica;
	if (found)
		refcount_inc(&found->references);
	*generation = registry_generation;
	mutex_unlock(&registry_mutex);
	return found;
}

void qbd_replica_put(struct qbd_replica *replica)
{
	if (refcount_dec_and_test(&replica->references))
		kvfree(replica);
}

/* The name is taken in this namespace, or this very member is up somewhere. */
static int registry_add(struct qbd_replica *replica, char *error_text,
			size_t error_text_size)
{
	struct qbd_replica *other;
	int error = 0;

	mutex_lock(&registry_mutex);
	list_for_each_entry(other, &registry, registry) {
		if (other->net == replica->net && !strcmp(other->name, replica->name)) {
			snprintf(error_text, error_text_size,
				 "a device named %s is up here already; take it down first",
				 replica->name);
			error = -EEXIST;
		} else if (!memcmp(other->uuid, replica->uuid, QBD_UUID_SIZE) &&
			   other->member_id == replica->member_id) {
			snprintf(error_text, error_text_size,
				 "member %u of this device is up already in this kernel; is %s a copy of its disk?",
				 replica->member_id, "this disk");
			error = -EEXIST;
		}
		if (error)
			break;
	}
	if (!error)
		list_move_tail(&replica->registry, &registry);
	mutex_unlock(&registry_mutex);
	return error;
}

/* One at a time opens a disk; the next one is told why. */
static int openings_add(struct qbd_replica *replica, char *error_text,
			size_t error_text_size)
{
	struct qbd_replica *other;
	int error = 0;

	mutex_lock(&registry_mutex);
	list_for_each_entry(other, &openings, registry) {
		if (other->disk_number != replica->disk_number)
			continue;
		snprintf(error_text, error_text_size, "%s %s", replica->disk_path,
			 other->abandoned ?
			 "has not answered since 'up' was given up; try again when it has" :
			 "is being brought up already; wait for that");
		error = -EBUSY;
		break;
	}
	if (!error)
		list_add_tail(&replica->registry, &openings);
	mutex_unlock(&registry_mutex);
	return error;
}

static void set_published(struct qbd_replica *replica, bool published)
{
	lockdep_assert_held(&registry_mutex);
	if (replica->published == published)
		return;
	replica->published = published;
	registry_generation = registry_generation + 1 ?: 1;
}

/* From whatever list it is on. */
static void registry_remove(struct qbd_replica *replica)
{
	mutex_lock(&registry_mutex);
	set_published(replica, false);
	list_del_init(&replica->registry);
	mutex_unlock(&registry_mutex);
	wake_up_all(&registry_wait);
}

/* ---- what the disk says, into the core ---------------------------------- */

/* During qbd_store_open(). */
bool qbd_replica_disk_answered(void *context)
{
	struct qbd_replica *replica = context;

	WRITE_ONCE(replica->answered_at, jiffies);
	return !READ_ONCE(replica->abandoned);
}

/* During qbd_store_open(), before all records. */
void qbd_replica_recovered_applied(void *context, u64 index,
				   const struct qbd_applied_layout *applied,
				   const struct qbd_membership_layout *membership)
{
	qbd_replica_applied_restore(context, index, applied);
	/* Who writes in what follows is a member of it, or of a later one. */
	qbd_replica_push_config(context, le64_to_cpu(membership->index), membership);
}

/* During qbd_store_open(): records in order; only runs of terms are kept. */
void qbd_replica_recovered_entry(void *context, const struct qbd_record_header *header,
				 const struct qbd_membership_layout *membership)
{
	struct qbd_replica *replica = context;
	u64 index = le64_to_cpu(header->shared.index);
	u64 term = le64_to_cpu(header->shared.term);
	struct qbd_recovered_run *runs;

	qbd_claims_push(replica, header);
	if (membership) {
		/* One level is kept free for the base's. */
		if (replica->config_count == QBD_CONFIGS_MAX - 1) {
			memmove(replica->configs, replica->configs + 1,
				--replica->config_count * sizeof(replica->configs[0]));
			replica->configs_dropped = true;
		}
		qbd_replica_push_config(replica, index, membership);
	}
	qbd_repeat_recovered(replica, header);
	if (replica->run_count && replica->runs[replica->run_count - 1].term == term)
		return;
	if (replica->run_count == replica->run_room) {
		runs = krealloc_array(replica->runs, replica->run_room + 64,
				      sizeof(*runs), GFP_KERNEL);
		if (!runs) {
			replica->run_error = -ENOMEM;
			return;
		}
		replica->runs = runs;
		replica->run_room += 64;
	}
	replica->runs[replica->run_count].first = index;
	replica->runs[replica->run_count++].term = term;
}

static const struct qbd_replica_config *config_brought_by(struct qbd_replica *replica,
							  u64 index)
{
	u32 i;

	for (i = 0; i < replica->config_count; i++)
		if (replica->configs[i].index == index)
			return &replica->configs[i];
	return NULL;
}

static bool restore_entries(struct qbd_replica *replica, u64 first, u64 last)
{
	u32 run = 0;
	u64 index;

	for (index = first; index <= last; index++) {
		const struct qbd_replica_config *brought;
		struct qbd_config config;
		struct qbd_entry entry = { .kind = QBD_ENTRY_DATA };

		while (run + 1 < replica->run_count &&
		       replica->runs[run + 1].first <= index)
			run++;
		entry.term = replica->runs[run].term;
		brought = config_brought_by(replica, index);
		if (brought) {
			qbd_config_from_layout(&config, &brought->layout);
			entry.kind = QBD_ENTRY_CONFIG;
			entry.config = &config;
		}
		if (!qbd_core_restore_entry(replica->core, &entry))
			return false;
		if (!(index & 1023))
			cond_resched();
	}
	return true;
}

/*
 * The list that the log begins with, below those that are in it. Of a member that joined,
 * and has not caught up, it is newer than some of those: they are history.
 *
 *	log 1..16 with lists at 5 and 9, which do not have this member; its first list is
 *	of 20. It lost power and came up with that of 9: "removed from the device".
 */
static void put_base_config(struct qbd_replica *replica,
			    const struct qbd_membership_layout *base)
{
	u64 index = le64_to_cpu(base->index);
	u32 older = 0;

	while (older < replica->config_count && replica->configs[older].index <= index)
		older++;
	if (replica->configs_dropped && !older)
		return;
	replica->config_count -= older;
	memmove(replica->configs + 1, replica->configs + older,
		replica->config_count * sizeof(replica->configs[0]));
	replica->config_count++;
	replica->configs[0].index = index;
	replica->configs[0].layout = *base;
}

static int restore_core(struct qbd_replica *replica,
			const struct qbd_store_recovered *recovered,
			char *error_text, size_t error_text_size)
{
	struct qbd_core_options options;
	struct qbd_config config;
	const char *reason;
	u32 i;

	put_base_config(replica, &recovered->base_membership);
	for (i = 0; i < replica->config_count; i++) {
		if (qbd_layout_check(&replica->configs[i].layout, &reason)) {
			snprintf(error_text, error_text_size,
				 "the member list on disk is unusable: %s", reason);
			return -EUCLEAN;
		}
	}
	core_options(&options, &replica->settings);
	qbd_core_init(replica->core, replica->member_id, &options, get_random_u64());
	/* The store has seen to a log that is newer than the state block. */
	qbd_core_restore_hard_state(replica->core, recovered->term, recovered->vote);
	qbd_config_from_layout(&config, &replica->configs[0].layout);
	qbd_core_restore_base(replica->core, recovered->base_index,
			      recovered->base_term, &config, replica->configs[0].index);
	if (!restore_entries(replica, recovered->base_index + 1, recovered->last_index)) {
		strscpy(error_text, "the log on disk contradicts itself; this replica must be made anew",
			error_text_size);
		return -EUCLEAN;
	}
	qbd_core_restore_commit(replica->core,
				min(recovered->commit_index, recovered->last_index));
	if (recovered->filling)
		qbd_core_told_committed(replica->core, replica->now,
					recovered->fill_through_index);
	qbd_replica_trim_configs(replica, recovered->commit_index);
	qbd_claims_trim(replica, recovered->commit_index);
	return 0;
}

static void adopt_recovered(struct qbd_replica *replica,
			    const struct qbd_store_recovered *recovered)
{
	struct qbd_fill_target *fill = &replica->fill;

	replica->damaged = recovered->damaged;
	replica->damaged_through = recovered->damaged_through;
	replica->is_new = recovered->is_new;
	replica->recovered_index = recovered->last_index;
	replica->told_blank = !recovered->term && !recovered->last_index;
	if (recovered->damaged || recovered->failed)
		snprintf(replica->damage, sizeof(replica->damage), "%s", recovered->reason);
	if (recovered->damaged)
		qbd_warn(replica, "%s; this member neither votes nor leads until the leader has sent it again",
			 recovered->reason);
	if (recovered->filling) {
		fill->step = QBD_FILL_IDLE;
		fill->log_kept = recovered->log_kept;
		fill->start_index = recovered->fill_index;
		fill->cursor = recovered->fill_cursor;
		fill->through_index = recovered->fill_through_index;
	}
	fill->extents_total = qbd_store_identity(replica->store)->extent_count;
}

/* ---- coming up ---------------------------------------------------------- */

static void open_work(struct work_struct *work);
static void release_work(struct work_struct *work);

static struct qbd_replica *replica_alloc(struct net *net,
					 const struct qbd_up_parameters *parameters)
{
	struct qbd_replica *replica = kvzalloc(sizeof(*replica), GFP_KERNEL);
	struct list_head *lists[] = {
		&replica->registry, &replica->writes, &replica->unclaimed, &replica->reads,
		&replica->proposed, &replica->reading, &replica->confirming,
		&replica->forwarded, &replica->replies, &replica->pieces,
		&replica->commands, &replica->event_list, &replica->fill.checks,
		&replica->sums,
	};
	unsigned int i;

	if (!replica)
		return NULL;
	for (i = 0; i < ARRAY_SIZE(lists); i++)
		INIT_LIST_HEAD(lists[i]);
	refcount_set(&replica->references, 1);
	replica->net = net;
	replica->number = -1;
	replica->settings = parameters->settings;
	qbd_rate_init(&replica->rate);
	qbd_rate_set_max(&replica->rate, parameters->settings.max_rate);
	replica->session = get_random_u64();
	replica->hold.last_sequence = QBD_CLAIM_SEQUENCE;
	qbd_window_init(&replica->window);
	/* What the disk says comes before anybody looks. */
	replica->claim_count = 1;
	replica->changing_sequence = QBD_CHANGE_SEQUENCE;
	replica->listed_by = U64_MAX;
	replica->verify.request = get_random_u64();
	replica->told_quorum = true;
	spin_lock_init(&replica->command_lock);
	spin_lock_init(&replica->event_lock);
	init_waitqueue_head(&replica->stopped);
	INIT_WORK(&replica->work, qbd_replica_work);
	INIT_WORK(&replica->event_work, qbd_replica_event_work);
	INIT_WORK(&replica->resize_work, qbd_resize_work);
	INIT_WORK(&replica->open_work, open_work);
	init_completion(&replica->opened);
	INIT_WORK(&replica->release_work, release_work);
	init_completion(&replica->released);
	hrtimer_init(&replica->timer, CLOCK_BOOTTIME, HRTIMER_MODE_ABS_SOFT);
	replica->timer.function = qbd_replica_timer;
	return replica;
}

/* Everything that requests need while they are under way. */
static int allocate_reserves(struct qbd_replica *replica,
			     const struct qbd_up_parameters *parameters)
{
	u32 memory_bytes = parameters->memory_bytes;
	struct qbd_pool *pool;

	replica->disk_path = kstrdup(parameters->disk, GFP_KERNEL);
	replica->core = kvzalloc(sizeof(*replica->core), GFP_KERNEL);
	replica->sessions = kvzalloc(sizeof(*replica->sessions), GFP_KERNEL);
	replica->held = kvcalloc(QBD_HELD_APPENDS_MAX, sizeof(*replica->held), GFP_KERNEL);
	/* Twice: reads that were abandoned to a disk that hangs keep theirs. */
	replica->local_ios = mempool_create_kmalloc_pool(2 * QBD_DISK_QUEUE_DEPTH,
							 sizeof(struct qbd_io));
	replica->remote_ios = mempool_create_kmalloc_pool(64, sizeof(struct qbd_io));
	replica->bvec_pages = mempool_create_page_pool(QBD_DISK_QUEUE_DEPTH, 0);
	replica->queue = alloc_workqueue("qbd", WQ_MEM_RECLAIM | WQ_HIGHPRI | WQ_UNBOUND,
					 1);
	if (!replica->disk_path || !replica->core || !replica->sessions || !replica->held ||
	    !replica->local_ios || !replica->remote_ios || !replica->bvec_pages ||
	    !replica->queue)
		return -ENOMEM;
	pool = qbd_pool_create(memory_bytes >> QBD_BLOCK_SHIFT, qbd_replica_pages_back,
			       replica);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	replica->pool = pool;
	pool = qbd_pool_create(max(QBD_READ_PAGES_MIN,
				   memory_bytes >> QBD_BLOCK_SHIFT >> 3),
			       qbd_replica_kick, replica);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	replica->read_pool = pool;
	return 0;
}

/* The reverse of allocate_reserves(); copes with what is not there. */
static void free_reserves(struct qbd_replica *replica)
{
	if (replica->read_pool)
		qbd_pool_destroy(replica->read_pool);
	if (replica->pool)
		qbd_pool_destroy(replica->pool);
	if (replica->queue)
		destroy_workqueue(replica->queue);
	mempool_destroy(replica->bvec_pages);
	mempool_destroy(replica->remote_ios);
	mempool_destroy(replica->local_ios);
	kvfree(replica->held);
	kvfree(replica->sessions);
	kvfree(replica->core);
	kfree(replica->disk_path);
	kfree(replica->runs);
	replica->runs = NULL;
}

static int open_store(struct qbd_replica *replica, char *error_text,
		      size_t error_text_size)
{
	const struct qbd_store_identity *identity;
	struct qbd_store_recovered *recovered;
	struct qbd_store *store;
	int error;

	recovered = kzalloc(sizeof(*recovered), GFP_KERNEL);
	if (!recovered)
		return -ENOMEM;
	store = qbd_store_open(replica->disk_number, replica->disk_path, replica->pool,
			       &qbd_replica_store_ops, replica, recovered, error_text,
			       error_text_size);
	if (IS_ERR(store)) {
		error = PTR_ERR(store);
		goto out;
	}
	replica->store = store;
	identity = qbd_store_identity(store);
	replica->member_id = identity->member_id;
	replica->session = qbd_disks_run(replica->session, identity->incarnation);
	memcpy(replica->uuid, identity->uuid, QBD_UUID_SIZE);
	strscpy(replica->name, identity->name, sizeof(replica->name));
	error = replica->run_error;
	if (!error)
		error = restore_core(replica, recovered, error_text, error_text_size);
	if (!error)
		error = qbd_kind_check(replica, error_text, error_text_size);
	if (error)
		goto out;
	adopt_recovered(replica, recovered);
	if (recovered->failed)
		replica->failed_before = true;
out:
	kfree(recovered);
	return error;
}

/*
 * A disk that hangs is waited for here, and by nobody else. Who brings the member up may
 * wait no longer: then all is undone when the disk has answered. Nothing here looks at the
 * namespace: it may be gone by then.
 */
static void open_work(struct work_struct *work)
{
	struct qbd_replica *replica = container_of(work, struct qbd_replica, open_work);
	bool abandoned;

	replica->open_error = open_store(replica, replica->open_text,
					 sizeof(replica->open_text));
	mutex_lock(&registry_mutex);
	replica->open_ended = true;
	abandoned = replica->abandoned;
	mutex_unlock(&registry_mutex);
	if (!abandoned) {
		complete(&replica->opened);
		return;
	}
	pr_notice("%*pE has answered, and is released\n", (int)strlen(replica->disk_path),
		  replica->disk_path);
	release_work(&replica->release_work);
}

/*
 * Have the work open the disk, and wait for it as long as the disk answers. False: @replica
 * is the work's now, with all that it has.
 */
static bool open_in_time(struct qbd_replica *replica)
{
	unsigned long limit = msecs_to_jiffies(QBD_STORE_ANSWER_MS);
	bool ended;
	long left;

	replica->answered_at = jiffies;
	queue_work(open_queue, &replica->open_work);
	do {
		left = READ_ONCE(replica->answered_at) + limit - jiffies;
		if (left <= 0)
			break;
		left = wait_for_completion_killable_timeout(&replica->opened, left);
	} while (!left);
	if (left > 0)
		return true;
	mutex_lock(&registry_mutex);
	ended = replica->open_ended;
	if (!ended)
		WRITE_ONCE(replica->abandoned, true);
	mutex_unlock(&registry_mutex);
	if (ended)
		wait_for_completion(&replica->opened);
	return ended;
}

static void tell_hangs(const char *path, char *error_text, size_t error_text_size)
{
	pr_warn("%*pE was waited for in vain, its member is not up; it is released when it answers\n",
		(int)strlen(path), path);
	snprintf(error_text, error_text_size,
		 "%s does not answer; it is released when it does: try again then", path);
}

static int open_network(struct qbd_replica *replica, char *error_text,
			size_t error_text_size)
{
	const struct qbd_store_identity *identity = qbd_store_identity(replica->store);
	const struct qbd_member_layout *self =
		qbd_replica_member(replica, replica->member_id);
	struct qbd_net_identity us = {
		.name = replica->name,
		.member_id = replica->member_id,
		.configuration = identity->configuration,
		.device_blocks = identity->device_blocks_most,
		.run = replica->session,
	};
	struct qbd_net *network;

	if (!self || (qbd_core_config_index(replica->core) <= replica->core->commit &&
		      qbd_intent_is_out(qbd_replica_layout(replica), us.member_id))) {
		snprintf(error_text, error_text_size,
			 "member %u was removed from the device; 'qbdadm destroy' frees its disk, 'qbdadm join' makes it a new member",
			 us.member_id);
		return -ENXIO;
	}
	memcpy(us.uuid, identity->uuid, sizeof(us.uuid));
	memcpy(us.incarnation, identity->incarnation, sizeof(us.incarnation));
	memcpy(us.history, identity->history, sizeof(us.history));
	memcpy(us.secret, identity->secret, sizeof(us.secret));
	us.listen = self->address;
	network = qbd_net_create(replica->net, &us, replica->pool, &qbd_replica_net_ops,
				 replica, error_text, error_text_size);
	memzero_explicit(us.secret, sizeof(us.secret));
	if (IS_ERR(network))
		return PTR_ERR(network);
	replica->network = network;
	qbd_net_set_blank(network, replica->told_blank);
	qbd_net_set_term(network, replica->core->term);
	qbd_net_set_new(network, replica->is_new);
	qbd_net_set_silence_limit(network, max(4 * replica->settings.election_timeout_ms,
					       1000u));
	return 0;
}

/* From here on the work runs. */
static void start(struct qbd_replica *replica)
{
	replica->now = ktime_get_boottime_ns();
	replica->members_told = le64_to_cpu(qbd_replica_layout(replica)->index);
	qbd_disks_check(replica);
	qbd_replica_apply_config(replica);
	qbd_change_up(replica);
	qbd_replica_update_fitness(replica);
	qbd_core_start(replica->core, replica->now);
	if (replica->failed_before)
		qbd_replica_stop_vouching(replica, "the disk failed in an earlier run; replace it");
	kfree(replica->runs);
	replica->runs = NULL;
	spin_lock(&replica->command_lock);
	replica->accepts_commands = true;
	spin_unlock(&replica->command_lock);
	/* Whoever kicks now finds all of the above: pairs with qbd_replica_kick(). */
	smp_store_release(&replica->phase, QBD_PHASE_RUNNING);
	qbd_replica_kick(replica);
}

static void take_down(struct qbd_replica *replica);
static void release(struct qbd_replica *replica);

static void attach_disk(struct qbd_replica *replica, struct qbd_command *command)
{
	replica->disk = command->argument;
	replica->number = qbd_disk_number(replica->disk);
	qbd_command_done(command, 0, "%s", "");
}

/* A witness has nothing to show; what tells it from others here is a number all the same. */
static int open_disk(struct qbd_replica *replica)
{
	struct qbd_command command = { .run = attach_disk };
	struct qbd_disk *disk;

	if (!qbd_replica_has_device(replica)) {
		int number = qbd_disk_number_get();

		if (number < 0)
			return number;
		replica->number = number;
		replica->number_kept = true;
		return 0;
	}
	disk = qbd_disk_create(replica->name,
			       qbd_store_durable_blocks(replica->store),
			       qbd_replica_kick, replica);
	if (IS_ERR(disk))
		return PTR_ERR(disk);
	command.argument = disk;
	return qbd_command_run(replica, &command);
}

static void tell_up(struct qbd_replica *replica, struct qbd_command *command)
{
	qbd_replica_event(replica, QBD_EVENT_UP, 0, "up");
	qbd_command_done(command, 0, "%s", "");
}

int qbd_replica_up(struct net *net, const struct qbd_up_parameters *parameters,
		   struct qbd_replica **result, char *error_text,
		   size_t error_text_size)
{
	struct qbd_command told = { .run = tell_up };
	struct qbd_replica *replica;
	int error;

	error_text[0] = 0;
	if (parameters->memory_bytes < QBD_MEMORY_MIN ||
	    parameters->memory_bytes > QBD_MEMORY_MAX) {
		snprintf(error_text, error_text_size, "memory must be %u MiB to %u MiB",
			 QBD_MEMORY_MIN >> 20, QBD_MEMORY_MAX >> 20);
		return -EINVAL;
	}
	error = qbd_settings_check(&parameters->settings, error_text, error_text_size);
	if (error)
		return error;
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	replica = replica_alloc(net, parameters);
	if (!replica) {
		module_put(THIS_MODULE);
		error = -ENOMEM;
		goto out;
	}
	error = allocate_reserves(replica, parameters);
	if (!error)
		error = qbd_store_find(parameters->disk, &replica->disk_number, error_text,
				       error_text_size);
	if (!error)
		error = openings_add(replica, error_text, error_text_size);
	if (error)
		goto err_release;
	if (!open_in_time(replica)) {
		tell_hangs(parameters->disk, error_text, error_text_size);
		return -ETIMEDOUT;
	}
	strscpy(error_text, replica->open_text, error_text_size);
	error = replica->open_error;
	if (!error)
		error = registry_add(replica, error_text, error_text_size);
	if (!error)
		error = open_network(replica, error_text, error_text_size);
	if (error)
		goto err_release;
	start(replica);
	error = open_disk(replica);
	if (error) {
		snprintf(error_text, error_text_size,
			 "the block device cannot be made (error %d)", error);
		take_down(replica);
		return error;
	}
	mutex_lock(&registry_mutex);
	set_published(replica, true);
	refcount_inc(&replica->references);
	mutex_unlock(&registry_mutex);
	if (replica->disk)
		qbd_notice(replica, "member %u is up as /dev/qbd%d%s", replica->member_id,
			   replica->number, qbd_replica_keeps_data(replica) ? "" :
			   ", a client");
	else
		qbd_notice(replica, "member %u is up as a witness", replica->member_id);
	qbd_command_run(replica, &told);
	*result = replica;
	return 0;

err_release:
	release(replica);
out:
	if (error == -ENOMEM && !error_text[0])
		strscpy(error_text, "not enough memory; try a smaller memory setting",
			error_text_size);
	return error;
}

/* ---- going down --------------------------------------------------------- */

/*
 * The disk takes no requests any more (qbd_disk_begin_removal()): those that came
 * before are the last, and nobody looks at the disk from here on.
 */
static void fail_requests(struct qbd_replica *replica, struct qbd_command *command)
{
	WRITE_ONCE(replica->phase, QBD_PHASE_FAILING);
	qbd_replica_take_requests(replica);
	replica->disk = NULL;
	qbd_io_fail_local(replica);
	qbd_command_done(command, 0, "%s", "");
}

static void drop_peers(struct qbd_replica *replica)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(replica->peers); i++) {
		struct qbd_replica_peer *peer = &replica->peers[i];

		if (!peer->id)
			continue;
		peer->up = false;
		qbd_fill_peer_gone(replica, peer);
		qbd_io_drop_peer(replica, peer->id);
		qbd_append_forget(peer);
		peer->loading = false;
	}
	qbd_append_drop_held(replica, 0);
	qbd_fill_drop_pieces(replica);
	qbd_check_drop(replica);
	qbd_verify_drop(replica);
	qbd_sums_drop(replica);
}

/* No command after this one. */
static void stop_everything(struct qbd_replica *replica, struct qbd_command *command)
{
	struct qbd_command *other, *next;

	spin_lock(&replica->command_lock);
	replica->accepts_commands = false;
	spin_unlock(&replica->command_lock);
	list_for_each_entry_safe(other, next, &replica->commands, list) {
		list_del(&other->list);
		qbd_command_done(other, -ENODEV, "the device is going down");
	}
	if (replica->moving)
		qbd_command_done(replica->moving, -ENODEV, "the device is going down");
	replica->moving = NULL;
	qbd_change_unanswered(replica, "the device is going down");
	qbd_claim_command_abort(replica);
	/* What the store still has to say must not reach it any more. */
	replica->network = NULL;
	drop_peers(replica);
	qbd_io_drop_proposed(replica);
	WRITE_ONCE(replica->phase, QBD_PHASE_STOPPING);
	qbd_store_stop(replica->store);
	qbd_command_done(command, 0, "%s", "");
}

static void release_work(struct work_struct *work)
{
	struct qbd_replica *replica =
		container_of(work, struct qbd_replica, release_work);

	if (replica->removed_disk)
		qbd_disk_destroy(replica->removed_disk);
	if (replica->number_kept)
		qbd_disk_number_put(replica->number);
	/* One that never started has nothing to stop. */
	wait_event(replica->stopped, READ_ONCE(replica->phase) == QBD_PHASE_STOPPED ||
		   replica->phase == QBD_PHASE_STARTING);
	/*
	 * Nobody kicks any more but the store, for completions that it waits for
	 * in qbd_store_close(); those are harmless, the work looks at the phase.
	 */
	if (replica->store)
		qbd_store_close(replica->store);
	/* One that was given up while it came up is there until here. */
	registry_remove(replica);
	hrtimer_cancel(&replica->timer);
	cancel_work_sync(&replica->work);
	hrtimer_cancel(&replica->timer);
	free_reserves(replica);
	complete_all(&replica->released);
	qbd_replica_put(replica);
	module_put(THIS_MODULE);
}

/* What is left is the work's; the registry's reference is given up. */
static void release(struct qbd_replica *replica)
{
	registry_remove(replica);
	refcount_inc(&replica->references);
	queue_work(release_queue, &replica->release_work);
	if (!wait_for_completion_timeout(&replica->released,
					 msecs_to_jiffies(QBD_STORE_STOP_MS)))
		qbd_warn(replica, "the disk does not answer; it is released when it does");
	qbd_replica_put(replica);
}

/*
 * Down, whatever its state; the registry's reference is given up. In phases:
 *
 *   1. requests fail: those that wait or are in flight, wherever
 *   2. the network is left alone by the work, then closed: no frame comes in, the
 *      namespace may go, and the name is free
 *   3. the block device goes; nobody is left who could make a request
 *   4. the store ends in order
 *   5. memory
 *
 * 3 to 5 are a work's: a disk that hangs holds that up, and nobody else.
 */
static void take_down(struct qbd_replica *replica)
{
	struct qbd_command fail = { .run = fail_requests };
	struct qbd_command stop = { .run = stop_everything };
	struct qbd_net *network = replica->network;

	replica->removed_disk = replica->disk;
	qbd_command_run(replica, &fail);
	qbd_command_run(replica, &stop);
	qbd_net_destroy(network);
	/* Nobody queues it any more, and the block device is there still. */
	cancel_work_sync(&replica->resize_work);
	qbd_notice(replica, "member %u is down", replica->member_id);
	qbd_replica_event(replica, QBD_EVENT_DOWN, 0, "down");
	/* Under the lock: whoever tests it after this queues nothing any more. */
	spin_lock(&replica->event_lock);
	replica->silent = true;
	spin_unlock(&replica->event_lock);
	flush_work(&replica->event_work);
	release(replica);
}

/* Let another lead first, so that writes elsewhere do not wait for an election. */
static void hand_over(struct qbd_replica *replica)
{
	u32 target = 0;
	struct qbd_command command = {
		.run = qbd_leader_move_command,
		.argument = &target,
	};

	if (READ_ONCE(replica->told_role) == QBD_ROLE_LEADER)
		qbd_command_run(replica, &command);
}

int qbd_replica_down(struct qbd_replica *replica, bool force, char *error_text,
		     size_t error_text_size)
{
	bool ours;
	int error;

	error_text[0] = 0;
	mutex_lock(&registry_mutex);
	ours = replica->published && !replica->going_down;
	if (ours)
		replica->going_down = true;
	mutex_unlock(&registry_mutex);
	if (!ours) {
		strscpy(error_text, "the device is going down already", error_text_size);
		return -EALREADY;
	}
	error = replica->disk ? qbd_disk_begin_removal(replica->disk, force) : 0;
	if (error) {
		mutex_lock(&registry_mutex);
		replica->going_down = false;
		mutex_unlock(&registry_mutex);
		snprintf(error_text, error_text_size,
			 "/dev/qbd%d is in use; unmount it, or use --force: what is not written yet is lost to its users",
			 replica->number);
		return error;
	}
	hand_over(replica);
	take_down(replica);
	return 0;
}

static struct qbd_replica *first_in(struct net *net)
{
	struct qbd_replica *replica, *found = NULL;

	mutex_lock(&registry_mutex);
	list_for_each_entry(replica, &registry, registry) {
		if (replica->net == net && !replica->going_down) {
			found = replica;
			refcount_inc(&found->references);
			break;
		}
	}
	mutex_unlock(&registry_mutex);
	return found;
}

static bool none_in(struct net *net)
{
	struct qbd_replica *replica;
	bool none = true;

	mutex_lock(&registry_mutex);
	list_for_each_entry(replica, &registry, registry)
		if (replica->net == net)
			none = false;
	mutex_unlock(&registry_mutex);
	return none;
}

void qbd_replica_net_exit(struct net *net)
{
	char text[QBD_ERROR_TEXT_SIZE];
	struct qbd_replica *replica;

	while ((replica = first_in(net))) {
		qbd_replica_down(replica, true, text, sizeof(text));
		qbd_replica_put(replica);
	}
	/* Those that somebody else was taking down just now. */
	wait_event(registry_wait, none_in(net));
}

int qbd_replica_init(void)
{
	open_queue = alloc_workqueue("qbd-open", WQ_UNBOUND, 0);
	release_queue = alloc_workqueue("qbd-release", WQ_UNBOUND, 0);
	if (open_queue && release_queue)
		return 0;
	qbd_replica_exit();
	return -ENOMEM;
}

/* Waits for the last instructions of works that have given the module back. */
void qbd_replica_exit(void)
{
	if (open_queue)
		destroy_workqueue(open_queue);
	if (release_queue)
		destroy_workqueue(release_queue);
}

/* ---- what ctl asks for -------------------------------------------------- */

static void get_settings(struct qbd_replica *replica, struct qbd_command *command)
{
	*(struct qbd_settings *)command->argument = replica->settings;
	qbd_command_done(command, 0, "%s", "");
}

void qbd_replica_settings(struct qbd_replica *replica, struct qbd_settings *settings)
{
	struct qbd_command command = { .run = get_settings, .argument = settings };

	qbd_settings_default(settings);
	qbd_command_run(replica, &command);
}

static void set_settings(struct qbd_replica *replica, struct qbd_command *command)
{
	/* As they were, and as they are to be. */
	const struct qbd_settings *settings = command->argument;
	u64 max_rate = replica->settings.max_rate;
	struct qbd_core_options options;

	replica->settings = settings[1];
	replica->settings.max_rate = max_rate;
	qbd_max_rate_set(replica, settings[0].max_rate, settings[1].max_rate);
	core_options(&options, &replica->settings);
	qbd_core_set_options(replica->core, replica->now, &options);
	qbd_net_set_silence_limit(replica->network,
				  max(4 * replica->settings.election_timeout_ms, 1000u));
	qbd_replica_event(replica, QBD_EVENT_SETTINGS, 0, "changed");
	qbd_replica_check_quorum(replica);
	qbd_command_done(command, 0, "%s", "");
}

int qbd_replica_set(struct qbd_replica *replica, const struct qbd_settings *before,
		    const struct qbd_settings *settings, char *error_text,
		    size_t error_text_size)
{
	struct qbd_settings copies[] = { *before, *settings };
	struct qbd_command command = {
		.run = set_settings,
		.argument = copies,
		.text = error_text,
		.text_size = error_text_size,
	};
	int error = qbd_settings_check(settings, error_text, error_text_size);

	return error ? error : qbd_command_run(replica, &command);
}

int qbd_replica_leader_move(struct qbd_replica *replica, u32 member, char *error_text,
			    size_t error_text_size)
{
	struct qbd_command command = {
		.run = qbd_leader_move_command,
		.argument = &member,
		.text = error_text,
		.text_size = error_text_size,
	};

	return qbd_command_run(replica, &command);
}

int qbd_replica_change_members(struct qbd_replica *replica,
			       const struct qbd_membership_layout *wanted, bool force,
			       char *error_text, size_t error_text_size)
{
	struct qbd_change_order order = {
		.members = *wanted,
		.flags = cpu_to_le32(force ? QBD_ORDER_FORCE : 0),
	};
	struct qbd_command command = {
		.run = qbd_change_command,
		.argument = &order,
		.text = error_text,
		.text_size = error_text_size,
	};

	return qbd_command_run(replica, &command);
}

int qbd_replica_claim(struct qbd_replica *replica, const struct qbd_claim_order *order,
		      char *error_text, size_t error_text_size)
{
	struct qbd_claim_order copy = *order;
	struct qbd_command command = {
		.run = qbd_claim_command,
		.argument = &copy,
		.text = error_text,
		.text_size = error_text_size,
	};

	return qbd_command_run(replica, &command);
}

int qbd_replica_resize(struct qbd_replica *replica, u64 blocks, char *error_text,
		       size_t error_text_size)
{
	struct qbd_command command = {
		.run = qbd_resize_command,
		.argument = &blocks,
		.text = error_text,
		.text_size = error_text_size,
	};

	return qbd_command_run(replica, &command);
}

int qbd_replica_verify_start(struct qbd_replica *replica, const struct qbd_verify_wish *wish,
			     char *error_text, size_t error_text_size)
{
	struct qbd_verify_wish copy = *wish;
	struct qbd_command command = {
		.run = qbd_verify_start_command,
		.argument = &copy,
		.text = error_text,
		.text_size = error_text_size,
	};

	return qbd_command_run(replica, &command);
}

int qbd_replica_verify_stop(struct qbd_replica *replica, char *error_text,
			    size_t error_text_size)
{
	struct qbd_command command = {
		.run = qbd_verify_stop_command,
		.text = error_text,
		.text_size = error_text_size,
	};

	return qbd_command_run(replica, &command);
}

static void get_status(struct qbd_replica *replica, struct qbd_command *command)
{
	qbd_status_fill(replica, command->argument);
	qbd_command_done(command, 0, "%s", "");
}

void qbd_replica_get_status(struct qbd_replica *replica,
			    struct qbd_replica_status *status)
{
	struct qbd_command command = { .run = get_status, .argument = status };

	memset(status, 0, sizeof(*status));
	strscpy(status->name, replica->name, sizeof(status->name));
	/* Who looks at one device after the other goes on behind this one. */
	status->number = replica->number;
	if (qbd_command_run(replica, &command))
		strscpy(status->problem, "going down", sizeof(status->problem));
}
