// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a member on a host: its disk is made, it comes up, goes down in order, or
 * loses its power at any moment.
 */
#include "sim.h"

/* What recovery says is looked at before anything else happens. */
static struct qbd_store *sim_store_open(dev_t number, const char *path,
					struct qbd_pool *pool,
					const struct qbd_store_ops *ops, void *context,
					struct qbd_store_recovered *recovered,
					char *error_text, size_t error_text_size)
{
	struct qbd_store *store = qbd_store_open(number, path, pool, ops, context,
						 recovered, error_text, error_text_size);

	if (!IS_ERR(store)) {
		sim_invariants_host_up(sim_host, recovered);
		sim_recover_opened(sim_host, store, recovered->term);
	}
	return store;
}

/* Each host is a kernel of its own: what is up there is no other one's business. */
static struct qbd_net *sim_net_create(struct net *namespace,
				      const struct qbd_net_identity *identity,
				      struct qbd_pool *pool, const struct qbd_net_ops *ops,
				      void *context, char *error_text,
				      size_t error_text_size)
{
	struct qbd_replica *replica = context;

	list_del_init(&replica->registry);
	return qbd_net_create(namespace, identity, pool, ops, context, error_text,
			      error_text_size);
}

#define qbd_store_open sim_store_open
#define qbd_net_create sim_net_create
/* For the registry, which a host that loses its power has to leave. */
#include "replica/life.c"
#undef qbd_net_create
#undef qbd_store_open

#define LOG_BLOCK	512u
#define DATA_BLOCK	(LOG_BLOCK + QBD_LOG_BLOCKS_MIN)
#define EXTENT_SHIFT	QBD_EXTENT_SHIFT_MIN
#define EXTENT_BLOCKS	(1u << (EXTENT_SHIFT - QBD_BLOCK_SHIFT))

u64 sim_device_blocks, sim_table_blocks, sim_stride;
static u64 first_place;
const u8 sim_uuid[QBD_UUID_SIZE] = { 0x71, 0x62, 0x64, 0x17, 0x42 };

/*
 * Side by side in one block of the extent table; in eight of them; or so far apart that
 * two share a place in the extent journal and cannot be in it at once.
 */
static void draw_layout(void)
{
	u64 stripes = SIM_USED_BLOCKS / SIM_STRIPE, extents;

	first_place = 0;
	sim_stride = SIM_STRIPE;
	if (sim_chance(200))
		sim_stride = QBD_EXTENTS_PER_BLOCK * EXTENT_BLOCKS / 4 / EXTENT_BLOCKS *
			     EXTENT_BLOCKS;
	if (sim_chance(100)) {
		sim_stride = 8 * QBD_EXTENTS_PER_BLOCK * EXTENT_BLOCKS;
		/* Entries of the table in another sector than its header: it can tear. */
		first_place = QBD_EXTENTS_PER_BLOCK / 2 * EXTENT_BLOCKS;
	}
	sim_device_blocks = stripes * sim_stride;
	extents = sim_device_blocks / EXTENT_BLOCKS;
	sim_table_blocks = DIV_ROUND_UP(extents, QBD_EXTENTS_PER_BLOCK);
}

void sim_module_begin(void)
{
	static bool loaded;

	if (!loaded)
		qbd_replica_init();
	loaded = true;
	draw_layout();
}

u64 sim_place(u32 number)
{
	return first_place + number / SIM_STRIPE * sim_stride + number % SIM_STRIPE;
}

u32 sim_number(u64 block)
{
	block -= first_place;
	return block / sim_stride * SIM_STRIPE + block % sim_stride;
}

/* ---- disks -------------------------------------------------------------- */

void sim_uuid_draw(u8 *uuid)
{
	const u64 drawn[2] = { sim_random(), sim_random() };

	memcpy(uuid, drawn, QBD_UUID_SIZE);
}

