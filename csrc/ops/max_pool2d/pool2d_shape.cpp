#include "ops/max_pool2d/pool2d_shape.h"

namespace fastcnn {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }
int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

Shape pair(const char* op, const char* argument, const Shape& value) {
  check(value.rank() == 1 || value.rank() == 2, op, ": ", argument, " has ", value.rank(),
        " numbers, but expected one, or two for (height, width)");
  return value.rank() == 2 ? value : Shape{value[0], value[0]};
}

// Output size along one axis. In ceil mode the last window may reach beyond the padded input, but one that would start
// beyond the input and its left padding (and see right padding only) is dropped.
int64_t output_size(const char* op, const char* axis, const Shape& input, int64_t in, int64_t kernel, int64_t stride,
                    int64_t padding, int64_t dilation, bool ceil_mode) {
  check(kernel > 0, op, ": kernel_size is ", kernel, " along ", axis, ", but must be positive");
  check(stride > 0, op, ": stride is ", stride, " along ", axis, ", but must be positive");
  check(dilation > 0, op, ": dilation is ", dilation, " along ", axis, ", but must be positive");
  check(padding >= 0, op, ": padding is ", padding, " along ", axis, ", but must not be negative");
  check(padding <= kernel / 2, op, ": padding is ", padding, " along ", axis, ", but at most half of kernel_size ",
        kernel, " is allowed (a window could lie wholly in the padding)");
  check(in > 0, op, ": input ", input, " is empty along ", axis, "; only the batch size may be 0");
  const int64_t reach = checked_add(checked_mul(dilation, kernel - 1), 1);
  const int64_t slack = checked_add(in, 2 * padding) - reach;
  check(slack >= 0 || (ceil_mode && slack > -stride), op, ": kernel_size ", kernel, " (dilation ", dilation,
        ") covers ", reach, " along ", axis, ", but the padded input has ", in + 2 * padding, " (input ", input,
        ", padding ", padding, ")");
  if (!ceil_mode) return slack / stride + 1;
  const int64_t out = ceil_div(slack, stride) + 1;
  return checked_mul(out - 1, stride) >= in + padding ? out - 1 : out;
}

// Number of table entries of an axis.
int64_t table_size(int64_t in, int64_t out) { return checked_add(checked_mul(4, out), checked_mul(2, in)); }

// An axis whose tables are placed in `memory`, which moves on; `tables` receives writable pointers in the order of
// PoolAxis.
PoolAxis place_axis(int64_t in, int64_t out, int64_t kernel, int64_t step, int64_t*& memory, int64_t* tables[6]) {
  for (int i = 0; i < 6; ++i) {
    tables[i] = memory;
    memory += i < 4 ? out : in;
  }
  return {in, out, kernel, step, tables[0], tables[1], tables[2], tables[3], tables[4], tables[5]};
}

PoolAxis sliding_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation,
                      bool include_padding, int64_t*& memory) {
  int64_t* t[6];
  const PoolAxis axis = place_axis(in, out, kernel, dilation, memory, t);
  for (int64_t o = 0; o < out; ++o) {
    const int64_t start = o * stride - padding;
    const int64_t first = start < 0 ? ceil_div(-start, dilation) : 0;
    const int64_t last = start >= in ? 0 : smaller(kernel, ceil_div(in - start, dilation));
    t[0][o] = start + first * dilation;
    t[1][o] = larger(last - first, 0);
    t[2][o] = first;
    t[3][o] = include_padding ? smaller(start + kernel, in + padding) - start : t[1][o];
  }
  for (int64_t i = 0; i < in; ++i) {
    t[4][i] = larger(0, ceil_div(i + padding - (kernel - 1) * dilation, stride));
    t[5][i] = smaller(out, (i + padding) / stride + 1);
  }
  return axis;
}

PoolAxis adaptive_axis(int64_t in, int64_t out, int64_t*& memory) {
  int64_t* t[6];
  PoolAxis axis = place_axis(in, out, 0, 1, memory, t);
  for (int64_t o = 0; o < out; ++o) {
    t[0][o] = o * in / out;
    t[1][o] = ceil_div((o + 1) * in, out) - t[0][o];
    t[2][o] = 0;
    t[3][o] = t[1][o];
    axis.kernel = larger(axis.kernel, t[1][o]);
  }
  for (int64_t i = 0; i < in; ++i) {  // the same formula with the roles of input and output exchanged
    t[4][i] = i * out / in;
    t[5][i] = ceil_div((i + 1) * out, in);
  }
  return axis;
}

}  // namespace

Pool2dShape pool2d_shape(const char* op, const Shape& input, const Shape& kernel_size, const Shape& stride,
                         const Shape& padding, const Shape& dilation, bool ceil_mode) {
  check(input.rank() == 4, op, ": input has shape ", input, ", but expected (N, C, H, W)");
  const Shape k = pair(op, "kernel_size", kernel_size);
  const Shape s = pair(op, "stride", stride);
  const Shape p = pair(op, "padding", padding);
  const Shape d = pair(op, "dilation", dilation);
  check(input[1] > 0, op, ": input ", input, " has no channels; only the batch size may be 0");
  Pool2dShape shape{input[0], input[1], input[2], input[3], 0, 0, k[0], k[1], s[0], s[1], p[0], p[1], d[0], d[1]};
  shape.H_out = output_size(op, "height", input, input[2], k[0], s[0], p[0], d[0], ceil_mode);
  shape.W_out = output_size(op, "width", input, input[3], k[1], s[1], p[1], d[1], ceil_mode);
  return shape;
}

Tensor pool_input(const char* op, const Tensor& input) {
  check_float(op, "input", input);
  check(input.rank() == 4, op, ": input has shape ", input.shape(), ", but expected (N, C, H, W)");
  return to_layout(input, Layout::channels_last);
}

Tensor pool_grad_output(const char* op, const Tensor& grad_output, const Shape& expected) {
  check_float(op, "grad_output", grad_output);
  check(grad_output.shape() == expected, op, ": grad_output has shape ", grad_output.shape(), ", but expected ",
        expected);
  return to_layout(grad_output, Layout::channels_last);
}

PoolTables sliding_windows(const Pool2dShape& s, bool include_padding) {
  PoolTables tables;
  const int64_t size = checked_add(table_size(s.H, s.H_out), table_size(s.W, s.W_out));
  tables.memory = host_table(size);
  int64_t* memory = tables.memory.data<int64_t>();
  tables.windows.N = s.N;
  tables.windows.C = s.C;
  tables.windows.h = sliding_axis(s.H, s.H_out, s.kH, s.sH, s.pH, s.dH, include_padding, memory);
  tables.windows.w = sliding_axis(s.W, s.W_out, s.kW, s.sW, s.pW, s.dW, include_padding, memory);
  return tables;
}

PoolTables adaptive_windows(int64_t N, int64_t C, int64_t H, int64_t W, int64_t H_out, int64_t W_out) {
  checked_mul(checked_add(H, 1), checked_add(H_out, 1));
  checked_mul(checked_add(W, 1), checked_add(W_out, 1));
  PoolTables tables;
  tables.memory = host_table(checked_add(table_size(H, H_out), table_size(W, W_out)));
  int64_t* memory = tables.memory.data<int64_t>();
  tables.windows.N = N;
  tables.windows.C = C;
  tables.windows.h = adaptive_axis(H, H_out, memory);
  tables.windows.w = adaptive_axis(W, W_out, memory);
  return tables;
}

}  // namespace fastcnn
