/* See crew.h. */
#include "crew.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

int
fc_crew_init(FcCrew *crew, unsigned most)
{
    *crew = (FcCrew){.most = most};
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->summons, NULL);
    crew->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return crew->bell < 0 ? -errno : 0;
}

void
fc_crew_free(FcCrew *crew)
{
    if (crew->most == 0)
        return;
    if (crew->bell >= 0)
        close(crew->bell);
    pthread_cond_destroy(&crew->summons);
    pthread_mutex_destroy(&crew->lock);
    crew->most = 0;
}

static void
ring(FcCrew *crew)
{
    uint64_t one = 1;
    ssize_t ignored = write(crew->bell, &one, sizeof one);

    (void)ignored;
}

void
fc_crew_hire(FcCrew *crew)
{
    bool more;

    pthread_mutex_lock(&crew->lock);
    more = crew->parked + crew->wanted == 0 && crew->hired < crew->most && !crew->over;
    if (more) {
        crew->hired++;
        crew->wanted++;
    }
    pthread_mutex_unlock(&crew->lock);
    if (more)
        ring(crew);
}

FcHire
fc_crew_attend(FcCrew *crew)
{
    struct pollfd poller = {.fd = crew->bell, .events = POLLIN};
    uint64_t rung;
    ssize_t ignored;

    for (;;) {
        bool wanted, over;

        pthread_mutex_lock(&crew->lock);
        over = crew->over;
        wanted = crew->wanted > 0;
        if (wanted)
            crew->wanted--;
        pthread_mutex_unlock(&crew->lock);
        if (over)
            return FC_HIRE_OVER;
        if (wanted)
            return FC_HIRE_THREAD;
        if (poll(&poller, 1, -1) < 0 && errno == EINTR)
            return FC_HIRE_INTERRUPTED;
        ignored = read(crew->bell, &rung, sizeof rung);
        (void)ignored;
    }
}

void
fc_crew_refused(FcCrew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->most = --crew->hired;
    pthread_mutex_unlock(&crew->lock);
}

unsigned
fc_crew_begin(FcCrew *crew)
{
    unsigned number;

    pthread_mutex_lock(&crew->lock);
    number = crew->begun++;
    pthread_mutex_unlock(&crew->lock);
    return number;
}

uint64_t
fc_crew_park(FcCrew *crew)
{
    uint64_t call;

    pthread_mutex_lock(&crew->lock);
    crew->parked++;
    while (!crew->over && crew->call == 0)
        pthread_cond_wait(&crew->summons, &crew->lock);
    crew->parked--;
    call = crew->over ? 0 : crew->call;
    crew->call = 0;
    pthread_mutex_unlock(&crew->lock);
    return call;
}

bool
fc_crew_summon(FcCrew *crew, uint64_t call)
{
    bool there;

    pthread_mutex_lock(&crew->lock);
    there = crew->parked > 0 && !crew->over;
    if (there) {
        crew->call = call;
        pthread_cond_signal(&crew->summons);
    }
    pthread_mutex_unlock(&crew->lock);
    return there;
}

bool
fc_crew_exhausted(FcCrew *crew)
{
    bool exhausted;

    pthread_mutex_lock(&crew->lock);
    exhausted = crew->parked + crew->wanted == 0 && crew->hired == crew->most;
    pthread_mutex_unlock(&crew->lock);
    return exhausted;
}

void
fc_crew_end(FcCrew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->over = true;
    pthread_cond_broadcast(&crew->summons);
    pthread_mutex_unlock(&crew->lock);
    ring(crew);
}
