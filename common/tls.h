/*
 * tls.h: what a server's certificate and key make. Used by tako-api, which
 * speaks TLS, and by the parent, which reads the operator's two files and has
 * to know whether they fit before it passes them on.
 */
#ifndef TLS_H
#define TLS_H

#include <stddef.h>

#include <openssl/ssl.h>

#define TLS_FILE_MAX 1048576 /* bytes of either file */

/*
 * Both in PEM; the certificate's chain follows it. TLS 1.2 and up. NULL with
 * detail, which says which of the two is wrong. The caller frees it.
 */
SSL_CTX *tls_context(const void *certificate, size_t certificate_len,
    const void *key, size_t key_len, char *detail, size_t);

#endif
