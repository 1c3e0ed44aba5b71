// SPDX-License-Identifier: GPL-2.0
/*
 * Deliberate bugs, each of which one of the debug kernel's watchers has to report, and
 * allocations that its fault injection has to fail. A name written to the parameter "run"
 * does it once; with right=1 the same is done as it should be. Reading "run" gives all
 * names. For tests/vehicles/debug.
 *
 * What a bug does is hidden from the compiler, which would warn of it or leave it out.
 */
#include <linux/compiler.h>
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timer.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

/* A slab has objects of 64 bytes: the byte behind these is nobody else's. */
#define OBJECT_SIZE	40
#define LEAKS		16

static bool right;
module_param(right, bool, 0644);
MODULE_PARM_DESC(right, "make no mistake");

static unsigned int refused;
module_param(refused, uint, 0444);
MODULE_PARM_DESC(refused, "allocations that gave nothing");

/* ---- memory: KASAN, UBSAN, kmemleak -------------------------------------------------- */

static int use_after_free(void)
{
	u8 *object = kzalloc(OBJECT_SIZE, GFP_KERNEL);
	u8 *used = object;

	if (!object)
		return -ENOMEM;
	OPTIMIZER_HIDE_VAR(used);
	if (!right)
		kfree(object);
	(void)READ_ONCE(*used);
	if (right)
		kfree(object);
	return 0;
}

static int double_free(void)
{
	u8 *object = kzalloc(OBJECT_SIZE, GFP_KERNEL);
	u8 *again = object;

	if (!object)
		return -ENOMEM;
	OPTIMIZER_HIDE_VAR(again);
	kfree(object);
	if (!right)
		kfree(again);
	return 0;
}

static void touch_behind(u8 *object, size_t size)
{
	size_t place = right ? size - 1 : size;

	OPTIMIZER_HIDE_VAR(object);
	OPTIMIZER_HIDE_VAR(place);
	(void)READ_ONCE(object[place]);
}

static int slab_out_of_bounds(void)
{
	u8 *object = kzalloc(OBJECT_SIZE, GFP_KERNEL);

	if (!object)
		return -ENOMEM;
	touch_behind(object, OBJECT_SIZE);
	kfree(object);
	return 0;
}

static int vmalloc_out_of_bounds(void)
{
	u8 *object = vzalloc(OBJECT_SIZE);

	if (!object)
		return -ENOMEM;
	touch_behind(object, OBJECT_SIZE);
	vfree(object);
	return 0;
}

static int stack_out_of_bounds(void)
{
	u8 object[OBJECT_SIZE] = { 0 };

	touch_behind(object, OBJECT_SIZE);
	return 0;
}

/*
 * Behind the array is memory of the same object, so that it is no matter for KASAN. The
 * place right behind it is no matter for UBSAN while only its address is taken.
 */
static int index_out_of_bounds(void)
{
	static struct {
		u8 array[OBJECT_SIZE];
		u8 more[OBJECT_SIZE];
	} object;
	unsigned int place = right ? 0 : OBJECT_SIZE + 1;

	OPTIMIZER_HIDE_VAR(place);
	WRITE_ONCE(object.array[place], 1);
	WRITE_ONCE(object.more[0], 1);
	return 0;
}

static int shift_out_of_bounds(void)
{
	static unsigned int result;
	unsigned int bits = right ? 31 : 32;

	OPTIMIZER_HIDE_VAR(bits);
	WRITE_ONCE(result, 1U << bits);
	return 0;
}

/* Several, for the address of one may be left in some register or on a stack. */
static int leak(void)
{
	unsigned int i;

	for (i = 0; i < LEAKS; i++) {
		char *object = kzalloc(OBJECT_SIZE, GFP_KERNEL);

		if (!object)
			return -ENOMEM;
		strscpy(object, "qbd leaks", OBJECT_SIZE);
		OPTIMIZER_HIDE_VAR(object);
		if (right)
			kfree(object);
	}
	return 0;
}

static int cache_in_use(void)
{
	struct kmem_cache *cache;
	void *object;

	cache = kmem_cache_create("qbd_bugs", OBJECT_SIZE, 0, SLAB_NO_MERGE, NULL);
	if (!cache)
		return -ENOMEM;
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	if (object && right)
		kmem_cache_free(cache, object);
	kmem_cache_destroy(cache);
	return object ? 0 : -ENOMEM;
}

static int null_pointer(void)
{
	u8 value = 0, *object = right ? &value : NULL;

	OPTIMIZER_HIDE_VAR(object);
	(void)READ_ONCE(*object);
	return 0;
}

/* ---- locks: lockdep ------------------------------------------------------------------ */

static int locks_in_both_orders(void)
{
	static DEFINE_MUTEX(one);
	static DEFINE_MUTEX(other);

	mutex_lock(&one);
	mutex_lock(&other);
	mutex_unlock(&other);
	mutex_unlock(&one);

	if (right)
		return 0;
	mutex_lock(&other);
	mutex_lock(&one);
	mutex_unlock(&one);
	mutex_unlock(&other);
	return 0;
}

