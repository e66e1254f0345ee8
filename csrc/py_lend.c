/* What a thread of the application has of a connection while it waits for the client in wsgi.input.read() or
 * write(). See py_gateway.h.
 *
 * The call it belongs to may end meanwhile: an application may read in a thread of its own and give up. Then
 * the serving thread has the connection back before it gives it to the engine.
 */
#include <pthread.h>

#include "py_gateway.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t came_back = PTHREAD_COND_INITIALIZER;

bool
fc_lend(FcConn *conn, uint8_t what)
{
    if (conn->lent & what) {
        PyErr_SetString(PyExc_RuntimeError, what == FC_LENT_BODY
                                                ? "wsgi.input is being read by another thread"
                                                : "write() is being called by another thread");
        return false;
    }
    conn->lent |= what;
    return true;
}

void
fc_lend_back(FcConn *conn, uint8_t what)
{
    conn->lent &= (uint8_t)~what;
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&came_back);
    pthread_mutex_unlock(&lock);
}

void
fc_recall(FcConn *conn, uint8_t what)
{
    while (conn->lent & what) {
        atomic_fetch_or(&conn->recalled, what);
        /* Locked before the GIL is given up: who comes back meanwhile is not missed. */
        pthread_mutex_lock(&lock);
        Py_BEGIN_ALLOW_THREADS pthread_cond_wait(&came_back, &lock);
        pthread_mutex_unlock(&lock);
        Py_END_ALLOW_THREADS
    }
    atomic_fetch_and(&conn->recalled, (uint8_t)~what);
}

void
fc_lend_in_child(void)
{
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&came_back, NULL);
}
