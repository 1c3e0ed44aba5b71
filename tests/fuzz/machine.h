/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A kernel for the module's store in a fuzz target: what tests/sim/kernel/kernel.h
 * declares, for one host whose disk answers at once, so that nobody ever waits. Memory has
 * its exact size and pages lie apart, so that the sanitizers see who goes beyond.
 */
#ifndef QBD_TESTS_FUZZ_MACHINE_H
#define QBD_TESTS_FUZZ_MACHINE_H

/* Pieces of memory and pages that were not given back. */
extern unsigned long machine_allocated;
/* Who opened the disk last. */
extern void *machine_holder;

/* A disk of so many blocks, nothing waits for time to pass. */
void machine_begin(u64 disk_blocks);
/* To when the next timer is due, and run it; false: none is. */
bool machine_pass_time(void);

/* The disk, which a target has: false if it fails. */
bool machine_read(u64 block, void *to);
bool machine_write(u64 block, const void *from);
bool machine_zero(u64 block, u64 count);
bool machine_flush(void);

#endif
