/*
 * What containers of both engines are asked to have of graphics processors.
 */
#include <sys/sysmacros.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "takod/docker_spec.h"
#include "takod/gpu.h"
#include "takod/oci_bundle.h"
#include "json_memory.h"
#include "util.h"

static struct conf_limits limits;
static struct conf_gpu gpu;
static struct gpu_nodes nodes = { .n = 1,
	.nodes = { { .path = "/dev/x", .mode = 0660, .gid = 44 } } };
static struct container_spec spec = { .name = "takod-x-1",
	.image = "image",
	.runtime = RUNTIME_RUNC,
	.limits = &limits };

/* That of HostConfig is so. */
static void
host_is(const struct gpu_nodes *of, const char *key, const char *wanted)
{
	struct docker_spec d = {
		.spec = &spec, .instance = "x", .init = "/init", .gpu = of
	};
	json_t *body = docker_spec_json(&d), *found;
	char *text = NULL;

	found = json_object_get(json_object_get(body, "HostConfig"), key);
	if (found != NULL)
		text = json_dumps(found, JSON_SORT_KEYS | JSON_COMPACT);
	if (wanted == NULL)
		assert_null(text);
	else {
		assert_non_null(text);
		assert_string_equal(text, wanted);
	}
	free(text);
	json_decref(body);
}

static void
test_docker_nvidia(void **state)
{
	static char *ids[] = { "0", "GPU-1234" };

	(void)state;
	gpu = (struct conf_gpu){ .enabled = 1, .vendor = GPU_NVIDIA };
	spec.gpu = &gpu;
	host_is(NULL, "DeviceRequests",
	    "[{\"Capabilities\":[[\"gpu\",\"compute\",\"utility\"]],"
	    "\"Count\":-1,\"Driver\":\"nvidia\"}]");
	gpu.count = 2;
	host_is(NULL, "DeviceRequests",
	    "[{\"Capabilities\":[[\"gpu\",\"compute\",\"utility\"]],"
	    "\"Count\":2,\"Driver\":\"nvidia\"}]");
	gpu.count = 0;
	gpu.device_ids = (struct conf_list){ .items = ids, .n = 2 };
	host_is(NULL, "DeviceRequests",
	    "[{\"Capabilities\":[[\"gpu\",\"compute\",\"utility\"]],"
	    "\"DeviceIDs\":[\"0\",\"GPU-1234\"],\"Driver\":\"nvidia\"}]");
	host_is(NULL, "Devices", NULL);
	spec.gpu = NULL;
	host_is(NULL, "DeviceRequests", NULL);
}

static void
test_docker_amd(void **state)
{
	(void)state;
	gpu = (struct conf_gpu){ .enabled = 1, .vendor = GPU_AMD };
	spec.gpu = &gpu;
	host_is(&nodes, "Devices",
	    "[{\"CgroupPermissions\":\"rw\",\"PathInContainer\":\"/dev/x\","
	    "\"PathOnHost\":\"/dev/x\"}]");
	host_is(&nodes, "GroupAdd", "[\"44\"]");
	host_is(&nodes, "DeviceRequests", NULL);
}

static void
test_oci(void **state)
{
	struct oci_bundle b = { .spec = &spec,
		.rootfs = "/rootfs",
		.init = "/init",
		.cgroup = "/takod-x/1",
		.gpu = &nodes };
	char *text;
	size_t len;
	char folder[] = "/tmp/tako-gpu.XXXXXX";
	int dir;

	(void)state;
	assert_non_null(mkdtemp(folder));
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_not_equal(dir, -1);
	nodes.nodes[0].dev = makedev(195, 7);
	assert_int_equal(oci_bundle_write(dir, &b), 0);
	text = read_file(dir, "config.json", 1 << 20, &len);
	assert_non_null(text);
	assert_non_null(strstr(text,
	    "\"devices\":[{\"allow\":false,\"access\":\"rwm\"},"
	    "{\"allow\":true,\"type\":\"c\",\"major\":195,\"minor\":7,"
	    "\"access\":\"rw\"}]"));
	assert_non_null(strstr(text,
	    "\"devices\":[{\"type\":\"c\",\"path\":\"/dev/x\",\"major\":195,"
	    "\"minor\":7,\"fileMode\":438,\"uid\":0,\"gid\":0}]"));
	free(text);
	assert_int_equal(unlinkat(dir, "config.json", 0), 0);
	close(dir);
	assert_int_equal(rmdir(folder), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_docker_nvidia),
		cmocka_unit_test(test_docker_amd),
		cmocka_unit_test(test_oci),
	};

	json_memory_init();
	return (cmocka_run_group_tests(tests, NULL, NULL));
}
