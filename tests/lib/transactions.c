// SPDX-License-Identifier: GPL-2.0
/*
 * Transactions in SQLite that say when they are durable, and their checker.
 *
 *   transactions run FILE wal|delete PAUSE	one transaction after the other, with PAUSE
 *					microseconds between two, each durable; prints
 *					"N" when number N is committed; until it is killed
 *   transactions check FILE		open it (which rolls back or forward what a power
 *					cut left), PRAGMA integrity_check; the numbers
 *					must be 1, 2, 3 ... and the accounts what all
 *					transactions together make of them; prints how
 *					many there are
 *   transactions drop FILE		take the last one out, properly: for who tests the
 *					tests
 *
 * A transaction adds an entry and moves an amount between two accounts. Exit status 0;
 * 1 with one line on standard error; 2 for bad arguments.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ACCOUNTS 64
#define AT_FIRST 1000000

static sqlite3 *database;

static int complain(const char *what)
{
	fprintf(stderr, "transactions: %s: %s\n", what,
		database ? sqlite3_errmsg(database) : "no memory");
	return 1;
}

static bool execute(const char *format, ...)
{
	va_list arguments;
	char *text;
	bool good;

	va_start(arguments, format);
	text = sqlite3_vmprintf(format, arguments);
	va_end(arguments);
	good = text && sqlite3_exec(database, text, NULL, NULL, NULL) == SQLITE_OK;
	if (!good)
		complain(text);
	sqlite3_free(text);
	return good;
}

/*
 * With a rollback journal a transaction is committed when the journal is deleted, and
 * only synchronous=EXTRA syncs the directory then: with FULL a power cut may bring the
 * journal back, and take the transaction away.
 */
static const char *synchronous(const char *mode)
{
	return strcmp(mode, "delete") ? "FULL" : "EXTRA";
}

/* The only value of the only row of a query, as text. */
static bool ask(const char *query, char *answer, size_t size)
{
	sqlite3_stmt *statement;
	bool good = false;

	if (sqlite3_prepare_v2(database, query, -1, &statement, NULL) == SQLITE_OK &&
	    sqlite3_step(statement) == SQLITE_ROW) {
		const unsigned char *text = sqlite3_column_text(statement, 0);

		snprintf(answer, size, "%s", text ? (const char *)text : "");
		good = true;
	} else {
		complain(query);
	}
	sqlite3_finalize(statement);
	return good;
}

static bool ask_number(const char *query, int64_t *number)
{
	char answer[64];

	if (!ask(query, answer, sizeof(answer)))
		return false;
	*number = strtoll(answer, NULL, 10);
	return true;
}

#define TABLES \
	"CREATE TABLE IF NOT EXISTS accounts(id INTEGER PRIMARY KEY, balance);" \
	"CREATE TABLE IF NOT EXISTS entries(number INTEGER PRIMARY KEY, source, target," \
	" amount, filler);" \
	"CREATE INDEX IF NOT EXISTS by_source ON entries(source, amount);" \
	"CREATE INDEX IF NOT EXISTS by_target ON entries(target, amount)"
#define WRONG_ACCOUNTS \
	"SELECT count(*) FROM accounts WHERE balance != 1000000 - " \
	"(SELECT coalesce(sum(amount), 0) FROM entries WHERE source = id) + " \
	"(SELECT coalesce(sum(amount), 0) FROM entries WHERE target = id)"
#define LAST "FROM entries ORDER BY number DESC LIMIT 1)"
#define DROP_LAST \
	"UPDATE accounts SET balance = balance + (SELECT amount " LAST \
	" WHERE id = (SELECT source " LAST ";" \
	"UPDATE accounts SET balance = balance - (SELECT amount " LAST \
	" WHERE id = (SELECT target " LAST ";" \
	"DELETE FROM entries WHERE number = (SELECT max(number) FROM entries)"

static bool open_database(const char *path, int flags)
{
	return sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE | flags, NULL) ==
	       SQLITE_OK || (complain(path), false);
}

