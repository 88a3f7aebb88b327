// Runs the phases of one generated kernel on a processor of another kind, which an emulator is: what KernelRunner does in its own
// process. arm_runner FOLDER reads FOLDER/plan, one word and its numbers a line:
//   buffer BYTES      in order; FOLDER/<number> holds it before and after
//   parameter VALUE   in order
//   workspace BYTES
//   scratch BYTES
//   run SYMBOL TASKS  of FOLDER/code.so, in order
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*Phase)(void* const*, void*, void*, int64_t, int64_t);

static char path[4096];

static const char* in(const char* folder, const char* name) {
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static void fail(const char* what) {
  fprintf(stderr, "arm_runner: %s\n", what);
  exit(1);
}

static void* memory(size_t bytes) {
  void* m = aligned_alloc(64, (bytes + 127) / 64 * 64);
  if (m == NULL) fail("no memory");
  return m;
}

static void transfer(const char* folder, int number, void* buffer, size_t bytes, const char* mode) {
  char name[16];
  snprintf(name, sizeof name, "%d", number);
  FILE* f = fopen(in(folder, name), mode);
  if (f == NULL) fail(path);
  size_t done = *mode == 'r' ? fread(buffer, 1, bytes, f) : fwrite(buffer, 1, bytes, f);
  if (done != bytes || fclose(f) != 0) fail(path);
}

int main(int argc, char** argv) {
  if (argc != 2) fail("usage: arm_runner FOLDER");
  const char* folder = argv[1];
  FILE* plan = fopen(in(folder, "plan"), "r");
  if (plan == NULL) fail(path);
  void* code = dlopen(in(folder, "code.so"), RTLD_NOW);
  if (code == NULL) fail(dlerror());
  enum { most = 256 };
  void* buffers[most + 1];
  size_t bytes[most];
  int64_t parameters[most];
  int buffer_count = 0, parameter_count = 0;
  void *workspace = NULL, *scratch = NULL;
  char word[32], rest[256];
  while (fscanf(plan, "%31s %255s", word, rest) == 2) {
    if (strcmp(word, "buffer") == 0 && buffer_count < most) {
      bytes[buffer_count] = strtoull(rest, NULL, 10);
      buffers[buffer_count] = memory(bytes[buffer_count]);
      transfer(folder, buffer_count, buffers[buffer_count], bytes[buffer_count], "rb");
      buffers[++buffer_count] = parameters;
    } else if (strcmp(word, "parameter") == 0 && parameter_count < most) {
      parameters[parameter_count++] = strtoll(rest, NULL, 10);
    } else if (strcmp(word, "workspace") == 0) {
      workspace = memory(strtoull(rest, NULL, 10));
    } else if (strcmp(word, "scratch") == 0) {
      scratch = memory(strtoull(rest, NULL, 10));
    } else if (strcmp(word, "run") == 0) {
      Phase phase;
      *(void**)&phase = dlsym(code, rest);
      long long tasks;
      if (phase == NULL || fscanf(plan, "%lld", &tasks) != 1) fail(rest);
      phase(buffers, workspace, scratch, 0, tasks);
    } else {
      fail(word);
    }
  }
  for (int i = 0; i < buffer_count; ++i) transfer(folder, i, buffers[i], bytes[i], "wb");
  return 0;
}
