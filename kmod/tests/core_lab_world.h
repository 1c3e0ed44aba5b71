/* SPDX-License-Identifier: GPL-2.0 */
/* What the lab's nodes live in: time, network, disks. Only for core_lab*.c. */
#ifndef QBD_TESTS_CORE_LAB_WORLD_H
#define QBD_TESTS_CORE_LAB_WORLD_H

#include "core_lab.h"

void lab_world_setup(struct lab *lab);
struct lab_event *lab_world_first(struct lab *lab);
void lab_world_pop(struct lab *lab);
void lab_world_free(struct lab *lab, struct lab_event *event);
/* Put the first event off to a later time. */
void lab_world_postpone(struct lab *lab, u64 at);

void lab_world_send(struct lab *lab, struct lab_node *node,
		    const struct qbd_core_message *message);
void lab_world_send_frame(struct lab *lab, struct lab_node *node, u32 peer,
			  const struct qbd_range *range, u32 count);
void lab_world_offer_extents(struct lab *lab, struct lab_node *node, u32 peer);
/* An event of @type at this node after a while. */
void lab_world_later(struct lab *lab, struct lab_node *node, u32 type);

/* Begin to write the entry at @index. */
void lab_world_write(struct lab *lab, struct lab_node *node, u64 index);
void lab_world_persist(struct lab *lab, struct lab_node *node);
/* Writes under way from @from on no longer have an effect. */
void lab_world_overtake(struct lab *lab, struct lab_node *node, u64 from);
/* Power cut: of the writes under way some reach the disk, some do not. */
void lab_world_lose_writes(struct lab *lab, struct lab_node *node);
void lab_world_to_disk(struct lab_node *node, const struct lab_entry *entry,
		       u64 index);
/* Would a recovery from this disk find the entry? */
bool lab_world_on_disk(const struct lab_disk *disk, u64 index, u64 id);
/* The number of a configuration in lab->configs. */
u32 lab_world_config(struct lab *lab, const struct qbd_config *config);

#endif /* QBD_TESTS_CORE_LAB_WORLD_H */
