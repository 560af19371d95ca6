// gather and its relatives: elements picked by an int64 index.
//   gather        output[.., j, ..] = input[.., index[.., j, ..], ..]      (along one dimension)
//   index_select  output[.., k, ..] = input[.., index[k], ..]              (whole rows)
//   index_write   input[.., index[k], ..] = values[.., k, ..]              (in place; the last of equal indices wins)
//   one_hot       output[.., index[..]] = 1
// Backward passes add in the order of the index, one owner per sum: the same bits on every run.
#pragma once
#include <stdint.h>

#include "core/dtype.h"
#include "core/isa.h"

namespace fastcnn {

// Lines along the gathered dimension, one per position in the other dimensions.
struct GatherLines {
  int rank = 0;  // of the other dimensions
  int64_t size[8] = {};
  int64_t index_stride[8] = {};
  int64_t input_stride[8] = {};
  int64_t count = 0;  // index elements per line
  int64_t index_step = 0;
  int64_t input_step = 0;
};

// In memory order the input is (outer, rows, inner); values are (outer, count, inner). Indices are counted from the end
// when negative.
struct RowSelect {
  int64_t outer = 0;
  int64_t rows = 0;
  int64_t inner = 0;  // elements
  int64_t count = 0;
};

// First position in index[0, n) outside [low, high), or -1.
FASTCNN_DECLARE_CPU(int64_t, find_outside, const int64_t* index, int64_t n, int64_t low, int64_t high)
FASTCNN_DECLARE_CPU(void, gather_forward, const GatherLines& lines, int element_bytes, const void* input,
                    const int64_t* index, void* output)
FASTCNN_DECLARE_CPU(void, gather_backward_float, const GatherLines& lines, const float* grad_output,
                    const int64_t* index, float* grad_input)
FASTCNN_DECLARE_CPU(void, gather_backward_double, const GatherLines& lines, const double* grad_output,
                    const int64_t* index, double* grad_input)
FASTCNN_DECLARE_CPU(void, index_select_forward, const RowSelect& shape, int element_bytes, const void* input,
                    const int64_t* index, void* output)
FASTCNN_DECLARE_CPU(void, index_write, const RowSelect& shape, int element_bytes, const void* values,
                    const int64_t* index, void* input)
FASTCNN_DECLARE_CPU(void, index_add_float, const RowSelect& shape, const float* grad_output, const int64_t* index,
                    float* grad_input)
FASTCNN_DECLARE_CPU(void, index_add_double, const RowSelect& shape, const double* grad_output, const int64_t* index,
                    double* grad_input)
FASTCNN_DECLARE_CPU(void, one_hot, const int64_t* index, int64_t n, int64_t classes, int64_t* output)

namespace cuda {
// An index outside its range is reported under `check` (register_check). limit: size of the gathered dimension.
void gather_forward(const GatherLines& lines, int64_t limit, int element_bytes, const void* input, const int64_t* index,
                    int64_t n, void* output, int32_t check, int device);
void index_select_forward(const RowSelect& shape, bool wrap, int element_bytes, const void* input, const int64_t* index,
                          void* output, int32_t check, int device);
void one_hot(const int64_t* index, int64_t n, int64_t classes, int64_t* output, int32_t check, int device);

// Workspace of 8 bytes per row that is written to (gather_backward: per input element), and, for sums, per index.
struct ScatterLists {
  void* memory;
  int device;
};
void index_write(const RowSelect& shape, int element_bytes, const void* values, const int64_t* index, void* input,
                 const ScatterLists& lists, int32_t check);
// Write all of grad_input, float32 or bfloat16.
void gather_backward(const GatherLines& lines, int64_t limit, DType dtype, const void* grad_output,
                     const int64_t* index, int64_t n, void* grad_input, int64_t input_numel, const ScatterLists& lists);
void index_add(const RowSelect& shape, DType dtype, const void* grad_output, const int64_t* index, void* grad_input,
               const ScatterLists& lists);
}  // namespace cuda

}  // namespace fastcnn
