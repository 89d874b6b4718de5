/* secret_file.h: the files that log somebody in: the key of this machine, and a file with a password. Neither
 * is taken where others may read it. Any thread. */
#ifndef CLIENT_SECRET_FILE_H
#define CLIENT_SECRET_FILE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#define SECRET_ERROR_SIZE 512

/* The Ed25519 key in a PEM file. NULL with an empty err: there is no such file; else err says what is wrong,
 * and what to do. The caller frees. */
EVP_PKEY *secret_load_key(const char *file, char err[SECRET_ERROR_SIZE]);

/* A new one, kept in the file (mode 0600; directories that are missing are made). NULL: err says why. */
EVP_PKEY *secret_make_key(const char *file, char err[SECRET_ERROR_SIZE]);

/* The file's first line, of the heap, or NULL: err says why. */
char *secret_read_password(const char *file, char err[SECRET_ERROR_SIZE]);

void secret_free(char *text); /* wiped before; NULL is fine */

#endif
