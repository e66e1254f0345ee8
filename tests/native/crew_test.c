/* Cases for test_crew.py: the serving threads' parking, and the engine's token. argv[1] names the case. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "crew.h"
#include "token.h"

#define TURNS 20000

static FcCrew crew;
static FcToken token;
static uint64_t guarded; /* by the token */
static _Atomic uint64_t came;

static void *
park(void *arg)
{
    uint64_t call;

    (void)arg;
    while ((call = fc_crew_park(&crew)) != 0)
        atomic_fetch_add(&came, 1);
    return NULL;
}

static void
wait_for_parked(unsigned count)
{
    unsigned parked = 0;

    while (parked < count) {
        pthread_mutex_lock(&crew.lock);
        parked = crew.parked;
        pthread_mutex_unlock(&crew.lock);
    }
}

static void
nobody_is_summoned_where_nobody_is_parked(void)
{
    assert(!fc_crew_summon(&crew, 1));
}

static void
a_summons_brings_one_and_the_end_sends_all(void)
{
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, park, NULL);
    for (uint64_t call = 1; call <= 1000; call += 2) {
        wait_for_parked(4);
        assert(fc_crew_summon(&crew, call));
        while (atomic_load(&came) != (call + 1) / 2)
            continue;
    }
    fc_crew_end(&crew);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert(atomic_load(&came) == 500);
    assert(fc_crew_park(&crew) == 0);
}

static void
threads_are_hired_up_to_the_most_and_only_without_a_spare(void)
{
    pthread_t thread;

    fc_crew_hire(&crew);
    fc_crew_hire(&crew); /* the first is not made yet */
    assert(fc_crew_attend(&crew) == FC_HIRE_THREAD);
    pthread_create(&thread, NULL, park, NULL);
    wait_for_parked(1);
    fc_crew_hire(&crew);
    assert(!fc_crew_exhausted(&crew));
    fc_crew_end(&crew);
    assert(fc_crew_attend(&crew) == FC_HIRE_OVER);
    pthread_join(thread, NULL);
    assert(crew.hired == 1);
}

static void
a_crew_without_spares_and_without_more_is_exhausted(void)
{
    for (unsigned i = 0; i < crew.most; i++) {
        assert(!fc_crew_exhausted(&crew));
        fc_crew_hire(&crew);
        assert(fc_crew_attend(&crew) == FC_HIRE_THREAD);
        assert(fc_crew_begin(&crew) == i);
    }
    assert(fc_crew_exhausted(&crew));
    fc_crew_hire(&crew);
    assert(crew.hired == crew.most);
}

static void *
monitor(void *arg)
{
    (void)arg;
    for (int i = 0; i < TURNS; i++) {
        if (!fc_token_take(&token, FC_TOKEN_MONITOR))
            continue;
        guarded++;
        fc_token_give_back(&token);
        atomic_fetch_add(&came, 1);
    }
    return NULL;
}

static pthread_mutex_t gil = PTHREAD_MUTEX_INITIALIZER;

static void *
serve(void *arg)
{
    (void)arg;
    for (int i = 0; i < TURNS; i++) {
        pthread_mutex_lock(&gil);
        while (!fc_token_take(&token, FC_TOKEN_SERVER)) {
            pthread_mutex_unlock(&gil);
            fc_token_await(&token);
            pthread_mutex_lock(&gil);
        }
        guarded++;
        fc_token_release(&token);
        pthread_mutex_unlock(&gil);
    }
    return NULL;
}

static void
whoever_has_the_token_is_alone(void)
{
    pthread_t threads[4];

    pthread_create(&threads[0], NULL, monitor, NULL);
    for (int i = 1; i < 4; i++)
        pthread_create(&threads[i], NULL, serve, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert(guarded == atomic_load(&came) + 3 * TURNS);
}

#define CASES(X)                                                                                             \
    X(nobody_is_summoned_where_nobody_is_parked)                                                             \
    X(a_summons_brings_one_and_the_end_sends_all)                                                            \
    X(threads_are_hired_up_to_the_most_and_only_without_a_spare)                                             \
    X(a_crew_without_spares_and_without_more_is_exhausted)                                                   \
    X(whoever_has_the_token_is_alone)

int
main(int argc, char **argv)
{
    assert(fc_crew_init(&crew, 4) == 0);
#define X(name)                                                                                              \
    if (argc > 1 && strcmp(argv[1], #name) == 0) {                                                           \
        name();                                                                                              \
        fc_crew_free(&crew);                                                                                 \
        return 0;                                                                                            \
    }
    CASES(X)
#undef X
    printf("no such case\n");
    return 2;
}