static void write_superblock(struct sim_host *host, u64 position, u64 blocks,
			     u64 device_blocks, const u8 *incarnation)
{
	struct qbd_superblock *superblock = (void *)sim_disk_block(host, position);

	memset(superblock, 0, sizeof(*superblock));
	superblock->member_id = cpu_to_le32(host->number);
	superblock->extent_shift = cpu_to_le32(EXTENT_SHIFT);
	memcpy(superblock->incarnation, incarnation, QBD_UUID_SIZE);
	strscpy(superblock->name, "sim", sizeof(superblock->name));
	superblock->backing_blocks = cpu_to_le64(blocks);
	superblock->device_blocks = cpu_to_le64(device_blocks);
	superblock->log_block = cpu_to_le64(LOG_BLOCK);
	superblock->log_blocks = cpu_to_le64(QBD_LOG_BLOCKS_MIN);
	if (!sim_keeps_data(host)) {
		superblock->features_incompatible =
			cpu_to_le64(QBD_FEATURE_NO_DATA |
				    (host->client ? QBD_FEATURE_CLIENT : 0));
	} else {
		superblock->extent_table_blocks = cpu_to_le64(sim_table_blocks);
		superblock->data_block = cpu_to_le64(DATA_BLOCK);
	}
	qbd_block_seal(superblock, QBD_SUPERBLOCK_MAGIC, sim_uuid, position);
}

/* The list that the device begins with. */
static void write_members(struct qbd_membership_layout *members)
{
	memset(members, 0, sizeof(*members));
	members->count = cpu_to_le32(world.founders);
	members->next_member_id = cpu_to_le32(world.founders + 1);
	for (u32 i = 0; i < world.founders; i++) {
		struct qbd_member_layout *member = &members->members[i];

		member->flags = cpu_to_le16(QBD_MEMBER_VOTER |
					    (world.hosts[i + 1].witness ? QBD_MEMBER_WITNESS : 0));
		sim_member_place(member, i + 1, 0);
	}
}

/* The last block is left alone. */
static u64 disk_blocks(u64 room)
{
	return DATA_BLOCK + room + 1;
}

u64 sim_member_room(const struct sim_host *host)
{
	return host->bdev.blocks - disk_blocks(0);
}

void sim_member_enlarge(struct sim_host *host, u64 blocks)
{
	sim_trace("the disk of host %u has room for %llu blocks", host->number, blocks);
	sim_disk_enlarge(host, disk_blocks(blocks));
}

static void format(struct sim_host *host, u64 device_blocks,
		   const struct qbd_membership_layout *members,
		   const struct qbd_claim_layout *claim, const u8 *incarnation,
		   const u8 *history, u32 flags)
{
	u64 blocks = disk_blocks(sim_keeps_data(host) ?
				 sim_sizes_room(host, device_blocks) : 0);
	struct qbd_state state = {
		.flags = QBD_STATE_CLEAN | flags,
		.log_first_index = 1,
	};
	const struct qbd_applied_layout applied = { .claim = *claim };

	host->bdev.write_zeroes = sim_chance(512);
	/* Where nothing was ever written there is rubbish, which nobody may see. */
	sim_disk_make(host, blocks, DATA_BLOCK);
	sim_rollbacks_void(host);
	sim_records_void(host);
	host->exists = true;
	if (history)
		memcpy(state.history, history, QBD_UUID_SIZE);
	state.membership = *members;
	state.applied_membership = *members;
	for (u64 i = 0; i < sim_table_blocks && sim_keeps_data(host); i++)
		qbd_block_seal(sim_disk_block(host, QBD_EXTENT_TABLE_BLOCK + i),
			       QBD_EXTENTS_MAGIC, sim_uuid, QBD_EXTENT_TABLE_BLOCK + i);
	for (u32 slot = 0; slot < QBD_STATE_SLOTS; slot++) {
		u64 position = QBD_STATE_SLOT_BLOCK(slot);

		state.sequence = QBD_STATE_SLOTS - slot;
		qbd_state_encode(&state, sim_uuid, position,
				 sim_disk_block(host, position));
		qbd_applied_encode(&applied, state.sequence, sim_uuid, position + 1,
				   sim_disk_block(host, position + 1));
	}
	write_superblock(host, 0, blocks, device_blocks, incarnation);
	write_superblock(host, QBD_SUPERBLOCK_COPY_BLOCK, blocks, device_blocks, incarnation);
}

