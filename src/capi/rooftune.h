/* The C interface of Rooftune: tensors, executables, and every command of the command-line tool as a call with JSON in
 * and out. Any language binds to this one header; nothing here has logic of its own.
 *
 * Calls return RT_OK or the kind of error; rt_last_error tells more, per thread. Handles may be used from several threads
 * unless it says otherwise; freeing NULL does nothing. Text is UTF-8 and ends with 0.
 */
#ifndef ROOFTUNE_H
#define ROOFTUNE_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  RT_OK = 0,
  RT_INPUT_ERROR = 3,       /* the model, the data or the request is at fault */
  RT_ENVIRONMENT_ERROR = 4, /* something is missing on this machine */
  RT_INTERNAL_ERROR = 5     /* a bug in Rooftune */
} rt_status;

typedef struct rt_tensor rt_tensor;
typedef struct rt_executable rt_executable;
typedef struct rt_context rt_context;
struct DLManagedTensor; /* of dlpack.h */

/* "0.1.0" */
const char* rt_version(void);
/* What this thread's last failed call returned, and in *message (unless NULL) why; RT_OK before any failure. The text
 * stays until this thread's next failure. */
rt_status rt_last_error(const char** message);
void rt_free_string(char* text);
/* The command-line tool as a function: argv[0] is its name, the result its exit code. It takes over SIGINT. */
int rt_command_line(int argc, char** argv);

/* --- tensors: dense, row-major, in host memory. Element types by name: f32, f64, f16, bf16, f8e4m3fn, f8e5m2, …, i8, i16,
 * i32, i64, u8, u16, u32, u64, i4, u4, bool, c64, c128, string. */

/* New memory, 64-byte aligned, not initialised (strings are empty). */
rt_status rt_tensor_create(const char* dtype, const int64_t* shape, int rank, rt_tensor** tensor);
/* The caller's memory, used in place (64-byte aligned memory is used fastest). `release(owner)`, unless NULL, is called
 * when nobody uses the memory any more; until then it must stay. */
rt_status rt_tensor_wrap(void* data, size_t bytes, const char* dtype, const int64_t* shape, int rank,
                         void (*release)(void* owner), void* owner, rt_tensor** tensor);
/* Takes over a DLPack tensor in host memory: without a copy where it is dense, else copied. */
rt_status rt_tensor_from_dlpack(struct DLManagedTensor* managed, rt_tensor** tensor);
/* A DLPack view that keeps the memory alive on its own; its deleter must be called in the end. */
rt_status rt_tensor_to_dlpack(const rt_tensor* tensor, struct DLManagedTensor** managed);
const char* rt_tensor_dtype(const rt_tensor* tensor);
int rt_tensor_rank(const rt_tensor* tensor);
const int64_t* rt_tensor_shape(const rt_tensor* tensor);
size_t rt_tensor_bytes(const rt_tensor* tensor);
void* rt_tensor_data(rt_tensor* tensor); /* NULL for strings */
rt_status rt_tensor_set_string(rt_tensor* tensor, int64_t index, const char* text, size_t bytes);
rt_status rt_tensor_get_string(const rt_tensor* tensor, int64_t index, const char** text, size_t* bytes);
void rt_tensor_free(rt_tensor* tensor);

/* --- plug-ins: libraries with operators and code generators of the user's own (docs/plugins.md) */

/* Loads one for the rest of this process's life; nothing happens where it is loaded already. Those that the environment
 * variable ROOFTUNE_PLUGINS names (separated by colons) are loaded without being asked for. */
rt_status rt_plugin_load(const char* path);

/* --- executables: tuned models (.rt) */

rt_status rt_executable_load(const char* path, rt_executable** executable);
/* {"inputs": [{"name", "dtype", "shape", "dims"}], "outputs": […], "steps", "arena_bytes", "targets"}: -1 is an unknown
 * dimension, a null shape an unknown rank; "dims", where the model has free dimensions, names them with their bounds
 * ("batch{1..8}"). Lives as long as the executable. */
const char* rt_executable_describe(const rt_executable* executable);
void rt_executable_free(rt_executable* executable); /* contexts made from it stay usable */

/* What one run at a time needs: threads and working memory. threads 0: as many as there are processors for us.
 * One run at a time per context; make one per concurrent caller. */
rt_status rt_context_create(const rt_executable* executable, int threads, int pin, rt_context** context);
int rt_context_threads(const rt_context* context);
void rt_context_free(rt_context* context);

/* Inputs and outputs in the model's order. An output that is NULL is made (the caller frees it), else it is written in
 * place and must have the shape that the run gives it. An output may lie in an input's memory, not in another output's.
 * After a failure outputs that were NULL still are. */
rt_status rt_run(rt_context* context, const rt_tensor* const* inputs, int input_count, rt_tensor** outputs,
                 int output_count);
/* One run with a clock around every step: {"steps": [{"name", "nodes", "milliseconds", "flops", "bytes"}], "total_ms"}. */
rt_status rt_profile(rt_context* context, const rt_tensor* const* inputs, int input_count, char** json);

/* --- every command as a function */

/* Called now and then while work goes on, from one thread at a time. best_ms and eta_seconds are NaN where unknown, total
 * is 0 where unknown. A result other than 0 asks the work to end early with what it has. */
typedef int (*rt_progress)(void* user, const char* stage, double done, double total, double best_ms,
                           double eta_seconds);

/* Calls a function by name ("optimize", "characterize", …; "version" lists them) with a JSON object; *response (to be
 * freed with rt_free_string) is a JSON object. progress may be NULL. */
rt_status rt_call(const char* name, const char* request, rt_progress progress, void* user, char** response);

#ifdef __cplusplus
}
#endif
#endif
