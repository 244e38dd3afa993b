/*
 * msg.c: the catalogue's pairs: what is packed is read back, and everything
 * else is refused. The frame channel is tried over a socketpair.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "msg.h"
#include "util.h"

static void
round_trip(void **state)
{
	struct msg_job_artifact in, out;
	struct msg_frame f;
	const char *why;

	(void)state;
	memset(&in, 0, sizeof(in));
	in.token = UINT64_MAX;
	in.number = 7;
	in.size = 1 << 20;
	in.name.len = 3;
	memcpy(in.name.data, "\xff\x00\n", 3);
	memset(in.sha256, 0xab, sizeof(in.sha256));
	strlcpy(in.content_type, "text/plain", sizeof(in.content_type));
	assert_int_equal(msg_job_artifact_pack(&f, 9, &in), 0);
	assert_int_equal(f.hdr.type, MSG_T_JOB_ARTIFACT);
	assert_int_equal(f.hdr.id, 9);
	memset(&out, 0x55, sizeof(out));
	assert_int_equal(msg_job_artifact_read(&f, &out, &why), 0);
	assert_true(out.token == in.token && out.number == 7);
	assert_int_equal(out.name.len, 3);
	assert_memory_equal(out.name.data, in.name.data, 3);
	assert_memory_equal(out.sha256, in.sha256, sizeof(in.sha256));
	assert_string_equal(out.content_type, "text/plain");
}

static void
signed_integers(void **state)
{
	static const int64_t values[] = { 0, 1, -1, 127, 128, 255, 256, 65535,
		65536, INT32_MAX };
	struct msg_rep_record in, out;
	struct msg_frame f;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < nitems(values); i++) {
		memset(&in, 0, sizeof(in));
		in.startup_ms = values[i];
		in.cpu_ms = values[i] < 0 ? -1 : values[i] * 100000;
		assert_int_equal(msg_rep_record_pack(&f, 0, &in), 0);
		assert_int_equal(msg_rep_record_read(&f, &out, &why), 0);
		assert_true(out.startup_ms == in.startup_ms);
		assert_true(out.cpu_ms == in.cpu_ms);
	}
}

/* Every prefix, every byte changed: never accepted beyond its bounds. */
static void
spoiled(void **state)
{
	struct msg_ctl_list in = { .limit = 1000,
		.status = -1,
		.error = -1,
		.exit_code = -2 },
			    out;
	struct msg_frame f, g;
	uint32_t len, i;
	const char *why;
	int b;

	(void)state;
	assert_int_equal(msg_ctl_list_pack(&f, 0, &in), 0);
	len = f.hdr.len;
	for (i = sizeof(f.hdr); i < len; i++) {
		g = f;
		g.hdr.len = i;
		assert_int_equal(msg_ctl_list_read(&g, &out, &why), -1);
		for (b = 0; b < 256; b++) {
			g = f;
			((uint8_t *)&g)[i] = (uint8_t)b;
			if (msg_ctl_list_read(&g, &out, &why) == 0) {
				assert_in_range(out.limit, 1, 1000);
				assert_true(out.status >= -1 &&
					    out.status < JOB_STATUS_MAX);
			}
		}
	}
	g = f;
	((uint8_t *)&g)[len] = 0;
	g.hdr.len = len + 1;
	assert_int_equal(msg_ctl_list_read(&g, &out, &why), -1);
}

static void
pack_refuses(void **state)
{
	struct msg_ctl_list list = {
		.limit = 0, .status = -1, .error = -1, .exit_code = -2
	};
	struct msg_ctl_job job;
	struct msg_frame f;

	(void)state;
	assert_int_equal(msg_ctl_list_pack(&f, 0, &list), -1);
	list.limit = 1;
	assert_int_equal(msg_ctl_list_pack(&f, 0, &list), 0);
	list.status = JOB_STATUS_MAX;
	assert_int_equal(msg_ctl_list_pack(&f, 0, &list), -1);
	memset(&job, 'a', sizeof(job));
	job.view = 0;
	assert_int_equal(msg_ctl_job_pack(&f, 0, &job), -1);
	strlcpy(job.job_id, "\xff\xfe", sizeof(job.job_id));
	assert_int_equal(msg_ctl_job_pack(&f, 0, &job), -1);
}

/* The largest record fits a frame: its bounds are the catalogue's. */
static void
largest_record(void **state)
{
	static struct msg_rep_record in;
	struct msg_frame f;

	(void)state;
	memset(&in, 0, sizeof(in));
	memset(in.job_id, 'a', MAX_JOB_ID);
	memset(in.job_type, 'a', MAX_JOB_TYPE);
	memset(in.job_version, 'a', MAX_JOB_TYPE + 16);
	memset(in.error_message, 'a', MAX_ERROR_MESSAGE);
	memset(in.parent_id, 'a', MAX_JOB_ID);
	memset(in.idempotency_key, 'a', MAX_IDEMPOTENCY);
	memset(in.correlation_id, 'a', MAX_CORRELATION);
	in.created_at = in.started_at = in.ended_at = MS_MAX_TIME;
	in.max_rss_kb = in.cpu_ms = in.wall_ms = INT64_MAX;
	in.stdout_len = in.stderr_len = in.output_len = MSG_BLOB;
	assert_int_equal(msg_rep_record_pack(&f, 0, &in), 0);
	assert_in_range(f.hdr.len, 1, MSG_MAX_FRAME);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(round_trip),
		cmocka_unit_test(signed_integers), cmocka_unit_test(spoiled),
		cmocka_unit_test(pack_refuses),
		cmocka_unit_test(largest_record) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
