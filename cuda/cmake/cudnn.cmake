# cuDNN's headers, for the peer device cuda.cudnn; the library is opened at run time. Where there are
# none, the files that need them are taken out of the lists of sources.
find_path(VG_CUDNN_INCLUDE cudnn_adv.h
          HINTS ${VG_CUDA_INCLUDE} ${VG_CUDA_INCLUDE}/../../cudnn/include ${cuda_root}/include
                ${cuda_root}/../cudnn/include
          PATHS /usr/local/cuda/include /usr/local/cudnn/include DOC "Where cuDNN's headers are")
set(cudnn_major 0)
if(VG_CUDNN_INCLUDE)
  file(STRINGS ${VG_CUDNN_INCLUDE}/cudnn_version.h cudnn_major REGEX "define CUDNN_MAJOR ")
  string(REGEX REPLACE "[^0-9]" "" cudnn_major "${cudnn_major}")
endif()
if(cudnn_major LESS 9)
  list(FILTER host_sources EXCLUDE REGEX "/peer_cudnn[^/]*$")
  list(FILTER emulation_sources EXCLUDE REGEX "/cudnn[^/]*$")
  set_property(GLOBAL APPEND PROPERTY VG_NO_DRIVERS
               "cuda.cudnn,this build has no cuDNN: version 9 or newer was not found at configuration")
endif()

# To the target of the CUDA devices.
function(vg_with_cudnn target)
  if(cudnn_major LESS 9)
    return()
  endif()
  target_include_directories(${target} SYSTEM PUBLIC ${VG_CUDNN_INCLUDE})
  target_compile_definitions(${target} PUBLIC VG_CUDA_HAS_CUDNN)
  if(VG_CUDA STREQUAL emulated)
    # Nothing refers to it by name where it may be absent, so the linker is told to take it along.
    target_link_options(${target} INTERFACE LINKER:-u,emu_cudnn_functions)
  endif()
  set_property(GLOBAL APPEND PROPERTY VG_DRIVERS cuda.cudnn,${target})
  vg_header_version(cudnn_version ${VG_CUDNN_INCLUDE}/cudnn_version.h CUDNN)
  set_property(GLOBAL APPEND PROPERTY VG_BUILD_PARTS "cuDNN ${cudnn_version}")
endfunction()
