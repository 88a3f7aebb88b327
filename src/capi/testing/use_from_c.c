/* The header is C, and the interface is enough to load and run a model from C. */
#include <stdlib.h>

#include "capi/rooftune.h"

/* Runs a model of one f32 input and one f32 output; 0 when everything went well. */
int run_from_c(const char* path, float* in, float* out, const int64_t* shape, int rank, size_t bytes) {
  rt_executable* executable = NULL;
  rt_context* context = NULL;
  rt_tensor *x = NULL, *y = NULL;
  int status = rt_executable_load(path, &executable);
  if (!status) status = rt_context_create(executable, 1, 0, &context);
  if (!status) status = rt_tensor_wrap(in, bytes, "f32", shape, rank, NULL, NULL, &x);
  if (!status) status = rt_tensor_wrap(out, bytes, "f32", shape, rank, NULL, NULL, &y);
  if (!status) {
    const rt_tensor* inputs[] = {x};
    status = rt_run(context, inputs, 1, &y, 1);
  }
  rt_tensor_free(x);
  rt_tensor_free(y);
  rt_executable_free(executable); /* before its context, which is allowed */
  rt_context_free(context);
  return status;
}
