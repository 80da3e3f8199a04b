# The same sources, kernels too, compiled by the C and C++ compilers against tests/cuda_emulation, so
# that the tests run every kernel on a machine without a GPU. The toolkit's headers are all that is
# needed: VG_CUDA_INCLUDE.
set(emulation ${PROJECT_SOURCE_DIR}/tests/cuda_emulation)
find_path(VG_CUDA_INCLUDE cuda_runtime_api.h HINTS $ENV{VG_CUDA_INCLUDE} /usr/local/cuda/include REQUIRED
          DOC "Where the CUDA toolkit's headers are")
file(GLOB host_sources CONFIGURE_DEPENDS *.c)
file(GLOB kernel_sources CONFIGURE_DEPENDS *.cu)
list(REMOVE_ITEM host_sources ${CMAKE_CURRENT_SOURCE_DIR}/library.c)
file(GLOB emulation_sources CONFIGURE_DEPENDS ${emulation}/*.cc)
include(cmake/cudnn.cmake)
add_library(vg_cuda STATIC ${host_sources} ${kernel_sources} ${emulation_sources})
vg_with_cudnn(vg_cuda)
set_source_files_properties(${kernel_sources} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS -xc++)
# What switches between the stacks of threads tells the sanitizers so; instrumented itself, it would
# confuse them, and its own loads and stores are no kernel's.
set(emulation_tells "")
if(VG_SANITIZE MATCHES address)
  set(emulation_tells -DEMU_ASAN)
elseif(VG_SANITIZE MATCHES thread)
  set(emulation_tells -DEMU_TSAN)
endif()
foreach(name barriers fiber grid mbarrier mma report schedule shared_memory tsan)
  set_source_files_properties(${emulation}/${name}.cc PROPERTIES
                              COMPILE_OPTIONS "-fno-sanitize=all;${emulation_tells}")
endforeach()
# Most of a product's time, on copies of its operands.
set_source_files_properties(${emulation}/cublaslt_dot.cc PROPERTIES COMPILE_OPTIONS "-fno-sanitize=all;-O3")
# A stream is a thread of its own to ThreadSanitizer; the runtime's tables belong to none.
if(VG_SANITIZE MATCHES thread)
  file(GLOB runtime_sources ${emulation}/runtime*.cc)
  set_source_files_properties(${runtime_sources} ${emulation}/cublaslt.cc
                              ${emulation}/cublaslt_rules.cc PROPERTIES
                              COMPILE_OPTIONS "-fno-sanitize=thread;${emulation_tells}")
endif()
target_include_directories(vg_cuda PUBLIC ${CMAKE_CURRENT_SOURCE_DIR} ${emulation})
target_include_directories(vg_cuda SYSTEM PUBLIC ${VG_CUDA_INCLUDE})
target_link_libraries(vg_cuda PUBLIC vg_core vg_flags m)
target_compile_definitions(vg_cuda PUBLIC VG_CUDA_EMULATED
                           PRIVATE VG_VERSION="${PROJECT_VERSION}" VG_CUDA_CODE="sm_80 sm_90 sm_100")
set_property(GLOBAL APPEND PROPERTY VG_BUILD_PARTS "an emulated GPU")
set_property(GLOBAL APPEND PROPERTY VG_DRIVERS cuda,vg_cuda)
