/*
 * artifacts.c: pieces of artifacts, and which places a record names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util.h"
#include "world.h"

static struct artifact_place
place_of(const char *id, int64_t fence)
{
	struct artifact_place p = { .fence = fence };

	strlcpy(p.job_id, id, sizeof(p.job_id));
	return (p);
}

static int
known(const char *artifact_store, const char *id, int64_t fence)
{
	struct artifact_place p = place_of(id, fence);
	struct answer a;

	CALL(&a, artifact_known(w.store, artifact_store, &p, on_plain, &a));
	assert_true(a.result == STORE_OK || a.result == STORE_NOT_FOUND);
	return (a.result == STORE_OK);
}

/* Which places a record names, or may still come to. */
static void
t_artifact_known(void **state)
{
	char id[MAX_JOB_ID + 1];
	struct job *j, *got;

	(void)state;
	assert_false(known("local", "nobody", 1));
	submit_waiting(id, 0);
	j = claim_one();
	assert_true(known("local", id, 1) && known("s3", id, 1));
	assert_false(known("local", id, 2));
	assert_true(known("local", id, 0));
	end_fully(j); /* they are in s3 */
	assert_int_equal(do_finish(j), STORE_OK);
	assert_true(known("s3", id, 1) && known("s3", id, 0));
	assert_false(known("local", id, 1) || known("s3", id, 2));
	got = do_get(id, WANT_ARTIFACTS);
	assert_non_null(got);
	assert_int_equal(got->n_artifacts, 2);
	assert_string_equal(got->artifact_store, "s3");
	assert_null(got->out);
	job_free(got);
	job_free(j);
	/* What ended without any names no place. */
	submit_waiting(id, 0);
	j = claim_one();
	end_succeeded(j);
	assert_int_equal(do_finish(j), STORE_OK);
	assert_false(known("local", id, 1) || known("local", id, 0));
	job_free(j);
}

static enum store_result
put_chunk(const char *id, int64_t fence, int number, int chunk,
    const char *data, size_t len)
{
	struct artifact_place p = place_of(id, fence);
	struct blob *b = blob_copy(data, len);
	struct answer a;

	CALL(&a, chunk_put(w.store, &p, number, chunk, b, on_plain, &a));
	blob_unref(b);
	return (a.result);
}

static void
assert_chunk(const char *id, int64_t fence, int number, int chunk,
    const char *data, size_t len)
{
	struct artifact_place p = place_of(id, fence);
	struct answer a;

	CALL(&a, chunk_get(w.store, &p, number, chunk, on_blob, &a));
	if (data == NULL) {
		assert_int_equal(a.result, STORE_NOT_FOUND);
		assert_null(a.blob);
		return;
	}
	assert_int_equal(a.result, STORE_OK);
	assert_int_equal(blob_len(a.blob), len);
	assert_memory_equal(blob_data(a.blob), data, len);
	blob_unref(a.blob);
}

static void
remove_chunks(const char *id, int64_t fence)
{
	struct artifact_place p = place_of(id, fence);
	struct answer a;

	do {
		CALL(&a, chunk_remove(w.store, &p, on_plain, &a));
	} while (a.result == STORE_OK);
	assert_int_equal(a.result, STORE_NOT_FOUND);
}

static void
t_chunks(void **state)
{
	char *large = malloc(MIB);
	int i;

	(void)state;
	assert_non_null(large);
	memset(large, 0xa5, MIB);
	for (i = 0; i < 10; i++)
		assert_int_equal(
		    put_chunk("job-a", 1, 0, i, "\0\xff\n", 3), STORE_OK);
	assert_int_equal(put_chunk("job-a", 1, 1, 0, large, MIB), STORE_OK);
	assert_int_equal(put_chunk("job-a", 2, 0, 0, "two", 3), STORE_OK);
	assert_int_equal(put_chunk("job-b", 1, 0, 0, "b", 1), STORE_OK);
	assert_chunk("job-a", 1, 0, 9, "\0\xff\n", 3);
	assert_chunk("job-a", 1, 1, 0, large, MIB);
	assert_chunk("job-a", 2, 0, 0, "two", 3);
	assert_chunk("job-a", 1, 0, 10, NULL, 0);
	assert_chunk("job-a", 3, 0, 0, NULL, 0);
	assert_chunk("job", 1, 0, 0, NULL, 0);
	/* Again: the later one counts. */
	assert_int_equal(put_chunk("job-a", 1, 0, 9, "again", 5), STORE_OK);
	assert_chunk("job-a", 1, 0, 9, "again", 5);
	remove_chunks("job-a", 1);
	assert_chunk("job-a", 1, 0, 0, NULL, 0);
	assert_chunk("job-a", 1, 1, 0, NULL, 0);
	assert_chunk("job-a", 2, 0, 0, "two", 3);
	remove_chunks("job-a", 0);
	assert_chunk("job-a", 2, 0, 0, NULL, 0);
	assert_chunk("job-b", 1, 0, 0, "b", 1);
	free(large);
}

/* Each place once, in order, however much lies in it. */
static void
t_chunk_places(void **state)
{
	struct artifact_place last;
	struct answer a;
	char id[MAX_JOB_ID + 1];
	int i, seen = 0;

	(void)state;
	memset(&last, 0, sizeof(last));
	CALL(&a, chunk_places(w.store, &last, on_places, &a));
	assert_int_equal(a.result, STORE_OK);
	assert_int_equal(a.n_places, 0);
	for (i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "job-%02d", i);
		put_chunk(id, 1, 0, 0, "x", 1);
		put_chunk(id, 1, 0, 1, "x", 1);
		put_chunk(id, 12, 3, 0, "x", 1);
	}
	for (;;) {
		CALL(&a, chunk_places(w.store, &last, on_places, &a));
		if (a.n_places == 0)
			break;
		for (i = 0; i < (int)a.n_places; i++, seen++) {
			snprintf(id, sizeof(id), "job-%02d", seen / 2);
			last = a.places[i].place;
			assert_string_equal(last.job_id, id);
			assert_int_equal(last.fence, seen % 2 == 0 ? 1 : 12);
			assert_true(llabs(a.places[i].written -
					  time_wall_us()) < 600 * 1000000LL);
		}
	}
	assert_int_equal(seen, 40);
}

int
artifacts_run(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(t_artifact_known),
		BOTH(t_chunks),
		BOTH(t_chunk_places),
	};

	return (cmocka_run_group_tests_name("artifacts", tests, NULL, NULL));
}
