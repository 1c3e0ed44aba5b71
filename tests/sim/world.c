// SPDX-License-Identifier: GPL-2.0
/* Time, events, random numbers, threads. */
#include <ucontext.h>

#include "sim.h"

struct sim_world world;
struct sim_counts sim_counts;
struct sim_host *sim_host;

/* ---- random numbers ----------------------------------------------------- */

/* SplitMix64: every state is followed by another, so every seed is as good. */
static u64 random_of(u64 *state)
{
	u64 x = *state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

u32 sim_below_of(u64 *state, u32 bound)
{
	return bound ? (random_of(state) >> 32) * bound >> 32 : 0;
}

u64 sim_random(void)
{
	return random_of(&world.random);
}

u32 sim_below(u32 bound)
{
	return sim_below_of(&world.random, bound);
}

bool sim_chance(u32 of_1024)
{
	return of_1024 && sim_below(1024) < of_1024;
}

u64 sim_spread(u64 base, u64 spread)
{
	u64 extra = spread ? sim_random() % spread : 0;

	/* Now and then something takes far longer than everything else. */
	return base + (sim_below(256) ? extra : 8 * extra);
}

/* ---- what went wrong ---------------------------------------------------- */

void sim_trace(const char *format, ...)
{
	va_list arguments;

	if (!world.trace || world.steps < world.trace_from)
		return;
	printf("# %8llu %12.6f %s%u ", world.steps, world.now / 1e9,
	       sim_host ? "h" : "-", sim_host ? sim_host->number : 0);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

void sim_fail(const char *format, ...)
{
	va_list arguments;

	if (world.error)
		return;
	va_start(arguments, format);
	vsnprintf(world.error_text, sizeof(world.error_text), format, arguments);
	va_end(arguments);
	world.error = world.error_text;
	world.error_kind = format;
	sim_trace("FAILED: %s", world.error);
}

void sim_warn(const char *file, int line, const char *text)
{
	const char *name = strrchr(file, '/');

	sim_fail("%s:%d warns: %s", name ? name + 1 : file, line, text);
}

void sim_say(int level, const char *format, ...)
{
	va_list arguments;
	char line[512];
	size_t length;

	if (!world.trace)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	length = strlen(line);
	if (length && line[length - 1] == '\n')
		line[length - 1] = 0;
	sim_trace("%s", line);
}

/* ---- clocks ------------------------------------------------------------- */

u64 sim_host_time(const struct sim_host *host)
{
	s64 passed = world.now - host->clock_at;

	return host->clock_base + passed + (s64)((__int128)passed * host->drift / 1000000);
}

u64 sim_world_time(const struct sim_host *host, u64 host_time)
{
	s64 left = host_time - host->clock_base;

	if (left <= 0 || host_time >= (u64)1 << 62)
		return left <= 0 ? host->clock_at : (u64)1 << 62;
	/* Not before: the clock must have come to it. */
	left = (__int128)left * 1000000 / (1000000 + host->drift) + 2;
	return host->clock_at + left;
}

/* ---- events ------------------------------------------------------------- */

struct heap_entry {
	u64 at;
	u64 order;
	u32 slot;
	u32 generation;
};

static struct sim_event *events;
static struct heap_entry *heap;
static u32 *free_slots;
static u32 slots, heap_size, free_count;
static u64 order;

static bool earlier(const struct heap_entry *a, const struct heap_entry *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void heap_push(struct heap_entry entry)
{
	u32 at = heap_size++;

	while (at && earlier(&entry, &heap[(at - 1) / 2])) {
		heap[at] = heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap[at] = entry;
}

static struct heap_entry heap_pop(void)
{
	struct heap_entry first = heap[0], last = heap[--heap_size];
	u32 at = 0, child;

	while ((child = 2 * at + 1) < heap_size) {
		if (child + 1 < heap_size && earlier(&heap[child + 1], &heap[child]))
			child++;
		if (!earlier(&heap[child], &last))
			break;
		heap[at] = heap[child];
		at = child;
	}
	heap[at] = last;
	return first;
}

static void grow(void)
{
	u32 more = slots ? slots * 2 : 4096;

	events = realloc(events, more * sizeof(*events));
	heap = realloc(heap, more * sizeof(*heap));
	free_slots = realloc(free_slots, more * sizeof(*free_slots));
	if (!events || !heap || !free_slots)
		abort();
	memset(events + slots, 0, (more - slots) * sizeof(*events));
	for (u32 i = more; i-- > slots;)
		free_slots[free_count++] = i;
	slots = more;
}

u64 sim_event(struct sim_host *host, u64 at, void (*run)(void *object, u64 argument),
	      void *object, u64 argument)
{
	struct sim_event *event;
	u32 slot;

	/* Each entry of the heap has a slot, the cancelled ones too. */
	if (!free_count)
		grow();
	slot = free_slots[--free_count];
	event = &events[slot];
	*event = (struct sim_event){
		.at = max(at, world.now),
		.order = ++order,
		.host = host ? host->number : 0,
		.life = host ? host->life : 0,
		.generation = event->generation + 1,
		.used = true,
		.run = run,
		.object = object,
		.argument = argument,
	};
	heap_push((struct heap_entry){ event->at, event->order, slot, event->generation });
	return (u64)event->generation << 32 | (slot + 1);
}

void sim_event_cancel(u64 handle)
{
	struct sim_event *event = &events[(u32)handle - 1];

	if (event->used && event->generation == handle >> 32)
		event->run = NULL;
}

/* ---- threads ------------------------------------------------------------ */

#define THREADS_MAX	64
#define STACK_BYTES	(256u << 10)

struct thread {
	ucontext_t context;
	void *stack;
	struct sim_host *host;
	u32 life;
	bool used;
	bool ended;
	u64 until;		/* host time, 0: for ever */
	void (*run)(void *object);
	void *object;
};

static struct thread threads[THREADS_MAX];
static struct thread *current_thread;
static ucontext_t scheduler;
static u32 threads_used;

static void thread_main(void)
{
	struct thread *thread = current_thread;

	thread->run(thread->object);
	thread->ended = true;
	swapcontext(&thread->context, &scheduler);
}

static void thread_resume(struct thread *thread)
{
	struct thread *before = current_thread;

	current_thread = thread;
	swapcontext(&scheduler, &thread->context);
	current_thread = before;
	if (thread->ended) {
		thread->used = false;
		threads_used--;
	}
}

static void nothing(void *object, u64 argument)
{
}

void sim_thread(void (*run)(void *object), void *object)
{
	struct thread *thread = threads;

	while (thread < threads + THREADS_MAX && thread->used)
		thread++;
	if (thread == threads + THREADS_MAX)
		abort();
	if (!thread->stack)
		thread->stack = malloc(STACK_BYTES);
	thread->used = true;
	thread->ended = false;
	thread->host = sim_host;
	thread->life = sim_host->life;
	thread->until = 0;
	thread->run = run;
	thread->object = object;
	threads_used++;
	getcontext(&thread->context);
	thread->context.uc_stack.ss_sp = thread->stack;
	thread->context.uc_stack.ss_size = STACK_BYTES;
	thread->context.uc_link = NULL;
	makecontext(&thread->context, thread_main, 0);
	/* It begins after the host's next event. */
	sim_event(sim_host, world.now + 1, nothing, NULL, 0);
}

void sim_thread_on(struct sim_host *host, void (*run)(void *object), void *object)
{
	struct sim_host *before = sim_host;

	sim_host = host;
	sim_thread(run, object);
	sim_host = before;
}

bool sim_sleep(u64 until)
{
	struct thread *thread = current_thread;

	if (!thread || thread->host != sim_host) {
		sim_fail("something waits where nothing may wait");
		fprintf(stderr, "qbd-sim: a wait outside of a thread, seed %llu\n",
			world.seed);
		abort();
	}
	if (until && sim_host_time(sim_host) >= until)
		return false;
	if (until && thread->until != until)
		sim_event(sim_host, sim_world_time(sim_host, until), nothing, NULL, 0);
	thread->until = until;
	swapcontext(&thread->context, &scheduler);
	return true;
}

static void threads_look(struct sim_host *host)
{
	u32 before;

	/* What one gives back when it ends another one may wait for. */
	do {
		before = threads_used;
		for (u32 i = 0; i < THREADS_MAX; i++)
			if (threads[i].used && threads[i].host == host)
				thread_resume(&threads[i]);
	} while (threads_used && threads_used < before);
}

void sim_host_void(struct sim_host *host)
{
	host->life++;
	for (u32 i = 0; i < THREADS_MAX; i++) {
		if (threads[i].used && threads[i].host == host) {
			threads[i].used = false;
			threads_used--;
		}
	}
}

/* ---- steps -------------------------------------------------------------- */

static void release(u32 slot)
{
	events[slot].used = false;
	free_slots[free_count++] = slot;
}

bool sim_step(void)
{
	struct heap_entry entry;
	struct sim_event event;
	struct sim_host *host;

	for (;;) {
		if (!heap_size)
			return false;
		entry = heap_pop();
		event = events[entry.slot];
		host = event.host ? &world.hosts[event.host] : NULL;
		if (!event.run || (host && host->life != event.life)) {
			release(entry.slot);
			continue;
		}
		world.now = max(world.now, entry.at);
		if (!host || host->paused_until <= world.now ||
		    (host->preempted && (sim_network_brings(event.run) ||
					 sim_disk_brings(event.run))))
			break;
		/* Everything of a host that stands still comes later, in order. */
		entry.at = host->paused_until;
		heap_push(entry);
	}
	release(entry.slot);
	world.steps++;
	sim_host = host;
	event.run(event.object, event.argument);
	if (host && host->life == event.life) {
		if (threads_used)
			threads_look(host);
		sim_after_event(host);
	}
	sim_host = NULL;
	return true;
}

/* Where disks and network take no time more would go on than there is room to note. */
#define PREEMPTED_STEPS	20000u

/*
 * The work that runs loses its processor, here and now, and its host stands still, but for
 * what other processors do: users go on asking, frames come in, the disk answers. The
 * world goes on, too.
 */
void sim_preempt(void)
{
	static bool preempted;
	struct sim_host *host = sim_host;
	u64 until, last = world.steps + PREEMPTED_STEPS;

	if (preempted || current_thread || world.healing)
		return;
	/* One who leads has most to be wrong about. */
	if (host->preempt_for)
		until = world.now + host->preempt_for;
	else if (world.preempts && !sim_below(host->role == QBD_ROLE_LEADER ? 500 : 4000))
		until = world.now + sim_below(800) * SIM_MS;
	else
		return;
	host->preempt_for = 0;
	sim_trace("loses its processor for %llu ms", (until - world.now) / SIM_MS);
	sim_counts.preempted++;
	preempted = true;
	host->preempted = true;
	host->paused_until = max(host->paused_until, until);
	while (world.now < until && world.steps < last && !world.error) {
		if (!sim_step())
			sim_pass_time();
		sim_faults_work();
		if (!sim_below(64))
			sim_client_read_newest(host);
	}
	if (host->paused_until == until)
		host->paused_until = world.now;
	host->preempted = false;
	preempted = false;
	sim_host = host;
}

/* Nothing is going on: what happens next comes from outside. */
void sim_pass_time(void)
{
	world.now += 10 * SIM_MS;
	world.steps++;
}

void sim_world_begin(u64 seed)
{
	bool trace = world.trace;
	u64 trace_from = world.trace_from;
	u32 without = world.without;

	memset(&world, 0, sizeof(world));
	world.seed = seed;
	world.random = seed * 0xd1342543de82ef95ull + 0x2545f4914f6cdd1dull;
	world.trace = trace;
	world.trace_from = trace_from;
	world.without = without;
	world.now = SIM_S;
	order = 0;
	for (u32 i = 1; i < ARRAY_SIZE(world.hosts); i++) {
		world.hosts[i].number = i;
		INIT_LIST_HEAD(&world.hosts[i].memory);
	}
}

void sim_world_end(void)
{
	while (heap_size)
		release(heap_pop().slot);
}
