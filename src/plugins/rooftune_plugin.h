/* The interface of plug-ins: shared libraries that add operators and code generators to Rooftune. A plug-in includes this
 * header, links against nothing of ours, and exports one function, rooftune_plugin. docs/plugins.md tells how;
 * docs/examples/ has one of each kind.
 *
 * Rooftune calls the callbacks, which ask and answer by the functions of rt_host. A callback returns 0, or anything else
 * after it has said why (rt_host.fail). Functions of rt_host never fail visibly: where something cannot be had they return
 * what their comment says, and Rooftune ends the callback's work with the reason when it returns. Callbacks may be called by
 * several threads at once and must not throw. Pointers that they are given are good until they return; those in rt_plugin
 * for ever. Text is UTF-8 and ends with 0.
 */
#ifndef ROOFTUNE_PLUGIN_H
#define ROOFTUNE_PLUGIN_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rises with every change of this header; a plug-in works with the Rooftune of its number. */
#define ROOFTUNE_PLUGIN_ABI 1

typedef struct rt_host rt_host;
typedef struct rt_node rt_node; /* the node of a model, with its operator, for which a callback is called */
typedef struct rt_job rt_job;   /* one call of a code generator */
typedef int32_t rt_dim;         /* a dimension, a number or an expression of symbols ("2*seq"); good for one callback */
typedef int32_t rt_value;       /* a value of an expansion; good for one callback */

/* A tensor, dense and row-major. Element types by name: f32, f64, f16, bf16, i8, i16, i32, i64, u8, …, bool, string. */
typedef struct {
  const char* dtype;
  int rank;
  const int64_t* shape;
  int64_t size;     /* elements */
  const void* data; /* NULL for strings: see input_string */
} rt_array;

typedef int (*rt_callback)(const rt_host* host, rt_node* node);

/* --- operators */

typedef struct {
  const char* domain; /* "com.example"; models import it by the same name */
  const char* name;
  int since_version;            /* of the domain, 1 or more: models that import an older one are refused */
  int min_inputs, max_inputs;   /* max -1: any number */
  int min_outputs, max_outputs; /* the same */
  int random; /* 1: equal inputs may give different outputs; such a node is never computed at compile time */
  /* Says the type of every output (set_output), as far as it is known. Dimensions may be symbols. */
  rt_callback infer;
  /* The reference: computes every output (output). All shapes are numbers. */
  rt_callback evaluate;
  /* NULL, or: writes the node as nodes of operators that Rooftune knows (emit, finish); these are fused, tuned and compiled.
   * Where it fails, the node runs its reference, and --explain shows the reason. */
  rt_callback expand;
  int expand_opset; /* of ai.onnx, 13 or newer, whose operators it emits */
  /* NULL, or: arithmetic operations of one run, a multiply-add being two. Shapes are numbers. */
  double (*flops)(const rt_host* host, rt_node* node);
} rt_operator;

/* --- code generators */

typedef struct {
  const char* name;      /* for --backend */
  const char* version;   /* changes whenever its code may change: tuning results are kept by it */
  int follows_schedules; /* 0: the schedules change nothing in its code, so that there is nothing to tune */
  /* Compiles the kernels that `request` describes (docs/plugins.md) into one ELF shared object (set_code). */
  int (*compile)(const rt_host* host, rt_job* job, const char* request);
  /* NULL, or: readable code of one kernel (set_text) for --emit-kernels. */
  int (*dump)(const rt_host* host, rt_job* job, const char* request);
} rt_backend;

/* --- the plug-in */

typedef struct {
  uint32_t abi; /* ROOFTUNE_PLUGIN_ABI; looked at before anything else */
  const char* name;
  const char* version;
  const rt_operator* operators;
  int operator_count;
  const rt_backend* backends;
  int backend_count;
} rt_plugin;

/* The one function that a plug-in exports. */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const rt_plugin*
rooftune_plugin(void);

/* --- what callbacks may call */