/* Two of a kind, one within the other. */
static int lock_within_lock(void)
{
	static spinlock_t locks[2];
	unsigned int i;

	for (i = 0; i < 2; i++)
		spin_lock_init(&locks[i]);
	spin_lock(&locks[0]);
	if (right)
		spin_lock_nested(&locks[1], SINGLE_DEPTH_NESTING);
	else
		spin_lock(&locks[1]);
	spin_unlock(&locks[1]);
	spin_unlock(&locks[0]);
	return 0;
}

static DEFINE_SPINLOCK(timers_lock);

static void lock_in_timer(struct timer_list *timer)
{
	spin_lock(&timers_lock);
	spin_unlock(&timers_lock);
}

/* A timer's lock is taken by a task that the timer may interrupt. */
static int lock_of_timer(void)
{
	static DEFINE_TIMER(timer, lock_in_timer);

	mod_timer(&timer, jiffies + 1);
	msleep(100);
	timer_delete_sync(&timer);
	if (right) {
		spin_lock_bh(&timers_lock);
		spin_unlock_bh(&timers_lock);
	} else {
		spin_lock(&timers_lock);
		spin_unlock(&timers_lock);
	}
	return 0;
}

static int held_lock_freed(void)
{
	struct mutex *lock = kzalloc(sizeof(*lock), GFP_KERNEL);

	if (!lock)
		return -ENOMEM;
	mutex_init(lock);
	mutex_lock(lock);
	if (right)
		mutex_unlock(lock);
	kfree(lock);
	return 0;
}

static int lock_without_init(void)
{
	spinlock_t *lock = kzalloc(sizeof(*lock), GFP_KERNEL);

	if (!lock)
		return -ENOMEM;
	if (right)
		spin_lock_init(lock);
	spin_lock(lock);
	spin_unlock(lock);
	kfree(lock);
	return 0;
}

static int rcu_without_lock(void)
{
	static int value;
	static int __rcu *pointer = RCU_INITIALIZER(&value);

	if (right)
		rcu_read_lock();
	(void)READ_ONCE(*rcu_dereference(pointer));
	if (right)
		rcu_read_unlock();
	return 0;
}

/* ---- sleeping where one must not, or too long ---------------------------------------- */

static DEFINE_SPINLOCK(spinning);

static int mutex_in_spinlock(void)
{
	static DEFINE_MUTEX(mutex);

	if (right) {
		mutex_lock(&mutex);
		spin_lock(&spinning);
	} else {
		spin_lock(&spinning);
		mutex_lock(&mutex);
	}
	spin_unlock(&spinning);
	mutex_unlock(&mutex);
	return 0;
}

static int sleep_in_spinlock(void)
{
	int before = preempt_count();

	if (right)
		msleep(20);
	spin_lock(&spinning);
	if (!right)
		msleep(20);
	spin_unlock(&spinning);
	/* The scheduler forgets the spinlock when it has complained. */
	preempt_count_set(before);
	return 0;
}

static int hung_task(void)
{
	if (right)
		schedule_timeout_idle(4 * HZ);
	else
		schedule_timeout_uninterruptible(4 * HZ);
	return 0;
}

static void wait_a_bit(struct work_struct *work)
{
	msleep(500);
}

static DECLARE_WORK(slow_work, wait_a_bit);

static void wait_for_slow_work(struct work_struct *work)
{
	flush_work(&slow_work);
}

static DECLARE_WORK(waiting_work, wait_for_slow_work);

/* Who frees memory waits for somebody who may need some. */
static int flush_from_reclaim(void)
{
	struct workqueue_struct *reclaims = alloc_workqueue("qbd_reclaims", WQ_MEM_RECLAIM, 0);
	struct workqueue_struct *slow = alloc_workqueue("qbd_slow", right ? WQ_MEM_RECLAIM : 0, 0);
	int error = -ENOMEM;

	if (reclaims && slow) {
		queue_work(slow, &slow_work);
		queue_work(reclaims, &waiting_work);
		flush_work(&waiting_work);
		error = 0;
	}
	if (slow)
		destroy_workqueue(slow);
	if (reclaims)
		destroy_workqueue(reclaims);
	return error;
}

/* ---- objects: DEBUG_OBJECTS, DEBUG_LIST, reference counts ---------------------------- */

static void do_nothing(struct timer_list *timer)
{
}

static int active_timer_freed(void)
{
	struct timer_list *timer = kzalloc(sizeof(*timer), GFP_KERNEL);

	if (!timer)
		return -ENOMEM;
	timer_setup(timer, do_nothing, 0);
	mod_timer(timer, jiffies + 1000 * HZ);
	if (right)
		timer_delete_sync(timer);
	kfree(timer);
	return 0;
}

static int timer_without_setup(void)
{
	struct timer_list *timer = kzalloc(sizeof(*timer), GFP_KERNEL);

	if (!timer)
		return -ENOMEM;
	if (right)
		timer_setup(timer, do_nothing, 0);
	timer_delete(timer);
	kfree(timer);
	return 0;
}

static void work_done(struct work_struct *work)
{
}