/* As qbdadm create does. */
void sim_member_format(struct sim_host *host)
{
	const struct qbd_claim_layout claim = {
		.mode = cpu_to_le32(sim_claims_first_mode()),
	};
	struct qbd_membership_layout members;
	u8 incarnation[QBD_UUID_SIZE];

	write_members(&members);
	sim_uuid_draw(incarnation);
	format(host, sim_sizes_first(), &members, &claim, incarnation, NULL, QBD_STATE_NEW);
}

/* As qbdadm join does: nobody can have forgotten what a member did that never was. */
void sim_member_format_joined(struct sim_host *host, const struct qbd_description *device,
			      const u8 *incarnation)
{
	format(host, le64_to_cpu(device->device_blocks), &device->membership, &device->claim,
	       incarnation, device->history, 0);
}

void sim_member_copy(const struct sim_host *host)
{
	struct sim_host *copy = &world.hosts[SIM_COPY];
	struct sim_image *image = sim_disk_image(host);

	sim_disk_make(copy, host->bdev.blocks, DATA_BLOCK);
	sim_disk_restore(copy, image);
	sim_disk_image_free(image);
	copy->bdev.write_zeroes = host->bdev.write_zeroes;
	copy->copy_of = host->number;
	copy->witness = host->witness;
	copy->client = host->client;
	copy->former = host->former;
	copy->exists = true;
	copy->data_through = sim_invariants_committed();
	copy->told_term = host->powered ? 0 : host->told_term;
	copy->vote_term = 0;
	copy->vote = 0;
	copy->durable = 0;
	/* What else is to be on it is the original's matter. */
	copy->spoiled = true;
}

static void again(void *object, u64 argument)
{
	struct sim_host *host = object;

	if (host->life != argument)
		return;
	sim_member_power_cut(host);
	sim_member_power_on(host);
}

/* ---- up ----------------------------------------------------------------- */

static void not_up(void *object, u64 argument)
{
	struct sim_host *host = object;

	if (host->allocated)
		sim_fail("host %u did not come up, and %llu pieces of memory are left",
			 host->number, host->allocated);
	/* Somebody tries again, unless the disk is what is wrong. */
	if (host->refused)
		sim_event(NULL, world.now + 1, again, host, host->life);
}

static void up_thread(void *object)
{
	struct qbd_up_parameters parameters = {
		.disk = "/dev/disk",
		.memory_bytes = QBD_MEMORY_MIN,
	};
	struct sim_host *host = object;
	char text[QBD_ERROR_TEXT_SIZE];
	struct qbd_replica *replica;
	int error;

	qbd_settings_default(&parameters.settings);
	parameters.settings.window_bytes = 2u << 20;
	/* Some compare before data is sent to them. */
	parameters.settings.checksums = (world.seed / 2 + host->number) % 3 == 0;
	host->refused = false;
	error = qbd_replica_up(&host->net, &parameters, &replica, text, sizeof(text));
	host->going_up = false;
	if (error) {
		sim_trace("does not come up: %s", text);
		sim_invariants_not_up(host, error, text);
		/* What it had it gives back, when its disk has answered. */
		sim_event(host, world.now + 5 * SIM_S, not_up, host, 0);
		return;
	}
	host->replica = replica;
	sim_trace("is up: term %llu, log %llu to %llu, committed %llu, applied %llu%s%s%s",
		  replica->core->term, qbd_store_first_index(replica->store),
		  qbd_store_last_index(replica->store), replica->core->commit,
		  qbd_store_applied_index(replica->store),
		  replica->is_new ? ", new" : "", replica->damaged ? ", damaged" : "",
		  qbd_replica_filling(replica) ? ", filling" : "");
}

void sim_member_power_on(struct sim_host *host)
{
	if (host->powered || !host->exists || host->knows)
		return;
	sim_trace("power on: host %u", host->number);
	host->powered = true;
	host->going_up = true;
	host->clock_base = sim_below(1000) * SIM_S;
	host->clock_at = world.now;
	sim_thread_on(host, up_thread, host);
}

/* ---- down --------------------------------------------------------------- */

