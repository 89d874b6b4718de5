/* start.c: see start.h. */
#include "client/start.h"

#include "client/view.h"
#include "common/log.h"
#include "common/trace.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int complain(int exit_code, const char *what, const char *why)
{
    fprintf(stderr, "chat: %s: %s\n", what, why);
    return exit_code;
}

/* poll(2) and not epoll: it takes regular files and /dev/null as input too, and there are few descriptors
 * here. */
static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base;

    event_config_require_features(config, EV_FEATURE_FDS);
    base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

static int open_trace(const struct options *o)
{
    struct trace_options to = {.file = o->trace,
                               .program = "chat",
                               .side = "client",
                               .prefix = lifecycle_id_prefix(),
                               .facts = true,
                               .level = o->trace_messages ? TRACE_MESSAGES : TRACE_CALLS};

    if (o->trace == NULL)
        to.dir = trace_default_dir();
    return to.file != NULL || to.dir != NULL ? trace_open(&to) : 0;
}

static int run(struct chat *chat)
{
    const struct options *o = &chat->options;
    bool is_terminal = !o->json && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    char err[TLS_ERROR_SIZE], why[SECRET_ERROR_SIZE];
    int ret;

    if (o->log != NULL && (ret = log_open(o->log)) < 0)
        return complain(EXIT_USAGE, o->log, strerror(-ret));
    if ((ret = open_trace(o)) < 0)
        return complain(EXIT_USAGE, o->trace != NULL ? o->trace : "CHAT_TRACE", strerror(-ret));
    if (o->password_file != NULL && (chat->password = secret_read_password(o->password_file, why)) == NULL)
        return complain(EXIT_USAGE, "--password-file", why);
    if (options_want_tls(o) && (chat->tls = tls_new_client(o->ca, err)) == NULL)
        return complain(EXIT_USAGE, "TLS", err);
    chat->base = new_base();
    if (chat->base == NULL)
        return complain(EXIT_NOT_CONNECTED, "libevent", "no event loop could be made");
    if (o->ladder && !is_terminal)
        chat->live =
            live_new(chat->base, &(struct live_options){.follow = true, .color = o->color == OPTIONS_YES});
    if (o->json)
        view_json_run(chat);
    else if (is_terminal)
        view_line_run(chat);
    else
        view_pipe_run(chat);
    live_free(chat->live);
    event_base_free(chat->base);
    return chat->exit_code;
}

/* A socket that got the number of standard output would have everything printed into it. */
static void fill_standard_descriptors(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

int chat_main(int argc, char **argv)
{
    struct chat chat = {.exit_code = EXIT_CLEAN};
    int code;

    fill_standard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    lifecycle_set_side("client");
    switch (options_parse(&chat.options, argc, argv)) {
    case OPTIONS_RUN:
        code = run(&chat);
        break;
    case OPTIONS_DONE:
        code = EXIT_CLEAN;
        break;
    default:
        code = EXIT_USAGE;
        break;
    }
    SSL_CTX_free(chat.tls);
    secret_free(chat.password);
    options_deinit(&chat.options);
    trace_close_thread();
    log_close();
    if (fflush(stdout) != 0 && code == EXIT_CLEAN)
        code = EXIT_FAILED;
    return code;
}
