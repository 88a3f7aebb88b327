/* Plug-ins for plugins_test: with -DODD one whose operators each do one thing that is unusual or wrong; else one that is
 * wrong as a whole (-DWRONG_ABI, -DNO_ENTRY, …). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rooftune_plugin.h"

static int like_input(const rt_host* h, rt_node* n) {
  rt_dim dims[8];
  const int rank = h->input_rank(n, 0);
  for (int d = 0; d < rank && d < 8; ++d) dims[d] = h->input_dim(n, 0, d);
  h->set_output(n, 0, h->input_dtype(n, 0), rank, dims);
  return 0;
}

static int copy(const rt_host* h, rt_node* n) {
  rt_array x;
  h->input(n, 0, &x);
  void* y = h->output(n, 0, x.dtype, x.rank, x.shape);
  if (y != NULL) memcpy(y, x.data, sizeof(float) * (size_t)x.size);
  return 0;
}

#ifdef ODD
/* Strings, each the other way round. */
static int reverse(const rt_host* h, rt_node* n) {
  rt_array x;
  h->input(n, 0, &x);
  h->output(n, 0, x.dtype, x.rank, x.shape);
  for (int64_t i = 0; i < x.size; ++i) {
    size_t bytes;
    const char* text = h->input_string(n, 0, i, &bytes);
    char* turned = malloc(bytes + 1);
    for (size_t c = 0; c < bytes; ++c) turned[c] = text[bytes - 1 - c];
    h->set_string(n, 0, i, turned, bytes);
    free(turned);
  }
  return 0;
}

static int says_why(const rt_host* h, rt_node* n) {
  h->fail(n, "element 3 is negative");
  return 1;
}
static int says_nothing(const rt_host* h, rt_node* n) {
  (void)h, (void)n;
  return 7;
}
static int does_nothing(const rt_host* h, rt_node* n) {
  (void)h, (void)n;
  return 0;
}
static int gives_f64(const rt_host* h, rt_node* n) {
  rt_array x;
  h->input(n, 0, &x);
  memset(h->output(n, 0, "f64", x.rank, x.shape), 0, sizeof(double) * (size_t)x.size);
  return 0;
}
/* Asks for what is not there, and looks at no answer. */
static int careless(const rt_host* h, rt_node* n) {
  const rt_dim dim = h->dim_add(n, h->input_dim(n, 5, 9), 1234);
  h->set_output(n, 0, "f33", 1, &dim);
  return 0;
}
static int asks_too_late(const rt_host* h, rt_node* n) {
  h->emit(n, "Relu", NULL, 0, NULL, 1);
  return 0;
}

/* (n - k + 1) * 2 with the constant input k; last an unknown one. */
static int window_infer(const rt_host* h, rt_node* n) {
  rt_array k;
  if (!h->input_constant(n, 1, &k) || strcmp(k.dtype, "i64") != 0 || k.size != 1) {
    h->fail(n, "k must be a constant");
    return 1;
  }
  const int64_t size = *(const int64_t*)k.data;
  const rt_dim left = h->dim_subtract(n, h->input_dim(n, 0, -1), h->dim(n, size - 1));
  const rt_dim dims[] = {h->dim_multiply(n, left, h->dim(n, 2)), h->dim_unknown(n, 0, 1)};
  h->set_output(n, 0, "f32", 2, dims);
  return 0;
}

/* Every kind of attribute, as one row of numbers. */
static int attributes_infer(const rt_host* h, rt_node* n) {
  const rt_dim seven = h->dim(n, 7);
  h->set_output(n, 0, "f32", 1, &seven);
  return 0;
}
static int attributes(const rt_host* h, rt_node* n) {
  const int64_t seven = 7;
  float* y = h->output(n, 0, "f32", 1, &seven);
  const int64_t* integers;
  const float* floats;
  y[0] = (float)h->attribute_int(n, "i", -1);
  y[1] = (float)h->attribute_float(n, "f", -2);
  y[2] = (float)strlen(h->attribute_string(n, "s", ""));
  y[3] = (float)h->attribute_ints(n, "is", &integers);
  y[4] = integers == NULL ? -5 : (float)integers[1];
  y[5] = (float)h->attribute_floats(n, "fs", &floats);
  y[6] = floats == NULL ? -7 : floats[1];
  return 0;
}

