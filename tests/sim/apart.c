// SPDX-License-Identifier: GPL-2.0
/*
 * Runs that do not come to their end: the module takes a pointer that leads nowhere, stops itself,
 * or goes round for ever. Then, too, it is to be said which seed that was, at which step, what
 * happened before, and with how few faults it ends like that.
 *
 * Of such a program nothing can be relied on any more. So what is known is written down, and the
 * program is begun anew, to look for the rest; there each run is a process of its own.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim.h"

static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGVTALRM };

static struct {
	u64 seed;		/* that runs */
	u64 steps_wanted;
	u32 seconds;		/* of a processor for one seed */
	struct sim_ended *ended;	/* in a process of its own: where, for who waits */
} apart;

/* What went wrong when nothing of this process can be used: neither stdio nor memory. */
static void tell(const char *format, ...)
{
	va_list arguments;
	char line[256];
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (write(1, line, min_t(int, length, sizeof(line) - 1)) < 0)
		_exit(1);
}

const char *sim_apart_how(int number)
{
	return number == SIGVTALRM ? "it does not end" : strsignal(number);
}

static void limit(u32 seconds)
{
	const struct itimerval value = { .it_value.tv_sec = seconds };

	setitimer(ITIMER_VIRTUAL, &value, NULL);
}

/* Once: what happens while it is handled ends the process. */
static void handle(void (*handler)(int))
{
	static u8 stack[64 << 10];
	const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = {
		.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_RESETHAND | SA_NODEFER,
	};

	sigaltstack(&alternate, NULL);
	for (u32 i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
}

static void begin_anew(int number)
{
	char words[5][24];

	tell("# seed %llu, step %llu, %.3f s, %u hosts: %s\n", apart.seed, world.steps,
	     world.now / 1e9, world.count, sim_apart_how(number));
	tell("# once more: make sim SEED=%llu STEPS=%llu%s\n", apart.seed, apart.steps_wanted,
	     sim_kinds_order());
	snprintf(words[0], sizeof(words[0]), "%llu", apart.steps_wanted);
	snprintf(words[1], sizeof(words[1]), "%u", apart.seconds);
	snprintf(words[2], sizeof(words[2]), "%llu", sim_trap_at);
	snprintf(words[3], sizeof(words[3]), "%llu", sim_loop_at);
	snprintf(words[4], sizeof(words[4]), "%llu", apart.seed);
	execl("/proc/self/exe", "qbd-sim", "--steps", words[0], "--limit", words[1],
	      "--trap-at", words[2], "--loop-at", words[3], "--without",
	      sim_kinds_text(world.without), "--apart", words[4], NULL);
	_exit(1);
}

/**
 * sim_apart_watch() - from now on it is told of a run how it ended, if it does not end well
 * @steps_wanted: what make sim is told to have it once more
 * @seconds: of a processor that a seed may take
 */
void sim_apart_watch(u64 steps_wanted, u32 seconds)
{
	apart.steps_wanted = steps_wanted;
	apart.seconds = seconds;
	handle(begin_anew);
}

/* A run of @seed begins; 0: it is over. */
void sim_apart_runs(u64 seed)
{
	apart.seed = seed;
	if (apart.seconds)
		limit(seed ? apart.seconds : 0);
}

struct sim_ended sim_apart_here(void)
{
	return (struct sim_ended){ world.steps, world.now, sim_faults_made(), world.kinds };
}

static void note(int number)
{
	*apart.ended = sim_apart_here();
	raise(number);
}

/**
 * sim_apart_run() - a run in a process of its own
 * @run: what runs a seed
 * @seed: seed
 * @seconds: of a processor that it may take
 * @quiet: it prints nothing
 * @ended: set to where, if it ended by a signal
 *
 * Return: the signal that ended it; 0: it came to its end, good or bad.
 */
int sim_apart_run(bool (*run)(u64 seed), u64 seed, u32 seconds, bool quiet,
		  struct sim_ended *ended)
{
	int status;
	pid_t child;

	if (!apart.ended)
		apart.ended = mmap(NULL, sizeof(*apart.ended), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (apart.ended == MAP_FAILED) {
		perror("qbd-sim: mmap");
		exit(2);
	}
	fflush(stdout);
	child = fork();
	if (child < 0) {
		perror("qbd-sim: fork");
		exit(2);
	}
	if (!child) {
		apart.seconds = seconds;
		handle(note);
		if (quiet && !freopen("/dev/null", "w", stdout))
			_exit(1);
		run(seed);
		fflush(stdout);
		_exit(0);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR) {
			perror("qbd-sim: waitpid");
			exit(2);
		}
	*ended = *apart.ended;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
