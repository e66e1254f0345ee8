/* The _engine module: its types and the names it interns. See py_gateway.h.
 *
 * Imported by workers only, after the fork.
 */
#include "py_asgi.h"

FcModule *
fc_module_of(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030b0000
    PyObject *module = PyType_GetModuleByDef(type, &fc_engine_module);

    return module != NULL ? PyModule_GetState(module) : NULL;
#else
    return PyType_GetModuleState(type);
#endif
}

static int
intern(PyObject **where, const char *text)
{
    *where = PyUnicode_InternFromString(text);
    return *where != NULL ? 0 : -1;
}

/* HTTP_ACCEPT_LANGUAGE of accept-language. */
static int
intern_http_key(FcModule *module, FcFieldId id)
{
    char key[64] = "HTTP_";
    const char *name = fc_field_name(id);
    size_t n = 5;

    for (; *name != '\0'; name++)
        key[n++] = *name == '-' ? '_' : *name >= 'a' && *name <= 'z' ? (char)(*name - 32) : *name;
    key[n] = '\0';
    return intern(&module->http_keys[id], key);
}

static int
intern_names(FcModule *module)
{
    static const char *const keys[FC_KEYS] = {
#define X(id, name) name,
        FC_KEY_LIST(X)
#undef X
    };
    static const char *const methods[FC_METHOD_COUNT] = {"",
#define X(id) #id,
                                                         FC_METHOD_LIST(X)
#undef X
    };

    static const char *const words[FC_WORDS] = {
#define X(id, text) text,
        FC_WORD_LIST(X)
#undef X
    };

    for (int i = 0; i < FC_KEYS; i++)
        if (intern(&module->keys[i], keys[i]) < 0)
            return -1;
    for (int i = 0; i < FC_WORDS; i++)
        if (intern(&module->words[i], words[i]) < 0)
            return -1;
    for (int i = 1; i < FC_FIELD_COUNT; i++)
        if ((module->field_names[i] = PyBytes_FromString(fc_field_name((FcFieldId)i))) == NULL)
            return -1;
    for (int i = 1; i < FC_FIELD_COUNT; i++)
        if (intern_http_key(module, (FcFieldId)i) < 0)
            return -1;
    for (int i = 1; i < FC_METHOD_COUNT; i++)
        if (intern(&module->methods[i], methods[i]) < 0)
            return -1;
    return intern(&module->http_1_0, "HTTP/1.0") < 0 || intern(&module->http_1_1, "HTTP/1.1") < 0 ||
                   intern(&module->empty, "") < 0 || intern(&module->http, "http") < 0 ||
                   intern(&module->https, "https") < 0 || intern(&module->slash, "/") < 0 ||
                   intern(&module->close, "close") < 0 || intern(&module->fileno, "fileno") < 0 ||
                   intern(&module->tell, "tell") < 0 || intern(&module->raw, "raw") < 0 ||
                   intern(&module->read, "read") < 0 || intern(&module->wrapped, "__wrapped__") < 0
               ? -1
               : 0;
}

static PyTypeObject *
add_type(PyObject *object, PyType_Spec *spec, bool public)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(object, spec, NULL);

    if (type != NULL && public && PyModule_AddType(object, type) < 0)
        Py_CLEAR(type);
    return type;
}