static void forget_in_registry(struct sim_host *host)
{
	struct qbd_replica *replica, *next;

	list_for_each_entry_safe(replica, next, &registry, registry)
		if (replica->net == &host->net)
			list_del(&replica->registry);
	list_for_each_entry_safe(replica, next, &openings, registry)
		if (replica->net == &host->net)
			list_del(&replica->registry);
}

static void power_off(struct sim_host *host)
{
	forget_in_registry(host);
	sim_client_power_cut(host);
	sim_network_power_cut(host);
	sim_disk_power_cut(host);
	/* What all of that brought about is void, too. */
	sim_host_void(host);
	sim_memory_drop(host);
	host->powered = false;
	host->going_up = false;
	host->going_down = false;
	host->moving = false;
	host->changing = false;
	host->replica = NULL;
	host->paused_until = 0;
	host->preempt_for = 0;
}

void sim_member_power_cut(struct sim_host *host)
{
	if (!host->powered)
		return;
	sim_invariants_power_cut(host);
	sim_trace("power cut: host %u", host->number);
	/* A thread of its own that held it is gone. */
	registry_mutex.held = false;
	power_off(host);
}

void sim_member_vanish(struct sim_host *host)
{
	if (!host->exists)
		return;
	registry_mutex.held = false;
	power_off(host);
}

static void off(void *object, u64 argument)
{
	struct sim_host *host = object;

	/* It lost its power before it was off, and may be up again. */
	if (host->life != argument)
		return;
	if (host->allocated)
		sim_fail("host %u went down in order, and %llu pieces of memory are left",
			 host->number, host->allocated);
	power_off(host);
}

static bool released(struct sim_host *host)
{
	return !host->allocated;
}

static void down_thread(void *object)
{
	struct sim_host *host = object;
	char text[QBD_ERROR_TEXT_SIZE];
	struct qbd_replica *replica = host->replica;
	int error;

	sim_invariants_power_cut(host);
	error = qbd_replica_down(replica, true, text, sizeof(text));
	if (error)
		sim_fail("host %u does not go down: %s", host->number, text);
	host->replica = NULL;
	qbd_replica_put(replica);
	/* A disk that stands still is released when it goes on. */
	while (!released(host))
		sim_sleep(0);
	sim_event(NULL, world.now + 1, off, host, host->life);
}

void sim_member_down(struct sim_host *host)
{
	if (!host->powered || !host->replica || host->going_down)
		return;
	sim_trace("taken down: host %u", host->number);
	host->going_down = true;
	sim_thread_on(host, down_thread, host);
}

static void move_thread(void *object)
{
	struct sim_host *host = object;
	char text[QBD_ERROR_TEXT_SIZE];
	u32 target = host->move_to ? host->move_to : 1 + sim_below(world.count);

	if (host->replica && !host->going_down)
		qbd_replica_leader_move(host->replica, target, text, sizeof(text));
	host->moving = false;
}

void sim_member_move_leader(struct sim_host *host, u32 target)
{
	if (!host->powered || !host->replica || host->going_down || host->moving)
		return;
	/*
	 * Not only when the thread begins: on a host that stands still none does, and a plan asks
	 * again after each step.
	 */
	host->moving = true;
	host->move_to = target;
	sim_thread_on(host, move_thread, host);
}

/* ---- verify ------------------------------------------------------------- */

static void verify_thread(void *object)
{
	struct sim_host *host = object;
	struct qbd_verify_wish wish = host->verify_wish;
	char text[QBD_ERROR_TEXT_SIZE];

	if (!host->replica || host->going_down)
		return;
	if (!qbd_replica_verify_start(host->replica, &wish, text, sizeof(text)))
		sim_counts.verified++;
	else
		sim_trace("no verification at host %u: %s", host->number, text);
}

void sim_member_verify(struct sim_host *host, u64 first, u64 blocks, bool repair)
{
	const struct qbd_replica *replica = sim_replica(host);

	if (!replica || replica->phase != QBD_PHASE_RUNNING || host->going_down)
		return;
	host->verify_wish = (struct qbd_verify_wish){
		.rate = 1ull << 30, .first_block = first, .blocks = blocks,
		.repair = repair,
	};
	sim_thread_on(host, verify_thread, host);
}