struct rt_host {
  const char* version; /* of Rooftune */

  /* Why the callback will return something other than 0. */
  void (*fail)(rt_node* node, const char* why);

  /* The node: what it is called, its inputs and outputs (absent ones at the end may count), its attributes. Of an attribute
   * that is absent, `otherwise`, or a count of -1. An absent one of another type than asked for is an error of the model. */
  const char* (*name)(rt_node* node);
  int (*input_count)(rt_node* node);
  int (*output_count)(rt_node* node);
  int (*has_input)(rt_node* node, int input);
  int (*has_output)(rt_node* node, int output);
  int64_t (*attribute_int)(rt_node* node, const char* name, int64_t otherwise);
  double (*attribute_float)(rt_node* node, const char* name, double otherwise);
  const char* (*attribute_string)(rt_node* node, const char* name, const char* otherwise);
  int (*attribute_ints)(rt_node* node, const char* name, const int64_t** values);
  int (*attribute_floats)(rt_node* node, const char* name, const float** values);

  /* Types. rank -1: not known. */
  const char* (*input_dtype)(rt_node* node, int input); /* "" where there is no such tensor */
  int (*input_rank)(rt_node* node, int input);
  rt_dim (*input_dim)(rt_node* node, int input, int axis); /* axis -1 is the last */
  /* The input's value where it is a constant, or small and follows from constants; else returns 0. Not in evaluate. */
  int (*input_constant)(rt_node* node, int input, rt_array* value);

  /* Dimensions. */
  rt_dim (*dim)(rt_node* node, int64_t value);
  rt_dim (*dim_add)(rt_node* node, rt_dim a, rt_dim b);
  rt_dim (*dim_subtract)(rt_node* node, rt_dim a, rt_dim b);
  rt_dim (*dim_multiply)(rt_node* node, rt_dim a, rt_dim b);
  rt_dim (*dim_divide)(rt_node* node, rt_dim a, rt_dim b);    /* rounds down */
  rt_dim (*dim_unknown)(rt_node* node, int output, int axis); /* one that only the data decides */
  int64_t (*dim_value)(rt_node* node, rt_dim dim);            /* -1: not known yet */
  int (*dims_differ)(rt_node* node, rt_dim a, rt_dim b);      /* 1: both are known, and not the same */

  /* infer */
  void (*set_output)(rt_node* node, int output, const char* dtype, int rank, const rt_dim* dims);

  /* evaluate. `input` returns 0 where the input is absent; `output` the new tensor's memory, NULL for strings. */
  int (*input)(rt_node* node, int input, rt_array* array);
  void* (*output)(rt_node* node, int output, const char* dtype, int rank, const int64_t* shape);
  const char* (*input_string)(rt_node* node, int input, int64_t index, size_t* bytes);
  void (*set_string)(rt_node* node, int output, int64_t index, const char* text, size_t bytes);

  /* expand. `value` is an input (-1: absent), `constant` a new constant, a copy of `array`. `emit` adds a node: `op` is "Add",
   * or "com.microsoft.FastGelu" of another domain; `attributes` a JSON object ({"axis": -1, "alpha": 1.0}; a number with a
   * point or an exponent is a float attribute) or NULL; it returns the first output, and the others follow (+1, +2, …). */
  rt_value (*value)(rt_node* node, int input);
  rt_value (*constant)(rt_node* node, const rt_array* array);
  rt_value (*emit)(rt_node* node, const char* op, const char* attributes, int input_count, const rt_value* inputs,
                   int output_count);
  void (*finish)(rt_node* node, int output, rt_value value);

  /* Code generators. `kernels` is JSON: what the code of each kernel needs (docs/plugins.md). */
  void (*fail_job)(rt_job* job, const char* why);
  void (*set_code)(rt_job* job, const char* target, const void* elf, size_t bytes, const char* kernels);
  void (*set_text)(rt_job* job, const char* text);
};

#ifdef __cplusplus
}
#endif
#endif
