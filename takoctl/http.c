/*
 * http.c: one HTTP request to a takod. Runs as the caller of tako-vm; what a
 * server answers is hostile text, bounded in size and in time.
 */
#include <curl/curl.h>
#include <string.h>

#include "http.h"
#include "util.h"

static size_t
answer_add(char *data, size_t size, size_t n, void *arg)
{
	struct http_answer *a = arg;

	if (size * n > HTTP_MAX_ANSWER - a->len)
		return (0);
	memcpy(a->text + a->len, data, size * n);
	a->len += size * n;
	return (size * n);
}

static int
look_up(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct http_request *r = arg;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return (r->stop != NULL && *r->stop);
}

static struct curl_slist *
set_body(CURL *curl, const struct http_request *r)
{
	struct curl_slist *heads = NULL;

	if (r->header != NULL)
		heads = curl_slist_append(heads, r->header);
	if (r->body != NULL) {
		heads =
		    curl_slist_append(heads, "Content-Type: application/json");
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, r->body);
	}
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, heads);
	return (heads);
}

void
http_call(const struct http_request *r, struct http_answer *a)
{
	struct curl_slist *heads;
	char error[CURL_ERROR_SIZE] = "";
	CURLcode code = CURLE_FAILED_INIT;
	CURL *curl;

	memset(a, 0, sizeof(*a));
	if ((curl = curl_easy_init()) != NULL) {
		curl_easy_setopt(curl, CURLOPT_URL, r->url);
		curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
		curl_easy_setopt(curl, CURLOPT_PROXY, "");
		curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(curl, CURLOPT_TIMEOUT, r->seconds);
		curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_add);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
		curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
		curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_up);
		curl_easy_setopt(curl, CURLOPT_XFERINFODATA, r);
		heads = set_body(curl, r);
		if ((code = curl_easy_perform(curl)) == CURLE_OK)
			curl_easy_getinfo(
			    curl, CURLINFO_RESPONSE_CODE, &a->status);
		curl_slist_free_all(heads);
	}
	curl_easy_cleanup(curl);
	if (code != CURLE_OK)
		strlcpy(a->error,
		    error[0] != '\0' ? error : curl_easy_strerror(code),
		    sizeof(a->error));
	a->text[a->len] = '\0';
}
