// SPDX-License-Identifier: GPL-2.0
/* qbd: Quorum Block Device. The module's life. */
#include <linux/genetlink.h>
#include <linux/init.h>
#include <linux/module.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <uapi/linux/qbd.h>

#include "blk/blk.h"
#include "ctl/ctl.h"
#include "format/version.h"
#include "replica/replica.h"

/* A namespace goes: so do the members that live in it, whoever uses them. */
static void __net_exit qbd_net_exit(struct net *net)
{
	qbd_replica_net_exit(net);
}

static struct pernet_operations qbd_net_operations = {
	.exit = qbd_net_exit,
};

/* Upwards: each step may use what was there before it. */
static int __init qbd_init(void)
{
	int error;

	error = qbd_blk_init();
	if (error)
		return error;
	error = qbd_replica_init();
	if (error)
		goto err_blk;
	/* As devices do it: members are down before the namespace loses its links. */
	error = register_pernet_device(&qbd_net_operations);
	if (error)
		goto err_replica;
	error = qbd_ctl_init();
	if (error)
		goto err_pernet;
	pr_info("version %s loaded\n", QBD_VERSION_TEXT);
	return 0;

err_pernet:
	unregister_pernet_device(&qbd_net_operations);
err_replica:
	qbd_replica_exit();
err_blk:
	qbd_blk_exit();
	return error;
}

/* Members hold references of the module: none is up here. */
static void __exit qbd_exit(void)
{
	qbd_ctl_exit();
	unregister_pernet_device(&qbd_net_operations);
	qbd_replica_exit();
	qbd_blk_exit();
}

module_init(qbd_init);
module_exit(qbd_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Quorum Block Device: block devices replicated by Raft");
MODULE_VERSION(QBD_VERSION_TEXT);
MODULE_ALIAS_GENL_FAMILY(QBD_FAMILY_NAME);
