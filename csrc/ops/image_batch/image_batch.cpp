#include "ops/image_batch/image_batch.h"

#include "core/bind.h"
#include "core/cuda.h"
#include "core/stream.h"
#include "ops/cast/cast.h"

namespace fastcnn {
namespace {

Tensor image_batch(const Tensor& images, const Tensor& index, const Tensor& scale, const Tensor& shift,
                   std::optional<int64_t> padded_channels, DType dtype) {
  check(images.rank() == 4, "image_batch: images has shape ", images.shape(), ", but (N, C, H, W) is expected");
  check_type(images.dtype() == DType::uint8 || images.dtype() == DType::float32, "image_batch: images is ",
             images.dtype(), ", but uint8 or float32 is expected");
  check(images.layout() == Layout::channels_last, "image_batch: images is row-major, but channels-last is expected");
  check_type(index.dtype() == DType::int64, "image_batch: index is ", index.dtype(), ", but int64 is expected");
  check(index.rank() == 1, "image_batch: index has shape ", index.shape(), ", but (B,) is expected");
  check(!index.device().is_cuda(), "image_batch: index is on ", index.device(), ", but must be on the CPU");
  check_type(dtype == DType::float32 || dtype == DType::bfloat16, "image_batch: dtype is ", dtype,
             ", but float32 or bfloat16 is expected");
  const int64_t count = images.size(0), channels = images.size(1), wide = padded_channels.value_or(channels);
  check(wide >= channels, "image_batch: channels is ", wide, ", but the images have ", channels);
  for (const auto& [name, vector] : {std::pair{"scale", &scale}, std::pair{"shift", &shift}}) {
    check_type(vector->dtype() == DType::float32, "image_batch: ", name, " is ", vector->dtype(),
               ", but float32 is expected");
    check(vector->device() == images.device(), "image_batch: ", name, " is on ", vector->device(),
          ", but images is on ", images.device());
    check(vector->shape() == Shape{channels}, "image_batch: ", name, " has shape ", vector->shape(), ", but ",
          Shape{channels}, " is expected (images ", images.shape(), ")");
  }
  const int64_t* positions = index.data<int64_t>();
  for (int64_t b = 0; b < index.size(0); ++b)
    check(positions[b] >= 0 && positions[b] < count, "image_batch: index[", b, "] is ", positions[b],
          ", but there are ", count, " images");

  const ImageBatchShape shape{index.size(0), channels, checked_mul(images.size(2), images.size(3)), wide};
  const Shape sizes{shape.B, wide, images.size(2), images.size(3)};
  if (images.device().is_cuda()) {
    const Tensor output = empty(sizes, dtype, images.device());
    if (!output.numel()) return output;
    const Tensor places = to_device(index, images.device());
    current_stream(images.device()).run("image_batch", [=] {
      FASTCNN_IF_CUDA(images)
      cuda::image_batch(images.dtype(), images.raw(), places.data<int64_t>(), scale.data<float>(), shift.data<float>(),
                        dtype, output.raw(), shape);
    });
    return output;
  }
  const Tensor output = empty(sizes, DType::float32, images.device());
  const Tensor pattern = empty({checked_mul(32, channels)}, DType::float32, images.device());
  current_stream(images.device()).run("image_batch", [=] {
    if (images.dtype() == DType::uint8) FASTCNN_CPU(image_batch_uint8)
    (images.data<uint8_t>(), index.data<int64_t>(), scale.data<float>(), shift.data<float>(), pattern.data<float>(),
     output.data<float>(), shape);
    else FASTCNN_CPU(image_batch_float32)(images.data<float>(), index.data<int64_t>(), scale.data<float>(),
                                          shift.data<float>(), pattern.data<float>(), output.data<float>(), shape);
  });
  return cast(output, dtype);
}

}  // namespace

void bind_image_batch(py::module_& m) {
  m.def("image_batch", &image_batch, py::arg("images"), py::arg("index"), py::arg("scale"), py::arg("shift"),
        py::arg("channels") = py::none(), py::arg("dtype") = DType::float32, release_gil(),
        "images[index] * scale + shift per channel, zeros up to `channels`, as float32 or bfloat16: a loader's batch.");
}

}  // namespace fastcnn
