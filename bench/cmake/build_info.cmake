# Writes build_info.inc, one C initialiser of vg_build_info, where it changed. Run at every build:
#   cmake -DSOURCE=... -DOUT=... -DVERSION=... -DCOMPILER=... -DFLAGS=... -DHWLOC=... -DBENCHMARK=... -DJANSSON=... -DPARTS=... -P
set(commit "")
set(dirty false)
find_program(git git)
if(git)
  execute_process(COMMAND ${git} -C ${SOURCE} rev-parse --short=12 HEAD
                  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND ${git} -C ${SOURCE} status --porcelain --untracked-files=no
                  OUTPUT_VARIABLE changes ERROR_QUIET)
  if(changes)
    set(dirty true)
  endif()
endif()
string(REGEX REPLACE "[ ]+" " " FLAGS "${FLAGS}")
string(STRIP "${FLAGS}" FLAGS)
# Of a path its last part: no folder of the machine that built stands in a result.
string(REGEX REPLACE "/[^ ]*/" "" FLAGS "${FLAGS}")
set(text "")
foreach(field IN ITEMS "version|${VERSION}" "commit|${commit}" "compiler|${COMPILER}" "flags|${FLAGS}"
                       "hwloc|${HWLOC}" "benchmark|${BENCHMARK}" "jansson|${JANSSON}"
                       "parts|${PARTS}")
  string(REGEX MATCH "^([a-z]+)\\|(.*)$" matched "${field}")
  set(name ${CMAKE_MATCH_1})
  string(REPLACE "\\" "\\\\" value "${CMAKE_MATCH_2}")
  string(REPLACE "\"" "\\\"" value "${value}")
  string(APPEND text ".${name} = \"${value}\",\n")
endforeach()
string(APPEND text ".dirty = ${dirty},\n")
set(before "")
if(EXISTS ${OUT})
  file(READ ${OUT} before)
endif()
if(NOT text STREQUAL before)
  file(WRITE ${OUT} "${text}")
endif()
