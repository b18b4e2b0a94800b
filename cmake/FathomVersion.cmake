# fathom_version(target): writes the version, commit and compiler into a source of target, at each build and only
# when they changed. Run as a script (cmake -P) it does the writing.
if(CMAKE_SCRIPT_MODE_FILE)
  set(commit "unknown")
  find_program(GIT git)
  if(GIT AND EXISTS "${SOURCE_DIR}/.git")
    execute_process(COMMAND "${GIT}" -C "${SOURCE_DIR}" describe --always --dirty=-modified --abbrev=12 --exclude "*"
      OUTPUT_VARIABLE described OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
    if(NOT failed)
      set(commit "${described}")
    endif()
  endif()
  configure_file("${SOURCE_DIR}/cmake/version.cc.in" "${OUTPUT}" @ONLY)  # leaves an equal file alone
  return()
endif()

function(fathom_version target)
  set(output "${CMAKE_BINARY_DIR}/generated/version.cc")
  add_custom_target(fathom_write_version BYPRODUCTS "${output}"
    COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${output}" "-DSOURCE_DIR=${CMAKE_SOURCE_DIR}"
      "-DVERSION=${PROJECT_VERSION}"
      "-DCOMPILER=${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}, ${CMAKE_BUILD_TYPE}"
      -P "${CMAKE_SOURCE_DIR}/cmake/FathomVersion.cmake"
    VERBATIM COMMENT "")
  add_dependencies(${target} fathom_write_version)
  target_sources(${target} PRIVATE "${output}")
endfunction()
