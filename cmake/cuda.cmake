# The CUDA backend: `on` needs nvcc, `auto` uses it if there is one, `emulated` compiles the kernels as C++ for the CPU,
# `off` leaves it out. nvcc comes from FASTCNN_NVCC, CUDA_HOME, PATH or NVIDIA's PyPI wheels (nvidia-cuda-nvcc).
#   FASTCNN_CUDA_MODE         off, real or emulated: what is built
#   FASTCNN_CUDA_TOOLKIT      version of nvcc, e.g. 13.0
#   FASTCNN_CUDA_ARCH_NAMES   architectures with machine code, e.g. "80 90a"
#   fastcnn_add_cuda_sources(target files...)
set(FASTCNN_NVCC "" CACHE FILEPATH "nvcc to use; empty: search")
set(FASTCNN_CUDA_ARCHS "default" CACHE STRING
    "GPU architectures: native (this machine's), default (native, else 90a), release, or a list like 80;90a")
# `release`: machine code for these (that for 8.0 runs on 8.6 and 8.9, too), all from the PTX of 8.0, as no kernel uses
# anything newer. Other GPUs get PTX, which the driver compiles at first use and keeps: for 7.5, and where there are
# kernels for tensor cores, which 7.5 does not have, for 8.0 as well.
set(FASTCNN_RELEASE_ARCHS 80 90)
set(FASTCNN_TENSOR_CORES "/(gemm_(bf16|tf32|float32_as_bf16)|conv2d_(forward|backward_input|backward_weight|runs))_cuda\\.cu$")

# Sets FASTCNN_NVCC_PATH and FASTCNN_CUDART (the static runtime that belongs to it), if found.
function(fastcnn_find_nvcc)
  execute_process(COMMAND ${Python_EXECUTABLE} -c "
import pathlib, sys, sysconfig
folders = dict.fromkeys([*sys.path, sysconfig.get_path('purelib'), sysconfig.get_path('platlib')])
print(*[nvcc.parent for f in folders for nvcc in sorted(pathlib.Path(f).glob('nvidia/*/bin/nvcc'))], sep=';', end='')"
    OUTPUT_VARIABLE wheels ERROR_QUIET)
  set(nvcc ${FASTCNN_NVCC})
  if(NOT nvcc)
    find_program(nvcc nvcc HINTS $ENV{CUDA_HOME} $ENV{CUDA_PATH} PATH_SUFFIXES bin NO_CACHE NO_DEFAULT_PATH)
  endif()
  if(NOT nvcc)
    find_program(nvcc nvcc NO_CACHE NO_CMAKE_SYSTEM_PATH)
  endif()
  if(NOT nvcc)
    find_program(nvcc nvcc HINTS ${wheels} /usr/local/cuda/bin NO_CACHE NO_DEFAULT_PATH)
  endif()
  if(NOT nvcc)
    return()
  endif()
  execute_process(COMMAND ${nvcc} --dryrun -x cu /dev/null -o /dev/null ERROR_VARIABLE dryrun OUTPUT_QUIET)
  string(REGEX MATCH "TOP=([^\n]+)" _ "${dryrun}")
  set(top "${CMAKE_MATCH_1}")
  find_library(cudart cudart_static HINTS ${top}/lib64 ${top}/targets/x86_64-linux/lib ${top}/lib NO_CACHE)
  if(cudart)
    set(FASTCNN_NVCC_PATH ${nvcc} PARENT_SCOPE)
    set(FASTCNN_CUDART ${cudart} PARENT_SCOPE)
  endif()
endfunction()

# The compute capability of this machine's first GPU as nvcc writes it, or nothing.
function(fastcnn_native_arch result)
  set(${result} "" PARENT_SCOPE)
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE capability ERROR_QUIET
                  RESULT_VARIABLE status)
  if(status STREQUAL "0" AND capability MATCHES "^([0-9]+)\\.([0-9]+)")
    string(REGEX REPLACE "^90$" "90a" arch "${CMAKE_MATCH_1}${CMAKE_MATCH_2}")
    set(${result} ${arch} PARENT_SCOPE)
  endif()
endfunction()

set(FASTCNN_CUDA_TOOLKIT "")
set(FASTCNN_CUDA_ARCH_NAMES "")
string(TOLOWER "${FASTCNN_CUDA}" requested)
if(requested STREQUAL "off" OR requested STREQUAL "emulated")
  set(FASTCNN_CUDA_MODE ${requested})
elseif(requested MATCHES "^(auto|on)$")
  fastcnn_find_nvcc()
  if(FASTCNN_NVCC_PATH)
    set(FASTCNN_CUDA_MODE real)
  elseif(requested STREQUAL "auto")
    set(FASTCNN_CUDA_MODE off)
    message(STATUS "fastcnn: no nvcc with libcudart_static found in CUDA_HOME, PATH or NVIDIA's PyPI wheels")
  else()
    message(FATAL_ERROR "FASTCNN_CUDA=on: no nvcc with libcudart_static found in CUDA_HOME, PATH or NVIDIA's PyPI "
                        "wheels; set FASTCNN_NVCC, or build with FASTCNN_CUDA=auto or off")
  endif()