/* Refuses to expand where k is 3; else x · k + x, with a Clip that has an absent input. */
static int expand_scaled(const rt_host* h, rt_node* n) {
  const int64_t k = h->attribute_int(n, "k", 2);
  if (k == 3) {
    h->fail(n, "k is 3");
    return 1;
  }
  const float factor = (float)k;
  const rt_array array = {"f32", 0, NULL, 1, &factor};
  const rt_value product[] = {h->value(n, 0), h->constant(n, &array)};
  const rt_value sum[] = {h->emit(n, "Mul", NULL, 2, product, 1), h->value(n, 0)};
  const rt_value clip[] = {h->emit(n, "Add", "{}", 2, sum, 1), -1,
                           h->constant(n, &(rt_array){"f32", 0, NULL, 1, &(float){1e6f}})};
  h->finish(n, 0, h->emit(n, "Clip", NULL, 3, clip, 1));
  return 0;
}
static int scaled(const rt_host* h, rt_node* n) {
  rt_array x;
  h->input(n, 0, &x);
  float* y = h->output(n, 0, x.dtype, x.rank, x.shape);
  for (int64_t i = 0; i < x.size; ++i) y[i] = ((const float*)x.data)[i] * (float)(h->attribute_int(n, "k", 2) + 1);
  return 0;
}
static int expand_unknown(const rt_host* h, rt_node* n) {
  const rt_value x = h->value(n, 0);
  h->finish(n, 0, h->emit(n, "Frobnicate", NULL, 1, &x, 1));
  return 0;
}
static int expand_other_shape(const rt_host* h, rt_node* n) {
  const rt_value x = h->value(n, 0);
  h->finish(n, 0, h->emit(n, "ReduceMax", "{\"keepdims\": 0}", 1, &x, 1));
  return 0;
}
/* By an operator of another domain, which Rooftune itself makes of others. */
static int expand_foreign(const rt_host* h, rt_node* n) {
  const rt_value x = h->value(n, 0);
  h->finish(n, 0, h->emit(n, "com.microsoft.FastGelu", NULL, 1, &x, 1));
  return 0;
}
static int expand_bad_attribute(const rt_host* h, rt_node* n) {
  const rt_value x = h->value(n, 0);
  h->finish(n, 0, h->emit(n, "Softmax", "{\"axis\": ", 1, &x, 1));
  return 0;
}

#define OP(op, i, e, x)  \
  {.domain = "com.test", \
   .name = op,           \
   .since_version = 2,   \
   .min_inputs = 1,      \
   .max_inputs = 2,      \
   .min_outputs = 1,     \
   .max_outputs = 1,     \
   .infer = i,           \
   .evaluate = e,        \
   .expand = x,          \
   .expand_opset = 13}
static const rt_operator operators[] = {
    OP("Reverse", like_input, reverse, NULL),
    OP("SaysWhy", like_input, says_why, NULL),
    OP("SaysNothing", like_input, says_nothing, NULL),
    OP("GivesNothing", like_input, does_nothing, NULL),
    OP("GivesF64", like_input, gives_f64, NULL),
    OP("InfersNothing", does_nothing, copy, NULL),
    OP("Careless", careless, copy, NULL),
    OP("AsksTooLate", asks_too_late, copy, NULL),
    OP("Window", window_infer, copy, NULL),
    OP("Attributes", attributes_infer, attributes, NULL),
    OP("Scaled", like_input, scaled, expand_scaled),
    OP("Unknown", like_input, copy, expand_unknown),
    OP("OtherShape", like_input, copy, expand_other_shape),
    OP("Foreign", like_input, copy, expand_foreign),
    OP("BadAttribute", like_input, copy, expand_bad_attribute),
    OP("ExpandsToNothing", like_input, copy, does_nothing),
};

static int no_code(const rt_host* h, rt_job* job, const char* request) {
  (void)request;
  h->fail_job(job, "no such compiler");
  return 1;
}
static int bad_answer(const rt_host* h, rt_job* job, const char* request) {
  (void)request;
  h->set_code(job, "x86_64-avx2", "", 0, "[{\"phases\": [[\"a\"]]}]");
  return 0;
}
static int too_few(const rt_host* h, rt_job* job, const char* request) {
  (void)request;
  h->set_code(job, "x86_64-avx2", "", 0, "[]");
  return 0;
}
static const rt_backend backends[] = {
    {"no_code", "1", 1, no_code, NULL}, {"bad_answer", "1", 1, bad_answer, NULL}, {"too_few", "1", 0, too_few, NULL}};
#else
static const rt_operator operators[] = {
#ifdef TAKEN
    {.domain = "com.other",
     .name = "Fresh",
     .since_version = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = like_input,
     .evaluate = copy},
    {.domain = "ai.onnx",
     .name = "Relu",
     .since_version = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = like_input,
     .evaluate = copy},
#elif defined(TWICE)
    {.domain = "com.other",
     .name = "Same",
     .since_version = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = like_input,
     .evaluate = copy},
    {.domain = "com.other",
     .name = "Same",
     .since_version = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = like_input,
     .evaluate = copy},
#else
    {.domain = "com.other",
     .name = "NoReference",
     .since_version = 1,
     .min_outputs = 1,
     .max_outputs = 1,
     .infer = like_input},
#endif
};
static int no_code(const rt_host* h, rt_job* job, const char* request) {
  (void)h, (void)job, (void)request;
  return 1;
}
static const rt_backend backends[] = {{"cpu", "1", 1, no_code, NULL}};
#endif

static const rt_plugin plugin = {
#ifdef WRONG_ABI
    .abi = 99,
#else
    .abi = ROOFTUNE_PLUGIN_ABI,
#endif
    .name = "odd",
    .version = "0.1",
#ifndef TAKEN_BACKEND
    .operators = operators,
    .operator_count = sizeof operators / sizeof *operators,
#endif
#if defined(ODD) || defined(TAKEN_BACKEND)
    .backends = backends,
    .backend_count = sizeof backends / sizeof *backends,
#endif
};

#ifdef NO_ENTRY
const rt_plugin* another_name(void) { return &plugin; }
#elif defined(NOTHING)
const rt_plugin* rooftune_plugin(void) { return (void)plugin, NULL; }
#else
const rt_plugin* rooftune_plugin(void) { return &plugin; }
#endif
