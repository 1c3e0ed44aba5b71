/* SPDX-License-Identifier: (GPL-2.0 OR BSD-3-Clause) */
/* The version of module and tool; layouts and the wire have numbers of their own. */
#ifndef QBD_FORMAT_VERSION_H
#define QBD_FORMAT_VERSION_H

#define QBD_VERSION_TEXT	"0.1.0"

#endif
