// Packs text as the tools of each format do.
#pragma once

#include <string>

namespace fathom::test {

std::string pack_xz(const std::string& text);
std::string pack_zst(const std::string& text);
std::string pack_gz(const std::string& text);

}  // namespace fathom::test