static bool make_tables(void)
{
	int64_t there;

	if (!execute("BEGIN IMMEDIATE") ||
	    !execute(TABLES) ||
	    !ask_number("SELECT count(*) FROM accounts", &there))
		return false;
	for (int id = there; id < ACCOUNTS; id++)
		if (!execute("INSERT INTO accounts VALUES(%d, %d)", id, AT_FIRST))
			return false;
	return execute("COMMIT");
}

static int run(const char *path, const char *mode, int64_t pause)
{
	char answer[64];
	int64_t number;

	if (!open_database(path, SQLITE_OPEN_CREATE) ||
	    !execute("PRAGMA journal_mode=%s", mode) ||
	    !ask("PRAGMA journal_mode", answer, sizeof(answer)) ||
	    !execute("PRAGMA synchronous=%s", synchronous(mode)) || !make_tables() ||
	    !ask_number("SELECT coalesce(max(number), 0) FROM entries", &number))
		return 1;
	if (strcmp(answer, mode)) {
		fprintf(stderr, "transactions: the journal mode is %s, not %s\n", answer, mode);
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;) {
		int source = (++number * 7919) % ACCOUNTS, target = number * 104729 % ACCOUNTS;
		int amount = number % 97;

		if (!execute("BEGIN IMMEDIATE") ||
		    !execute("INSERT INTO entries VALUES(%lld, %d, %d, %d, zeroblob(%d))",
			     (long long)number, source, target, amount,
			     (int)(number * 613 % 700)) ||
		    !execute("UPDATE accounts SET balance = balance - %d WHERE id = %d", amount,
			     source) ||
		    !execute("UPDATE accounts SET balance = balance + %d WHERE id = %d", amount,
			     target) ||
		    !execute("COMMIT"))
			return 1;
		printf("%" PRId64 "\n", number);
		usleep(pause);
	}
}

static int check(const char *path)
{
	int64_t count, last, wrong;
	char answer[200];

	/* The power may have gone before there was a file. */
	if (!open_database(path, SQLITE_OPEN_CREATE) ||
	    !ask("PRAGMA integrity_check", answer, sizeof(answer)))
		return 1;
	if (strcmp(answer, "ok")) {
		fprintf(stderr, "transactions: %s: integrity_check says: %s\n", path, answer);
		return 1;
	}
	/* Or a table in it. */
	if (!ask_number("SELECT count(*) FROM sqlite_schema WHERE type = 'table'", &count))
		return 1;
	if (!count) {
		puts("0");
		return 0;
	}
	if (!ask_number("SELECT count(*) FROM entries", &count) ||
	    !ask_number("SELECT coalesce(max(number), 0) FROM entries", &last) ||
	    !ask_number(WRONG_ACCOUNTS, &wrong))
		return 1;
	if (count != last || wrong) {
		fprintf(stderr, "transactions: %s: %" PRId64 " entries, the last is %" PRId64
			", %" PRId64 " accounts are wrong\n", path, count, last, wrong);
		return 1;
	}
	printf("%" PRId64 "\n", count);
	return sqlite3_close(database) == SQLITE_OK ? 0 : complain("close");
}

static int drop(const char *path)
{
	return open_database(path, 0) && execute("BEGIN IMMEDIATE") &&
	       execute(DROP_LAST) &&
	       execute("COMMIT") && sqlite3_close(database) == SQLITE_OK ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "run") &&
	    (!strcmp(argv[3], "wal") || !strcmp(argv[3], "delete"))) {
		char *end;
		int64_t pause = strtoll(argv[4], &end, 10);

		if (!*end && end != argv[4] && pause >= 0 && pause <= 1000000)
			return run(argv[2], argv[3], pause);
	}
	if (argc == 3 && !strcmp(argv[1], "check"))
		return check(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "drop"))
		return drop(argv[2]);
	fprintf(stderr, "usage: transactions run FILE wal|delete PAUSE | check FILE | drop FILE\n");
	return 2;
}
