// SPDX-License-Identifier: GPL-2.0
/*
 * Two threads on two processors that change one counter: what the sanitizer of data
 * races has to find, and with marked=1 what it must not. For tests/kcsan/run.
 */
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>

#define RACERS		2
#define RACE_SECONDS	5

static bool marked;
module_param(marked, bool, 0444);
MODULE_PARM_DESC(marked, "change it with an atomic operation");

static struct task_struct *racers[RACERS];
static unsigned long plain_count;
static atomic_long_t atomic_count;

static int race(void *unused)
{
	unsigned long end = jiffies + RACE_SECONDS * HZ;

	while (time_before(jiffies, end)) {
		if (marked)
			atomic_long_inc(&atomic_count);
		else
			plain_count++;
		cond_resched();
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static void stop_racers(void)
{
	unsigned int i;

	for (i = 0; i < RACERS; i++)
		if (!IS_ERR_OR_NULL(racers[i]))
			kthread_stop(racers[i]);
}

static int __init race_init(void)
{
	unsigned int i;

	for (i = 0; i < RACERS; i++) {
		racers[i] = kthread_create_on_cpu(race, NULL, i, "qbd-race/%u");
		if (IS_ERR(racers[i])) {
			stop_racers();
			return PTR_ERR(racers[i]);
		}
		wake_up_process(racers[i]);
	}
	return 0;
}

static void __exit race_exit(void)
{
	stop_racers();
	pr_info("qbd_race: counted to %lu\n",
		marked ? (unsigned long)atomic_long_read(&atomic_count) : plain_count);
}

module_init(race_init);
module_exit(race_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A deliberate data race");
