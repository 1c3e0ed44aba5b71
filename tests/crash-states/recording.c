// SPDX-License-Identifier: GPL-2.0
/*
 * Reading a recording.
 *
 * dm-log-writes keeps what was written, in the order in which it was done: FUA writes
 * when they are, others with the flush behind them (Documentation/admin-guide/
 * device-mapper/log-writes.rst in the kernel). It does not keep when a write was begun,
 * and a write that waits for its flush may be on the disk from then on. That is in the
 * trace of the block layer's events, in one order for all members. Writes of a place are
 * never under way together, so that the n-th write of a place and length in the one is
 * the n-th in the other.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crash.h"

#define LOG_MAGIC	0x6a736677736872ull

enum log_flags {
	LOG_FLUSH	= 1 << 0,
	LOG_FUA		= 1 << 1,
	LOG_DISCARD	= 1 << 2,
	LOG_MARK	= 1 << 3,
};

struct log_super {
	__le64 magic;
	__le64 version;
	__le64 entries;
	__le32 sector_bytes;
};

struct log_entry {
	__le64 sector;
	__le64 sectors;
	__le64 flags;
	__le64 data_bytes;
	char mark[SECTOR_BYTES - 32];
};

struct recording recording;

void stop(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "qbd-crash-states: ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(2);
}

struct write *scene_add(struct scene *scene)
{
	struct write *write;

	if (scene->count == scene->room) {
		scene->room = scene->room ? 2 * scene->room : 256;
		scene->writes = realloc(scene->writes,
					scene->room * sizeof(*scene->writes));
		if (!scene->writes)
			abort();
	}
	write = &scene->writes[scene->count++];
	*write = (struct write){ .done = NEVER, .durable = NEVER };
	return write;
}

void scene_settle(struct scene *scene)
{
	static u64 scenes;
	/* Of the writes before @settled all are durable. */
	u32 settled = 0;

	scene->number = ++scenes;
	for (u32 i = 0; i < scene->count; i++)
		if (scene->writes[i].fua)
			scene->writes[i].durable = scene->writes[i].done;
	for (u32 i = 0; i < scene->count; i++) {
		const struct write *flush = &scene->writes[i];

		if (!flush->flush || flush->done == NEVER)
			continue;
		for (u32 k = settled; k < i; k++) {
			struct write *write = &scene->writes[k];

			if (write->count && write->done < flush->issued)
				write->durable = min(write->durable, flush->done);
		}
		while (settled < i && (!scene->writes[settled].count ||
				       scene->writes[settled].durable != NEVER))
			settled++;
	}
}

enum area area_of(const struct qbd_geometry *geometry, u64 block)
{
	bool data = !geometry->no_data;

	if (!block || block == QBD_SUPERBLOCK_COPY_BLOCK)
		return AREA_SUPERBLOCK;
	for (u32 i = 0; i < QBD_STATE_SLOTS; i++)
		if (block == QBD_STATE_SLOT_BLOCK(i) || block == QBD_APPLIED_BLOCK(i))
			return AREA_STATE;
	if (data && block >= geometry->data_block &&
	    block < geometry->data_block + geometry->device_blocks)
		return AREA_DATA;
	if (block >= geometry->log_block &&
	    block < geometry->log_block + geometry->log_blocks)
		return AREA_LOG;
	if (data && block >= QBD_EXTENT_TABLE_BLOCK &&
	    block < QBD_EXTENT_TABLE_BLOCK + geometry->extent_table_blocks)
		return AREA_TABLE;
	if (data && block >= QBD_EXTENT_JOURNAL_BLOCK &&
	    block < QBD_EXTENT_JOURNAL_BLOCK + QBD_EXTENT_JOURNAL_BLOCKS)
		return AREA_JOURNAL;
	return AREA_OTHER;
}

const char *area_name(enum area area)
{
	static const char *const names[] = {
		[AREA_OTHER] = "elsewhere",
		[AREA_SUPERBLOCK] = "superblock",
		[AREA_STATE] = "state block",
		[AREA_JOURNAL] = "extent journal",
		[AREA_TABLE] = "extent table",
		[AREA_LOG] = "log",
		[AREA_DATA] = "data",
	};

	return names[area];
}

/* ---- the trace ---------------------------------------------------------- */

struct device {
	u32 major, minor;
	struct member *member;
};

static struct device devices[MEMBERS_MAX];

static FILE *open_file(const char *name)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", recording.directory, name);
	file = fopen(path, "r");
	if (!file)
		stop("cannot open %s: %s", path, strerror(errno));
	return file;
}

static bool take_rot(const char *line)
{
	struct rot rot = { .repaired = NEVER };

	if (sscanf(line, "rot %u %llu %llu %llu", &rot.member, &rot.block, &rot.from,
		   &rot.to) != 4)
		return false;
	recording.rots = realloc(recording.rots,
				 (recording.rot_count + 1) * sizeof(*recording.rots));
	if (!recording.rots)
		abort();
	recording.rots[recording.rot_count++] = rot;
	return true;
}

