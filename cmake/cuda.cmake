# Decides whether the CUDA backend is built. This version has the CPU backend only: `auto` builds it and says so,
# asking for CUDA outright is an error rather than a silent fallback.
string(TOLOWER "${FASTCNN_CUDA}" FASTCNN_CUDA_MODE)
if(FASTCNN_CUDA_MODE STREQUAL "auto")
  message(STATUS "fastcnn: CUDA backend: none in this version, building for the CPU")
elseif(FASTCNN_CUDA_MODE STREQUAL "off")
  message(STATUS "fastcnn: CUDA backend: off")
elseif(FASTCNN_CUDA_MODE MATCHES "^(on|emulated)$")
  message(FATAL_ERROR "FASTCNN_CUDA=${FASTCNN_CUDA}: this version of fastcnn has no CUDA backend; use auto or off")
else()
  message(FATAL_ERROR "FASTCNN_CUDA=${FASTCNN_CUDA}: expected auto, on, off or emulated")
endif()
