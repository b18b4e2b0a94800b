# Says in one sentence which package is missing, before the compiler says it in a hundred.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
  message(FATAL_ERROR "Fathom needs GCC 12 or newer, this is ${CMAKE_CXX_COMPILER_VERSION}: set CXX to a newer one.")
elseif(CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  message(FATAL_ERROR "Fathom needs Clang 14 or newer, this is ${CMAKE_CXX_COMPILER_VERSION}: set CXX to a newer one.")
endif()

if(FATHOM_ONLY_KERNELS)
  return()
endif()
set(needed
  nlohmann/json.hpp nlohmann-json3-dev
  CLI/CLI.hpp libcli11-dev
  toml++/toml.h libtomlplusplus-dev
  pcre2.h libpcre2-dev
  histedit.h libedit-dev)
if(FATHOM_TESTS)
  list(APPEND needed gtest/gtest.h libgtest-dev lzma.h liblzma-dev)
endif()
set(missing "")
while(needed)
  list(POP_FRONT needed header package)
  find_path(FATHOM_FOUND_${package} "${header}")
  if(NOT FATHOM_FOUND_${package})
    list(APPEND missing ${package})
  endif()
  mark_as_advanced(FATHOM_FOUND_${package})
endwhile()
if(missing)
  list(JOIN missing " " missing)
  message(FATAL_ERROR "Missing: ${missing}. scripts/setup installs them, or says what to ask for.")
endif()
