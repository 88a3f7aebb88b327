/* A plug-in with two operators of the domain com.example (docs/plugins.md explains it line by line):
 *
 *   SwiGLU(x: f32[…, 2n]) → y: f32[…, n], with the float attribute alpha (1):
 *     with a and b the halves of x, y = a · sigmoid(alpha · a) · b.
 *     It is made of operators of ai.onnx, and so is fused, tuned and compiled like the rest of the model.
 *   EditDistance(a: i64[n, s], b: i64[n, t]) → d: i64[n]:
 *     how many insertions, removals and changes lead from row a[i] to row b[i]; negative elements are padding.
 *     Nothing in ai.onnx does that: it always runs the reference below.
 *
 *   cc -O2 -shared -fPIC -I ROOFTUNE/src/plugins operators.c -o libexample_operators.so -lm
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rooftune_plugin.h"

enum { kMostDims = 64 };

static int fail(const rt_host* host, rt_node* node, const char* why) {
  host->fail(node, why);
  return 1;
}

/* --- SwiGLU */

static int swiglu_infer(const rt_host* host, rt_node* node) {
  if (strcmp(host->input_dtype(node, 0), "f32") != 0) return fail(host, node, "x must be f32");
  const int rank = host->input_rank(node, 0);
  if (rank < 0) return 0; /* not known yet */
  if (rank == 0 || rank > kMostDims) return fail(host, node, "x must have a last dimension to cut in two");
  rt_dim dims[kMostDims];
  for (int d = 0; d < rank; ++d) dims[d] = host->input_dim(node, 0, d);
  const int64_t last = host->dim_value(node, dims[rank - 1]); /* -1 where it is a symbol */
  if (last >= 0 && last % 2 != 0) {
    char why[80];
    snprintf(why, sizeof why, "the last dimension of x is %lld, but must be even", (long long)last);
    return fail(host, node, why);
  }
  dims[rank - 1] = host->dim_divide(node, dims[rank - 1], host->dim(node, 2));
  host->set_output(node, 0, "f32", rank, dims);
  return 0;
}

static int swiglu_evaluate(const rt_host* host, rt_node* node) {
  rt_array x;
  host->input(node, 0, &x);
  int64_t shape[kMostDims];
  memcpy(shape, x.shape, sizeof(int64_t) * (size_t)x.rank);
  const int64_t n = shape[x.rank - 1] /= 2;
  float* y = host->output(node, 0, "f32", x.rank, shape);
  if (y == NULL) return 1;
  const double alpha = host->attribute_float(node, "alpha", 1);
  const float* in = x.data;
  for (int64_t row = 0; n > 0 && row < x.size / (2 * n); ++row) {
    const float *a = in + row * 2 * n, *b = a + n;
    for (int64_t i = 0; i < n; ++i) y[row * n + i] = (float)(a[i] / (1 + exp(-alpha * a[i])) * b[i]);
  }
  return 0;
}

static int swiglu_expand(const rt_host* host, rt_node* node) {
  const rt_value x = host->value(node, 0);
  const rt_value a = host->emit(node, "Split", "{\"axis\": -1, \"num_outputs\": 2}", 1, &x, 2), b = a + 1;
  const double alpha = host->attribute_float(node, "alpha", 1);
  rt_value scaled = a;
  if (alpha != 1) {
    const float value = (float)alpha;
    const rt_array array = {"f32", 0, NULL, 1, &value};
    const rt_value product[] = {a, host->constant(node, &array)};
    scaled = host->emit(node, "Mul", NULL, 2, product, 1);
  }
  const rt_value silu[] = {a, host->emit(node, "Sigmoid", NULL, 1, &scaled, 1)};
  const rt_value gated[] = {host->emit(node, "Mul", NULL, 2, silu, 1), b};
  host->finish(node, 0, host->emit(node, "Mul", NULL, 2, gated, 1));
  return 0;
}

static double swiglu_flops(const rt_host* host, rt_node* node) {
  double elements = 0.5; /* of y */
  for (int d = 0; d < host->input_rank(node, 0); ++d)
    elements *= (double)host->dim_value(node, host->input_dim(node, 0, d));
  return 6 * elements;
}

/* --- EditDistance */

static int distance_infer(const rt_host* host, rt_node* node) {
  for (int i = 0; i < 2; ++i) {
    if (strcmp(host->input_dtype(node, i), "i64") != 0) return fail(host, node, "a and b must be i64");
    if (host->input_rank(node, i) != 2) return fail(host, node, "a and b must be matrices");
  }
  const rt_dim rows = host->input_dim(node, 0, 0);
  if (host->dims_differ(node, rows, host->input_dim(node, 1, 0)))
    return fail(host, node, "a and b must have as many rows");
  host->set_output(node, 0, "i64", 1, &rows);
  return 0;
}

/* The elements without padding, moved together; how many. */
static int64_t compact(const int64_t* from, int64_t count, int64_t* to) {
  int64_t kept = 0;
  for (int64_t i = 0; i < count; ++i)
    if (from[i] >= 0) to[kept++] = from[i];
  return kept;
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static int distance_evaluate(const rt_host* host, rt_node* node) {
  rt_array a, b;
  host->input(node, 0, &a);
  host->input(node, 1, &b);
  int64_t* d = host->output(node, 0, "i64", 1, a.shape);
  int64_t* memory = malloc(sizeof(int64_t) * (size_t)(a.shape[1] + 2 * b.shape[1] + 1));
  if (d == NULL || memory == NULL) {
    free(memory);
    return fail(host, node, "there is not enough memory");
  }
  int64_t *left = memory, *right = left + a.shape[1], *best = right + b.shape[1];
  for (int64_t row = 0; row < a.shape[0]; ++row) {
    const int64_t m = compact((const int64_t*)a.data + row * a.shape[1], a.shape[1], left);
    const int64_t n = compact((const int64_t*)b.data + row * b.shape[1], b.shape[1], right);
    for (int64_t j = 0; j <= n; ++j) best[j] = j;
    for (int64_t i = 1; i <= m; ++i) {
      int64_t diagonal = best[0];
      best[0] = i;
      for (int64_t j = 1; j <= n; ++j) {
        const int64_t changed = diagonal + (left[i - 1] != right[j - 1]);
        diagonal = best[j];
        best[j] = smaller(changed, 1 + smaller(best[j], best[j - 1]));
      }
    }
    d[row] = best[n];
  }
  free(memory);
  return 0;
}

/* --- the plug-in */

static const rt_operator operators[] = {
    {.domain = "com.example",
     .name = "SwiGLU",
     .since_version = 1,
     .min_inputs = 1,
     .max_inputs = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = swiglu_infer,
     .evaluate = swiglu_evaluate,
     .expand = swiglu_expand,
     .expand_opset = 18,
     .flops = swiglu_flops},
    {.domain = "com.example",
     .name = "EditDistance",
     .since_version = 1,
     .min_inputs = 2,
     .max_inputs = 2,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = distance_infer,
     .evaluate = distance_evaluate},
};

static const rt_plugin plugin = {.abi = ROOFTUNE_PLUGIN_ABI,
                                 .name = "example_operators",
                                 .version = "1.0",
                                 .operators = operators,
                                 .operator_count = sizeof operators / sizeof *operators};

const rt_plugin* rooftune_plugin(void) { return &plugin; }
