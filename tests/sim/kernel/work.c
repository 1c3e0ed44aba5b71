// SPDX-License-Identifier: GPL-2.0
/* Works, timers, locks, and threads that wait. */
#include "../sim.h"

static struct workqueue_struct unbound = { .name = "events_unbound" };
struct workqueue_struct *system_unbound_wq = &unbound;

/* ---- locks -------------------------------------------------------------- */

/* One thread: a lock that is held when it is taken is held for ever. */
void sim_lock(spinlock_t *lock)
{
	WARN_ON(lock->held);
	lock->held = true;
}

void sim_unlock(spinlock_t *lock)
{
	WARN_ON(!lock->held);
	lock->held = false;
}

void mutex_lock(struct mutex *mutex)
{
	while (mutex->held)
		sim_sleep(0);
	mutex->held = true;
}

void mutex_unlock(struct mutex *mutex)
{
	WARN_ON(!mutex->held);
	mutex->held = false;
}

/* ---- works -------------------------------------------------------------- */

struct workqueue_struct *alloc_workqueue(const char *name, unsigned int flags, int most)
{
	struct workqueue_struct *queue;

	/* The module's own one outlives its hosts. */
	if (!sim_host) {
		static struct workqueue_struct opening = { .awaited = true };
		static struct workqueue_struct release = { .sleeps = true };

		queue = strcmp(name, "qbd-open") ? &release : &opening;
		queue->name = name;
		return queue;
	}
	queue = kzalloc(sizeof(*queue), GFP_KERNEL);
	if (!queue)
		return NULL;
	queue->name = name;
	return queue;
}

void destroy_workqueue(struct workqueue_struct *queue)
{
	if (!queue->sleeps && !queue->awaited)
		kfree(queue);
}

/* The work that runs has not looked at the clock yet. */
static bool clock_unread;

static void work_run(void *object, u64 argument)
{
	struct work_struct *work = object;

	work->event = 0;
	work->running = true;
	clock_unread = !argument;
	work->function(work);
	clock_unread = false;
	/* One that ends a host's member ends with it: not touched again. */
	if (!argument)
		work->running = false;
}

static void work_thread(void *object)
{
	work_run(object, 1);
}

static void work_begin_thread(void *object, u64 argument)
{
	sim_thread(work_thread, object);
}

bool queue_work(struct workqueue_struct *queue, struct work_struct *work)
{
	if (queue->awaited) {
		work->function(work);
		return true;
	}
	if (work->event)
		return false;
	work->event = sim_event(sim_host, world.now + sim_spread(1, world.weather.run_spread),
				queue->sleeps ? work_begin_thread : work_run, work, 0);
	return true;
}

void cancel_work_sync(struct work_struct *work)
{
	WARN_ON(work->running);
	if (work->event)
		sim_event_cancel(work->event);
	work->event = 0;
}

void flush_work(struct work_struct *work)
{
	while (work->event || work->running)
		sim_sleep(0);
}

/* ---- timers ------------------------------------------------------------- */

u64 ktime_get_boottime_ns(void)
{
	u64 now = sim_host_time(sim_host);

	/* What it knows of the time may be old when it comes to use it. */
	if (clock_unread) {
		clock_unread = false;
		sim_preempt();
	}
	return now;
}

static void hrtimer_fire(void *object, u64 argument)
{
	struct hrtimer *timer = object;

	timer->armed = 0;
	timer->function(timer);
}

void hrtimer_start(struct hrtimer *timer, ktime_t when, int mode)
{
	hrtimer_cancel(timer);
	timer->armed = sim_event(sim_host, max(sim_world_time(sim_host, when), world.now + 1),
				 hrtimer_fire, timer, 0);
}

void hrtimer_cancel(struct hrtimer *timer)
{
	if (timer->armed)
		sim_event_cancel(timer->armed);
	timer->armed = 0;
}

void timer_setup(struct timer_list *timer, void (*function)(struct timer_list *timer),
		 unsigned int flags)
{
	memset(timer, 0, sizeof(*timer));
	timer->function = function;
}

static void timer_fire(void *object, u64 argument)
{
	struct timer_list *timer = object;

	timer->armed = 0;
	timer->function(timer);
}

void mod_timer(struct timer_list *timer, unsigned long expires)
{
	u64 when = sim_world_time(sim_host, expires * (NSEC_PER_SEC / HZ));

	if (timer->shut_down)
		return;
	if (timer->armed)
		sim_event_cancel(timer->armed);
	timer->expires = expires;
	timer->armed = sim_event(sim_host, max(when, world.now + 1), timer_fire, timer, 0);
}

void timer_shutdown_sync(struct timer_list *timer)
{
	if (timer->armed)
		sim_event_cancel(timer->armed);
	timer->armed = 0;
	timer->shut_down = true;
}

/* ---- waiting ------------------------------------------------------------ */

void wait_for_completion(struct completion *completion)
{
	while (!completion->done)
		sim_sleep(0);
}

unsigned long wait_for_completion_timeout(struct completion *completion,
					  unsigned long timeout)
{
	u64 until = ktime_get_boottime_ns() + timeout * (NSEC_PER_SEC / HZ);

	while (!completion->done)
		if (!sim_sleep(until))
			return completion->done;
	return 1;
}

u64 get_random_u64(void)
{
	return sim_random();
}
