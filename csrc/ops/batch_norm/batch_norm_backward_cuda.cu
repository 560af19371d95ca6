// batch_norm on CUDA, backward: one pass for the sums of dz and dz * (x - center), one small kernel that turns them
// into the parameters' gradients and coefficients, one pass that writes grad_input. dz is grad_output behind the
// activation.
#include "ops/batch_norm/batch_norm_cuda.cuh"

namespace fastcnn {
namespace cuda {
namespace {

constexpr int64_t kMapBlocks = 4096, kMapRowsPerThread = 16;

// center, scale and shift again from the statistics of the forward pass. One thread per channel.
__global__ void batch_norm_coefficients_kernel(const double* statistics, Values weight, Values bias,
                                               float* coefficients, int64_t C) {
  const int64_t c = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c < C) set_coefficients(coefficients, C, c, statistics[c], statistics[C + c], weight, bias);
}

// A thread's float32 sums over at most 64 rows. Gate::output: also writes dz to grad_residual.
template <class T, int V, Gate gate>
struct ReduceBody {
  const T *grad_output, *x, *output;
  T* grad_residual;
  Pack<T, V> g[kRowsInFlight], pack[kRowsInFlight], y[gate == Gate::output ? kRowsInFlight : 1];
  float center[V], scale[V], shift[V], sum[V], product[V];
  FASTCNN_DEVICE void load(int u, int64_t at) {
    g[u] = load_pack<V>(grad_output + at);
    pack[u] = load_pack<V>(x + at);
    if (gate == Gate::output) y[u] = load_pack<V>(output + at);
  }
  FASTCNN_DEVICE void use(int u, int64_t at) {
    float dz[V];
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const float d = to_compute(pack[u][i]) - center[i];
      dz[i] = to_compute(g[u][i]);
      if (gate == Gate::output) dz[i] = gated(dz[i], to_compute(y[u][i]));
      if (gate == Gate::recompute) dz[i] = gated(dz[i], fmaf(d, scale[i], shift[i]));
      sum[i] += dz[i];
      product[i] = fmaf(dz[i], d, product[i]);
    }
    if (gate == Gate::output) store_floats(grad_residual + at, dz);
  }
};

// partial (row chunks, 2, C). Shared memory: sums and products (2, depth, lanes * V), added in order.
template <class T, int V, Gate gate>
__global__ void batch_norm_reduce_kernel(const T* grad_output, const T* x, const T* output, const float* coefficients,
                                         T* grad_residual, double* partial, ChannelMap m) {
  FASTCNN_DYNAMIC_SHARED(float, shared);
  const ChannelPlace p = channel_place<V>(m);
  const int width = m.lanes * V;
  float* const sums = shared;
  float* const products = shared + m.depth * width;
  if (p.active) {
    ReduceBody<T, V, gate> body;
    body.grad_output = grad_output;
    body.x = x;
    body.output = output;
    body.grad_residual = grad_residual;
    const float* const k = coefficients + p.sample * 6 * m.C + p.channel;
#pragma unroll
    for (int i = 0; i < V; ++i) {
      body.center[i] = k[i];
      if (gate == Gate::recompute) {
        body.scale[i] = k[m.C + i];
        body.shift[i] = k[2 * m.C + i];
      }
      body.sum[i] = body.product[i] = 0.0f;
    }
    for_rows(m, p, body);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      sums[p.slot * width + p.in_tile + i] = body.sum[i];
      products[p.slot * width + p.in_tile + i] = body.product[i];
    }
  }
  __syncthreads();
  const int64_t tile_begin = p.channel - p.in_tile;
  for (int i = int(threadIdx.x); i < width && tile_begin + i < m.C; i += int(blockDim.x)) {
    float sum = 0.0f, product = 0.0f;
    for (int s = 0; s < m.depth; ++s) {
      sum += sums[s * width + i];
      product += products[s * width + i];
    }
    const int64_t at = blockIdx.x / m.tiles * 2 * m.C + tile_begin + i;
    partial[at] = double(sum);
    partial[at + m.C] = double(product);
  }
}