static bool take_loss(const char *line)
{
	struct loss loss = { .over = NEVER };

	if (sscanf(line, "lose %u %llu %llu %llu %llu", &loss.member, &loss.index, &loss.block,
		   &loss.from, &loss.to) != 5)
		return false;
	recording.losses = realloc(recording.losses,
				   (recording.loss_count + 1) * sizeof(*recording.losses));
	if (!recording.losses)
		abort();
	recording.losses[recording.loss_count++] = loss;
	return true;
}

static bool take_member(const char *line)
{
	u64 begun, made;
	u32 number;

	if (sscanf(line, "witness %u", &number) == 1 && number && number <= MEMBERS_MAX) {
		recording.member[number].witness = true;
		return true;
	}
	if (sscanf(line, "emptied %u %llu %llu", &number, &begun, &made) == 3 && number &&
	    number <= MEMBERS_MAX) {
		recording.member[number].emptied_from = begun;
		recording.member[number].emptied_to = made;
		return true;
	}
	if (sscanf(line, "joins %u %llu %llu", &number, &begun, &made) != 3 || number < 2 ||
	    number > MEMBERS_MAX)
		return false;
	recording.member[number].joined = true;
	recording.member[number].begun = begun;
	recording.member[number].made = made;
	return true;
}

static void read_facts(void)
{
	FILE *file = open_file("facts");
	char line[256];
	u32 many = 0;

	while (fgets(line, sizeof(line), file)) {
		u32 number, major, minor;

		if (take_member(line) || take_rot(line) || take_loss(line))
			continue;
		if (sscanf(line, "seed %llu", &recording.seed) == 1 ||
		    sscanf(line, "members %u", &recording.members) == 1 ||
		    sscanf(line, "blocks %llu", &recording.blocks) == 1 ||
		    sscanf(line, "made %llu", &recording.made) == 1 ||
		    sscanf(line, "size %llu", &recording.device_blocks) == 1)
			continue;
		if (sscanf(line, "device %u %u %u", &number, &major, &minor) != 3 ||
		    !number || number > MEMBERS_MAX || many == MEMBERS_MAX)
			stop("facts: not understood: %s", line);
		recording.member[number].number = number;
		devices[many++] = (struct device){ major, minor,
						   &recording.member[number] };
	}
	fclose(file);
	if (!recording.members || recording.members != many || !recording.blocks)
		stop("facts are not complete");
}

static struct member *member_of(u32 major, u32 minor)
{
	for (u32 i = 0; i < recording.members; i++)
		if (devices[i].major == major && devices[i].minor == minor)
			return devices[i].member;
	return NULL;
}

/* The newest write of that place and length that is not done. */
static struct write *under_way(struct scene *scene, u64 sector, u64 sectors, bool flush)
{
	for (u32 i = scene->count; i-- > 0;) {
		struct write *write = &scene->writes[i];

		if (write->done == NEVER && write->flush == flush &&
		    write->count * SECTORS == sectors && write->block * SECTORS == sector)
			return write;
	}
	return NULL;
}

static void take_event(struct member *member, const char *event, const char *kind,
		       u64 sector, u64 sectors, u64 line)
{
	bool flush = kind[0] == 'F' && kind[1] == 'W';
	struct write *write;

	if (sector % SECTORS || sectors % SECTORS || flush == !!sectors)
		stop("trace, line %llu: %s %llu + %llu is no write of blocks, and no flush",
		     line, kind, sector, sectors);
	if (!strcmp(event, "block_bio_queue")) {
		write = scene_add(&member->scene);
		write->issued = line;
		write->block = sector / SECTORS;
		write->count = sectors / SECTORS;
		write->flush = flush;
		write->fua = !flush && strchr(kind, 'F');
		return;
	}
	write = under_way(&member->scene, sector, sectors, flush);
	if (!write)
		stop("trace, line %llu: what ends there was not begun", line);
	write->done = line;
}

static void read_trace(void)
{
	FILE *file = open_file("trace");
	char line[512], event[32], kind[16];
	u64 seconds, room = 0;

	while (fgets(line, sizeof(line), file)) {
		const char *at = strstr(line, ": block_bio_");
		u64 micro, sector, sectors;
		struct member *member;
		u32 major, minor;

		if (!at)
			continue;
		while (at > line && at[-1] != ' ')
			at--;
		if (sscanf(at, "%llu.%llu: %31[a-z_]: %u,%u %15s %llu + %llu", &seconds,
			   &micro, event, &major, &minor, kind, &sector, &sectors) != 8)
			stop("trace: not understood: %s", line);
		if (recording.lines + 2 > room) {
			room = room ? 2 * room : 65536;
			recording.times = realloc(recording.times, room * sizeof(u64));
			if (!recording.times)
				abort();
		}
		recording.times[recording.lines] = seconds * 1000000 + micro;
		member = member_of(major, minor);
		if (member)
			take_event(member, event, kind, sector, sectors, recording.lines);
		recording.lines++;
	}
	fclose(file);
	if (!recording.lines)
		stop("the trace is empty");
}

