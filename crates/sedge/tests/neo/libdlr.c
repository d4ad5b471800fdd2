/* A runtime for tests: answers with what it is given, and ends its process in the way that the
 * path of the package names. Interface: neo-ai/neo-ai-dlr, include/dlr.h. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[4096];
static float row[64];
static int64_t rows = 1, columns = 12;
static int runs;

/* Past handlers that only a fault of the processor's own gets by. */
static void die(int number) { signal(number, SIG_DFL); raise(number); }

static int has(const char *word) { return strstr(path, word) != NULL; }

int CreateDLRModel(void **handle, const char *model, int device, int id) {
    strncpy(path, model, sizeof path - 1);
    if (has("create-abort")) abort();
    if (has("create-refuse")) {
        fprintf(stderr, "[12:00:00] /src/dlr.cc:189: these bytes \xff are no model\n");
        return -1;
    }
    if (has("create-bus")) die(SIGBUS);
    *handle = path;
    return 0;
}
int CreateDLRModelFromModelElem(void **handle, const void *elements, size_t n, int d, int i) {
    return -1;
}
int DeleteDLRModel(void **handle) { *handle = NULL; return 0; }
int RunDLRModel(void **handle) {
    runs++;
    if (has("first-ill")) die(SIGILL);
    /* The first run is the one that sees whether it works. */
    if (runs > 1 && has("run-segv")) die(SIGSEGV);
    if (runs > 1 && has("run-ill")) die(SIGILL);
    if (runs > 1 && has("run-exit")) exit(3);
    if (runs > 1 && has("run-hang")) sleep(600);
    if (runs > 1 && has("run-fail")) return -1;
    return 0;
}
const char *DLRGetLastError(void) {
    return "TVMError: Check failed: rows == 7 : another number of rows\nStack trace:\n  0x7f";
}
int GetDLRNumInputs(void **handle, int *n) { *n = 1; return 0; }
int GetDLRNumOutputs(void **handle, int *n) { *n = has("two-outputs") ? 2 : 1; return 0; }
int GetDLRInputName(void **handle, int i, const char **name) { *name = "data"; return 0; }
int SetDLRInput(void **handle, const char *name, const int64_t *shape, const void *data, int dim) {
    rows = shape[0];
    columns = shape[1];
    memcpy(row, data, sizeof(float));
    return 0;
}
int GetDLROutputSizeDim(void **handle, int i, int64_t *size, int *dim) {
    *size = 1;
    *dim = has("many-dims") && runs > 1 ? 4000 : 2;
    return 0;
}
int GetDLROutputShape(void **handle, int i, int64_t *shape) {
    shape[0] = has("vast") && runs > 1 ? (int64_t)1 << 40 : 1;
    shape[1] = 1;
    return 0;
}
int GetDLROutputType(void **handle, int i, const char **type) {
    *type = has("odd-type") && runs > 1 ? "complex64" : "float32";
    return 0;
}
int GetDLROutput(void **handle, int i, void *out) { memcpy(out, row, sizeof(float)); return 0; }
int GetDLRVersion(const char **version) { *version = "1.6.0"; return 0; }