// grad_weight, grad_bias and the coefficients a, b, c (three rows of C) from the chunks' sums, in float64. partial is
// null where only a is wanted.
__global__ void batch_norm_combine_gradients_kernel(const double* partial, int64_t row_chunks, const double* statistics,
                                                    Values weight, bool training, MutableValues grad_weight,
                                                    MutableValues grad_bias, float* coefficients, BatchNormShape shape,
                                                    int lanes) {
  const int channels = kCombineThreads / lanes, lane = int(threadIdx.x) / channels;
  const int64_t C = shape.C, c = int64_t(blockIdx.x) * channels + int(threadIdx.x) % channels;
  Sums<double> sums = {0.0, 0.0};
  if (c < C && partial)
    for (int64_t i = lane; i < row_chunks; i += lanes) {
      sums.first += partial[i * 2 * C + c];
      sums.second += partial[i * 2 * C + C + c];
    }
  sums = combine_lanes(sums, lanes);
  if (lane != 0 || c >= C) return;
  const double mean = statistics[c], invstd = statistics[C + c], rows = double(shape.rows);
  const double offset = mean - double(float(mean));                        // of the mean from the center
  const double normalized = invstd * (sums.second - offset * sums.first);  // sum of dz * (x - mean) * invstd
  if (grad_weight) grad_weight.set(c, float(normalized));
  if (grad_bias) grad_bias.set(c, float(sums.first));
  const double a = (weight ? double(weight[c]) : 1.0) * invstd;
  const double b = training ? -a * invstd * normalized / rows : 0.0;
  coefficients[c] = float(a);
  coefficients[C + c] = float(b);
  coefficients[2 * C + c] = float(training ? -a * sums.first / rows - b * offset : 0.0);
}

// grad_input = a * dz [+ b * (x - center) + c]. kStatistics: the statistics depend on the input (training).
template <class T, int V, bool kStatistics, bool kRelu>
struct InputBody {
  const T *dz, *x;
  T* grad_input;
  Pack<T, V> g[kRowsInFlight], pack[kStatistics || kRelu ? kRowsInFlight : 1];
  float center[V], scale[V], shift[V], a[V], b[V], c[V];
  FASTCNN_DEVICE void load(int u, int64_t at) {
    g[u] = load_pack<V>(dz + at);
    if (kStatistics || kRelu) pack[u] = load_pack<V>(x + at);
  }
  FASTCNN_DEVICE void use(int u, int64_t at) {
    float out[V];
#pragma unroll
    for (int i = 0; i < V; ++i) {
      float gradient = to_compute(g[u][i]), d = 0.0f;
      if (kStatistics || kRelu) d = to_compute(pack[u][i]) - center[i];
      if (kRelu) gradient = gated(gradient, fmaf(d, scale[i], shift[i]));
      out[i] = kStatistics ? fmaf(a[i], gradient, fmaf(b[i], d, c[i])) : a[i] * gradient;
    }
    store_floats(grad_input + at, out);
  }
};

template <class T, int V, bool kStatistics, bool kRelu>
__global__ void batch_norm_backward_kernel(const T* dz, const T* x, const float* coefficients, T* grad_input,
                                           ChannelMap m) {
  const ChannelPlace p = channel_place<V>(m);
  if (!p.active) return;
  InputBody<T, V, kStatistics, kRelu> body;
  body.dz = dz;
  body.x = x;
  body.grad_input = grad_input;
#pragma unroll
  for (int i = 0; i < V; ++i) {
    const float* const k = coefficients + p.sample * 6 * m.C + p.channel + i;
    if (kStatistics || kRelu) body.center[i] = k[0];
    if (kRelu) {
      body.scale[i] = k[m.C];
      body.shift[i] = k[2 * m.C];
    }
    body.a[i] = k[3 * m.C];
    if (kStatistics) {
      body.b[i] = k[4 * m.C];
      body.c[i] = k[5 * m.C];
    }
  }
  for_rows(m, p, body);
}

template <class T>
T* data_or_null(const Tensor& t) {
  return t.defined() ? t.data<T>() : nullptr;
}

template <class T, int V>
void reduce(const char* name, ChannelShape shape, int64_t row_grain, Gate gate, const Tensor& grad_output,
            const Tensor& x, const Tensor& output, const float* coefficients, const Tensor& grad_residual,
            double* partial) {
  const ChannelMap m(shape, column_tiles(shape.C / V), row_grain);
  const auto run = [&](auto kernel) {
    launch(name, {shape.samples, shape.rows, shape.C}, m.grid(), m.block(),
           int64_t(sizeof(float)) * m.lanes * V * 2 * m.depth, kernel, grad_output.data<T>(), x.data<T>(),
           data_or_null<T>(output), coefficients, data_or_null<T>(grad_residual), partial, m);
  };
  if (gate == Gate::none)
    run(&batch_norm_reduce_kernel<T, V, Gate::none>);
  else if (gate == Gate::output)
    run(&batch_norm_reduce_kernel<T, V, Gate::output>);
  else
    run(&batch_norm_reduce_kernel<T, V, Gate::recompute>);
}

