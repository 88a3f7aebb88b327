// Resident memory of a process that loads a model into onnxruntime and runs it: rss_onnxruntime LIBRARY MODEL THREADS RUNS
//
// Python wheels carry the library without its header. OrtApi is a table of functions to which every release only
// appends, so the few that are needed are called by their place in it.
#include <dlfcn.h>

#include "rss_common.h"

enum {
  kGetErrorMessage = 2,
  kCreateEnv = 3,
  kCreateSession = 7,
  kRun = 9,
  kCreateSessionOptions = 10,
  kSetGraphOptimizationLevel = 23,
  kSetIntraOpNumThreads = 24,
  kSetInterOpNumThreads = 25,
  kGetInputCount = 30,
  kGetOutputCount = 31,
  kGetInputTypeInfo = 33,
  kGetInputName = 36,
  kGetOutputName = 37,
  kCreateTensorWithData = 49,
  kCastTypeInfo = 55,
  kGetElementType = 60,
  kGetDimensionsCount = 61,
  kGetDimensions = 62,
  kGetElementCount = 64,
  kCreateCpuMemoryInfo = 69,
  kGetDefaultAllocator = 78,
  kReleaseValue = 96
};
enum { kFloat = 1, kInt64 = 7, kWarning = 2, kEnableAll = 99, kMaxPorts = 16, kMaxRank = 8 };

typedef struct {
  void** (*get_api)(uint32_t version);
  const char* (*get_version)(void);
} ApiBase;

static void** api;

/// Ends the program where a call returned a status.
static void check(void* status) {
  if (!status) return;
  fprintf(stderr, "onnxruntime: %s\n", ((const char* (*)(void*))api[kGetErrorMessage])(status));
  exit(1);
}

#define CALL(index, types, ...) check(((void*(*)types)api[index])(__VA_ARGS__))

static void* make_input(void* session, size_t i, void* memory) {
  void* info;
  const void* tensor;
  int type;
  size_t rank, elements = 1;
  int64_t dims[kMaxRank];
  CALL(kGetInputTypeInfo, (void*, size_t, void**), session, i, &info);
  CALL(kCastTypeInfo, (void*, const void**), info, &tensor);
  CALL(kGetElementType, (const void*, int*), tensor, &type);
  CALL(kGetDimensionsCount, (const void*, size_t*), tensor, &rank);
  CALL(kGetDimensions, (const void*, int64_t*, size_t), tensor, dims, rank);
  for (size_t d = 0; d < rank; d++) elements *= (size_t)(dims[d] = dims[d] < 1 ? 1 : dims[d]);
  if (type != kFloat && type != kInt64) {
    fprintf(stderr, "input %zu has element type %d; float and int64 are known here\n", i, type);
    exit(1);
  }
  size_t bytes = elements * (type == kFloat ? 4 : 8);
  void *data = malloc(bytes), *value;
  fill(data, elements, type == kFloat);
  CALL(kCreateTensorWithData, (void*, void*, size_t, const int64_t*, size_t, int, void**), memory, data, bytes, dims,
       rank, type, &value);
  return value;
}

int main(int argc, char** argv) {
  if (argc != 5) return fprintf(stderr, "usage: %s LIBRARY MODEL THREADS RUNS\n", argv[0]), 2;
  void* library = dlopen(argv[1], RTLD_NOW);
  if (!library) return fprintf(stderr, "%s\n", dlerror()), 4;
  const ApiBase* base = ((const ApiBase* (*)(void))dlsym(library, "OrtGetApiBase"))();
  api = base->get_api(16);
  int runs = atoi(argv[4]);

  double start = now_ms();
  void *env, *options, *session, *memory, *allocator;
  CALL(kCreateEnv, (int, const char*, void**), kWarning, "rss", &env);
  CALL(kCreateSessionOptions, (void**), &options);
  CALL(kSetIntraOpNumThreads, (void*, int), options, atoi(argv[3]));
  CALL(kSetInterOpNumThreads, (void*, int), options, 1);
  CALL(kSetGraphOptimizationLevel, (void*, int), options, kEnableAll);
  CALL(kCreateSession, (void*, const char*, void*, void**), env, argv[2], options, &session);
  double loaded = now_ms();

  size_t inputs, outputs;
  void *values[kMaxPorts], *results[kMaxPorts];
  const char *input_names[kMaxPorts], *output_names[kMaxPorts];
  CALL(kCreateCpuMemoryInfo, (int, int, void**), 1, 0, &memory);
  CALL(kGetDefaultAllocator, (void**), &allocator);
  CALL(kGetInputCount, (void*, size_t*), session, &inputs);
  CALL(kGetOutputCount, (void*, size_t*), session, &outputs);
  for (size_t i = 0; i < inputs; i++) {
    CALL(kGetInputName, (void*, size_t, void*, const char**), session, i, allocator, &input_names[i]);
    values[i] = make_input(session, i, memory);
  }
  for (size_t i = 0; i < outputs; i++)
    CALL(kGetOutputName, (void*, size_t, void*, const char**), session, i, allocator, &output_names[i]);

  double first = 0;
  for (int r = 0; r < runs; r++) {
    double t = now_ms();
    memset(results, 0, sizeof results);
    CALL(kRun, (void*, void*, const char**, void**, size_t, const char**, size_t, void**), session, NULL, input_names,
         values, inputs, output_names, outputs, results);
    for (size_t i = 0; i < outputs && r + 1 < runs; i++) ((void (*)(void*))api[kReleaseValue])(results[i]);
    if (r == 0) first = now_ms() - t;
  }
  report(loaded - start, first, runs);
  return 0;
}
