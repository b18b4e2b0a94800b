# What `cmake --install` puts where: the program (it holds its default model and runs from any directory), the man
# page and shell completion, which the program itself writes from its commands.
set(docs "${CMAKE_BINARY_DIR}/docs")
set(bash "${docs}/fathom.bash")
set(zsh "${docs}/_fathom")
set(fish "${docs}/fathom.fish")
set(man "${docs}/fathom.1")
file(MAKE_DIRECTORY "${docs}")
add_custom_command(OUTPUT "${man}" "${bash}" "${zsh}" "${fish}"
  COMMAND fathom man > "${man}"
  COMMAND fathom completion bash > "${bash}"
  COMMAND fathom completion zsh > "${zsh}"
  COMMAND fathom completion fish > "${fish}"
  DEPENDS fathom COMMENT "Writing the man page and shell completion" VERBATIM)
add_custom_target(fathom_docs ALL DEPENDS "${man}" "${bash}" "${zsh}" "${fish}")

install(TARGETS fathom RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(FILES "${man}" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
install(FILES "${bash}" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" RENAME fathom)
install(FILES "${zsh}" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions")
install(FILES "${fish}" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
install(FILES "${CMAKE_SOURCE_DIR}/LICENSE" "${CMAKE_SOURCE_DIR}/README.md" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
# The unit names the program by where it is installed, which is known then.
install(CODE "configure_file(\"${CMAKE_SOURCE_DIR}/packaging/fathom.service\"
  \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/lib/systemd/system/fathom.service\" @ONLY)")