u64 recording_line(u64 nanoseconds)
{
	u64 low = 0, high = recording.lines;

	while (low < high) {
		u64 middle = (low + high) / 2;

		if (recording.times[middle] > nanoseconds / 1000)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* ---- the log ------------------------------------------------------------ */

static const u8 *map_file(const char *name, u64 *bytes)
{
	char path[512];
	struct stat status;
	void *map;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", recording.directory, name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &status))
		stop("cannot open %s: %s", path, strerror(errno));
	map = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		stop("cannot map %s: %s", path, strerror(errno));
	close(fd);
	*bytes = status.st_size;
	return map;
}

/* Writes that are not in the log yet, by place: all of a place are in one chain. */
struct matching {
	struct member *member;
	u32 *next;		/* of each write: the next one of its place, 0: none */
	u32 *heads;		/* of each block, and of flushes behind them */
};

static void matching_begin(struct matching *matching, struct member *member)
{
	const struct scene *scene = &member->scene;

	matching->member = member;
	matching->next = calloc(scene->count + 1, sizeof(u32));
	matching->heads = calloc(recording.blocks + 1, sizeof(u32));
	if (!matching->next || !matching->heads)
		abort();
	for (u32 i = scene->count; i-- > 0;) {
		const struct write *write = &scene->writes[i];
		u64 head = write->flush ? recording.blocks : write->block;

		if (head > recording.blocks)
			stop("a write beyond the end of the disk");
		matching->next[i] = matching->heads[head];
		matching->heads[head] = i + 1;
	}
}

static struct write *match(struct matching *matching, u64 block, u32 count, bool flush,
			   bool fua)
{
	struct scene *scene = &matching->member->scene;
	u32 *link = &matching->heads[flush ? recording.blocks : block];

	while (*link) {
		struct write *write = &scene->writes[*link - 1];

		if (write->count == count && write->fua == fua && write->flush == flush) {
			*link = matching->next[*link - 1];
			return write;
		}
		link = &matching->next[*link - 1];
	}
	return NULL;
}

static void read_log(struct member *member)
{
	struct matching matching;
	const struct log_super *super;
	const struct log_entry *entry;
	const char *phase = "the first writes";
	char name[32];
	const u8 *log;
	u64 bytes, at = SECTOR_BYTES;

	snprintf(name, sizeof(name), "member-%u.log", member->number);
	log = map_file(name, &bytes);
	super = (const void *)log;
	if (bytes < SECTOR_BYTES || le64_to_cpu(super->magic) != LOG_MAGIC ||
	    le64_to_cpu(super->version) != 1 ||
	    le32_to_cpu(super->sector_bytes) != SECTOR_BYTES)
		stop("%s is no log of dm-log-writes", name);
	member->entries = le64_to_cpu(super->entries);
	matching_begin(&matching, member);
	for (u64 i = 0; i < member->entries; i++) {
		u64 flags, sectors;
		struct write *write;

		if (at + SECTOR_BYTES > bytes)
			stop("%s ends within entry %llu", name, i);
		entry = (const void *)(log + at);
		at += SECTOR_BYTES;
		flags = le64_to_cpu(entry->flags);
		sectors = le64_to_cpu(entry->sectors);
		if (flags & LOG_MARK) {
			phase = strndup(entry->mark, le64_to_cpu(entry->data_bytes));
			continue;
		}
		if (flags & LOG_DISCARD)
			stop("%s: entry %llu is a discard", name, i);
		write = match(&matching, le64_to_cpu(entry->sector) / SECTORS,
			      sectors / SECTORS, flags & LOG_FLUSH,
			      flags & LOG_FUA && !(flags & LOG_FLUSH));
		if (!write)
			stop("%s: entry %llu (%llu + %llu, flags %llx) is not in the trace",
			     name, i, le64_to_cpu(entry->sector), sectors, flags);
		write->data = log + at;
		write->phase = phase;
		at += sectors * SECTOR_BYTES;
		if (at > bytes)
			stop("%s ends within entry %llu", name, i);
	}
	for (u32 i = 0; i < member->scene.count; i++)
		if (!member->scene.writes[i].data)
			stop("%s: the write at line %llu of the trace is missing", name,
			     member->scene.writes[i].issued);
	free(matching.next);
	free(matching.heads);
}

/* ---- points ------------------------------------------------------------- */

static int compare_lines(const void *a, const void *b)
{
	u64 left = *(const u64 *)a, right = *(const u64 *)b;

	return left < right ? -1 : left > right;
}

static void find_points(struct member *member)
{
	const struct scene *scene = &member->scene;
	u32 kept = 0;

	member->points = calloc(scene->count + 1, sizeof(u64));
	if (!member->points)
		abort();
	for (u32 i = 0; i < scene->count; i++)
		if ((scene->writes[i].fua || scene->writes[i].flush) &&
		    scene->writes[i].done != NEVER && scene->writes[i].done >= member->begun)
			member->points[member->point_count++] = scene->writes[i].done;
	member->points[member->point_count++] = recording.lines;
	qsort(member->points, member->point_count, sizeof(u64), compare_lines);
	for (u32 i = 0; i < member->point_count; i++)
		if (!kept || member->points[kept - 1] != member->points[i])
			member->points[kept++] = member->points[i];
	member->point_count = kept;
}

static void find_geometry(struct member *member)
{
	const struct scene *scene = &member->scene;
	const char *reason = "it was never written";
	bool found = false;

	for (u32 i = 0; i < scene->count && !found; i++) {
		const struct write *write = &scene->writes[i];
		u64 last = QBD_SUPERBLOCK_COPY_BLOCK;

		found = write->count && write->block <= last &&
			last < write->block + write->count &&
			qbd_superblock_check(write->data +
					     (last - write->block) * QBD_BLOCK_SIZE, last,
					     &member->geometry, &reason) == QBD_BLOCK_GOOD;
	}
	if (!found)
		stop("member %u has no superblock: %s", member->number, reason);
	if (member->number == 1)
		recording.first_blocks = member->geometry.device_blocks;
	if (member->geometry.member_id != member->number ||
	    member->geometry.no_data != member->witness)
		stop("member %u has the disk of member %u, %s data", member->number,
		     member->geometry.member_id, member->geometry.no_data ? "without" : "with");
	if (!qbd_geometry_grow(&member->geometry,
			       max(recording.device_blocks, recording.first_blocks)))
		stop("member %u has no room for the size that the device got", member->number);
}

static void find_lines(struct member *member)
{
	member->begun = member->joined ? recording_line(member->begun) : recording.made;
	member->made = member->joined ? recording_line(member->made) : recording.made;
	if (member->emptied_from) {
		member->emptied_from = recording_line(member->emptied_from);
		member->emptied_to = recording_line(member->emptied_to);
	}
}

bool member_is_there(const struct member *member, u64 line)
{
	return line >= member->made && (line <= member->emptied_from ||
					line > member->emptied_to || !member->emptied_from);
}

/* Which write it was that spoiled a block: the only one of that time. */
static const struct write *find_spoiling(u32 number, u64 block, u64 from, u64 to)
{
	const struct member *member = &recording.member[number];
	const struct write *found = NULL;

	for (u32 i = 0; i < member->scene.count; i++) {
		const struct write *write = &member->scene.writes[i];

		if (write->issued < from || write->issued >= to || block < write->block ||
		    block >= write->block + write->count)
			continue;
		if (found || write->count != 1)
			stop("member %u wrote itself what was spoiled, block %llu of its disk",
			     number, block);
		found = write;
	}
	if (!found)
		stop("nothing was spoiled at block %llu of the disk of member %u", block, number);
	return found;
}

static void find_rot(struct rot *rot)
{
	const struct member *member = &recording.member[rot->member];

	if (!rot->member || rot->member > recording.members || member->witness ||
	    rot->block >= member->geometry.device_blocks)
		stop("nothing can rot at block %llu of member %u", rot->block, rot->member);
	rot->write = find_spoiling(rot->member, member->geometry.data_block + rot->block,
				   recording_line(rot->from), recording_line(rot->to));
}

static void find_loss(struct loss *loss)
{
	if (!loss->member || loss->member > recording.members ||
	    area_of(&recording.member[loss->member].geometry, loss->block) != AREA_LOG)
		stop("no record can be lost at block %llu of member %u", loss->block,
		     loss->member);
	loss->write = find_spoiling(loss->member, loss->block, recording_line(loss->from),
				    recording_line(loss->to));
}

void recording_read(const char *directory)
{
	recording.directory = directory;
	read_facts();
	read_trace();
	recording.made = recording_line(recording.made);
	for (u32 number = 1; number <= recording.members; number++) {
		struct member *member = &recording.member[number];

		read_log(member);
		scene_settle(&member->scene);
		find_geometry(member);
		find_lines(member);
		find_points(member);
	}
	for (u32 i = 0; i < recording.rot_count; i++)
		find_rot(&recording.rots[i]);
	for (u32 i = 0; i < recording.loss_count; i++)
		find_loss(&recording.losses[i]);
}
