/*
 * tenant.c: who a job counts for, and what that one may have. Runs in the
 * parent. A tenant is the API key that a client showed, by its name, else the
 * network it comes from: "key:<name>" or "addr:<address>". admit.c says which
 * key it was; nothing that tako-api sends is believed to name a tenant.
 *
 * The limits are the configuration's. The store has a copy of them, by which
 * it gives turns and refuses; it is told anew when it comes up, after a
 * reload, and from time to time, when it also forgets who is gone.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event_arm.h"
#include "log.h"
#include "takod.h"
#include "util.h"

#define AGAIN_S 3600

static struct event *again;

void
tenant_of_key(char tenant[MAX_TENANT + 1], const char *name)
{
	snprintf(tenant, MAX_TENANT + 1, "key:%s", name);
}

/* A host has as many IPv6 addresses as it likes, of one network of 64 bits. */
void
tenant_of_address(char tenant[MAX_TENANT + 1], const char *address)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a6;

	if (inet_pton(AF_INET6, address, &a6) != 1) {
		snprintf(tenant, MAX_TENANT + 1, "addr:%s", address);
		return;
	}
	if (IN6_IS_ADDR_V4MAPPED(&a6)) {
		inet_ntop(AF_INET, &a6.s6_addr[12], text, sizeof(text));
		snprintf(tenant, MAX_TENANT + 1, "addr:%s", text);
		return;
	}
	memset(&a6.s6_addr[8], 0, 8);
	inet_ntop(AF_INET6, &a6, text, sizeof(text));
	snprintf(tenant, MAX_TENANT + 1, "addr:%s/64", text);
}

const char *
tenant_key_name(const char *tenant)
{
	return (strncmp(tenant, "key:", 4) == 0 ? tenant + 4 : "");
}

/* What is not said of a key is as for all. */
static void
policy_fill(struct tenant_policy *p, const struct conf_tenant *own)
{
	const struct conf_tenant *all = &env.conf->tenant_defaults;

#define OWN(f) (own->f != -1 ? own->f : all->f)
	p->weight = OWN(weight);
	p->priority = OWN(priority);
	p->max_queued = OWN(max_queued);
	p->max_running = OWN(max_running);
	p->max_jobs = OWN(jobs_per_window);
	p->max_cpu_ms = OWN(cpu_seconds_per_window) * 1000LL;
#undef OWN
}

static void
told(enum store_result result, void *arg)
{
	(void)arg;
	/* One that is away is told when it comes back. */
	if (result == STORE_OK)
		queue_kick();
	else if (result != STORE_AWAY)
		log_warnx("store: limits of tenants were not taken");
}

void
tenants_apply(void)
{
	static const struct timeval tv = { AGAIN_S, 0 };
	const struct conf *cf = env.conf;
	struct tenant_policies all;
	size_t i;

	event_arm(again, &tv);
	if (!env.store_up)
		return;
	all.n = 1 + cf->n_api_keys;
	all.list = xcalloc(all.n, sizeof(*all.list));
	all.window_us = cf->budget_window_seconds * 1000000LL;
	all.age_us = cf->priority_ageing_seconds * 1000000LL;
	strlcpy(all.list[0].name, "*", sizeof(all.list[0].name));
	policy_fill(&all.list[0], &cf->tenant_defaults);
	for (i = 0; i < cf->n_api_keys; i++) {
		tenant_of_key(all.list[i + 1].name, cf->api_keys[i].name);
		policy_fill(&all.list[i + 1], &cf->api_keys[i].own);
	}
	env.store_ops->set_tenants(env.store, &all, told, NULL);
	free(all.list);
}

unsigned
tenant_window_left(void)
{
	int64_t window = env.conf->budget_window_seconds;

	return ((unsigned)(window - time_wall_us() / 1000000 % window));
}

static void
apply_again(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	tenants_apply();
}

void
tenant_init(void)
{
	if ((again = evtimer_new(env.base, apply_again, NULL)) == NULL)
		fatal(NULL);
}
