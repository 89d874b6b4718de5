/* trust.c: see trust.h. */
#include "client/trust.h"

#include "common/buf.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_SIZE 1024

/* Splits "server fingerprint\n" in place; false for remarks and what is no such line. */
static bool split(char *line, char **server, char **fingerprint)
{
    char *save;

    if (line[0] == '#')
        return false;
    *server = strtok_r(line, " \t\r\n", &save);
    *fingerprint = strtok_r(NULL, " \t\r\n", &save);
    return *server != NULL && *fingerprint != NULL;
}

int trust_look_up(const char *file, const char *server, const char *fingerprint,
                  char known[TLS_FINGERPRINT_SIZE])
{
    char line[LINE_SIZE], *name, *kept;
    int answer = TRUST_NEW;
    FILE *f = fopen(file, "re");

    if (f == NULL)
        return errno == ENOENT ? TRUST_NEW : -errno;
    while (answer != TRUST_KNOWN && fgets(line, sizeof line, f) != NULL) {
        if (!split(line, &name, &kept) || strcasecmp(name, server) != 0)
            continue;
        if (answer != TRUST_CHANGED || strcmp(known, TRUST_ISSUER) != 0)
            snprintf(known, TLS_FINGERPRINT_SIZE, "%s", kept);
        answer = strcasecmp(kept, fingerprint) == 0 ? TRUST_KNOWN : TRUST_CHANGED;
    }
    if (ferror(f))
        answer = -EIO;
    fclose(f);
    return answer;
}

int trust_make_directories(const char *file)
{
    char *path = mem_strdup(file);
    int err = 0;

    for (char *slash = strchr(path + 1, '/'); slash != NULL && err == 0; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            err = -errno;
        *slash = '/';
    }
    free(path);
    return err;
}

/* Whoever edits the file by hand may have left its last line without an end. */
static bool ends_inside_a_line(int fd)
{
    struct stat st;
    char last = '\n';

    return fstat(fd, &st) == 0 && st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
}

int trust_add(const char *file, const char *server, const char *fingerprint)
{
    int err = trust_make_directories(file), fd;
    struct buf line = {0};

    if (err != 0)
        return err;
    fd = open(file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    buf_putf(&line, "%s%s %s\n", ends_inside_a_line(fd) ? "\n" : "", server, fingerprint);
    if (write(fd, line.data, line.len) != (ssize_t)line.len)
        err = errno != 0 ? -errno : -EIO;
    if (close(fd) != 0 && err == 0)
        err = -errno;
    buf_deinit(&line);
    return err;
}

char *trust_default_file(const char *name)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    struct buf path = {0};

    if (config != NULL && config[0] == '/')
        buf_puts(&path, config);
    else if (home != NULL && home[0] == '/')
        buf_putf(&path, "%s/.config", home);
    else
        return NULL;
    buf_putf(&path, "/chat/%s", name);
    buf_put(&path, "", 1);
    return path.data;
}
