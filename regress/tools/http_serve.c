/*
 * http_serve.c: tako-api's connections and parser with a router that says back
 * what it got, for tests that need no takod behind it. It listens on a free
 * port of 127.0.0.1, prints it, and ends with its standard input.
 *
 *	http_serve [name=value ...]
 *
 * The names are those of struct conn_config. What it answers:
 *
 *	/wait	nothing, until the client is gone; then "gone" is printed
 *	/big/N	N bytes
 *	/refuse	401 to the head, whatever body is announced
 *	others	200, with method, target and body
 *
 * It prints a line for each request that reached it, which a test compares
 * with what it sent: nothing that was smuggled is ever among them.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "log.h"
#include "tako-api/conn.h"
#include "util.h"

struct request {
	enum http_method method;
	char *target;
	struct evbuffer *body;
};

static struct conn_config config = {
	.max = 512,
	.max_per_source = 32,
	.header_ms = 10000,
	.body_ms = 60000,
	.idle_ms = 30000,
	.write_ms = 30000,
	.min_rate = 1024,
	.pipeline = 8,
	.max_memory = 256 << 20,
	.max_body = 2097152,
	.limits = { 8192, 16384, 100 },
};

static const struct {
	const char *name;
	unsigned *value;
} settings[] = {
	{ "max", &config.max },
	{ "max_per_source", &config.max_per_source },
	{ "header_ms", &config.header_ms },
	{ "body_ms", &config.body_ms },
	{ "idle_ms", &config.idle_ms },
	{ "write_ms", &config.write_ms },
	{ "pipeline", &config.pipeline },
	{ "min_rate", &config.min_rate },
};

static void
request_free(struct request *req)
{
	evbuffer_free(req->body);
	free(req->target);
	free(req);
}

static void
reply(struct conn *c, int status, struct evbuffer *body)
{
	struct request *req = conn_data(c);
	struct evbuffer *head = evbuffer_new();

	if (head == NULL)
		fatal(NULL);
	evbuffer_add_printf(head, "Content-Type: text/plain\r\n");
	request_free(req);
	conn_set_data(c, NULL);
	conn_reply(c, status, head, body);
}

static void
on_head(struct conn *c, const struct http_request *h)
{
	struct request *req = xcalloc(1, sizeof(*req));

	printf("%s %s\n", http_method_name(h->method), h->target);
	req->method = h->method;
	req->target = xstrdup(h->target);
	if ((req->body = evbuffer_new()) == NULL)
		fatal(NULL);
	conn_set_data(c, req);
	if (strcmp(req->target, "/refuse") == 0)
		reply(c, 401, NULL);
	else if (h->content_length > (int64_t)config.max_body)
		reply(c, 413, NULL);
	else
		conn_accept(c);
}

static void
on_body(struct conn *c, const uint8_t *data, size_t len)
{
	struct request *req = conn_data(c);

	evbuffer_add(req->body, data, len);
}

/* A large answer without a copy of it for each client. */
static void
add_zeros(struct evbuffer *out, size_t len)
{
	static const char zeros[65536];
	size_t n;

	for (; len > 0; len -= n) {
		n = len < sizeof(zeros) ? len : sizeof(zeros);
		evbuffer_add_reference(out, zeros, n, NULL, NULL);
	}
}

static void
on_done(struct conn *c)
{
	struct request *req = conn_data(c);
	struct evbuffer *out;

	if (strcmp(req->target, "/wait") == 0)
		return;
	if ((out = evbuffer_new()) == NULL)
		fatal(NULL);
	if (strncmp(req->target, "/big/", 5) == 0)
		add_zeros(out, strtoul(req->target + 5, NULL, 10));
	else {
		evbuffer_add_printf(
		    out, "%s %s ", http_method_name(req->method), req->target);
		evbuffer_add_buffer(out, req->body);
	}
	reply(c, 200, out);
}

static void
on_gone(struct conn *c)
{
	struct request *req = conn_data(c);

	printf("gone %s\n", req->target);
	request_free(req);
}

static void
on_fault(struct conn *c, int status, const char *reason, struct evbuffer *head,
    struct evbuffer *body)
{
	(void)c;
	(void)status;
	evbuffer_add_printf(head, "Content-Type: text/plain\r\n");
	evbuffer_add_printf(body, "%s", reason);
}

static const struct conn_ops serve_ops = {
	.head = on_head,
	.body = on_body,
	.done = on_done,
	.gone = on_gone,
	.fault = on_fault,
};

static void
on_input(evutil_socket_t fd, short what, void *arg)
{
	char buf[256];

	(void)what;
	(void)arg;
	if (read(fd, buf, sizeof(buf)) <= 0)
		exit(0);
}

static void
set(const char *arg)
{
	size_t i, n = strcspn(arg, "=");
	struct rlimit rl;
	unsigned long value;

	if (arg[n] == '\0')
		fatalx("name=value, not %s", arg);
	value = strtoul(arg + n + 1, NULL, 10);
	for (i = 0; i < nitems(settings); i++)
		if (strlen(settings[i].name) == n &&
		    strncmp(settings[i].name, arg, n) == 0) {
			*settings[i].value = (unsigned)value;
			return;
		}
	if (strncmp(arg, "max_body=", 9) == 0)
		config.max_body = value;
	else if (strncmp(arg, "nofile=", 7) == 0) {
		rl.rlim_cur = rl.rlim_max = value;
		if (setrlimit(RLIMIT_NOFILE, &rl) == -1)
			fatal("setrlimit");
	} else
		fatalx("no setting %s", arg);
}

static int
listener(void)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	int fd;

	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1 ||
	    bind(fd, (const struct sockaddr *)(const void *)&sin, len) == -1 ||
	    listen(fd, 1024) == -1 ||
	    getsockname(fd, (struct sockaddr *)(void *)&sin, &len) == -1)
		fatal("listener");
	printf("port %d\n", ntohs(sin.sin_port));
	return (fd);
}

int
main(int argc, char *argv[])
{
	struct event_base *base;
	struct event *input;
	int i;

	log_init("http_serve", LOG_LEVEL_INFO, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	for (i = 1; i < argc; i++)
		set(argv[i]);
	if ((base = event_base_new()) == NULL)
		fatal("event_base_new");
	input =
	    event_new(base, STDIN_FILENO, EV_READ | EV_PERSIST, on_input, NULL);
	if (input == NULL || event_add(input, NULL) == -1)
		fatal("event_new");
	conn_init(base, &serve_ops);
	conn_configure(&config);
	accept_on(listener(), 0, 0);
	event_base_dispatch(base);
	fatalx("the loop ended");
}
