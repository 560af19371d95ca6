// Everything a bind_<op> function needs: pybind11 and casters for Shape, Layout and optional tensors (None <->
// undefined).
#pragma once
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/tensor.h"

namespace py = pybind11;

namespace fastcnn {
using release_gil = py::call_guard<py::gil_scoped_release>;
using OptionalTensor = std::optional<Tensor>;
inline Tensor value_or_undefined(const OptionalTensor& tensor) { return tensor ? *tensor : Tensor(); }
}  // namespace fastcnn

namespace pybind11::detail {

// Python int sequence <-> fastcnn::Shape.
template <>
struct type_caster<fastcnn::Shape> {
  PYBIND11_TYPE_CASTER(fastcnn::Shape, const_name("tuple[int, ...]"));
  bool load(handle source, bool) {
    if (!PyTuple_Check(source.ptr()) && !PyList_Check(source.ptr())) return false;
    const Py_ssize_t rank = PySequence_Fast_GET_SIZE(source.ptr());
    if (rank > fastcnn::kMaxRank)
      fastcnn::fail("tensors have at most ", fastcnn::kMaxRank, " dimensions, but the shape has ", rank);
    for (Py_ssize_t i = 0; i < rank; ++i) {
      PyObject* item = PySequence_Fast_GET_ITEM(source.ptr(), i);
      PyObject* number = PyNumber_Index(item);
      if (!number) {
        PyErr_Clear();
        return false;
      }
      const long long size = PyLong_AsLongLong(number);
      Py_DECREF(number);
      if (size == -1 && PyErr_Occurred()) throw error_already_set();
      value.push_back(size);
    }
    return true;
  }
  static handle cast(const fastcnn::Shape& shape, return_value_policy, handle) {
    PyObject* result = PyTuple_New(shape.rank());
    for (int i = 0; i < shape.rank(); ++i) PyTuple_SET_ITEM(result, i, PyLong_FromLongLong(shape[i]));
    return result;
  }
};

// "row_major" | "channels_last" <-> fastcnn::Layout.
template <>
struct type_caster<fastcnn::Layout> {
  PYBIND11_TYPE_CASTER(fastcnn::Layout, const_name("str"));
  bool load(handle source, bool) {
    if (!PyUnicode_Check(source.ptr())) return false;
    const std::string text = source.cast<std::string>();
    fastcnn::check(text == "row_major" || text == "channels_last", "layout is '", text,
                   "', but 'row_major' or 'channels_last' is expected");
    value = text == "row_major" ? fastcnn::Layout::row_major : fastcnn::Layout::channels_last;
    return true;
  }
  static handle cast(fastcnn::Layout layout, return_value_policy, handle) {
    return PyUnicode_FromString(layout == fastcnn::Layout::row_major ? "row_major" : "channels_last");
  }
};

}  // namespace pybind11::detail
