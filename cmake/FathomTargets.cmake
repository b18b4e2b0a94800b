# fathom_library(base DEPS ...): one static library of the folder's *.cc (tests excluded), and, with
# tests on, one test program <name>_test of its *_test.cc. Sources are found, so that a new file needs
# no line here.
function(fathom_library name)
  cmake_parse_arguments(ARG "" "" "DEPS;LIBS;TEST_DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cc")
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  # What is written for one family of processors stands in a folder of its name; portable/ is for the rest.
  foreach(family x86 arm portable)
    if(NOT family STREQUAL FATHOM_FAMILY)
      list(FILTER sources EXCLUDE REGEX "/src/kernels/${family}/")
    endif()
  endforeach()
  list(FILTER sources EXCLUDE REGEX "/cli/main\\.cc$")
  if(sources)
    add_library(fathom_${name} STATIC ${sources})
    target_link_libraries(fathom_${name} PUBLIC fathom_options ${ARG_LIBS})
    set(visibility PUBLIC)
  else()
    add_library(fathom_${name} INTERFACE)
    target_link_libraries(fathom_${name} INTERFACE fathom_options ${ARG_LIBS})
    set(visibility INTERFACE)
  endif()
  foreach(dep ${ARG_DEPS})
    target_link_libraries(fathom_${name} ${visibility} fathom_${dep})
  endforeach()
  # Kernels of one instruction set: the file's name says which.
  set(avx2_flags -mavx2 -mfma -mf16c -mbmi2)
  set(avx512_flags ${avx2_flags} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vbmi
      -mavx512vnni -mavx512bf16 -mprefer-vector-width=512)
  set(amx_flags ${avx512_flags} -mamx-tile -mamx-bf16 -mamx-int8)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC's own avx512 headers start from undefined registers, which it then reports in our files.
    list(APPEND avx512_flags -Wno-uninitialized -Wno-maybe-uninitialized)
    list(APPEND amx_flags -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  set(neon_flags "")  # AArch64 has NEON
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC orders instructions before it knows the registers and spills sums by it: 8 times a step in the 6 x 2 tile of
    # linear layers, none without.
    list(APPEND neon_flags -fno-schedule-insns)
  endif()
  foreach(source ${sources})
    if(source MATCHES "_dotprod\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${neon_flags};-march=armv8.2-a+dotprod")
    elseif(source MATCHES "_neon\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${neon_flags}")
    elseif(source MATCHES "_avx2\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${avx2_flags}")
    elseif(source MATCHES "_avx512\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${avx512_flags}")
    elseif(source MATCHES "_amx\\.cc$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${amx_flags}")
    endif()
  endforeach()
  if(tests AND FATHOM_TESTS)
    fathom_test(${name}_test SOURCES ${tests} DEPS ${name} ${ARG_TEST_DEPS} LABELS unit)
  endif()
endfunction()

# fathom_test(name SOURCES ... DEPS ... LABELS ...): a GoogleTest program, each of its tests a ctest test.
# Tests find the reference data of the clone in FATHOM_TESTDATA, the full sets (if there) in FATHOM_SHARED
# and the program in FATHOM_BINARY.
function(fathom_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE fathom_options GTest::gtest GTest::gtest_main ${ARG_LIBS})
  foreach(dep ${ARG_DEPS})
    target_link_libraries(${name} PRIVATE fathom_${dep})
  endforeach()
  target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}")  # "tests/support/..."
  target_compile_definitions(${name} PRIVATE
    FATHOM_TESTDATA="${CMAKE_SOURCE_DIR}/testdata"
    FATHOM_SHARED="${CMAKE_SOURCE_DIR}/../shared"
    FATHOM_BINARY="${CMAKE_BINARY_DIR}/fathom"
    $<$<BOOL:${CMAKE_CROSSCOMPILING_EMULATOR}>:FATHOM_EMULATED>)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  # unit_tests builds what `ctest -L unit` runs and no more.
  if("unit" IN_LIST ARG_LABELS)
    if(NOT TARGET unit_tests)
      add_custom_target(unit_tests)
    endif()
    add_dependencies(unit_tests ${name})
  endif()
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 600)
endfunction()
