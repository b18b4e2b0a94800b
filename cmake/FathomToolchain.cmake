# Warnings, sanitizers and the rules that keep results reproducible.
add_library(fathom_options INTERFACE)
target_include_directories(fathom_options INTERFACE "${CMAKE_SOURCE_DIR}/src")
# The compiler must not fuse a*b+c on its own: every fma in the project is written out (docs/numerics.md).
target_compile_options(fathom_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Werror
  -ffp-contract=off -fno-math-errno)
# At -O3 GCC 12 takes moves of std::variant and concatenations of std::string for uses of uninitialised or
# overlapping memory (GCC bugs 105562 and 105651), inside its own headers. Clang and the sanitizers look too.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(fathom_options INTERFACE -Wno-maybe-uninitialized -Wno-restrict)
endif()
if(FATHOM_SANITIZE)
  target_compile_options(fathom_options INTERFACE
    -fsanitize=${FATHOM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(fathom_options INTERFACE -fsanitize=${FATHOM_SANITIZE})
  if(FATHOM_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Fences, which Boost.Asio has beside its locks, are not seen: it would be an error to say so.
    target_compile_options(fathom_options INTERFACE -Wno-tsan)
  endif()
endif()
if(FATHOM_SANITIZE OR CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_definitions(fathom_options INTERFACE FATHOM_DCHECKS=1)
endif()
if(FATHOM_FUZZ)
  # Coverage of the libraries too: without it a fuzzer sees only its own few lines.
  target_compile_options(fathom_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
find_package(Threads REQUIRED)
target_link_libraries(fathom_options INTERFACE Threads::Threads)

find_program(FATHOM_CCACHE ccache)
if(FATHOM_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${FATHOM_CCACHE}")
endif()

# The family of processors whose kernels are built: a folder of src/kernels.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(FATHOM_FAMILY x86)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
  set(FATHOM_FAMILY arm)
else()
  set(FATHOM_FAMILY portable)
endif()
