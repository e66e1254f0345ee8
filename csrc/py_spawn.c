/* spawn(): Python's arguments for spawn.c, and its failures as exceptions that say what could not be done. */
#include "py_process.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "spawn.h"

const char fc_spawn_doc[] = PyDoc_STR(
    "spawn(program: bytes, argv: list[bytes], environment: list[bytes], directory: bytes,\n"
    "      descriptors: list[int], *, umask: int = -1, identity: tuple[int, int, list[int]] | None = None,\n"
    "      death_signal: int = 0, listen_pid: bool = False, session: bool = True) -> int\n--\n\n"
    "Execute the program at a path; give its pid, which is the caller's to wait for.\n\n"
    "The descriptors (borrowed; -1: none) become its 0, 1, 2 …, all others are closed. identity is\n"
    "(uid, gid, groups). session: it gets one of its own, and so no terminal's signals.\n"
    "death_signal is sent to it when the calling thread ends. listen_pid: its own pid is added to the\n"
    "environment as LISTEN_PID. Signals have their defaults and the caller's mask. Raise OSError saying\n"
    "what could not be done.");

/* Make a NULL-ended array of the texts of a list of bytes, with `spare` places more; NULL with an exception
 * set. The array is the caller's, its texts are the list's. */
static char **
fc_texts(PyObject *list, size_t spare)
{
    Py_ssize_t count = PyList_GET_SIZE(list);
    char **texts = PyMem_Calloc((size_t)count + spare + 1, sizeof *texts);
    if (texts == NULL)
        return (char **)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        texts[i] = PyBytes_AsString(PyList_GET_ITEM(list, i));
        if (texts[i] == NULL) {
            PyMem_Free(texts);
            return NULL;
        }
    }
    return texts;
}

/* Make an array of the whole numbers of a list; NULL with an exception set. The array is the caller's. */
static int *
fc_numbers(PyObject *list)
{
    Py_ssize_t count = PyList_GET_SIZE(list);
    int *numbers = PyMem_Calloc((size_t)count + 1, sizeof *numbers);
    if (numbers == NULL)
        return (int *)PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++)
        numbers[i] = (int)PyLong_AsLong(PyList_GET_ITEM(list, i));
    if (PyErr_Occurred()) {
        PyMem_Free(numbers);
        return NULL;
    }
    return numbers;
}

static PyObject *
fc_spawn_failed(FcSpawnStep step, int error, const FcSpawn *spawn)
{
    const char *format = "starting the process: %s";
    const char *object = "";
    switch (step) {
    case FC_SPAWN_OK:
    case FC_SPAWN_FORK:
        break;
    case FC_SPAWN_DESCRIPTORS:
        format = "handing over its descriptors: %s";
        break;
    case FC_SPAWN_IDENTITY:
        format = "becoming its user: %s";
        break;
    case FC_SPAWN_DIRECTORY:
        format = "changing to its directory %2$s: %1$s";
        object = spawn->directory;
        break;
    case FC_SPAWN_EXECUTE:
        format = "executing %2$s: %1$s";
        object = spawn->program;
        break;
    }
    char text[4096 + 256];
    snprintf(text, sizeof text, format, strerror(error), object);
    PyObject *value = Py_BuildValue("(iN)", error, PyUnicode_DecodeFSDefault(text));
    if (value != NULL) {
        PyErr_SetObject(PyExc_OSError, value);
        Py_DECREF(value);
    }
    return NULL;
}

PyObject *
fc_spawn_program(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"program",  "argv",         "environment", "directory", "descriptors", "umask",
                            "identity", "death_signal", "listen_pid",  "session",   NULL};
    PyObject *argv, *environment, *descriptors, *identity = Py_None, *groups = NULL;
    PyObject *result = NULL;
    char **argv_texts = NULL, **environment_texts = NULL;
    int *descriptor_numbers = NULL, *group_numbers = NULL;
    char listen_pid[32] = "LISTEN_PID=";
    int listen = 0, session = 1, uid = 0, gid = 0, error = 0;
    FcSpawn spawn = {.umask = -1};
    pid_t pid = -1;
    (void)self;

    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "yO!O!yO!|$iOipp:spawn", names, &spawn.program,
                                     &PyList_Type, &argv, &PyList_Type, &environment, &spawn.directory,
                                     &PyList_Type, &descriptors, &spawn.umask, &identity, &spawn.death_signal,
                                     &listen, &session))
        return NULL;
    if (identity != Py_None && !PyArg_ParseTuple(identity, "iiO!", &uid, &gid, &PyList_Type, &groups))
        return NULL;
    if ((argv_texts = fc_texts(argv, 0)) == NULL || (environment_texts = fc_texts(environment, 1)) == NULL ||
        (descriptor_numbers = fc_numbers(descriptors)) == NULL)
        goto done;
    if (groups != NULL) {
        if ((group_numbers = fc_numbers(groups)) == NULL)
            goto done;
        spawn.become = true;
        spawn.uid = (uid_t)uid;
        spawn.gid = (gid_t)gid;
        spawn.groups = (const gid_t *)group_numbers; /* both are 32 bits wide on Linux */
        spawn.group_count = (int)PyList_GET_SIZE(groups);
    }
    if (listen) {
        environment_texts[PyList_GET_SIZE(environment)] = listen_pid;
        spawn.listen_pid = listen_pid + strlen(listen_pid);
    }
    spawn.session = session;
    spawn.argv = argv_texts;
    spawn.envp = environment_texts;
    spawn.descriptors = descriptor_numbers;
    spawn.descriptor_count = (int)PyList_GET_SIZE(descriptors);
    FcSpawnStep step = fc_spawn(&spawn, &pid, &error);
    result = step == FC_SPAWN_OK ? PyLong_FromLong(pid) : fc_spawn_failed(step, error, &spawn);
done:
    PyMem_Free(argv_texts);
    PyMem_Free(environment_texts);
    PyMem_Free(descriptor_numbers);
    PyMem_Free(group_numbers);
    return result;
}
