/* store_sqlite.c: the threads of the store on disk and the queues in front of them. See store_sqlite.h. */
#include "server/chat/store_sqlite.h"

#include "server/chat/search.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "server/net/reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define IDLE_MS 1000 /* after which the writer tidies up */
#define PAUSE_MS                                                                                             \
    5 /* between two steps of the index: as long as one takes, so that a core is not all its own */

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t more, idle;
    struct store_job *oldest, *newest;
    unsigned working; /* threads that are at jobs of it */
    bool ended;
};

struct reader {
    struct store_reader reader; /* first: what its jobs get */
    struct queue *queue;
    pthread_t thread;
};

struct disk {
    struct store store; /* first */
    char *path;
    int lock_fd;
    struct queue writes, asks, searches;
    struct store_writer writer;
    struct store_carrier carrier;
    struct reader readers[STORE_READERS + 1]; /* the last is for searches: nothing else waits behind them */
    pthread_t write_thread;
};

static void queue_init(struct queue *q)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->more, &attr);
    pthread_cond_init(&q->idle, NULL);
    pthread_condattr_destroy(&attr);
}

static void queue_deinit(struct queue *q)
{
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->more);
    pthread_cond_destroy(&q->idle);
}

static void queue_put(struct queue *q, struct store_job *job)
{
    bool was_empty;

    job->next = NULL;
    pthread_mutex_lock(&q->lock);
    was_empty = q->oldest == NULL;
    if (was_empty)
        q->oldest = job;
    else
        q->newest->next = job;
    q->newest = job;
    pthread_mutex_unlock(&q->lock);
    if (was_empty)
        pthread_cond_signal(&q->more);
}

static void queue_end(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->ended = true;
    pthread_mutex_unlock(&q->lock);
    pthread_cond_broadcast(&q->more);
}

/* Waits until all is done; whether there was anything. */
static bool queue_settle(struct queue *q)
{
    bool any;

    pthread_mutex_lock(&q->lock);
    any = q->oldest != NULL || q->working > 0;
    while (q->oldest != NULL || q->working > 0)
        pthread_cond_wait(&q->idle, &q->lock);
    pthread_mutex_unlock(&q->lock);
    return any;
}

static void wait_more(struct queue *q, unsigned ms)
{
    struct timespec until;

    if (ms == 0) {
        pthread_cond_wait(&q->more, &q->lock);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&q->more, &q->lock, &until);
}

/* All jobs, or the oldest one; NULL at the end, or after so many ms without any (0: however long). At work on
 * them until queue_done. */
static struct store_job *queue_take(struct queue *q, bool all, unsigned ms, bool *ended)
{
    struct store_job *job;

    pthread_mutex_lock(&q->lock);
    if (q->oldest == NULL && !q->ended)
        wait_more(q, ms);
    job = q->oldest;
    if (job != NULL) {
        q->working++;
        q->oldest = all ? NULL : job->next;
        if (q->oldest != NULL)
            pthread_cond_signal(&q->more);
        if (!all)
            job->next = NULL;
    }
    *ended = q->ended && job == NULL;
    pthread_mutex_unlock(&q->lock);
    return job;
}

static void queue_done(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->working--;
    if (q->working == 0 && q->oldest == NULL)
        pthread_cond_broadcast(&q->idle);
    pthread_mutex_unlock(&q->lock);
}

/* Those of one home that stand together go there together: it is woken once. */
static void give_back(struct store_job *job)
{
    while (job != NULL) {
        struct reactor *home = job->home;
        struct post *oldest = &job->post, *newest = NULL;

        for (; job != NULL && job->home == home; job = job->next) {
            job->post.run = job->done;
            job->post.next = newest;
            newest = &job->post;
        }
        mailbox_put(&home->box, newest, oldest);
    }
}

static void work_on_index(struct disk *d, bool ended, bool is_busy)
{
    if (atomic_exchange(&d->readers[STORE_READERS].reader.found_damage, false))
        store_index_remake(&d->writer);
    if (!ended && store_index_may_step(&d->writer, is_busy))
        store_index_step(&d->writer);
}

static void *write_on(void *arg)
{
    struct disk *d = arg;
    uint64_t wrote_us = 0;
    bool ended = false;

    while (!ended) {
        bool is_due = store_index_may_step(&d->writer, false);
        struct store_job *jobs = queue_take(&d->writes, true, is_due ? PAUSE_MS : IDLE_MS, &ended);

        if (jobs != NULL) {
            store_writer_put(&d->writer, jobs);
            give_back(jobs);
            wrote_us = clock_mono_us();
        } else if (clock_mono_us() - wrote_us >= IDLE_MS * 1000) {
            store_writer_tidy(&d->writer);
        }
        store_wal_carry(&d->writer.wal, d->writer.db, &d->carrier, jobs == NULL);
        store_writer_check(&d->writer);
        store_retain(&d->writer);
        work_on_index(d, ended, jobs != NULL);
        if (jobs != NULL)
            queue_done(&d->writes);
    }
    return NULL;
}

static void *read_on(void *arg)
{
    struct reader *r = arg;
    bool ended = false;

    while (!ended) {
        struct store_job *job = queue_take(r->queue, false, 0, &ended);

        if (job == NULL)
            continue;
        store_reader_run(&r->reader, job);
        give_back(job);
        queue_done(r->queue);
    }
    return NULL;
}