static int queued_work_freed(void)
{
	struct delayed_work *work = kzalloc(sizeof(*work), GFP_KERNEL);

	if (!work)
		return -ENOMEM;
	INIT_DELAYED_WORK(work, work_done);
	schedule_delayed_work(work, 1000 * HZ);
	if (right)
		cancel_delayed_work_sync(work);
	kfree(work);
	return 0;
}

static void rcu_done(struct rcu_head *head)
{
}

static int call_rcu_twice(void)
{
	static struct rcu_head head;

	call_rcu(&head, rcu_done);
	if (right)
		rcu_barrier();
	call_rcu(&head, rcu_done);
	rcu_barrier();
	return 0;
}

static int list_del_twice(void)
{
	LIST_HEAD(list);
	struct list_head entry;

	list_add(&entry, &list);
	list_del(&entry);
	if (!right)
		list_del(&entry);
	return 0;
}

static int list_add_twice(void)
{
	LIST_HEAD(list);
	struct list_head entry;

	list_add(&entry, &list);
	if (right)
		list_del(&entry);
	list_add(&entry, &list);
	return 0;
}

/* A neighbour was taken out by somebody who did not tell the list. */
static int list_torn(void)
{
	LIST_HEAD(list);
	struct list_head entry, more;

	list_add(&entry, &list);
	if (!right)
		INIT_LIST_HEAD(&entry);
	list_add_tail(&more, &list);
	return 0;
}

static int refcount_below_zero(void)
{
	refcount_t count = REFCOUNT_INIT(1);

	if (right)
		refcount_inc(&count);
	(void)!refcount_dec_and_test(&count);
	(void)!refcount_dec_and_test(&count);
	return 0;
}

static int refcount_from_zero(void)
{
	refcount_t count = REFCOUNT_INIT(1);

	if (!right)
		(void)!refcount_dec_and_test(&count);
	refcount_inc(&count);
	return 0;
}

/* ---- allocations, for fault injection ------------------------------------------------ */

static int allocate_small(void)
{
	void *object = kmalloc(OBJECT_SIZE, GFP_KERNEL);

	if (!object) {
		refused++;
		return -ENOMEM;
	}
	OPTIMIZER_HIDE_VAR(object);
	kfree(object);
	return 0;
}

static int allocate_page(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	if (!page) {
		refused++;
		return -ENOMEM;
	}
	__free_page(page);
	return 0;
}

static int small_error, page_error;

static void allocate_small_here(struct work_struct *work)
{
	small_error = allocate_small();
}

static void allocate_page_here(struct work_struct *work)
{
	page_error = allocate_page();
}

static DECLARE_WORK(small_work, allocate_small_here);
static DECLARE_WORK(page_work, allocate_page_here);

static int allocate_small_in_worker(void)
{
	schedule_work(&small_work);
	flush_work(&small_work);
	return small_error;
}

static int allocate_page_in_worker(void)
{
	schedule_work(&page_work);
	flush_work(&page_work);
	return page_error;
}

/* ---- the parameter ------------------------------------------------------------------- */

#define DEED(function) { #function, function }

static const struct deed {
	const char *name;
	int (*function)(void);
} deeds[] = {
	DEED(use_after_free),
	DEED(double_free),
	DEED(slab_out_of_bounds),
	DEED(vmalloc_out_of_bounds),
	DEED(stack_out_of_bounds),
	DEED(index_out_of_bounds),
	DEED(shift_out_of_bounds),
	DEED(leak),
	DEED(cache_in_use),
	DEED(null_pointer),
	DEED(locks_in_both_orders),
	DEED(lock_within_lock),
	DEED(lock_of_timer),
	DEED(held_lock_freed),
	DEED(lock_without_init),
	DEED(rcu_without_lock),
	DEED(mutex_in_spinlock),
	DEED(sleep_in_spinlock),
	DEED(hung_task),
	DEED(flush_from_reclaim),
	DEED(active_timer_freed),
	DEED(timer_without_setup),
	DEED(queued_work_freed),
	DEED(call_rcu_twice),
	DEED(list_del_twice),
	DEED(list_add_twice),
	DEED(list_torn),
	DEED(refcount_below_zero),
	DEED(refcount_from_zero),
	DEED(allocate_small),
	DEED(allocate_page),
	DEED(allocate_small_in_worker),
	DEED(allocate_page_in_worker),
};

static int run_one(const char *name, const struct kernel_param *param)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(deeds); i++)
		if (sysfs_streq(name, deeds[i].name))
			return deeds[i].function();
	return -EINVAL;
}

static int names(char *buffer, const struct kernel_param *param)
{
	unsigned int i;
	int length = 0;

	for (i = 0; i < ARRAY_SIZE(deeds); i++)
		length += sysfs_emit_at(buffer, length, "%s\n", deeds[i].name);
	return length;
}

static const struct kernel_param_ops run_ops = {
	.set = run_one,
	.get = names,
};

module_param_cb(run, &run_ops, NULL, 0644);
MODULE_PARM_DESC(run, "what to do");

static int __init bugs_init(void)
{
	return 0;
}

static void __exit bugs_exit(void)
{
}

module_init(bugs_init);
module_exit(bugs_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Deliberate bugs");
