/* secret_file.c: see secret_file.h. */
#include "client/secret_file.h"

#include "client/trust.h"
#include "common/buf.h"
#include "common/mem.h"
#include "common/scram.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Open for reading, if nobody but the owner may. A pipe (a shell's <(…)) has no mode that means anything. */
static FILE *open_secret(const char *file, char err[SECRET_ERROR_SIZE])
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0) {
        snprintf(err, SECRET_ERROR_SIZE, "%s can't be read: %s", file, strerror(errno));
        return NULL;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) != 0) {
        snprintf(err, SECRET_ERROR_SIZE, "%s can be read by others, so it is no secret: chmod 600 %s", file,
                 file);
        close(fd);
        return NULL;
    }
    return fdopen(fd, "r");
}

static int no_passphrase(char *buf, int size, int writes, void *arg)
{
    (void)buf, (void)size, (void)writes, (void)arg;
    return -1;
}

EVP_PKEY *secret_load_key(const char *file, char err[SECRET_ERROR_SIZE])
{
    EVP_PKEY *key;
    FILE *f;

    err[0] = '\0';
    if (access(file, F_OK) != 0 && errno == ENOENT)
        return NULL;
    f = open_secret(file, err);
    if (f == NULL)
        return NULL;
    key = PEM_read_PrivateKey(f, NULL, no_passphrase, NULL);
    fclose(f);
    ERR_clear_error();
    if (key != NULL && EVP_PKEY_is_a(key, "ED25519"))
        return key;
    EVP_PKEY_free(key);
    snprintf(err, SECRET_ERROR_SIZE,
             "%s holds no Ed25519 key without a passphrase: move it away for a new one", file);
    return NULL;
}

/* By a temporary name, so that there is a whole one or none. -EEXIST: another chat was quicker, and may have
 * registered its key by now. */
static int save(const char *file, EVP_PKEY *key)
{
    struct buf part = {0};
    int ret = trust_make_directories(file), fd = -1;
    FILE *f = NULL;

    buf_putf(&part, "%s.%ld.part", file, (long)getpid());
    buf_put(&part, "", 1);
    if (ret == 0) {
        unlink(part.data);
        fd = open(part.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        f = fd >= 0 ? fdopen(fd, "w") : NULL;
        ret = f == NULL ? -errno : 0;
    }
    if (f != NULL) {
        bool ok =
            PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 && fflush(f) == 0 && fsync(fd) == 0;

        if (fclose(f) != 0 || !ok || link(part.data, file) != 0)
            ret = errno != 0 ? -errno : -EIO;
        unlink(part.data);
    }
    buf_deinit(&part);
    return ret;
}

EVP_PKEY *secret_make_key(const char *file, char err[SECRET_ERROR_SIZE])
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    int ret = key != NULL ? save(file, key) : -ENOTSUP;

    if (ret == 0)
        return key;
    if (ret == -EEXIST) {
        EVP_PKEY_free(key);
        return secret_load_key(file, err);
    }
    snprintf(err, SECRET_ERROR_SIZE, "a key can't be kept in %s: %s", file, strerror(-ret));
    EVP_PKEY_free(key);
    return NULL;
}

char *secret_read_password(const char *file, char err[SECRET_ERROR_SIZE])
{
    char line[SCRAM_PASSWORD_MAX + 2], *text = NULL;
    FILE *f = open_secret(file, err);

    if (f == NULL)
        return NULL;
    setvbuf(f, NULL, _IONBF, 0); /* nothing of it stays in a buffer */
    if (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        text = line[0] != '\0' ? mem_strdup(line) : NULL;
    }
    fclose(f);
    if (text == NULL)
        snprintf(err, SECRET_ERROR_SIZE, "%s has no password in its first line", file);
    mem_wipe(line, sizeof line);
    return text;
}

void secret_free(char *text)
{
    if (text != NULL)
        mem_wipe(text, strlen(text));
    free(text);
}