else()
  message(FATAL_ERROR "FASTCNN_CUDA=${FASTCNN_CUDA}: expected auto, on, off or emulated")
endif()
message(STATUS "fastcnn: CUDA backend: ${FASTCNN_CUDA_MODE} ${FASTCNN_NVCC_PATH}")

if(FASTCNN_CUDA_MODE STREQUAL "real")
  execute_process(COMMAND ${FASTCNN_NVCC_PATH} --version OUTPUT_VARIABLE version)
  if(version MATCHES "release ([0-9]+\\.[0-9]+)")
    set(FASTCNN_CUDA_TOOLKIT ${CMAKE_MATCH_1})
  endif()
  set(FASTCNN_CUDA_COMPRESSION -Xfatbin -compress-all)
  if(FASTCNN_CUDA_TOOLKIT VERSION_GREATER_EQUAL 12.8)
    set(FASTCNN_CUDA_COMPRESSION --compress-mode=size)  # a quarter smaller
  endif()
  set(FASTCNN_CUDA_GENCODE "")
  set(FASTCNN_CUDA_TENSOR_GENCODE "")  # in addition, where there are kernels for tensor cores
  set(archs ${FASTCNN_CUDA_ARCHS})
  if(archs STREQUAL "release")
    set(archs ${FASTCNN_RELEASE_ARCHS})
    set(FASTCNN_CUDA_GENCODE -gencode arch=compute_75,code=compute_75)
    set(FASTCNN_CUDA_TENSOR_GENCODE -gencode arch=compute_80,code=compute_80)
    foreach(arch IN LISTS archs)
      list(APPEND FASTCNN_CUDA_GENCODE -gencode arch=compute_80,code=sm_${arch})
    endforeach()
  else()
    if(archs MATCHES "^(default|native)$")
      fastcnn_native_arch(native)
      if(native)
        set(archs ${native})
      elseif(archs STREQUAL "native")
        message(FATAL_ERROR "FASTCNN_CUDA_ARCHS=native: nvidia-smi names no GPU on this machine")
      else()
        set(archs 90a)
      endif()
    endif()
    foreach(arch IN LISTS archs)
      list(APPEND FASTCNN_CUDA_GENCODE -gencode arch=compute_${arch},code=sm_${arch})
    endforeach()
  endif()
  string(REPLACE ";" " " FASTCNN_CUDA_ARCH_NAMES "${archs}")
  message(STATUS "fastcnn: CUDA ${FASTCNN_CUDA_TOOLKIT}, GPU architectures: ${FASTCNN_CUDA_ARCH_NAMES}")
endif()

# Compiles .cu files into `target`. nvcc runs as a custom command: CMake's CUDA language would insist on linking a test
# program, which NVIDIA's wheels cannot do, and on device linking, which nothing here needs.
function(fastcnn_add_cuda_sources target)
  if(FASTCNN_CUDA_MODE STREQUAL "emulated")
    set_source_files_properties(${ARGN} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++;-O2;-fno-strict-aliasing;-fstack-clash-protection;-Wno-unused-variable;-Wno-unknown-pragmas")
    target_sources(${target} PRIVATE ${ARGN})
  elseif(FASTCNN_CUDA_MODE STREQUAL "real")
    foreach(source IN LISTS ARGN)
      get_filename_component(source ${source} ABSOLUTE)
      file(RELATIVE_PATH name ${CMAKE_CURRENT_SOURCE_DIR} ${source})
      set(object ${CMAKE_CURRENT_BINARY_DIR}/cuda/${name}.o)
      get_filename_component(folder ${object} DIRECTORY)
      file(MAKE_DIRECTORY ${folder})
      set(gencode ${FASTCNN_CUDA_GENCODE})
      if(source MATCHES "${FASTCNN_TENSOR_CORES}")
        list(APPEND gencode ${FASTCNN_CUDA_TENSOR_GENCODE})
      endif()
      add_custom_command(
        OUTPUT ${object} DEPFILE ${object}.d DEPENDS ${source}
        COMMAND ${CCACHE} ${FASTCNN_NVCC_PATH} -ccbin ${CMAKE_CXX_COMPILER} -std=c++17 -O3 ${gencode}
                ${FASTCNN_CUDA_COMPRESSION} -DFASTCNN_CUDA_BUILT -I${CMAKE_CURRENT_SOURCE_DIR}
                --compiler-options=-Os,-fPIC,-fvisibility=hidden -MD -MF ${object}.d -c ${source} -o ${object}
        COMMENT "nvcc ${name}" VERBATIM)
      target_sources(${target} PRIVATE ${object})
      set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
    endforeach()
  endif()
endfunction()
