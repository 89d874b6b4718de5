/* library.c: see library.h. */
#include "bots/library.h"

#include "common/buf.h"
#include "common/mem.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE "report.html"

/* Static text, or the environment's. */
static const char *directory(void)
{
    const char *given = getenv("CHATBOT_DATA");
    char self[PATH_MAX];
    ssize_t n;

    if (given != NULL && given[0] != '\0')
        return given;
    n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = '\0';
        if (strncmp(self, CHATBOT_BUILD "/", sizeof CHATBOT_BUILD) == 0)
            return CHATBOT_SOURCE;
    }
    return access(CHATBOT_DATA_DIR "/" PAGE, R_OK) == 0 ? CHATBOT_DATA_DIR : CHATBOT_SOURCE;
}

static char *join(const char *a, const char *b, const char *c)
{
    struct buf path = {0};

    buf_putf(&path, "%s%s%s", a, b, c);
    buf_put(&path, "", 1);
    return path.data;
}

/* The first line is "-- NAME: SENTENCE". */
static char *read_sentence(const char *path)
{
    char line[512], *colon, *found = NULL;
    FILE *f = fopen(path, "re");

    if (f == NULL)
        return NULL;
    if (fgets(line, sizeof line, f) != NULL && strncmp(line, "--", 2) == 0 &&
        (colon = strstr(line, ": ")) != NULL) {
        colon[strcspn(colon, "\n")] = '\0';
        found = mem_strdup(colon + 2);
    }
    fclose(f);
    return found;
}

char *library_find_script(const char *script, char **sentence)
{
    char *path, *name;

    if (strchr(script, '/') != NULL || strstr(script, ".lua") != NULL) {
        path = mem_strdup(script);
    } else {
        name = join("/scenarios/", script, ".lua");
        path = join(directory(), name, "");
        free(name);
    }
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "chatbot: %s: %s; chatbot --list names the ready scenarios\n", path, strerror(errno));
        free(path);
        return NULL;
    }
    *sentence = read_sentence(path);
    return path;
}

static int is_script(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');

    return dot != NULL && strcmp(dot, ".lua") == 0;
}

void library_list(void)
{
    char *dir = join(directory(), "/scenarios", "");
    struct dirent **found = NULL;
    int n = scandir(dir, &found, is_script, alphasort);

    for (int i = 0; i < n; i++) {
        char *path = join(dir, "/", found[i]->d_name), *sentence = read_sentence(path);

        *strrchr(found[i]->d_name, '.') = '\0';
        printf("%-16s %s\n", found[i]->d_name, sentence != NULL ? sentence : "");
        free(sentence);
        free(path);
        free(found[i]);
    }
    free(found);
    free(dir);
}

char *library_read_file(const char *path)
{
    struct buf b = {0};
    FILE *f = fopen(path, "re");
    size_t n;

    if (f == NULL)
        return NULL;
    while ((n = fread(buf_reserve(&b, 65536), 1, 65535, f)) > 0)
        b.len += n;
    fclose(f);
    buf_put(&b, "", 1);
    return b.data;
}

char *library_read_page(void)
{
    char *path = join(directory(), "/" PAGE, ""), *page = library_read_file(path);

    if (page == NULL)
        fprintf(stderr, "chatbot: %s: %s\n", path, strerror(errno));
    free(path);
    return page;
}