static int
module_exec(PyObject *object)
{
    FcModule *module = PyModule_GetState(object);
    PyObject *io = NULL;

    if (intern_names(module) < 0)
        return -1;
    module->engine_type = add_type(object, &fc_engine_spec, true);
    module->call_type = add_type(object, &fc_call_spec, false);
    module->write_type = add_type(object, &fc_write_spec, false);
    module->input_type = add_type(object, &fc_input_spec, false);
    module->request_type = add_type(object, &fc_request_spec, false);
    module->port_type = add_type(object, &fc_port_spec, false);
    module->await_type = add_type(object, &fc_await_spec, false);
    module->empty_bytes = PyBytes_FromStringAndSize(NULL, 0);
    module->disconnect_event = Py_BuildValue("{ss}", "type", "http.disconnect");
    module->file_wrapper_type = add_type(object, &fc_file_wrapper_spec, true);
    if (module->engine_type == NULL || module->call_type == NULL || module->write_type == NULL ||
        module->input_type == NULL || module->file_wrapper_type == NULL || module->request_type == NULL ||
        module->port_type == NULL || module->await_type == NULL || module->empty_bytes == NULL ||
        module->disconnect_event == NULL)
        return -1;
    io = PyImport_ImportModule("io");
    if (io == NULL)
        return -1;
    module->raw_file_type = PyObject_GetAttrString(io, "FileIO");
    module->reader_type = PyObject_GetAttrString(io, "BufferedReader");
    module->random_type = PyObject_GetAttrString(io, "BufferedRandom");
    Py_DECREF(io);
    if (module->raw_file_type == NULL || module->reader_type == NULL || module->random_type == NULL)
        return -1;
    module->empty_input = module->input_type->tp_alloc(module->input_type, 0);
    return module->empty_input != NULL ? 0 : -1;
}

static int
module_visit(FcModule *module, visitproc visit, void *arg)
{
    Py_VISIT(module->engine_type);
    Py_VISIT(module->call_type);
    Py_VISIT(module->write_type);
    Py_VISIT(module->input_type);
    Py_VISIT(module->file_wrapper_type);
    Py_VISIT(module->raw_file_type);
    Py_VISIT(module->reader_type);
    Py_VISIT(module->random_type);
    Py_VISIT(module->request_type);
    Py_VISIT(module->port_type);
    Py_VISIT(module->await_type);
    return 0;
}

static int
module_traverse(PyObject *object, visitproc visit, void *arg)
{
    FcModule *module = PyModule_GetState(object);

    return module != NULL ? module_visit(module, visit, arg) : 0;
}

static int
module_clear(PyObject *object)
{
    FcModule *module = PyModule_GetState(object);

    Py_CLEAR(module->empty_input);
    Py_CLEAR(module->engine_type);
    Py_CLEAR(module->call_type);
    Py_CLEAR(module->write_type);
    Py_CLEAR(module->input_type);
    Py_CLEAR(module->file_wrapper_type);
    Py_CLEAR(module->raw_file_type);
    Py_CLEAR(module->reader_type);
    Py_CLEAR(module->random_type);
    Py_CLEAR(module->request_type);
    Py_CLEAR(module->port_type);
    Py_CLEAR(module->await_type);
    Py_CLEAR(module->empty_bytes);
    Py_CLEAR(module->disconnect_event);
    for (int i = 0; i < FC_WORDS; i++)
        Py_CLEAR(module->words[i]);
    for (int i = 0; i < FC_FIELD_COUNT; i++)
        Py_CLEAR(module->field_names[i]);
    for (int i = 0; i < FC_KEYS; i++)
        Py_CLEAR(module->keys[i]);
    for (int i = 0; i < FC_FIELD_COUNT; i++)
        Py_CLEAR(module->http_keys[i]);
    for (int i = 0; i < FC_METHOD_COUNT; i++)
        Py_CLEAR(module->methods[i]);
    Py_CLEAR(module->http_1_0);
    Py_CLEAR(module->http_1_1);
    Py_CLEAR(module->empty);
    Py_CLEAR(module->http);
    Py_CLEAR(module->https);
    Py_CLEAR(module->slash);
    Py_CLEAR(module->close);
    Py_CLEAR(module->fileno);
    Py_CLEAR(module->tell);
    Py_CLEAR(module->raw);
    Py_CLEAR(module->read);
    Py_CLEAR(module->wrapped);
    return 0;
}

static void
module_free(void *object)
{
    module_clear(object);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

struct PyModuleDef fc_engine_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "forkcluster._engine",
    .m_doc = "The HTTP engine of a worker: accept, parse, call the application, answer.",
    .m_size = sizeof(FcModule),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__engine(void)
{
    return PyModuleDef_Init(&fc_engine_module);
}