static void disk_write(struct store *s, struct store_job *job)
{
    queue_put(&((struct disk *)s)->writes, job);
}

static void disk_ask(struct store *s, struct store_job *job)
{
    struct disk *d = (struct disk *)s;

    queue_put(job->run == store_sqlite_search ? &d->searches : &d->asks, job);
}

static bool disk_settle(struct store *s)
{
    struct disk *d = (struct disk *)s;
    bool wrote = queue_settle(&d->writes), searched = queue_settle(&d->searches);

    return queue_settle(&d->asks) || wrote || searched;
}

/* Nobody who closes the file carries over what the WAL has, or removes it. */
static void leave_wal(struct disk *d)
{
    sqlite3 *all[STORE_READERS + 3] = {d->writer.db, d->carrier.db};

    for (int i = 0; i <= STORE_READERS; i++)
        all[2 + i] = d->readers[i].reader.db;
    for (int i = 0; i < STORE_READERS + 3; i++)
        if (all[i] != NULL)
            sqlite3_db_config(all[i], SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

static void disk_free(struct disk *d)
{
    if (d->carrier.found.error != 0)
        d->writer.wal.is_unsafe = true;
    if (d->writer.wal.is_unsafe)
        leave_wal(d);
    store_writer_close(&d->writer);
    for (int i = 0; i <= STORE_READERS; i++)
        store_reader_close(&d->readers[i].reader);
    store_carrier_close(&d->carrier);
    queue_deinit(&d->writes);
    queue_deinit(&d->asks);
    queue_deinit(&d->searches);
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    free(d->path);
    free(d);
}

static void disk_close(struct store *s)
{
    struct disk *d = (struct disk *)s;

    queue_end(&d->writes);
    queue_end(&d->asks);
    queue_end(&d->searches);
    pthread_join(d->write_thread, NULL);
    for (int i = 0; i <= STORE_READERS; i++)
        pthread_join(d->readers[i].thread, NULL);
    store_carrier_end(&d->carrier);
    disk_free(d);
}

static const struct store_ops disk_ops = {
    .write = disk_write, .ask = disk_ask, .settle = disk_settle, .close = disk_close};

/* Who has the lock, for the one who does not get it: a help, no more. */
static void put_pid(int fd)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n)
        (void)ftruncate(fd, 0); /* a full disk: then nobody is named */
}

static void explain_lock(int fd, const char *dir, char err[STORE_ERROR_SIZE])
{
    char text[24] = "", who[48] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;

    if (pid > 0)
        snprintf(who, sizeof who, " (process %ld)", pid);
    snprintf(
        err, STORE_ERROR_SIZE,
        "%s: another chatd%s is running on that data: end it, or give this one a directory of its own with --data DIR, or "
        "none with --data memory",
        dir, who);
}

/* One server a data directory; the lock goes with the process, however it ends. */
static bool lock_dir(struct disk *d, const char *dir, char err[STORE_ERROR_SIZE])
{
    struct buf path = {0};

    err[0] = '\0';
    buf_putf(&path, "%s/lock", dir);
    buf_put(&path, "", 1);
    d->lock_fd = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0)
        snprintf(err, STORE_ERROR_SIZE,
                 "%s: %s: let chatd write there, or choose another directory with --data DIR", path.data,
                 strerror(errno));
    else if (flock(d->lock_fd, LOCK_EX | LOCK_NB) != 0)
        explain_lock(d->lock_fd, dir, err);
    else
        put_pid(d->lock_fd);
    buf_deinit(&path);
    return err[0] == '\0';
}

static bool open_all(struct disk *d, const struct store_options *options, char err[STORE_ERROR_SIZE])
{
    if (!lock_dir(d, options->dir, err) || !store_writer_open(&d->writer, d->path, options, err))
        return false;
    for (int i = 0; i <= STORE_READERS; i++)
        if (!store_reader_open(&d->readers[i].reader, d->path, err))
            return false;
    return store_carrier_open(&d->carrier, d->path, err);
}

/* Signals are for the main thread. */
static int start_threads(struct disk *d)
{
    sigset_t all, old;
    int ret;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    ret = store_carrier_start(&d->carrier);
    if (ret == 0)
        ret = pthread_create(&d->write_thread, NULL, write_on, d);
    for (int i = 0; i <= STORE_READERS && ret == 0; i++) {
        d->readers[i].queue = i < STORE_READERS ? &d->asks : &d->searches;
        ret = pthread_create(&d->readers[i].thread, NULL, read_on, &d->readers[i]);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return ret;
}

struct store *store_sqlite_open(const struct store_options *options, char err[STORE_ERROR_SIZE])
{
    struct disk *d = mem_zalloc(sizeof *d);
    struct buf path = {0};

    buf_putf(&path, "%s/%s", options->dir, STORE_FILE);
    buf_put(&path, "", 1);
    d->path = path.data;
    d->store.ops = &disk_ops;
    d->store.lasts = true;
    d->writer.rooms = &d->store.rooms;
    queue_init(&d->writes);
    queue_init(&d->asks);
    queue_init(&d->searches);
    if (!open_all(d, options, err)) {
        disk_free(d);
        return NULL;
    }
    d->store.newest_ms = d->writer.newest_ms;
    if (start_threads(d) != 0)
        abort();
    return &d->store;
}
