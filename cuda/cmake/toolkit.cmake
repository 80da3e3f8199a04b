# Included by the project's own CMakeLists, since a language is known only below the folder that
# enables it. Finds a toolkit that works with this host compiler. Sets no_cuda (why there are no CUDA
# devices), or enables CUDA and sets
#   cuda_version (13.0.88)   cuda_architectures, as CMake wants them
#   cuda_code (sm_90 compute_90)   cuda_newest: the newest architecture that nvcc offers (121)
#   cuda_library_folders: where cuBLASLt and cuDNN are
set(VG_CUDA auto CACHE STRING
    "auto: CUDA devices where a toolkit is found; off; emulated: on tests/cuda_emulation")
set(VG_CUDA_ARCHITECTURES "" CACHE STRING
    "As CMake's CUDA_ARCHITECTURES; empty: the GPUs that are here, else a few")
set(no_cuda "")
if(VG_CUDA STREQUAL off)
  set(no_cuda "it was configured with VG_CUDA=off")
elseif(CMAKE_CROSSCOMPILING)
  set(no_cuda "it was built for another machine")
elseif(VG_SANITIZE)
  set(no_cuda "it was built with sanitizers, which know no GPU")
endif()
if(no_cuda OR VG_CUDA STREQUAL emulated)
  return()
endif()

find_program(VG_NVCC nvcc HINTS ${CMAKE_CUDA_COMPILER} $ENV{CUDACXX} ${CUDAToolkit_ROOT}/bin
             $ENV{CUDAToolkit_ROOT}/bin $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin
             PATHS /usr/local/cuda/bin /opt/cuda/bin DOC "The CUDA compiler")
if(NOT VG_NVCC)
  set(no_cuda "no toolkit was found at configuration")
  return()
endif()
execute_process(COMMAND ${VG_NVCC} --version OUTPUT_VARIABLE said ERROR_QUIET)
string(REGEX MATCH "V([0-9]+[.][0-9]+[.][0-9]+)" matched "${said}")
set(cuda_version "${CMAKE_MATCH_1}")
if(NOT cuda_version OR cuda_version VERSION_LESS 12)
  set(no_cuda "nvcc ${cuda_version} was found, 12 or newer is needed")
  return()
endif()

# --- what to compile for ---
execute_process(COMMAND ${VG_NVCC} --list-gpu-arch OUTPUT_VARIABLE said ERROR_QUIET)
string(REGEX MATCHALL "[0-9]+" cuda_offered "${said}")
list(SORT cuda_offered COMPARE NATURAL)
list(GET cuda_offered -1 cuda_newest)
set(cuda_architectures "${VG_CUDA_ARCHITECTURES}")
if(NOT cuda_architectures)
  # Those of the GPUs that are here.
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader
                  OUTPUT_VARIABLE said ERROR_QUIET RESULT_VARIABLE failed)
  if(failed)
    set(said "")
  endif()
  string(REGEX MATCHALL "[0-9]+[.][0-9]" here "${said}")
  list(REMOVE_DUPLICATES here)
  foreach(chip IN LISTS here)
    string(REPLACE "." "" chip ${chip})
    if(chip IN_LIST cuda_offered AND NOT chip LESS 80)
      list(APPEND cuda_architectures ${chip}-real)
    elseif(chip GREATER cuda_newest)
      list(APPEND cuda_architectures ${cuda_newest}-virtual)
    endif()
  endforeach()
endif()
if(NOT cuda_architectures)
  # None: both generations that the kernels are tuned for, the newest, and for all between and
  # after PTX of the oldest that has clusters.
  foreach(chip IN ITEMS 80-real 90 ${cuda_newest}-real)
    list(APPEND cuda_architectures ${chip})
  endforeach()
endif()
list(REMOVE_DUPLICATES cuda_architectures)
set(cuda_code "")
foreach(chip IN LISTS cuda_architectures)
  string(REGEX MATCH "^([0-9]+[af]?)(-real|-virtual)?$" matched "${chip}")
  if(NOT matched)
    message(FATAL_ERROR "VG_CUDA_ARCHITECTURES=${VG_CUDA_ARCHITECTURES}: expected the like of 80-real;90")
  endif()
  set(number ${CMAKE_MATCH_1})
  if(NOT CMAKE_MATCH_2 STREQUAL "-virtual")
    list(APPEND cuda_code sm_${number})
  endif()
  if(NOT CMAKE_MATCH_2 STREQUAL "-real")
    list(APPEND cuda_code compute_${number})
  endif()
endforeach()
string(REPLACE ";" " " cuda_code "${cuda_code}")

# --- whether it works: a kernel through this host compiler, and a link; once ---
get_filename_component(cuda_root ${VG_NVCC} REALPATH)
get_filename_component(cuda_root ${cuda_root}/../.. ABSOLUTE)
set(tried "${VG_NVCC} ${cuda_version} ${CMAKE_CXX_COMPILER} ${CMAKE_CXX_COMPILER_VERSION}")
if(NOT VG_NVCC_TRIED STREQUAL tried)
  set(trial ${CMAKE_CURRENT_BINARY_DIR}/trial)
  file(WRITE ${trial}.cu
       "#include <cublasLt.h>\n#include <math.h>\n#include <stdint.h>\n"
       "__global__ void scale(float *x) { x[threadIdx.x] = fmaf(x[threadIdx.x], 2, 1); }\n"
       "int main() { int n; return cudaGetDeviceCount(&n) && (const void *)scale; }\n")
  execute_process(COMMAND ${VG_NVCC} -std=c++17 -ccbin ${CMAKE_CXX_COMPILER} -arch=sm_90 -o ${trial}
                          ${trial}.cu
                  RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE said)
  file(WRITE ${trial}.log "${said}")
  if(failed)
    string(REGEX MATCH "[^\n]*(rror|annot|not found)[^\n]*" line "${said}")
    string(REGEX REPLACE "[^ ]*/" "" line "${line}")
    string(REGEX REPLACE "[\";\\]" "'" line "${line}")
    string(SUBSTRING "${line}" 0 80 line)
    set(no_cuda "nvcc ${cuda_version} does not work here: ${line}")
    return()
  endif()
  set(VG_NVCC_TRIED "${tried}" CACHE INTERNAL "")
endif()

set(CMAKE_CUDA_COMPILER ${VG_NVCC})
if(NOT CMAKE_CUDA_HOST_COMPILER)
  set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
endif()
set(CMAKE_CUDA_ARCHITECTURES ${cuda_architectures})
enable_language(CUDA)
set(cuda_library_folders "")
foreach(folder IN ITEMS ${cuda_root}/lib64 ${cuda_root}/lib ${cuda_root}/../cudnn/lib)
  file(GLOB found ${folder}/libcublasLt.so* ${folder}/libcudnn.so*)
  get_filename_component(folder ${folder} REALPATH)
  if(found AND NOT folder IN_LIST cuda_library_folders)
    list(APPEND cuda_library_folders ${folder})
  endif()
endforeach()
