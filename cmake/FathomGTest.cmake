# GTest::gtest and GTest::gtest_main: the installed package; for another processor, where there is none, built from
# the sources that Debian's package holds.
find_package(GTest QUIET)
if(NOT TARGET GTest::gtest AND CMAKE_CROSSCOMPILING)
  set(FATHOM_GTEST_SOURCE /usr/src/googletest/googletest CACHE PATH "GoogleTest's sources, for a cross build")
  if(NOT EXISTS "${FATHOM_GTEST_SOURCE}/CMakeLists.txt")
    message(FATAL_ERROR "The tests of a cross build need GoogleTest's sources: install the package googletest, "
      "set FATHOM_GTEST_SOURCE, or leave the tests out with -DFATHOM_TESTS=OFF.")
  endif()
  add_subdirectory("${FATHOM_GTEST_SOURCE}" "${CMAKE_BINARY_DIR}/googletest" EXCLUDE_FROM_ALL)
  target_compile_options(gtest PRIVATE -w)
endif()
if(NOT TARGET GTest::gtest)
  message(FATAL_ERROR "Missing: libgtest-dev. scripts/setup installs it, or says what to ask for.")
endif()
include(GoogleTest)
