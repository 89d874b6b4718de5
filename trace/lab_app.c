/* lab_app.c: chatd and chat as a lab runs them: the programs that were built beside chat-trace. See
 * lab_run.h. */
#include "common/buf.h"
#include "common/clock.h"
#include "trace/lab_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX    40
#define PATIENCE_MS 10000

/* The program's file: beside this one. */
static void path_of(struct lab *l, const char *program, char *to, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", to, size - 1);
    char *slash;

    to[n > 0 ? n : 0] = '\0';
    slash = strrchr(to, '/');
    if (slash == NULL || (size_t)(slash - to) + strlen(program) + 2 > size)
        lab_give_up(l, "%s cannot be found", program);
    strcpy(slash + 1, program);
    if (access(to, X_OK) != 0)
        lab_give_up(l, "this lab needs %s: %s", to, strerror(errno));
}

/* ---- starting ---- */

static void become(char **argv, int in, int out, const char *err_path)
{
    int err = open(err_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    signal(SIGPIPE, SIG_DFL);
    execv(argv[0], argv);
    _exit(127);
}

static void start(struct lab *l, struct lab_app *app, const char *program, const char **args, unsigned n)
{
    char path[512], err_path[sizeof l->dir + 32];
    int to[2], from[2];

    path_of(l, program, path, sizeof path);
    snprintf(err_path, sizeof err_path, "%s/%s.stderr", l->dir, program);
    args[0] = path;
    args[n] = NULL;
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        lab_give_up(l, "pipe: %s", strerror(errno));
    app->pid = fork();
    if (app->pid < 0)
        lab_give_up(l, "fork: %s", strerror(errno));
    if (app->pid == 0)
        become((char **)(uintptr_t)args, to[0], from[1], err_path);
    close(to[0]);
    close(from[1]);
    app->in = to[1];
    app->out = from[0];
    fcntl(app->out, F_SETFL, O_NONBLOCK);
}

static unsigned add_more(const char **args, unsigned n, const char *const *more)
{
    while (more != NULL && *more != NULL && n < ARGS_MAX - 2)
        args[n++] = *more++;
    return n;
}

static uint16_t read_port(const char *path)
{
    FILE *in = fopen(path, "re");
    unsigned port = 0;

    if (in == NULL)
        return 0;
    if (fscanf(in, "%u", &port) != 1 || port > 65535)
        port = 0;
    fclose(in);
    return (uint16_t)port;
}

void lab_start_chatd(struct lab *l, struct lab_app *app, uint16_t port, const char *const *more)
{
    char listen[32], ports[sizeof l->dir + 16];
    const char *args[ARGS_MAX] = {NULL,     "--listen", listen,      "--port-file", ports,
                                  "--data", "memory",   "--threads", "1",           "--log",
                                  app->log, "--trace",  l->dir};

    *app = (struct lab_app){0};
    snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
    snprintf(ports, sizeof ports, "%s/ports", l->dir);
    snprintf(app->log, sizeof app->log, "%s/chatd.log", l->dir);
    unlink(ports);
    start(l, app, "chatd", args, add_more(args, 13, more));
    for (unsigned waited = 0; (app->port = read_port(ports)) == 0; waited += 2) {
        if (waitpid(app->pid, NULL, WNOHANG) != 0 || waited > PATIENCE_MS)
            lab_give_up(l, "chatd did not start: see %s/chatd.stderr (--keep DIR keeps it)", l->dir);
        lab_sleep(2);
    }
}

void lab_start_chat(struct lab *l, struct lab_app *app, const char *nick, uint16_t port,
                    const char *const *more)
{
    char address[32], trace[sizeof l->dir + 48];
    const char *args[ARGS_MAX] = {NULL,      "--json", "--no-reconnect", "-n",      nick, "-r",
                                  "general", "--log",  app->log,         "--trace", trace};
    unsigned n;

    *app = (struct lab_app){.port = port};
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    snprintf(app->log, sizeof app->log, "%s/%s.log", l->dir, nick);
    snprintf(trace, sizeof trace, "%s/%s.sqlog", l->dir, nick);
    n = add_more(args, 11, more);
    args[n++] = address;
    start(l, app, "chat", args, n);
}

/* ---- talking to it ---- */

void app_feed(struct lab *l, struct lab_app *app, const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        ssize_t n = write(app->in, text, len);

        if (n < 0 && errno != EINTR)
            lab_give_up(l, "chat takes no input: %s", strerror(errno));
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

void app_end_input(struct lab_app *app)
{
    close(app->in);
    app->in = -1;
}

static bool holds(const struct buf *b, size_t from, const char *text)
{
    return text != NULL && b->len > from && memmem(b->data + from, b->len - from, text, strlen(text)) != NULL;
}

bool app_await(struct lab_app *app, const char *text, struct buf *got, unsigned ms)
{
    uint64_t deadline = clock_mono_us() + ms * 1000ULL;
    struct buf own = {0}, *b = got != NULL ? got : &own;
    size_t from = b->len;
    bool found = false;
    ssize_t n = 1;

    while (!found && clock_mono_us() < deadline) {
        struct pollfd p = {.fd = app->out, .events = POLLIN};

        if (poll(&p, 1, 1) != 1)
            continue;
        n = read(app->out, buf_reserve(b, 4096), 4096);
        if (n <= 0)
            break;
        b->len += (size_t)n;
        found = holds(b, from, text);
    }
    buf_deinit(&own);
    return text != NULL ? found : n == 0;
}

void app_signal(struct lab_app *app, int which)
{
    kill(app->pid, which);
}

void app_stop(struct lab *l, struct lab_app *app)
{
    int status = 0;

    kill(app->pid, SIGSTOP);
    while (waitpid(app->pid, &status, WUNTRACED) < 0 && errno == EINTR)
        ;
    if (!WIFSTOPPED(status))
        lab_give_up(l, "process %d has ended, where it should have stopped", (int)app->pid);
}

int app_wait(struct lab *l, struct lab_app *app, unsigned ms)
{
    int status = 0;

    for (unsigned waited = 0; waitpid(app->pid, &status, WNOHANG) == 0; waited += 2) {
        if (waited > ms)
            lab_give_up(l, "process %d has not ended in %u ms", (int)app->pid, ms);
        lab_sleep(2);
    }
    if (app->in >= 0)
        close(app->in);
    close(app->out);
    app->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return app->exit_code;
}

bool app_logged(const struct lab_app *app, const char *text)
{
    FILE *in = fopen(app->log, "re");
    char line[2048];
    bool found = false;

    while (in != NULL && !found && fgets(line, sizeof line, in) != NULL)
        found = strstr(line, text) != NULL;
    if (in != NULL)
        fclose(in);
    return found;
}

bool app_await_log(const struct lab_app *app, const char *text, unsigned ms)
{
    for (unsigned waited = 0; !app_logged(app, text); waited += 5) {
        if (waited >= ms)
            return false;
        lab_sleep(5);
    }
    return true;
}

/* ---- its connections ---- */

struct search {
    uint16_t port;
    unsigned nth;
    struct diag_socket *found;
    bool has;
};

static bool is_it(const struct diag_socket *s, void *arg)
{
    struct search *search = arg;

    if (s->peer.port != search->port || search->nth-- != 0)
        return true;
    *search->found = *s;
    search->has = true;
    return false;
}

bool lab_find_conn(struct lab *l, uint16_t port, unsigned n, struct diag_socket *client, unsigned ms)
{
    uint64_t deadline = clock_mono_us() + ms * 1000ULL;

    do {
        struct search search = {.port = port, .nth = n, .found = client};

        if (l->diag == NULL)
            return false;
        diag_each(l->diag, AF_INET, is_it, &search);
        if (search.has)
            return true;
        lab_sleep(1);
    } while (clock_mono_us() < deadline);
    return false;
}
