/* hasher.c: see hasher.h. */
#include "server/chat/hasher.h"

#include "common/humble.h"
#include "common/mem.h"
#include "server/net/reactor.h"

#include <signal.h>
#include <stdlib.h>

void hasher_init(struct hasher *h)
{
    *h = (struct hasher){0};
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->more, NULL);
}

static struct hash_job *take(struct hasher *h, bool *is_dropped)
{
    struct hash_job *job;

    pthread_mutex_lock(&h->lock);
    while (h->oldest == NULL && !h->stops)
        pthread_cond_wait(&h->more, &h->lock);
    job = h->oldest;
    if (job != NULL) {
        h->oldest = job->next;
        h->waiting--;
        *is_dropped = h->stops;
    }
    pthread_mutex_unlock(&h->lock);
    return job;
}

static void *run(void *arg)
{
    struct hasher *h = arg;
    struct hash_job *job;
    unsigned char salted[SCRAM_KEY_SIZE];
    bool is_dropped;

    thread_be_humble();
    while ((job = take(h, &is_dropped)) != NULL) {
        job->ok = !is_dropped && scram_salt_password(job->password, job->len, job->salt, sizeof job->salt,
                                                     job->iterations, salted);
        if (job->ok)
            scram_derive(salted, &job->keys);
        mem_wipe(job->password, job->len);
        free(job->password);
        job->password = NULL;
        mem_wipe(salted, sizeof salted);
        reactor_post_from_outside(job->home, &job->post, job->done);
    }
    return NULL;
}

/* Started when it is first needed; signals are the main thread's. */
static bool start(struct hasher *h)
{
    sigset_t all, old;

    if (h->runs)
        return true;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    h->runs = pthread_create(&h->thread, NULL, run, h) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return h->runs;
}

bool hasher_put(struct hasher *h, struct hash_job *job)
{
    bool taken;

    job->next = NULL;
    pthread_mutex_lock(&h->lock);
    taken = h->waiting < HASHER_WAITING && start(h);
    if (taken) {
        if (h->oldest == NULL)
            h->oldest = job;
        else
            h->newest->next = job;
        h->newest = job;
        h->waiting++;
        pthread_cond_signal(&h->more);
    }
    pthread_mutex_unlock(&h->lock);
    return taken;
}

bool hasher_settle(struct hasher *h)
{
    if (!h->runs)
        return false;
    pthread_mutex_lock(&h->lock);
    h->stops = true;
    pthread_cond_signal(&h->more);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    h->runs = h->stops = false;
    return true;
}

void hasher_deinit(struct hasher *h)
{
    pthread_mutex_destroy(&h->lock);
    pthread_cond_destroy(&h->more);
}
