/*
 * tls.c: a server's side of TLS from a certificate and a key. Runs in tako-api
 * and, to see whether they fit, in the parent. OpenSSL's own configuration is
 * not read: what holds stands here.
 */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "tls.h"
#include "util.h"

/* Of TLS 1.2: forward secrecy and authenticated ciphers alone. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

/* A key that is locked cannot be opened here. */
static int
no_password(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return (0);
}

/* Of what a client offers, HTTP/1.1; one that offers other things may try. */
static int
choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *outlen,
    const unsigned char *in, unsigned inlen, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned i;

	(void)ssl;
	(void)arg;
	for (i = 0; i < inlen; i += in[i] + 1u)
		if (inlen - i >= sizeof(ours) - 1 &&
		    memcmp(in + i, ours, sizeof(ours) - 1) == 0) {
			*out = in + i + 1;
			*outlen = in[i];
			return (SSL_TLSEXT_ERR_OK);
		}
	return (SSL_TLSEXT_ERR_NOACK);
}

/* The first one is the server's, the others lead up to who is known. */
static int
use_certificates(SSL_CTX *ctx, BIO *bio)
{
	X509 *x;
	int n = 0, ok = 1;

	while (ok &&
	       (x = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
		if (n++ == 0) {
			ok = SSL_CTX_use_certificate(ctx, x) == 1;
			X509_free(x);
		} else if ((ok = SSL_CTX_add0_chain_cert(ctx, x) == 1) == 0)
			X509_free(x);
	}
	/* What ends the reading is that nothing more begins. */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		ok = 0;
	ERR_clear_error();
	return (ok && n > 0);
}

static const char *
fill(SSL_CTX *ctx, BIO *certificate, BIO *key)
{
	EVP_PKEY *pkey;
	int ok;

	if (certificate == NULL || key == NULL ||
	    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, CIPHERS) != 1)
		return ("TLS is not to be had");
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
				     SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
				     SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* Nothing is kept that would open an older connection. */
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	if (!use_certificates(ctx, certificate))
		return ("the certificate is none, or is too weak");
	pkey = PEM_read_bio_PrivateKey(key, NULL, no_password, NULL);
	if (pkey == NULL)
		return ("the key is none, or is locked by a password");
	ok = SSL_CTX_use_PrivateKey(ctx, pkey) == 1 &&
	     SSL_CTX_check_private_key(ctx) == 1;
	EVP_PKEY_free(pkey);
	return (ok ? NULL : "the key is not that of the certificate");
}

SSL_CTX *
tls_context(const void *certificate, size_t certificate_len, const void *key,
    size_t key_len, char *detail, size_t len)
{
	const char *wrong = "TLS is not to be had";
	BIO *c, *k;
	SSL_CTX *ctx;

	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	ERR_clear_error();
	c = BIO_new_mem_buf(certificate, (int)certificate_len);
	k = BIO_new_mem_buf(key, (int)key_len);
	if ((ctx = SSL_CTX_new(TLS_server_method())) != NULL)
		wrong = fill(ctx, c, k);
	BIO_free(c);
	BIO_free(k);
	ERR_clear_error();
	if (wrong == NULL)
		return (ctx);
	strlcpy(detail, wrong, len);
	SSL_CTX_free(ctx);
	return (NULL);
}
