/*
 * evhttp_hello.c: the least that libevent's own HTTP server does, as the floor
 * of takod's figures: a fixed answer to any request.
 *
 *	evhttp_hello [certificate key]
 *
 * It listens on a free port of 127.0.0.1, prints it, and ends by a signal.
 */
#include <err.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <openssl/ssl.h>

static void
hello(struct evhttp_request *req, void *arg)
{
	struct evbuffer *body = evbuffer_new();

	(void)arg;
	evhttp_add_header(evhttp_request_get_output_headers(req),
	    "Content-Type", "application/json");
	evbuffer_add_printf(body, "{\"status\": \"healthy\"}");
	evhttp_send_reply(req, 200, "OK", body);
	evbuffer_free(body);
}

static struct bufferevent *
secure(struct event_base *base, void *arg)
{
	return (bufferevent_openssl_socket_new(base, -1, SSL_new(arg),
	    BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE));
}

int
main(int argc, char **argv)
{
	struct event_base *base = event_base_new();
	struct evhttp *http = evhttp_new(base);
	struct evhttp_bound_socket *bound;
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	SSL_CTX *ctx;
	int on = 1;

	bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
	/* Clients inherit it; else TLS waits for acknowledgements. */
	if (bound == NULL ||
	    setsockopt(evhttp_bound_socket_get_fd(bound), IPPROTO_TCP,
		TCP_NODELAY, &on, sizeof(on)) == -1 ||
	    getsockname(evhttp_bound_socket_get_fd(bound),
		(struct sockaddr *)(void *)&sin, &len) == -1)
		err(1, "bind");
	if (argc == 3) {
		ctx = SSL_CTX_new(TLS_server_method());
		if (ctx == NULL ||
		    SSL_CTX_use_certificate_chain_file(ctx, argv[1]) != 1 ||
		    SSL_CTX_use_PrivateKey_file(
			ctx, argv[2], SSL_FILETYPE_PEM) != 1)
			errx(1, "TLS");
		evhttp_set_bevcb(http, secure, ctx);
	}
	evhttp_set_gencb(http, hello, NULL);
	printf("%d\n", ntohs(sin.sin_port));
	fflush(stdout);
	event_base_dispatch(base);
	return (0);
}
