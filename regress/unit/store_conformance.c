/*
 * store_conformance.c: what store.h promises, asked of both drivers by one
 * table of cases for each subject (store/). SQLite works on a file of its own,
 * PostgreSQL in a schema of its own of the database that TAKOD_TEST_PG names (a
 * URL): without it that half fails.
 */
#include "log.h"
#include "store/world.h"

int
main(void)
{
	int failed = 0;

	log_init("store_conformance", LOG_LEVEL_ERROR, 0);
	failed += submit_run();
	failed += jobs_run();
	failed += letters_run();
	failed += find_run();
	failed += nodes_run();
	failed += artifacts_run();
	failed += tenants_run();
	failed += session_run();
	return (failed != 0);
}
