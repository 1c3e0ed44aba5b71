/* SPDX-License-Identifier: GPL-2.0 */
/* One line for people: what, why, what would work. */
#ifndef QBD_LIB_ERROR_H
#define QBD_LIB_ERROR_H

struct qbd_error {
	char text[640];
};

/**
 * qbd_fail() - write an error's line
 * @error: where to
 * @code: errno value, positive
 *
 * Return: -@code, so that it can be the last word of a function.
 */
int qbd_fail(struct qbd_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
