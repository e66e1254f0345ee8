/* See peers.h. */
#include "peers.h"

#include <string.h>
#include <unistd.h>

void
fc_peers_init(FcPeers *peers, const FcBoard *board)
{
    pthread_mutex_init(&peers->lock, NULL);
    peers->board = board;
    memset(peers->held, 0, sizeof peers->held);
}

static bool
is_held(const FcPeers *peers, uint32_t seat)
{
    return peers->held[seat / 64] >> (seat % 64) & 1;
}

static void
drop(FcPeers *peers, uint32_t seat)
{
    close(peers->ends[seat].fd);
    peers->held[seat / 64] &= ~(1ull << (seat % 64));
}

void
fc_peers_close_inherited(FcPeers *peers)
{
    for (uint32_t seat = 0; seat < FC_SEATS; seat++)
        if (is_held(peers, seat))
            drop(peers, seat);
}

void
fc_peers_free(FcPeers *peers)
{
    fc_peers_close_inherited(peers);
    pthread_mutex_destroy(&peers->lock);
}

void
fc_peers_add(FcPeers *peers, uint32_t seat, uint32_t epoch, int fd)
{
    if (seat >= FC_SEATS) {
        close(fd);
        return;
    }
    pthread_mutex_lock(&peers->lock);
    if (is_held(peers, seat))
        drop(peers, seat);
    peers->ends[seat] = (FcPeerEnd){.epoch = epoch, .fd = fd};
    peers->held[seat / 64] |= 1ull << (seat % 64);
    pthread_mutex_unlock(&peers->lock);
}

/* Look at one peer: true with its load in *load when it may be sent to. */
static bool
look_at(FcPeers *peers, uint32_t seat, bool leaving, FcLoad *load)
{
    const FcLine *line = fc_board_line(peers->board, seat);
    FcPeerState state = fc_peer_state(line, peers->ends[seat].epoch);

    if (state == FC_PEER_GONE)
        drop(peers, seat);
    if (state != FC_PEER_CANDIDATE && !(leaving && (state == FC_PEER_STARTING || state == FC_PEER_BUSY)))
        return false;
    *load = fc_load_of(line, seat);
    return true;
}

unsigned
fc_peers_look(FcPeers *peers, bool leaving)
{
    unsigned count = 0;

    for (uint32_t word = 0; word < FC_SEATS / 64; word++)
        for (uint64_t bits = peers->held[word]; bits != 0; bits &= bits - 1)
            count +=
                look_at(peers, word * 64 + (uint32_t)__builtin_ctzll(bits), leaving, &peers->loads[count]);
    return count;
}

bool
fc_peers_live(const FcPeers *peers)
{
    for (uint32_t word = 0; word < FC_SEATS / 64; word++)
        for (uint64_t bits = peers->held[word]; bits != 0; bits &= bits - 1) {
            uint32_t seat = word * 64 + (uint32_t)__builtin_ctzll(bits);

            if (fc_peer_state(fc_board_line(peers->board, seat), peers->ends[seat].epoch) != FC_PEER_GONE)
                return true;
        }
    return false;
}

static bool
is_held_up(const FcPeers *peers, uint32_t seat, uint64_t now)
{
    const FcLine *line = fc_board_line(peers->board, seat);
    FcPeerState state = fc_peer_state(line, peers->ends[seat].epoch);
    FcLoad load = fc_load_of(line, seat);

    return state == FC_PEER_STARTING || state == FC_PEER_BUSY || state == FC_PEER_UNABLE ||
           (state == FC_PEER_CANDIDATE && fc_place_held_up(&load, now));
}

bool
fc_peers_held_up(FcPeers *peers, uint64_t now)
{
    for (uint32_t word = 0; word < FC_SEATS / 64; word++)
        for (uint64_t bits = peers->held[word]; bits != 0; bits &= bits - 1)
            if (is_held_up(peers, word * 64 + (uint32_t)__builtin_ctzll(bits), now))
                return true;
    return false;
}

FcPassResult
fc_peers_send(FcPeers *peers, uint32_t seat, const FcPassed *connections, unsigned count)
{
    FcPassResult result;

    if (!is_held(peers, seat))
        return FC_PASS_CLOSED;
    fc_add_shared(&fc_board_line(peers->board, seat)->sent, count);
    result = fc_send_connections(peers->ends[seat].fd, connections, count);
    if (result == FC_PASS_CLOSED)
        drop(peers, seat);
    return result;
}
