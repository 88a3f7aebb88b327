// Kernels as a code generator would emit them, compiled ahead of time so that the runtime is tested without one.
// Matrices are kRows x kColumns; buffers are named in each kernel's comment.
#include <stdint.h>
enum { kRows = 37, kColumns = 24 };

// x, y: y = 2 x + 1. Tasks are rows. Safe in place.
void scale(void* const* buffers, void* workspace, void* scratch, int64_t begin, int64_t end) {
  (void)workspace, (void)scratch;
  const float* x = buffers[0];
  float* y = buffers[1];
  for (int64_t i = begin * kColumns; i < end * kColumns; ++i) y[i] = 2 * x[i] + 1;
}

// a, b, y: y = a - b. Tasks are rows.
void subtract(void* const* buffers, void* workspace, void* scratch, int64_t begin, int64_t end) {
  (void)workspace, (void)scratch;
  const float *a = buffers[0], *b = buffers[1];
  float* y = buffers[2];
  for (int64_t i = begin * kColumns; i < end * kColumns; ++i) y[i] = a[i] - b[i];
}

// x, w [columns x columns], packed, y: packed = w transposed, then y = x w, each row summed up in scratch.
void pack_transposed(void* const* buffers, void* workspace, void* scratch, int64_t begin, int64_t end) {
  (void)workspace, (void)scratch;
  const float* w = buffers[1];
  float* packed = buffers[2];
  for (int64_t n = begin; n < end; ++n)
    for (int64_t k = 0; k < kColumns; ++k) packed[n * kColumns + k] = w[k * kColumns + n];
}
void multiply(void* const* buffers, void* workspace, void* scratch, int64_t begin, int64_t end) {
  (void)workspace;
  const float *x = buffers[0], *packed = buffers[2];
  float *y = buffers[3], *row = scratch;
  for (int64_t m = begin; m < end; ++m) {
    for (int64_t n = 0; n < kColumns; ++n) {
      row[n] = 0;
      for (int64_t k = 0; k < kColumns; ++k) row[n] += x[m * kColumns + k] * packed[n * kColumns + k];
    }
    for (int64_t n = 0; n < kColumns; ++n) y[m * kColumns + n] = row[n];
  }
}

// x, y: subtracts from every row the sum of all rows; the first phase (tasks: columns) leaves the sums in the workspace.
void sum_rows(void* const* buffers, void* workspace, void* scratch, int64_t begin, int64_t end) {
  (void)scratch;
  const float* x = buffers[0];
  float* sums = workspace;
  for (int64_t n = begin; n < end; ++n) {
    float sum = 0;
    for (int64_t m = 0; m < kRows; ++m) sum += x[m * kColumns + n];
    sums[n] = sum;
  }
}
void subtract_sums(void* const* buffers, void* workspace, void* scratch, int64_t begin, int64_t end) {
  (void)scratch;
  const float *x = buffers[0], *sums = workspace;
  float* y = buffers[1];
  for (int64_t m = begin; m < end; ++m)
    for (int64_t n = 0; n < kColumns; ++n) y[m * kColumns + n] = x[m * kColumns + n] - sums[n];
}

// packed, y: packed[n] = where the scratch memory of the thread lies that did task n; y = packed. The tasks take long enough
// for every thread to get some.
void note_thread(void* const* buffers, void* workspace, void* scratch, int64_t begin, int64_t end) {
  (void)workspace;
  uint64_t* packed = buffers[0];
  for (int64_t n = begin; n < end; ++n) {
    for (volatile int i = 0; i < 300000; ++i) {
    }
    packed[n] = (uintptr_t)scratch;
  }
}
void copy_notes(void* const* buffers, void* workspace, void* scratch, int64_t begin, int64_t end) {
  (void)workspace, (void)scratch;
  const uint64_t* packed = buffers[0];
  uint64_t* y = buffers[1];
  for (int64_t n = begin; n < end; ++n) y[n] = packed[n];
}

// y: 1 where all three memories are 64-byte aligned. One task.
void check_alignment(void* const* buffers, void* workspace, void* scratch, int64_t begin, int64_t end) {
  (void)begin, (void)end;
  int* y = buffers[1];
  *y = (((uintptr_t)buffers[0] | (uintptr_t)buffers[1] | (uintptr_t)workspace | (uintptr_t)scratch) & 63) == 0;
}