template <class T, int V>
void write_grad_input(const char* name, ChannelShape shape, bool statistics, bool relu, const Tensor& dz,
                      const Tensor& x, const float* coefficients, const Tensor& grad_input) {
  const ChannelMap m = channel_map(shape, V, kMapBlocks, kMapRowsPerThread);
  const auto run = [&](auto kernel) {
    launch(name, {shape.samples, shape.rows, shape.C}, m.grid(), m.block(), 0, kernel, dz.data<T>(), x.data<T>(),
           coefficients, grad_input.data<T>(), m);
  };
  if (statistics)
    relu ? run(&batch_norm_backward_kernel<T, V, true, true>) : run(&batch_norm_backward_kernel<T, V, true, false>);
  else
    relu ? run(&batch_norm_backward_kernel<T, V, false, true>) : run(&batch_norm_backward_kernel<T, V, false, false>);
}

}  // namespace

void channel_reduce(const char* name, ChannelShape shape, int64_t row_grain, Gate gate, const Tensor& grad_output,
                    const Tensor& x, const Tensor& output, const float* coefficients, const Tensor& grad_residual,
                    double* partial) {
  const bool aligned = is_packed(grad_output) && is_packed(x) && is_packed(output) && is_packed(grad_residual);
  dispatch_packs(x.dtype(), shape.C, aligned, [&](auto zero, auto pack) {
    reduce<decltype(zero), decltype(pack)::value>(name, shape, row_grain, gate, grad_output, x, output, coefficients,
                                                  grad_residual, partial);
  });
}

void channel_backward(const char* name, ChannelShape shape, bool statistics, bool relu, const Tensor& dz,
                      const Tensor& x, const float* coefficients, const Tensor& grad_input) {
  const bool aligned = is_packed(dz) && is_packed(x) && is_packed(grad_input);
  dispatch_packs(x.dtype(), shape.C, aligned, [&](auto zero, auto pack) {
    write_grad_input<decltype(zero), decltype(pack)::value>(name, shape, statistics, relu, dz, x, coefficients,
                                                            grad_input);
  });
}

void batch_norm_backward(const BatchNormBackward& call) {
  const int64_t C = call.shape.C;
  if (call.shape.rows == 0) {
    for (const Tensor* gradient : {&call.grad_weight, &call.grad_bias})
      if (gradient->defined()) fill_bytes(gradient->raw(), 0, gradient->bytes(), gradient->device().index);
    return;
  }
  float* const k = call.coefficients.data<float>();
  const double* const statistics = call.statistics.data<double>();
  const Gate gate = !call.relu ? Gate::none : call.output.defined() ? Gate::output : Gate::recompute;
  const ChannelShape shape = {1, call.shape.rows, C};
  launch("batch_norm_coefficients", {C}, grid_for(C, 128), Block{128}, 0, &batch_norm_coefficients_kernel, statistics,
         values_of(call.weight), values_of(call.bias), k, C);
  const bool sums = call.training || gate == Gate::output || call.grad_weight.defined() || call.grad_bias.defined();
  if (sums)
    channel_reduce("batch_norm_reduce", shape, call.chunks.row_grain, gate, call.grad_output, call.input, call.output,
                   k, call.grad_residual, call.partial.data<double>());
  const int lanes = combine_lanes_for(call.chunks.row_chunks);
  launch("batch_norm_combine_gradients", {call.chunks.row_chunks, C}, grid_for(C, kCombineThreads / lanes),
         Block{kCombineThreads}, 0, &batch_norm_combine_gradients_kernel,
         static_cast<const double*>(sums ? call.partial.data<double>() : nullptr), call.chunks.row_chunks, statistics,
         values_of(call.weight), call.training, mutable_values_of(call.grad_weight), mutable_values_of(call.grad_bias),
         k + 3 * C, call.shape, lanes);
  if (!call.grad_input.defined()) return;
  const Tensor& dz = gate == Gate::output ? call.grad_residual : call.grad_output;
  channel_backward("batch_norm_backward", shape, call.training, gate == Gate::recompute, dz, call.input, k,
                   call.grad_input);
}

}  // namespace cuda
}  // namespace fastcnn
